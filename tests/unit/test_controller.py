"""controller: whole stories of a model, epoch by epoch, as people and trainers tell them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streamops.core.controller import Controller
from streamops.core.processor import Batch, Refusal
from streamops.core.times import micros
from streamops.events import (
    AlertRaised,
    EpochConcluded,
    EvaluationRequested,
    GateEvaluated,
    MetricReported,
    PredictionMade,
    PromotionApproved,
    PromotionRequested,
    RecordRefused,
    RetrainingPaused,
    RetrainRequested,
    RollbackRequested,
    RolloutRolledBack,
    RunFailed,
    StageChanged,
    TopologyActivated,
)
from streamops.values import Stamp
from tests.builders import (
    MODEL,
    Desk,
    activated,
    at,
    config,
    labelled,
    mature,
    metric,
    of_type,
    record,
    registered,
    rule,
    scored,
)

POLICY = {
    "kinds": ("performance",),
    "cooldown_panes": 0,
    "min_labels": 1,
    "strategies": ("recent", "all"),
}
ACCURACY = rule("acc", kind="performance", metric="accuracy", feature="", below=0.7)


def promote(name, id=None, actor="ann"):
    return PromotionRequested(
        id=id or f"promote/{name}", time=at(0), model=MODEL, version=name, actor=actor
    )


def roll_back(id="rollback"):
    return RollbackRequested(id=id, time=at(0), model=MODEL, actor="ann", reason="slow")


def with_champion(**fields):
    """A desk whose champion is v1."""
    given = {"rules": (ACCURACY,), "retrain": POLICY, **fields}
    if isinstance(given["retrain"], dict):
        given["retrain"] = retrain_policy(**given["retrain"])
    desk = Desk(activated(config(**given), 1))
    desk.epoch([*registered("v1"), promote("v1")])
    return desk


def retrain_policy(**fields):
    return replace(config().retrain, **fields)


def gate_policy(**fields):
    return replace(config().gate, **fields)


def asked(desk):
    """Have the policy ask for challengers; return the requests."""
    return of_type(desk.pane(metric("accuracy", 0.5), labelled(100)), RetrainRequested)


def stages(events):
    return [(e.version, e.after, e.replaced) for e in of_type(events, StageChanged)]


def verdicts(events):
    return [(e.version, e.passed) for e in of_type(events, GateEvaluated)]


def open_requests(events):
    return events[-1].open_requests


# Promotion by a person ---------------------------------------------------------------------------


def test_the_first_version_goes_to_production_once_it_is_delivered():
    desk = Desk()
    registration, delivery = registered("v1")
    events = desk.epoch([registration, promote("v1")])
    assert [type(e) for e in events] == [EpochConcluded]
    events = desk.epoch([delivery])
    assert stages(events) == [("v1", "Staging", ""), ("v1", "Production", "")]
    assert verdicts(events) == [("v1", True)]
    assert events[-1].deployment_revisions == {MODEL: 1}


def test_a_floor_refuses_a_first_version():
    desk = Desk(activated(config(gate=gate_policy(floor=0.95)), 1))
    events = desk.epoch([*registered("v1"), promote("v1")])
    assert verdicts(events) == [("v1", False)]
    assert stages(events) == []


def test_a_second_version_is_scored_then_promoted():
    """The whole way of a person's promotion: asked, scored, one verdict, one promotion."""
    desk = with_champion()
    events = desk.epoch([*registered("v2"), promote("v2")])
    (request,) = of_type(events, EvaluationRequested)
    assert (request.version, request.champion_version) == ("v2", "v1")
    assert open_requests(events) == (request.id,)
    assert of_type(desk.epoch(), EvaluationRequested) == []
    events = desk.epoch([scored("v2", 0.85, request.id)])
    assert verdicts(events) == [("v2", True)]
    assert stages(events) == [("v2", "Staging", ""), ("v2", "Production", "v1")]
    assert open_requests(events) == ()
    assert [type(e) for e in desk.epoch()] == [EpochConcluded]


def test_a_second_version_that_is_worse_is_refused_once():
    desk = with_champion()
    (request,) = of_type(desk.epoch([*registered("v2"), promote("v2")]), EvaluationRequested)
    events = desk.epoch([scored("v2", 0.79, request.id)])
    assert verdicts(events) == [("v2", False)]
    assert stages(events) == []
    assert [type(e) for e in desk.epoch()] == [EpochConcluded]


def test_a_failed_evaluation_ends_the_promotion():
    desk = with_champion()
    (request,) = of_type(desk.epoch([*registered("v2"), promote("v2")]), EvaluationRequested)
    gone = RunFailed(
        id="f", time=at(0), model=MODEL, run_id=request.id, error="boom", request_id=request.id
    )
    events = desk.epoch([gone])
    assert verdicts(events) == [("v2", False)]
    assert open_requests(events) == ()
    assert [type(e) for e in desk.epoch()] == [EpochConcluded]


