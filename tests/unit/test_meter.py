"""meter: panes, lateness, repeats, failures, activations and what is refused, by example.

Panes are 10 s, the horizon is 100 s, unless a test says otherwise.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streamops.config import ModelConfig, config_hash
from streamops.core.processor import Refusal
from streamops.core.times import moment
from streamops.events import (
    ConfigActivated,
    MetricReported,
    OutcomeJoined,
    PaneSummarized,
    RecordRefused,
    TopologyActivated,
    VersionActivated,
)
from tests.builders import (
    MeterBench,
    activated,
    at,
    config,
    failed,
    label,
    made,
    of_type,
    profile,
    version,
)


def bench(*, skew_max_ms=None, seconds=0.0, **fields):
    """A METER that knows version v1 and a configuration, its ticks at `seconds`."""
    known = (activated(version(), 1), activated(config(**fields), 2, first_pane=-1000))
    return MeterBench(*known, seconds=seconds, skew_max_ms=skew_max_ms)


def summaries(events, cut="closed"):
    return [s for s in of_type(events, PaneSummarized) if s.cut == cut]


def test_late_begins_exactly_when_the_tick_reaches_the_end():
    #  0 |---3---4---------| 10    ticks at 9.5 and at 10
    meter = bench()
    assert meter.epoch([made(3)], seconds=9.5) == []
    (closed, mature) = meter.epoch([made(4)], seconds=10)
    assert (closed.cut, closed.predictions, closed.late) == ("closed", 2, 0)
    assert (mature.cut, mature.predictions) == ("mature", 2)
    assert meter.epoch([made(5)], seconds=11) == []
    (next_pane, *_) = meter.epoch([made(12)], seconds=20)
    assert (next_pane.pane_start, next_pane.predictions, next_pane.late) == (at(10), 1, 1)


@pytest.mark.parametrize(("seconds", "late"), [(12.999, 0), (13, 1)])
def test_allowed_lateness_is_a_grace_after_the_end(seconds, late):
    #  0 |---------| 10 ~~~ 13    allowed lateness 3 s
    meter = bench(allowed_lateness_s=3)
    first = meter.epoch([made(3)], seconds=seconds)
    assert len(summaries(first)) == late
    events = first + meter.epoch([made(4), made(14)], seconds=30)
    assert sum(s.late for s in summaries(events)) == late
    assert [s.predictions for s in summaries(events)] == [2 - late, 1]


def test_a_late_prediction_enters_the_restatement_alone():
    #  0 |--3--| 10 closed ... p4 comes late ... 110 end of the horizon: restated
    meter = bench()
    meter.epoch([made(3)], [label("p3", 1)], seconds=10)
    meter.epoch([made(4)], [label("p4", 0)], seconds=20)
    assert summaries(meter.epoch(seconds=109.9), "restated") == []
    (restated,) = meter.epoch(seconds=110)
    assert (restated.cut, restated.restatement, restated.predictions) == ("restated", 1, 2)
    assert restated.performance.confusion == (("1", "0", 1), ("1", "1", 1))
    assert [f.counts for f in restated.features] == [(0, 0, 0, 2, 0, 0, 0), (2, 0, 0, 0)]
    (unchanged,) = meter.epoch(seconds=500)
    assert (unchanged.pane_start, unchanged.cut, unchanged.restatement) == (at(10), "restated", 0)
    assert meter.state.panes == meter.state.after == {}
    assert meter.state.closed == meter.state.matured == set()


def test_a_pane_that_only_late_predictions_have_is_restated_too():
    meter = bench(seconds=50)
    meter.epoch([made(3)], seconds=60)
    (restated,) = summaries(meter.epoch(seconds=110), "restated")
    assert (restated.pane_start, restated.predictions) == (at(0), 1)


def test_a_late_event_counts_as_late_under_the_configuration_of_its_arrival():
    """A late event of an earlier configuration must not spoil (`mixed`) the pane it arrives in."""
    meter = bench()
    longer = config(pane_s=10, min_coverage=0.25)
    meter.epoch([activated(longer, 3, first_pane=50)], seconds=55)
    meter.epoch([made(56), made(3)], seconds=57)
    closed = summaries(meter.epoch(seconds=60))
    assert [(s.pane_start, s.config_hash, s.late) for s in closed] == [
        (at(50), config_hash(longer), 1)
    ]


def test_a_late_event_counts_in_the_pane_of_the_tick_whatever_the_year():
    meter = bench(seconds=-500)  # driven: ticks in 1969
    meter.epoch([made(-530)], seconds=-495)
    (closed,) = summaries(meter.epoch(seconds=-490))
    assert (closed.pane_start, closed.late) == (at(-500), 1)


def test_a_prediction_beyond_its_horizon_is_late_and_joins_nothing():
    meter = bench(seconds=1000)
    meter.epoch([made(3)], [label("p3")], seconds=1005)
    (closed,) = summaries(meter.epoch(seconds=1010))
    assert (closed.predictions, closed.late) == (0, 1)
    assert meter.meter.join.pending == {}


def test_a_horizon_shorter_than_the_pane_counts_what_it_can_no_longer_join():
    #  0 |--3-------------60--| 100    horizon 5 s: at tick 50, p3 has no label to wait for
    meter = bench(pane_s=100, horizon_s=5)
    meter.epoch(seconds=50)
    meter.epoch([made(3)], [label("p3")], seconds=60)
    events = meter.epoch(seconds=100)
    (closed,), (mature,) = summaries(events), summaries(events, "mature")
    assert (closed.predictions, closed.late) == (1, 0)
    assert mature.performance.labelled == 0


def test_a_repeat_counts_once_whatever_its_pane():
    meter = bench()
    meter.epoch([made(3, "p"), made(3, "p"), made(14, "p")], seconds=10)
    events = meter.epoch(seconds=20)
    assert sum(s.predictions for s in summaries(events)) == 0
    (closed,) = summaries(bench().epoch([made(3, "p"), made(3, "p"), made(14, "p")], seconds=10))
    assert (closed.predictions, closed.repeats) == (1, 2)


def test_an_id_may_come_back_after_its_horizon():
    meter = bench()
    meter.epoch([made(3, "p")], seconds=10)
    meter.epoch(seconds=103)
    (closed, *_) = summaries(meter.epoch([made(104, "p")], seconds=110))
    assert (closed.predictions, closed.repeats) == (1, 0)


def test_failures_and_latency_are_counted():
    meter = bench()
    events = meter.epoch([made(1, latency_ms=0.1), made(2, latency_ms=1e9), failed(3)], seconds=10)
    (closed,) = summaries(events)
    assert (closed.predictions, closed.failures) == (2, 1)
    assert closed.latency_ms[0] == closed.latency_ms[-1] == 1
    assert sum(closed.latency_ms) == 2


def test_a_late_failure_is_late():
    meter = bench(seconds=10)
    (closed,) = summaries(meter.epoch([failed(3), made(11)], seconds=20))
    assert (closed.failures, closed.late) == (0, 1)


def test_segments_are_counted_beside_all_with_a_place_for_others():
    meter = bench(segments={"country": ("de", "fr")})
    shown = [made(1, segments={"country": "de"}), made(2, segments={"country": "at"}), made(3)]
    closed = summaries(meter.epoch(shown, seconds=10))
    assert [(s.segment, s.predictions) for s in closed] == [
        ("all", 3),
        ("country=de", 1),
        ("country=~other", 2),
    ]
    assert [bool(s.features) for s in closed] == [True, False, False]
    assert all(s.score is not None for s in closed)


def test_two_versions_in_one_pane_have_a_summary_each():
    meter = bench()
    meter.epoch([activated(version("v2"), 3)], seconds=1)
    closed = summaries(meter.epoch([made(3), made(4, version="v2"), made(5)], seconds=10))
    assert [(s.version, s.predictions) for s in closed] == [("v1", 2), ("v2", 1)]


def test_an_unknown_version_is_counted_and_joined_but_not_binned():
    meter = bench()
    events = meter.epoch([made(3, version="v9")], [label("p3", 0)], seconds=10)
    events += meter.epoch(seconds=20)
    (closed,), (mature,) = summaries(events), summaries(events, "mature")
    assert (closed.predictions, closed.features, closed.score) == (1, (), None)
    assert closed.profile_hash == ""
    assert mature.performance.confusion == (("1", "0", 1),)
    assert [o.label for o in of_type(events, OutcomeJoined)] == [0]


def test_a_version_is_known_from_its_first_activation_on_and_keeps_its_profile():
    meter = bench()
    other = version(profile=profile(features=()))
    (refused,) = meter.epoch([made(1), activated(other, 3), made(2)], seconds=5)
    assert isinstance(refused, RecordRefused)
    assert "v1" in refused.reason
    assert refused.fault == "operator"
    (closed,) = summaries(meter.epoch([made(6)], seconds=10))
    assert closed.profile_hash == version().profile_hash
    assert sum(closed.features[0].counts) == 3


def test_only_a_higher_revision_counts_and_is_handed_on():
    meter = bench()
    again = activated(version(), 2)
    same = activated(version(), 3)
    events = meter.epoch([again, same, activated(version("v2"), 3)], seconds=5)
    assert [type(e) for e in events] == [VersionActivated] * 2
    assert [e.revision for e in events] == [3, 3]


@pytest.mark.parametrize(
    ("forged", "said"),
    [
        (activated(replace(config(), pane_s=0), 9), "pane_s is 0"),
        (activated(replace(version("v2"), profile_hash="h"), 9), "profile_hash is 'h'"),
    ],
    ids=["configuration", "version"],
)
def test_an_activation_that_a_stranger_wrote_is_refused_if_it_can_not_be_folded(forged, said):
    meter = bench()
    (refused,) = meter.epoch([made(1), forged, made(2)], seconds=5)
    assert said in refused.reason
    assert refused.fault == "operator"
    (closed,) = summaries(meter.epoch([made(6)], seconds=10))
    assert closed.predictions == 3


def test_activations_on_labels_are_the_same_broadcast():
    meter = bench()
    assert meter.epoch(labels=[activated(config(pane_s=5), 3)], seconds=5) == []
    assert meter.state.revision == 2


def test_pane_length_changes_at_the_first_pane_it_rules():
    #  0 |----10----|----20----|--25--|--30--|     5-s panes from 20 on
    meter = bench()
    shorter = config(pane_s=5)
    events = meter.epoch([activated(shorter, 3, first_pane=20)], seconds=5)
    assert {type(e) for e in events} == {ConfigActivated}
    closed = summaries(meter.epoch([made(8), made(19.9), made(20), made(26)], seconds=40))
    assert [(s.pane_start, s.time, s.config_hash == config_hash(shorter)) for s in closed] == [
        (at(0), at(10), False),
        (at(10), at(20), False),
        (at(20), at(25), True),
        (at(25), at(30), True),
    ]


def test_without_a_configuration_the_default_one_rules():
    meter = MeterBench(activated(version(), 1))
    length = ModelConfig(model="m").pane_s
    assert summaries(meter.epoch([made(3)], seconds=length - 1)) == []
    (closed,) = summaries(meter.epoch(seconds=length))
    assert closed.config_hash == config_hash(ModelConfig(model="m"))


def test_multiclass_and_regression_add_their_own_sums():
    meter = bench()
    classes = replace(version("v3"), task="multiclass")
    numbers = replace(version("v4"), task="regression")
    meter.epoch([activated(classes, 3), activated(numbers, 4)], seconds=1)
    shown = [
        made(1, version="v3", prediction="cat"),
        made(2, version="v3", prediction="dog"),
        made(3, version="v4", prediction=1.5, score=None),
        made(4, version="v4", prediction=0.25, score=None),
    ]
    labels = [label("p1", "dog"), label("p2", "dog"), label("p3", 1), label("p4", "none")]
    classes_, numbers_ = summaries(meter.epoch(shown, labels, seconds=10), "mature")
    assert classes_.performance.confusion == (("cat", "dog", 1), ("dog", "dog", 1))
    assert classes_.performance.scored == 0
    assert (numbers_.performance.labelled, numbers_.performance.measured) == (2, 1)
    assert numbers_.performance.absolute_error == 1 << 19
    assert numbers_.performance.squared_error == 1 << 18
    assert numbers_.faults == 1


def test_a_class_with_a_tab_in_its_name_is_one_class():
    meter = bench()
    odd = made(1, prediction="a\tb")
    (mature,) = summaries(meter.epoch([odd], [label("p1", "c")], seconds=10), "mature")
    assert mature.performance.confusion == (("a\tb", "c", 1),)


@pytest.mark.parametrize("features", [b"[1,2]", b'"x"', b"null", b'{"x":1e999}'])
def test_features_that_are_no_object_are_refused(features):
    meter = bench()
    (refused,) = meter.epoch([made(3, features=features)], seconds=5)
    assert (refused.topic, refused.fault) == ("predictions", "producer")
    assert "features can't be read" in refused.reason
    assert meter.epoch(seconds=20) == []


def test_wrong_values_are_faults_and_missing_ones_are_not():
    meter = bench()
    shown = [made(1, features={"x": "much", "c": 3.5}), made(2, features={}), made(3)]
    (closed,) = summaries(meter.epoch(shown, seconds=10))
    assert closed.faults == 2
    assert [f.counts[-1] for f in closed.features] == [2, 2]


def test_what_was_not_decoded_or_does_not_belong_is_refused_where_it_stood():
    meter = bench()
    stranger = MetricReported(id="r", time=at(1), model="m", name="n", value=1.0)
    topology = TopologyActivated(id="t", time=at(1), partitions=1)
    events = meter.epoch(
        [Refusal("value is empty"), label("p"), stranger, topology], [made(1)], seconds=5
    )
    assert [type(e) for e in events] == [RecordRefused] * 4
    assert [(e.topic, e.reason.partition(";")[0]) for e in events] == [
        ("predictions", "value is empty"),
        ("predictions", "type is LabelArrived"),
        ("predictions", "type is MetricReported"),
        ("labels", "type is PredictionMade"),
    ]
    assert events[0].raw == b"junk"
    assert len({e.id for e in events}) == 4


def test_the_year_2100_is_refused_live_and_taken_where_a_driver_ticks():
    future = replace(made(1), time=moment(4_102_444_800_000_000))
    live = bench(skew_max_ms=5000)
    # The bench stores a record at its own event time: bring the append time back to 1970.
    (refused,) = live.step_at(0, future)
    assert "more than 5000 ms after" in refused.reason
    assert live.step_at(4_102_444_800_000 - 5000, replace(future, id="edge")) == []
    assert bench().epoch([future], seconds=5) == []


def test_1970_is_taken_and_late():
    now = 1_700_000_000
    meter = bench(skew_max_ms=5000, seconds=now)
    meter.epoch([made(0)], seconds=now + 5)
    (closed,) = summaries(meter.epoch(seconds=now + 10))
    assert (closed.late, closed.predictions) == (1, 0)
