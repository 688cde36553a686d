"""labels: the horizon, duplicates and corrections, early labels, orphans, cohorts, by example.

Panes are 10 s, the horizon is 100 s, unless a test says otherwise.
"""

from __future__ import annotations

import pytest

from streamops.core.join_rows import LATER_MAX
from streamops.events import OutcomeJoined, PaneSummarized, RecordRefused
from tests.builders import MeterBench, activated, config, label, made, of_type, version


def bench(*, seconds=0.0, **fields):
    return MeterBench(activated(version(), 1), activated(config(**fields), 2), seconds=seconds)


def outcomes(events):
    return of_type(events, OutcomeJoined)


def summary(events, cut="mature"):
    (found,) = [s for s in of_type(events, PaneSummarized) if s.cut == cut]
    return found


@pytest.mark.parametrize(("seconds", "joined"), [(102.999, 1), (103, 0)])
def test_a_label_matches_exactly_below_the_horizon(seconds, joined):
    #  3 --------------- 103    the label stands behind labels' tick at `seconds`
    meter = bench()
    meter.epoch([made(3)], seconds=seconds)
    events = meter.epoch(labels=[label("p3")], seconds=1000)
    assert len(outcomes(events)) == joined


def test_an_outcome_is_the_prediction_with_its_label():
    meter = bench()
    shown = made(3, segments={"country": "de"})
    (outcome,) = outcomes(meter.epoch([shown], [label("p3", 0, seconds=4)], seconds=10))
    assert (outcome.id, outcome.time, outcome.prediction_id) == ("outcome/p3", shown.time, "p3")
    assert (outcome.prediction, outcome.label, outcome.score) == (1, 0, 0.75)
    assert bytes(outcome.features) == bytes(shown.features)
    assert outcome.segments == {"country": "de"}
    assert (outcome.late, outcome.after_cohort, outcome.correction) == (False,) * 3
    assert [(s.topic, s.first, s.next) for s in outcome.evidence.spans] == [
        ("labels", 1, 2),
        ("predictions", 3, 4),
    ]


def test_a_label_may_come_before_its_prediction():
    meter = bench()
    meter.epoch(labels=[label("p13")], seconds=10)
    events = meter.epoch([made(13)], seconds=20)
    assert [o.label for o in outcomes(events)] == [1]
    assert summary(events).performance.labelled == 1
    assert meter.meter.join.waiting == {}


def test_the_first_label_counts_and_another_value_is_a_correction():
    #  1, the same event again, an equal value, 0 (correction), 0 again, 1 (corrected back)
    meter = bench()
    arrived = [
        label("p3", 1, id="a"),
        label("p3", 1, id="a"),
        label("p3", 1, id="b"),
        label("p3", 0, id="c"),
        label("p3", 0, id="c"),
        label("p3", 1, id="d"),
    ]
    events = meter.epoch([made(3)], arrived, seconds=10)
    part = summary(events).performance
    assert (part.labelled, part.duplicates, part.corrections) == (1, 3, 2)
    assert part.confusion == (("1", "1", 1),)
    assert [(o.id, o.label, o.correction) for o in outcomes(events)] == [
        ("outcome/p3/c", 0, True),
        ("outcome/p3/d", 1, True),
        ("outcome/p3", 1, False),
    ]


def test_labels_before_their_prediction_are_told_apart_in_the_same_way():
    meter = bench()
    early = [label("p13", 1, id="a"), label("p13", 1, id="b"), label("p13", 0, id="c")]
    meter.epoch(labels=early, seconds=10)
    events = meter.epoch([made(13)], seconds=20)
    part = summary(events).performance
    assert (part.labelled, part.duplicates, part.corrections) == (1, 1, 1)
    assert [(o.id, o.label) for o in outcomes(events)] == [("outcome/p13/c", 0), ("outcome/p13", 1)]


def test_a_duplicate_behind_the_mature_cut_enters_the_restatement():
    meter = bench()
    meter.epoch([made(3)], [label("p3")], seconds=10)
    meter.epoch(labels=[label("p3", id="again")], seconds=20)
    restated = summary(meter.epoch(seconds=110), "restated")
    assert (restated.performance.labelled, restated.performance.duplicates) == (1, 1)