def test_an_unknown_version_can_not_be_promoted():
    desk = with_champion()
    refused, _ = desk.epoch([promote("v9")])
    assert isinstance(refused, RecordRefused)
    assert "'v9'" in refused.reason
    assert "v1" in refused.reason


def test_what_serves_already_is_promoted_to_nothing():
    desk = with_champion()
    assert [type(e) for e in desk.epoch([promote("v1", id="again")])] == [EpochConcluded]


# Challengers -------------------------------------------------------------------------------------


def test_the_gate_waits_for_all_answers_and_takes_the_best():
    desk = with_champion()
    recent, everything = asked(desk)
    assert (recent.strategy, everything.strategy) == ("recent", "all")
    events = desk.epoch([*registered("v2", recent.id), scored("v2", 0.85, recent.id)])
    assert verdicts(events) == []
    assert open_requests(events) == (everything.id,)
    events = desk.epoch([*registered("v3", everything.id), scored("v3", 0.86, everything.id)])
    assert verdicts(events) == [("v2", False), ("v3", True)]
    (lost, _) = of_type(events, GateEvaluated)
    assert [c.name for c in lost.checks if not c.passed] == ["best of its cause"]
    assert stages(events) == [("v3", "Staging", ""), ("v3", "Production", "v1")]
    assert open_requests(events) == ()


def test_an_answer_counts_once_its_activation_is_delivered():
    desk = with_champion(retrain={**POLICY, "strategies": ("all",)})
    (request,) = asked(desk)
    registration, delivery = registered("v2", request.id)
    events = desk.epoch([registration, scored("v2", 0.9, request.id)])
    assert verdicts(events) == []
    assert open_requests(events) == (request.id,)
    assert of_type(asked_again(desk), RetrainRequested) == []
    assert verdicts(desk.epoch([delivery])) == [("v2", True)]


def asked_again(desk):
    return desk.pane(metric("accuracy", 0.5), labelled(100))


def test_a_failed_run_is_a_final_answer():
    desk = with_champion()
    recent, everything = asked(desk)
    gone = RunFailed(
        id="f", time=at(0), model=MODEL, run_id=recent.id, error="boom", request_id=recent.id
    )
    assert open_requests(desk.epoch([gone])) == (everything.id,)
    events = desk.epoch([*registered("v3", everything.id), scored("v3", 0.86, everything.id)])
    assert stages(events)[-1] == ("v3", "Production", "v1")


def test_a_version_that_can_not_be_activated_is_a_failed_run():
    desk = with_champion()
    request, other = asked(desk)
    registration, _ = registered("v2", request.id)
    unfit = replace(registration, version=replace(registration.version, profile_hash="h"))
    events = desk.epoch([unfit])
    (refused,) = of_type(events, RecordRefused)
    assert "profile_hash is 'h'" in refused.reason
    assert open_requests(events) == (other.id,)
    (late,) = of_type(desk.epoch([scored("v2", 0.9, request.id)]), RecordRefused)
    assert "register it before scoring it" in late.reason


def test_when_every_run_failed_the_champion_stays():
    desk = with_champion()
    gone = [
        RunFailed(id=r.id, time=at(0), model=MODEL, run_id=r.id, error="boom", request_id=r.id)
        for r in asked(desk)
    ]
    events = desk.epoch(gone)
    assert [type(e) for e in events] == [EpochConcluded]
    assert open_requests(events) == ()


def test_the_first_answer_counts():
    desk = with_champion(retrain={**POLICY, "strategies": ("all",)})
    (request,) = asked(desk)
    answers = [scored("v2", 0.5, request.id), scored("v2", 0.99, request.id)]
    events = desk.epoch([*registered("v2", request.id), *answers])
    assert verdicts(events) == [("v2", False)]


def test_equal_candidates_go_by_the_order_of_strategies():
    desk = with_champion()
    recent, everything = asked(desk)
    events = desk.epoch(
        [
            *registered("v3", everything.id),
            scored("v3", 0.9, everything.id),
            *registered("v2", recent.id),
            scored("v2", 0.9, recent.id),
        ]
    )
    assert stages(events)[-1] == ("v2", "Production", "v1")


def test_a_candidate_that_a_person_promoted_meanwhile_is_not_promoted_twice():
    desk = with_champion()
    recent, everything = asked(desk)
    desk.epoch([*registered("v2", recent.id), scored("v2", 0.85, recent.id)])
    assert stages(desk.epoch([promote("v2")]))[-1] == ("v2", "Production", "v1")
    gone = RunFailed(
        id="f", time=at(0), model=MODEL, run_id=everything.id, error="", request_id=everything.id
    )
    events = desk.epoch([gone])
    assert stages(events) == []
    assert open_requests(events) == ()


