"""Laws of CONTROLLER: whatever people and trainers say, in any order, it stays whole."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from streamops.config import NoisePolicy
from streamops.core.model_state import TRANSITIONS, ControllerState
from streamops.events import (
    AlertRaised,
    AlertResolved,
    AlertSilenced,
    AlertSilenceRequested,
    GateEvaluated,
    PromotionApproved,
    PromotionRequested,
    RecordRefused,
    RetrainingPaused,
    RetrainRequested,
    RetrainSkipped,
    RollbackRequested,
    RunFailed,
    StageChanged,
)
from streamops.quiet import Hold
from tests.builders import (
    MODEL,
    Desk,
    activated,
    at,
    config,
    drift,
    labelled,
    mature,
    metric,
    of_type,
    registered,
    rule,
    scored,
)

VERSIONS = st.sampled_from(("v1", "v2", "v3"))
IDS = st.sampled_from("abcdef")
REQUESTS = st.sampled_from(
    [f"retrain/m/{n}/{s}" for n in range(1, 4) for s in ("recent", "all")]
    + [f"evaluate/m/v{v}/{e}" for v in (1, 2, 3) for e in range(2, 6)]
)
COMMON = {"time": st.just(at(0)), "model": st.just(MODEL), "actor": st.just("ann")}
SAID = st.one_of(
    VERSIONS.map(lambda v: registered(v)),
    st.tuples(VERSIONS, REQUESTS).map(lambda t: registered(*t)),
    st.tuples(VERSIONS, REQUESTS).map(lambda t: registered(*t)[:1]),
    st.builds(
        lambda v, n, r, c: [scored(v, n, r, champion_version=c)],
        VERSIONS, st.sampled_from((0.5, 0.8, 0.9)), REQUESTS, st.sampled_from(("v1", "v2", "")),
    ),
    REQUESTS.map(lambda r: [
        RunFailed(id=r, time=at(0), model=MODEL, run_id=r, error="", request_id=r)]),
    st.builds(PromotionRequested, id=IDS, version=VERSIONS, **COMMON).map(lambda e: [e]),
    st.builds(PromotionApproved, id=IDS, version=VERSIONS, **COMMON).map(lambda e: [e]),
    st.builds(RollbackRequested, id=IDS, **COMMON).map(lambda e: [e]),
    st.builds(RetrainingPaused, id=IDS, paused=st.booleans(), **COMMON).map(lambda e: [e]),
    st.builds(
        AlertSilenceRequested, id=IDS, until=st.integers(0, 99).map(at),
        fingerprint=st.sampled_from(("m/psi/all/x", "m/acc/all")), **COMMON,
    ).map(lambda e: [e]),
    st.sampled_from((
        [activated(config(rules=(rule(),)), 2)],
        [activated(config(rules=(rule(segment="s=1"),)), 3)],
        [activated(config(), 4)],
    )),
)  # fmt: skip
HELD = st.builds(
    AlertSilenceRequested,
    id=IDS.map("hold/{}".format),
    until=st.integers(0, 99).map(at),
    fingerprint=st.sampled_from(("m/~a", "m/~b")),
    hold=st.one_of(
        st.builds(
            Hold,
            how=st.sampled_from(("silence", "snooze")),
            kind=st.sampled_from((None, "data_drift", "performance")),
            feature=st.sampled_from(("", "x")),
            ended=st.booleans(),
        ),
        st.integers(0, 50).map(lambda s: Hold(how="maintenance", since=at(s))),
    ),
    **COMMON,
).map(lambda e: [e])
SEEN = st.tuples(VERSIONS, st.sampled_from((0.1, 0.9)), st.sampled_from((0.0, 0.5)), st.booleans())
DAYS = st.lists(
    st.tuples(st.lists(SAID, max_size=4).map(lambda g: [e for some in g for e in some]), SEEN),
    max_size=7,
)

NOISY = NoisePolicy(group_panes=3, flap_times=2, flap_panes=4)
QUIET_DAYS = st.lists(
    st.tuples(
        st.lists(st.one_of(HELD, HELD, SAID), max_size=4).map(lambda g: [e for s in g for e in s]),
        SEEN,
    ),
    max_size=7,
)


def opening(approval, **noise):
    retrain = msgspec.structs.replace(
        config().retrain, min_labels=1, cooldown_panes=0, strategies=("recent", "all")
    )
    rules = (
        rule(),
        rule("acc", kind="performance", metric="accuracy", feature="", below=0.5, resolve_after=1),
        rule("cd", kind="concept_drift", metric="adwin", feature=""),
    )
    gate = msgspec.structs.replace(config().gate, approval=approval)
    return activated(config(rules=rules, retrain=retrain, gate=gate, **noise), 1)


def play(days, approval, **noise):
    desk = Desk(opening(approval, **noise))
    first = PromotionRequested(id="0", time=at(0), model=MODEL, version="v1", actor="ann")
    yield desk, desk.epoch([*registered("v1"), first])
    for pane, (said, (name, accuracy, psi, drifts)) in enumerate(days):
        values = (metric("accuracy", accuracy), metric("psi", psi, "x"), labelled(50))
        metrics = [mature(pane, *values, version=name)]
        metrics += [drift(pane * 10 + 1, version=name)] if drifts else []
        before = msgspec.msgpack.encode(desk.state)
        passed_in = desk.state
        events = desk.epoch(said, metrics)
        assert msgspec.msgpack.encode(passed_in) == before, "step changed the state it got"
        yield desk, events


@settings(max_examples=80)
@given(st.one_of(DAYS, QUIET_DAYS), st.booleans(), st.sampled_from((None, NOISY)))
def test_whatever_is_said_it_stays_whole(days, approval, noise):
    serving, revisions, ids, open_alerts = "", {}, set(), {}
    for desk, events in play(days, approval, noise=noise):
        for event in events:
            assert event.id not in ids, "an id said two things"
            ids.add(event.id)
            if isinstance(event, StageChanged):
                assert (event.before, event.after) in TRANSITIONS
                if event.after == "Production":
                    assert event.replaced == serving
                    serving = event.version
            if isinstance(event, AlertRaised | AlertResolved | AlertSilenced):
                assert event.revision > revisions.get(event.fingerprint, 0)
                revisions[event.fingerprint] = event.revision
            if isinstance(event, AlertRaised):
                assert event.fingerprint not in open_alerts
                open_alerts[event.fingerprint] = event.id
            if isinstance(event, AlertResolved):
                assert open_alerts.pop(event.fingerprint) == event.alert_id
        model = desk.state.models[MODEL]
        assert model.champion == serving
        stages = [e.stage for e in model.entries.values()]
        assert stages.count("Production") == (serving != "")
        still = {key: s.alert_id for key, s in model.rules.items() if s.alert_id}
        assert still == open_alerts


@settings(max_examples=25)
@given(DAYS, st.booleans(), st.integers(0, 7))
def test_a_state_goes_on_from_its_bytes(days, approval, crash):
    whole = [events for _, events in play(days, approval)]
    again = []
    for number, (desk, events) in enumerate(play(days, approval)):
        if number == crash:
            wire = msgspec.msgpack.encode(desk.state)
            desk.state = msgspec.msgpack.decode(wire, type=ControllerState)
        again.append(events)
    assert again == whole


@settings(max_examples=40)
@given(QUIET_DAYS, st.integers(0, 7))
def test_quiet_changes_who_is_told_and_nothing_else(days, crash):
    """The same days, with nobody asking for quiet: the same alerts, requests, gates, stages."""
    loud = [([e for e in said if getattr(e, "hold", None) is None], seen) for said, seen in days]
    quiet, told = [], []
    for number, (desk, events) in enumerate(play(days, False, noise=NOISY)):
        if number == crash:
            wire = msgspec.msgpack.encode(desk.state)
            desk.state = msgspec.msgpack.decode(wire, type=ControllerState)
        quiet += map(bare, events)
        told += of_type(events, AlertRaised)
    everything = [bare(e) for _, events in play(loud, False, noise=NOISY) for e in events]
    assert [e for e in quiet if e is not None] == [e for e in everything if e is not None]
    assert all(a.silenced == bool(a.noise.reason) for a in told if a.noise is not None)
    paged = {a.id for a in told if not a.silenced}
    for alert in told:
        if alert.noise is not None and alert.noise.reason in ("group", "flapping"):
            assert alert.noise.by in paged, "what stands for it was paged"


def bare(event):
    """What is concluded but for the telling of it; None for a hold's own answer or refusal."""
    if isinstance(event, AlertRaised):
        return msgspec.structs.replace(event, silenced=False, noise=None)
    told = isinstance(event, AlertSilenced) and event.hold is not None
    return None if told or isinstance(event, RecordRefused) else event


@settings(max_examples=25)
@given(DAYS)
def test_what_is_asked_is_open_until_it_is_answered(days):
    asked: set[str] = set()
    for _, events in play(days, False):
        asked |= {e.id for e in events if isinstance(e, RetrainRequested)}
        still = set(events[-1].open_requests)
        assert {i for i in still if i.startswith("retrain/")} <= asked
        held = [e for e in events if isinstance(e, RetrainSkipped | RetrainRequested)]
        assert len({type(e) for e in held}) <= 1
        verdicts = [e for e in events if isinstance(e, GateEvaluated)]
        assert all(v.passed == all(c.passed for c in v.checks) for v in verdicts)
