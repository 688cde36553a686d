"""noise and holds: which alerts page, why the others don't, and that none is lost.

Timelines show one pane of 10 s a character, `x` beyond the limit of feature x, `.` within it. Below
stands what the pane raised: `P` paged, `f` flapping, `g` member of a group, `s` held; else space.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streamops.config import ModelConfig, NoisePolicy, check_config
from streamops.core.holds import HOLDS_MAX
from streamops.errors import ConfigError
from streamops.events import (
    AlertRaised,
    AlertSilenced,
    AlertSilenceRequested,
    PromotionApproved,
    RecordRefused,
)
from streamops.quiet import Hold, Noise
from tests.builders import (
    MODEL,
    Desk,
    activated,
    at,
    config,
    drift,
    mature,
    metric,
    of_type,
    registered,
    rule,
)

GROUPED = NoisePolicy(group_panes=3, flap_times=0)
DAMPED = NoisePolicy(group_panes=0, flap_times=3, flap_panes=10)
MARKS = {"": "P", "flapping": "f", "group": "g"}


def desk(*rules, noise=None):
    given = {} if noise is None else {"noise": noise}
    return Desk(activated(config(rules=rules or (rule(resolve_after=1),), **given), 1))


def held(name="all", until=1e6, seconds=0, id=None, **fields):
    return AlertSilenceRequested(
        id=f"{name}/{seconds}" if id is None else id,
        time=at(0),
        model=MODEL,
        actor="ann",
        fingerprint=f"m/~{name}",
        until=at(until),
        hold=Hold(**fields),
    )


def staged(*versions, **given):
    """A desk whose versions wait for approval."""
    found = desk(rule(), **given)
    found.epoch([event for name in versions for event in registered(name)])
    model = found.state.models[MODEL]
    entries = {name: replace(entry, stage="Staging") for name, entry in model.entries.items()}
    found.state = replace(found.state, models={MODEL: replace(model, entries=entries)})
    return found


def approved(version):
    return PromotionApproved(id=version, time=at(0), model=MODEL, version=version, actor="ann")


def values(**by_feature):
    return [metric("psi", value, name) for name, value in by_feature.items()]


def raised(events):
    return of_type(events, AlertRaised)


def mark(alert):
    if alert.noise is None or not alert.noise.reason:
        assert not alert.silenced
        return "P"
    assert alert.silenced
    return MARKS.get(alert.noise.reason, "s")


def play(found, timeline):
    marks = ""
    for shown in timeline:
        alerts = raised(found.pane(metric("psi", 0.3 if shown == "x" else 0.0, "x")))
        marks += "".join(map(mark, alerts)) or " "
    return marks


# One cause, one page -----------------------------------------------------------------------------


def test_thirty_features_drifting_together_are_one_page():
    alerts = raised(desk(noise=GROUPED).pane(*values(**{f"f{n}": 0.3 for n in range(30)})))
    first, *others = alerts
    assert len(alerts) == 30
    assert (first.silenced, first.noise.group) == (False, first.id)
    assert first.noise.members == tuple(alert.fingerprint for alert in others)
    said = Noise(reason="group", by=first.id, group=first.id)
    assert all((alert.silenced, alert.noise) == (True, said) for alert in others)


def test_the_most_severe_of_them_pages():
    found = desk(rule(major=0.5), noise=GROUPED)
    minor, major, last = raised(found.pane(*values(a=0.3, b=0.9, c=0.9)))
    assert [mark(a) for a in (minor, major, last)] == ["g", "P", "g"]
    assert major.noise.members == (minor.fingerprint, last.fingerprint)


def test_without_a_policy_each_pages_and_says_nothing():
    alerts = raised(desk().pane(*values(a=0.3, b=0.3)))
    assert [(a.silenced, a.noise) for a in alerts] == [(False, None), (False, None)]


def test_one_alone_pages_as_ever():
    (alert,) = raised(desk(noise=GROUPED).pane(*values(a=0.3)))
    assert (alert.silenced, alert.noise) == (False, None)


@pytest.mark.parametrize(("panes", "marks"), [(2, "g"), (3, "P")])
def test_an_incident_takes_in_alerts_of_its_panes(panes, marks):
    found = desk(noise=GROUPED)
    (first,) = raised(found.pane(*values(a=0.3, b=0.0)))
    for _ in range(panes - 1):
        assert not raised(found.pane(*values(a=0.3, b=0.0)))
    (second,) = raised(found.pane(*values(a=0.3, b=0.3)))
    assert mark(second) == marks
    if marks == "g":
        assert second.noise.group == first.id


def test_an_incident_is_over_when_all_its_alerts_are():
    found = desk(noise=GROUPED)
    found.pane(*values(a=0.3, b=0.0))
    found.pane(*values(a=0.0, b=0.0))
    (second,) = raised(found.pane(*values(a=0.0, b=0.3)))
    assert mark(second) == "P"


def test_an_incident_lasts_while_a_member_is_open():
    found = desk(noise=GROUPED)
    found.pane(*values(a=0.3, b=0.3, c=0.0))
    found.pane(*values(a=0.0, b=0.3, c=0.0))
    (third,) = raised(found.pane(*values(a=0.0, b=0.3, c=0.3)))
    assert mark(third) == "g"


def test_a_more_severe_member_pages_again_once():
    found = desk(rule(major=0.5), noise=GROUPED)
    (first,) = raised(found.pane(*values(a=0.3, b=0.0, c=0.0)))
    (worse,) = raised(found.pane(*values(a=0.3, b=0.9, c=0.0)))
    (as_bad,) = raised(found.pane(*values(a=0.3, b=0.9, c=0.9)))
    assert (mark(worse), worse.noise.group) == ("P", first.id)
    assert mark(as_bad) == "g"


def test_kinds_of_one_model_are_one_incident():
    detector = rule("cd", kind="concept_drift", metric="adwin", feature="")
    found = desk(rule(), detector, noise=GROUPED)
    alerts = raised(found.epoch(metrics=[mature(1, *values(a=0.3)), drift(15)]))
    assert sorted(map(mark, alerts)) == ["P", "g"]
    assert alerts[0].severity == "minor"
    assert mark(alerts[1]) == "P", "a detector's is moderate"


def test_another_version_is_another_incident():
    found = staged("v1", "v2", noise=GROUPED)
    found.epoch([approved("v1")])
    found.pane(*values(a=0.3), version="v1")
    assert found.state.noise[MODEL].incident is not None
    found.epoch([approved("v2")])
    assert found.state.noise == {}


# Flapping ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timeline", "marks"),
    [
        ("x.x.x.x.x.", "P P P f f "),
        ("x.x.......x.", "P P       P "),
        ("x.x.x.x.........x.x.x.x", "P P P f         P P P f"),
        ("x.x.x.x......x.", "P P P f      f "),
        ("x.x.x.x.......x.", "P P P f       P "),
        ("x.x.x...x.x.x", "P P P   f f f"),
    ],
)
def test_what_comes_and_goes_pages_once_more_until_it_is_calm(timeline, marks):
    assert play(desk(noise=DAMPED), timeline) == marks


def test_the_alert_that_pages_as_flapping_says_so_and_is_named():
    found = desk(noise=DAMPED)
    alerts = [a for shown in (0.3, 0, 0.3, 0, 0.3, 0, 0.3) for a in raised(found.pane(
        metric("psi", shown, "x")))]  # fmt: skip
    assert alerts[2].noise == Noise(flapping=True)
    assert alerts[3].noise == Noise(reason="flapping", by=alerts[2].id, flapping=True)


def test_no_flaps_are_kept_of_what_is_long_calm():
    found = desk(noise=DAMPED)
    play(found, "x.")
    for _ in range(12):
        found.pane(*values(b=0.0))
    found.pane(*values(b=0.3))
    assert list(found.state.noise[MODEL].flaps) == ["m/psi/all/b"]


def test_a_flap_that_was_grouped_has_not_paged():
    both = NoisePolicy(group_panes=50, flap_times=3, flap_panes=10)
    found = desk(noise=both)
    found.pane(*values(a=0.3, x=0.0))
    marks = [mark(a) for v in (0.3, 0, 0.3, 0, 0.3, 0, 0.3)
             for a in raised(found.pane(*values(a=0.3, x=v)))]  # fmt: skip
    assert marks == ["g"] * 4, "flapping, but its incident's page stands for it"
    assert found.state.noise[MODEL].flaps["m/psi/all/x"].paged == ""


# Holds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "marks"),
    [
        ({}, "sss"),
        ({"kind": "data_drift"}, "ssP"),
        ({"kind": "quality"}, "PPs"),
        ({"feature": "x"}, "sPs"),
        ({"kind": "data_drift", "feature": "x"}, "sPP"),
        ({"fingerprint": "m/psi/all/c"}, "PsP"),
        ({"fingerprint": "m/psi/all/c", "feature": "x"}, "PPP"),
    ],
    ids=str,
)
def test_a_hold_is_about_what_it_names(scope, marks):
    found = desk(rule(), rule("q", kind="quality", feature="x"))
    found.epoch([held(**scope)])
    alerts = raised(found.pane(*values(x=0.3, c=0.3)))
    assert "".join(map(mark, alerts)) == marks
    assert {a.noise.by for a in alerts if a.silenced} <= {"m/~all"}


@pytest.mark.parametrize(("until", "marks"), [(30.001, "s"), (30, "P")])
def test_a_wide_silence_ends_at_its_time(until, marks):
    found = desk()
    (said, _) = found.epoch([held(until=until)])
    assert isinstance(said, AlertSilenced)
    assert (said.fingerprint, said.revision, said.until) == ("m/~all", 1, at(until))
    assert (said.actor, said.hold) == ("ann", Hold())
    assert play(found, "x") == marks  # the epoch that ends at 30


def test_a_hold_that_was_ended_lets_alarms_through():
    found = desk()
    found.epoch([held()])
    (ended, _) = found.epoch([held(ended=True, seconds=1)])
    assert (ended.revision, ended.hold.ended, ended.until) == (2, True, at(30))
    assert play(found, "x") == "P"
    assert found.state.noise == {}


def test_a_fingerprints_silence_ends_the_same_way():
    found = desk()
    one = held(name="x", until=1e6)
    plain = replace(one, fingerprint="m/psi/all/x", hold=None)
    found.epoch([plain])
    found.epoch([replace(plain, id="end", hold=Hold(ended=True))])
    assert play(found, "x") == "P"


def test_a_snooze_ends_with_the_next_version():
    found = staged("v1", "v2")
    found.epoch([approved("v1"), held(how="snooze")])
    (snoozed,) = raised(found.pane(*values(a=0.3)))
    assert (mark(snoozed), snoozed.noise.reason) == ("s", "snooze")
    (ended,) = of_type(found.epoch([approved("v2")]), AlertSilenced)
    assert (ended.actor, ended.hold) == ("controller", Hold(how="snooze", ended=True))
    (alert,) = raised(found.pane(*values(a=0.3), version="v2"))
    assert mark(alert) == "P"


def test_a_snooze_ends_at_its_time_without_a_version():
    found = desk()
    found.epoch([held(how="snooze", until=25)])
    assert play(found, "x") == "P"


@pytest.mark.parametrize(
    ("since", "until", "marks"),
    [(20, 30, "s"), (29.999, 40, "s"), (30, 40, "P"), (0, 20.001, "s"), (0, 20, "P")],
)
def test_a_maintenance_is_about_panes(since, until, marks):
    #  the pane is [20, 30); its labels may come at any time
    found = desk()
    found.epoch([held(how="maintenance", since=at(since), until=until)])
    for _ in range(5):
        found.epoch()
    (alert,) = raised(found.epoch(metrics=[mature(2, metric("psi", 0.3, "x"))]))
    assert mark(alert) == marks


def test_what_is_held_opens_no_incident_and_is_no_member():
    found = desk(noise=GROUPED)
    found.epoch([held(feature="x")])
    alerts = raised(found.pane(*values(x=0.9, a=0.3, b=0.3)))
    assert "".join(map(mark, alerts)) == "sPg"
    assert alerts[1].noise.members == ("m/psi/all/b",)


def test_a_fingerprints_own_silence_comes_before_its_group():
    found = desk(noise=GROUPED)
    found.epoch([replace(held(), fingerprint="m/psi/all/x", hold=None)])
    x, a, b = raised(found.pane(*values(x=0.9, a=0.3, b=0.3)))
    assert (x.silenced, x.noise) == (True, None)
    assert (mark(a), a.noise.members, mark(b)) == ("P", (b.fingerprint,), "g")


def test_a_hold_sent_twice_is_said_once():
    events = desk().epoch([held(), held()])
    assert len(of_type(events, AlertSilenced)) == 1


def test_a_hold_asked_for_again_has_another_end():
    found = desk()
    found.epoch([held(), held(until=25, seconds=1)])
    assert play(found, "x") == "P"


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (replace(held(), fingerprint="m/psi"), "a hold's name begins with m/~"),
        (held(since=at(0)), "a maintenance has one, and nothing else"),
        (held(how="maintenance"), "a maintenance has one, and nothing else"),
        (held(how="maintenance", since=at(5), until=5), "it must come after since"),
        (held(ended=True), "in force are: none"),
        (replace(held(), acknowledge=True), "an alert is seen by its fingerprint"),
    ],
)
def test_what_can_not_hold_is_refused(event, why):
    (refused, _) = desk().epoch([event])
    assert isinstance(refused, RecordRefused)
    assert why in refused.reason


def test_a_model_has_so_many_holds():
    found = desk()
    found.epoch([held(str(n)) for n in range(HOLDS_MAX)])
    (again, _) = found.epoch([held("0", seconds=1)])
    assert isinstance(again, AlertSilenced)
    (refused, _) = found.epoch([held("one more")])
    assert "end one first" in refused.reason


def test_ended_names_what_is_in_force():
    found = desk()
    found.epoch([held("one")])
    (refused, _) = found.epoch([held("two", ended=True)])
    assert "in force are: m/~one" in refused.reason


def test_a_model_that_nobody_quiets_keeps_nothing():
    found = desk()
    play(found, "x.x")
    assert found.state.noise == {}


def test_holds_that_are_over_are_forgotten_when_another_comes():
    found = desk()
    found.epoch([held("one", until=15)])
    found.epoch([held("two")])
    assert list(found.state.noise[MODEL].holds) == ["m/~two"]


@pytest.mark.parametrize(
    ("noise", "why"),
    [
        ({"group_panes": -1}, "noise.group_panes is -1; use 0 to"),
        ({"flap_times": 1}, "noise.flap_times is 1; use 2 to 100, or 0"),
        ({"flap_times": 101}, "noise.flap_times is 101"),
        ({"flap_panes": -1}, "noise.flap_panes is -1"),
    ],
)
def test_a_policy_that_can_not_hold_is_refused(noise, why):
    with pytest.raises(ConfigError, match=why):
        check_config(ModelConfig(model="m", noise=NoisePolicy(**noise)))