def test_a_score_beside_another_champion_is_asked_for_again():
    desk = with_champion()
    recent, everything = asked(desk)
    events = desk.epoch(
        [
            *registered("v2", recent.id), *registered("v3", everything.id),
            scored("v2", 0.85, recent.id), scored("v3", 0.86, everything.id), promote("v2"),
        ]
    )  # fmt: skip
    assert verdicts(events) == [("v2", False), ("v3", True)]
    (request,) = of_type(events, EvaluationRequested)
    assert (request.version, request.champion_version) == ("v2", "v3")
    again = scored("v2", 0.87, request.id, champion=0.86, champion_version="v3")
    assert stages(desk.epoch([again])) == [("v2", "Staging", ""), ("v2", "Production", "v3")]


def test_a_candidate_scored_beside_another_champion_is_refused():
    desk = champion_v2()
    (request,) = of_type(
        desk.pane(metric("accuracy", 0.5), labelled(100), version="v2"), RetrainRequested
    )[:1]
    desk.epoch([roll_back()])
    stale = scored("v3", 0.99, request.id, champion_version="v2")
    others = [
        RunFailed(id="f", time=at(0), model=MODEL, run_id=i, error="", request_id=i)
        for i in desk.state.models[MODEL].asks
        if i != request.id
    ]
    events = desk.epoch([*registered("v3", request.id), stale, *others])
    assert verdicts(events) == [("v3", False)]


def test_two_verdicts_of_one_epoch_have_their_own_ids():
    desk = with_champion(retrain={**POLICY, "strategies": ("all",)})
    (request,) = asked(desk)
    worse = scored("v2", 0.79, request.id)
    events = desk.epoch([*registered("v2", request.id), worse, promote("v2")])
    assert verdicts(events) == [("v2", False), ("v2", False)]
    assert len({e.id for e in of_type(events, GateEvaluated)}) == 2


def test_a_score_without_the_champion_beside_it_does_not_pass():
    desk = with_champion(retrain={**POLICY, "strategies": ("all",)})
    (request,) = asked(desk)
    alone = scored("v2", 0.99, request.id, champion=None)
    assert verdicts(desk.epoch([*registered("v2", request.id), alone])) == [("v2", False)]


def test_an_unregistered_candidate_is_refused():
    desk = with_champion()
    refused, _ = desk.epoch([scored("v7", 0.9)])
    assert "'v7'" in refused.reason


def test_paused_retraining_asks_for_nothing_until_resumed():
    desk = with_champion()
    pause = RetrainingPaused(id="pause", time=at(0), model=MODEL, actor="ann")
    desk.epoch([pause])
    assert asked(desk) == []
    desk.epoch([replace(pause, id="resume", paused=False)])
    assert len(asked(desk)) == 2


# Approval and rollback ---------------------------------------------------------------------------


def test_approval_keeps_a_candidate_in_staging_until_a_person_says_so():
    policy = {**POLICY, "strategies": ("all",)}
    desk = with_champion(gate=gate_policy(approval=True), retrain=policy)
    (request,) = asked(desk)
    events = desk.epoch([*registered("v2", request.id), scored("v2", 0.9, request.id)])
    assert stages(events) == [("v2", "Staging", "")]
    yes = PromotionApproved(id="yes", time=at(0), model=MODEL, version="v2", actor="ann")
    (change,) = of_type(desk.epoch([yes]), StageChanged)
    assert (change.after, change.replaced, change.actor) == ("Production", "v1", "ann")
    (refused, _) = desk.epoch([replace(yes, id="yes again")])
    assert "is Production" in refused.reason


def test_only_a_version_in_staging_can_be_approved():
    desk = with_champion()
    yes = PromotionApproved(id="yes", time=at(0), model=MODEL, version="v9", actor="ann")
    (refused, _) = desk.epoch([yes])
    assert "unknown" in refused.reason


def champion_v2():
    desk = with_champion()
    (request,) = of_type(desk.epoch([*registered("v2"), promote("v2")]), EvaluationRequested)
    desk.epoch([scored("v2", 0.85, request.id)])
    return desk


def test_a_rollback_brings_the_former_champion_back():
    desk = champion_v2()
    events = desk.epoch([roll_back()])
    (change,) = of_type(events, StageChanged)
    assert (change.version, change.after, change.replaced) == ("v1", "Production", "v2")
    assert (change.revision, change.cause) == (3, "rollback")
    (undone,) = of_type(events, RolloutRolledBack)
    assert (undone.version, undone.restored, undone.reason) == ("v2", "v1", "slow")


