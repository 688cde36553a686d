"""monitor: one evaluation a pane and cut, from all partitions; mixed panes and coverage."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streamops.core.monitor import Monitor
from streamops.core.processor import Batch
from streamops.events import PaneSummarized
from streamops.values import FeatureCounts, Performance, Stamp
from tests.builders import activated, at, config, metric, record, version
from tests.builders import profile as reference


def summary(partition=0, cut="closed", **fields):
    """A summary of pane 0 as one partition saw it."""
    given = {"config_hash": "h", "profile_hash": "p", "segment": "all", **fields}
    return PaneSummarized(
        id=f"pane/{cut}/{given['config_hash']}/{partition}",
        time=given.pop("end", at(10)),
        model="m",
        version="v1",
        pane_start=at(0),
        cut=cut,
        stamp=Stamp(f"meter/{partition}", 1, 0),
        **given,
    )


def evaluate(*events, known=()):
    """Fold one epoch of summaries after the activations in `known`."""
    monitor = Monitor()
    records = [record("summaries", n, e) for n, e in enumerate((*known, *events))]
    _, outputs = monitor.step(monitor.initial(), Batch(1, None, records))
    return [output.event for output in outputs]


def values(event):
    return {(m.name, m.feature): m.value for m in event.metrics}


def labelled(n, cut="mature", partition=0, **fields):
    part = Performance(labelled=n, confusion=(("1", "1", n),))
    return summary(partition, cut, performance=part, **fields)


def test_a_pane_is_merged_over_partitions_and_evaluated_once():
    latency = (0,) * 10 + (4,) + (0,) * 26
    (event,) = evaluate(
        summary(0, predictions=6, failures=1, latency_ms=latency), summary(1, predictions=3)
    )
    assert (event.status, event.time, event.pane_start) == ("evaluated", at(10), at(0))
    assert values(event)[("throughput_per_s", "")] == 1.0
    assert values(event)[("error_rate", "")] == 0.1
    assert [s.stamp.source for s in event.evidence.summaries] == ["meter/0", "meter/1"]
    assert event.id == "metric/m/v1/all/0/h/closed/0"


def test_cuts_and_segments_are_evaluated_apart():
    events = evaluate(summary(), labelled(1, predictions=1), summary(1, segment="s=1"))
    assert [(e.segment, e.cut) for e in events] == [
        ("all", "closed"),
        ("all", "mature"),
        ("s=1", "closed"),
    ]


@pytest.mark.parametrize("other", [{"config_hash": "i"}, {"profile_hash": "q"}, {"end": at(5)}])
def test_what_was_counted_under_two_rules_is_mixed(other):
    (event,) = evaluate(summary(0, predictions=5), summary(1, predictions=5, **other))
    assert (event.status, event.metrics) == ("mixed", ())


@pytest.mark.parametrize(("n", "status"), [(7, "evaluated"), (6, "coverage"), (0, "coverage")])
def test_coverage_is_reached_exactly_at_its_limit(n, status):
    settings = activated(config(min_coverage=0.07), 1)
    pane = labelled(n, predictions=100, config_hash=settings.config_hash)
    (event,) = evaluate(pane, known=[settings])
    assert event.status == status


def test_every_share_is_reached_exactly_at_its_limit():
    for predictions, n in ((100, 29), (100, 57), (3, 1), (49, 29), (1000, 7)):
        settings = activated(config(min_coverage=n / predictions), 1)
        pane = labelled(n, predictions=predictions, config_hash=settings.config_hash)
        assert evaluate(pane, known=[settings])[0].status == "evaluated"


def test_a_pane_is_restated_from_every_partition_if_one_has_news():
    old = labelled(4, "restated", 0, predictions=4)
    late = labelled(1, "restated", 1, predictions=2, restatement=1)
    (event,) = evaluate(old, late)
    assert (event.restatement, event.id) == (1, "metric/m/v1/all/0/h/restated/1")
    assert values(event)[("coverage", "")] == 5 / 6
    assert evaluate(old, replace(late, restatement=0)) == []


def test_drift_needs_the_versions_profile():
    x = FeatureCounts("x", (0, 25, 25, 25, 25, 0, 0), (0,) * 7)
    c = FeatureCounts("c", (100, 0, 0, 0), (0,) * 4)
    pane = summary(predictions=100, features=(x, c))
    (bare,) = evaluate(pane)
    assert not [m for m in bare.metrics if m.feature]
    (known,) = evaluate(pane, known=[activated(version(), 1)])
    found = values(known)
    assert found[("psi", "x")] == 0.0
    assert found[("psi", "c")] > 0.5
    assert found[("missing_rate", "x")] == 0.0
    assert {m.n for m in known.metrics if m.feature} == {100}


def test_regression_is_judged_by_its_errors():
    one = 1 << 20
    part = Performance(labelled=4, measured=4, absolute_error=4 * one, squared_error=16 * one)
    pane = summary(cut="mature", predictions=4, performance=part)
    (event,) = evaluate(pane, known=[activated(replace(version(), task="regression"), 1)])
    assert values(event)[("mae", "")] == 1.0
    assert values(event)[("rmse", "")] == 2.0
    assert ("accuracy", "") not in values(event)


def test_performance_stands_beside_what_the_version_was_accepted_with():
    known = activated(replace(version(), profile=reference(performance={"accuracy": 0.75})), 1)
    (event,) = evaluate(labelled(3, predictions=3), known=[known])
    assert [m for m in event.metrics if m.name == "accuracy"] == [
        metric("accuracy", 1.0, reference=0.75, n=3)
    ]