@pytest.mark.parametrize("seconds", [102.999, 103])
def test_a_label_for_nothing_is_refused_once_its_wait_is_over(seconds):
    meter = bench()
    meter.epoch(labels=[label("ghost", 1, 3), label("ghost", 0, 5)], seconds=5)
    events = meter.epoch(seconds=seconds)
    if seconds < 103:
        assert of_type(events, RecordRefused) == []
        return
    assert [(e.topic, e.offset, e.fault) for e in events] == [
        ("labels", 1, "producer"),
        ("labels", 2, "producer"),
    ]
    assert all("'ghost'" in e.reason for e in events)
    assert meter.epoch(seconds=500) == []


def test_a_model_without_configuration_keeps_its_own_horizon():
    """Another model's shorter horizon must not refuse its labels early."""
    other = version(model="other")
    meter = MeterBench(activated(other, 1), activated(config(), 2))
    meter.epoch(labels=[label("late", 1, 3)], seconds=5)
    assert meter.epoch(seconds=1000) == []
    assert len(outcomes(meter.epoch([made(1001, "late", model="other")], seconds=1010))) == 1


def test_what_waits_for_one_prediction_is_bounded():
    meter = bench()
    many = [label("ghost", n) for n in range(LATER_MAX + 3)]
    refused = meter.epoch(labels=many, seconds=5)
    assert [e.offset for e in refused] == [LATER_MAX + 2, LATER_MAX + 3]
    assert len(meter.epoch(seconds=200)) == LATER_MAX + 1


def test_a_late_prediction_is_joined_as_late():
    meter = bench(seconds=50)
    (outcome,) = outcomes(meter.epoch([made(3)], [label("p3")], seconds=60))
    assert outcome.late


# Cohorts -----------------------------------------------------------------------------------------

COHORT = {"maturity_s": 20, "cohort_delay_s": 20}


@pytest.mark.parametrize(("seconds", "released"), [(23, 0), (23.001, 1)])
def test_an_outcome_is_released_when_the_tick_is_above_its_cohort(seconds, released):
    #  3 ------- 23    delay 20 s
    meter = bench(**COHORT)
    meter.epoch([made(3)], [label("p3")], seconds=10)
    events = meter.epoch(seconds=seconds)
    assert len(outcomes(events)) == released


@pytest.mark.parametrize(("seconds", "after"), [(23, False), (23.001, True)])
def test_a_label_behind_its_cohort_is_marked(seconds, after):
    meter = bench(**COHORT)
    meter.epoch([made(3)], seconds=seconds)
    (outcome,) = outcomes(meter.epoch(labels=[label("p3")], seconds=50))
    assert outcome.after_cohort is after


def test_a_cohort_is_released_in_order_of_prediction_time():
    meter = bench(**COHORT)
    shown = [made(5, "b"), made(3, "c"), made(5, "a")]
    meter.epoch(shown, [label("b"), label("a"), label("c")], seconds=10)
    assert [o.prediction_id for o in outcomes(meter.epoch(seconds=40))] == ["c", "a", "b"]


@pytest.mark.parametrize("delay", [0, 20])
def test_a_horizon_as_short_as_the_cohort_loses_no_outcome(delay):
    """horizon = maturity = cohort delay is allowed; a tick may hit all three at once."""
    meter = bench(horizon_s=delay, maturity_s=delay, cohort_delay_s=delay)
    events = meter.epoch([made(3)], [label("p3")], seconds=3 + delay)
    events += meter.epoch(seconds=40 + delay)
    assert len(of_type(events, OutcomeJoined)) == 1
    assert meter.meter.join.pending == meter.meter.join.matched == {}
    assert of_type(events, RecordRefused) == []


def test_maturity_waits_for_labels():
    #  0 |--3--| 10 closed -------- 30 mature    maturity 20 s
    meter = bench(maturity_s=20)
    closed = meter.epoch([made(3)], seconds=29.9)
    assert [s.cut for s in of_type(closed, PaneSummarized)] == ["closed"]
    mature = summary(meter.epoch(labels=[label("p3")], seconds=30))
    assert mature.performance.labelled == 1
    assert (mature.features, mature.score, mature.latency_ms) == ((), None, ())