def test_a_rollback_sent_twice_is_one_rollback():
    """At least once: the same command again must not bring the bad version back."""
    desk = champion_v2()
    events = desk.epoch([roll_back(), roll_back()]) + desk.epoch([roll_back()])
    assert stages(events) == [("v1", "Production", "v2")]


def test_a_rollback_to_nothing_is_refused_and_resolves_nothing():
    desk = with_champion()
    assert len(of_type(desk.pane(metric("accuracy", 0.5), labelled(0)), AlertRaised)) == 1
    events = desk.epoch([roll_back()])
    assert [type(e) for e in events] == [RecordRefused, EpochConcluded]
    assert "no former champion" in events[0].reason


def test_an_alert_ends_with_its_version():
    desk = champion_v2()
    raised = of_type(desk.pane(metric("accuracy", 0.5), version="v2"), AlertRaised)
    (resolved, *_) = [e for e in desk.epoch([roll_back()]) if hasattr(e, "alert_id")]
    assert (resolved.alert_id, resolved.reason) == (raised[0].id, "version replaced")


# What doesn't belong -----------------------------------------------------------------------------


def test_what_people_may_not_write_is_refused():
    desk = with_champion()
    made_up = [
        mature(1, metric("accuracy", 0.1)),
        PredictionMade(id="p", time=at(0), model=MODEL, version="v1", prediction=1),
    ]
    events = desk.epoch(made_up)
    assert [type(e) for e in events] == [RecordRefused, RecordRefused, EpochConcluded]
    assert "MetricEvaluated; it doesn't belong on lifecycle" in events[0].reason


@pytest.mark.parametrize("topic", ["lifecycle", "metrics"])
def test_what_was_not_decoded_is_refused(topic):
    desk = with_champion()
    junk = record(topic, 7, Refusal("value is empty"))
    _, outputs = desk.controller.step(desk.state, Batch(9, at(90), [junk]))
    assert [type(o.event) for o in outputs] == [RecordRefused, EpochConcluded]


def test_facts_of_others_change_nothing():
    desk = with_champion()
    before = desk.state.models
    facts = [
        TopologyActivated(id="t", time=at(0), partitions=1),
        MetricReported(id="r", time=at(0), model=MODEL, name="revenue", value=1.0),
    ]
    assert [type(e) for e in desk.epoch(facts)] == [EpochConcluded]
    assert desk.state.models == before


def test_lifecycle_is_folded_before_metrics():
    """A promotion in the epoch of a metric counts before it, whatever their times."""
    desk = Desk(activated(config(rules=(ACCURACY,)), 1))
    desk.epoch([*registered("v1"), promote("v1")])
    (request,) = of_type(desk.epoch([*registered("v2"), promote("v2")]), EvaluationRequested)
    desk.epoch([scored("v2", 0.85, request.id)])
    events = desk.epoch([roll_back()], [mature(3, metric("accuracy", 0.1), version="v2")])
    assert of_type(events, AlertRaised) == []


def test_a_challengers_metrics_raise_nothing():
    desk = with_champion()
    assert of_type(desk.pane(metric("accuracy", 0.1), version="v2"), AlertRaised) == []
    assert len(of_type(desk.pane(metric("accuracy", 0.1)), AlertRaised)) == 1


def test_every_epoch_is_concluded_in_any_year():
    desk = Desk()
    _, (output,) = desk.controller.step(desk.controller.initial(), Batch(0, at(-5e8), []))
    assert output.event.time == at(-5e8)
    assert (output.topic, output.partition) == ("progress", 0)


def test_a_derived_record_has_a_stamp():
    desk = with_champion()
    events = desk.pane(metric("accuracy", 0.5))
    (raised,) = of_type(events, AlertRaised)
    (proof,) = raised.evidence.metrics
    assert (proof.stamp, proof.offset) == (Stamp("monitor/0", desk.number, 0), 0)


@pytest.mark.parametrize("seconds", [60, 61])
def test_a_command_from_after_its_append_is_refused(seconds):
    """EPOCHS 3; a driven namespace has no such check."""
    asked = RetrainingPaused(id="p", time=at(100 + seconds), model=MODEL, paused=True, actor="ann")
    stored = record("lifecycle", 0, asked)._replace(append_ms=micros(at(100)) // 1000)
    for skew_max_ms in (60_000, None):
        controller = Controller(0, skew_max_ms)
        _, outputs = controller.step(controller.initial(), Batch(1, at(200), [stored]))
        refused = [o.event for o in outputs if o.topic == "dlq"]
        if seconds > 60 and skew_max_ms:
            assert "more than 60000 ms after the broker stored it" in refused[0].reason
        else:
            assert not any("stored it" in one.reason for one in refused)
