"""monitor: one evaluation a pane and cut, from all partitions; mixed panes and coverage."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from streamops.config import config_hash
from streamops.core.drift_waves import TESTED_MAX
from streamops.core.monitor import Monitor, MonitorState
from streamops.core.processor import Batch
from streamops.events import PaneSummarized
from streamops.values import FeatureCounts, Performance, Stamp
from tests.builders import activated, at, config, metric, record, rule, version
from tests.builders import profile as reference


def summary(partition=0, cut="closed", **fields):
    """A summary of pane 0 as one partition saw it."""
    given = {"config_hash": "h", "profile_hash": "p", "segment": "all", **fields}
    return PaneSummarized(
        id=f"pane/{cut}/{given['config_hash']}/{partition}",
        time=given.pop("end", at(10)),
        model="m",
        version=given.pop("version", "v1"),
        pane_start=given.pop("start", at(0)),
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


DRIFT = config(rules=(rule("d", metric="drift"), rule("s", metric="score_drift", feature="")))
CALM, MOVED = (0, 25, 25, 25, 25, 0, 0), (0, 94, 2, 2, 2, 0, 0)
WORDS = (50, 50, 0, 0)


def closed_pane(number, *, x=CALM, of=1, name="v1", **fields):
    """Closed summaries of pane `number` in `of` partitions, its counts dealt out among them."""
    given = {"config_hash": config_hash(DRIFT), **fields}
    for part in range(of):
        found = [
            FeatureCounts(feature, tuple(n // of + (part < n % of) for n in counts), ())
            for feature, counts in (("x", x), ("c", WORDS), ("score", CALM))
        ]
        whole = {"features": tuple(found[:2]), "score": found[2], **given}
        yield replace(
            summary(part, version=name, start=at(number * 10), end=at(number * 10 + 10), **whole),
            id=f"pane/{name}/{number}/{part}",
        )


class Service:
    """MONITOR over panes, an epoch each, its state saved and read again in between."""

    def __init__(self, *versions, settings=DRIFT):
        self.monitor, self.offset = Monitor(), 0
        self.state = self.monitor.initial()
        known = versions or (version(),)
        self.fold(activated(settings, 1), *(activated(v, 2 + n) for n, v in enumerate(known)))

    def fold(self, *events):
        records = [record("summaries", self.offset + n, e) for n, e in enumerate(events)]
        self.offset += len(records)
        packed = msgspec.msgpack.encode(self.state)
        state = msgspec.msgpack.decode(packed, type=MonitorState)
        self.state, outputs = self.monitor.step(state, Batch(1, None, records))
        assert msgspec.msgpack.encode(state) == packed, "a step leaves the state it got alone"
        return [output.event for output in outputs]


def test_drift_is_tested_on_closed_panes_where_a_rule_asks():
    bench = Service()
    (calm,) = bench.fold(*closed_pane(0))
    assert (calm.semantics, calm.drift) == (5, ())
    assert {(m.name, m.feature) for m in calm.metrics if "drift" in m.name} == {
        ("drift", "x"), ("drift", "c"), ("score_drift", "")
    }  # fmt: skip
    (moved,) = bench.fold(*closed_pane(1, x=MOVED))
    (found,) = moved.drift
    assert (found.feature, found.stream, found.test, found.since) == ("x", "values", "e-SR", at(10))
    # Values and missing rates of two features and the score, panes of 10 s, one alarm in 30 days.
    assert found.alarm_at == 5 * 30 * 86_400 / 10
    assert (calm.evidence.panes, moved.evidence.panes) == (1, 2)
    assert calm.evidence.chain != moved.evidence.chain


def test_a_configuration_without_a_drift_rule_means_what_it_always_meant():
    plain = config(rules=(rule("psi"),))
    bench = Service(settings=plain)
    (found,) = bench.fold(*closed_pane(0, x=MOVED, config_hash=config_hash(plain)))
    assert (found.semantics, found.drift, bench.state.drift) == (1, (), {})
    assert not [m for m in found.metrics if "drift" in m.name]
    assert b"chain" not in msgspec.json.encode(replace(found.evidence, summaries=()))


@pytest.mark.parametrize("of", [2, 3, 7])
def test_how_a_pane_lies_in_partitions_does_not_matter(of):
    one, many = Service(), Service()
    for number, x in enumerate((CALM, CALM, MOVED, CALM, MOVED)):
        (whole,) = one.fold(*closed_pane(number, x=x))
        (merged,) = many.fold(*reversed(list(closed_pane(number, x=x, of=of))))
        assert (merged.drift, merged.evidence.chain) == (whole.drift, whole.evidence.chain)
        assert [m for m in merged.metrics if "drift" in m.name] == [
            m for m in whole.metrics if "drift" in m.name
        ]
    assert one.state.drift == many.state.drift


def test_panes_of_one_epoch_are_tested_in_the_order_of_their_starts():
    one, another = Service(), Service()
    panes = [pane for n, x in enumerate((CALM, CALM, MOVED)) for pane in closed_pane(n, x=x)]
    one.fold(*panes)
    another.fold(*panes[::-1])
    assert one.state.drift == another.state.drift
    assert one.state.drift["m\tv1"].panes == 3


def test_mixed_unprofiled_and_repeated_panes_are_no_panes():
    bench = Service()
    bench.fold(*closed_pane(0))
    known = bench.state.drift
    first, second = closed_pane(1, of=2)
    (mixed,) = bench.fold(first, replace(second, profile_hash="other"))
    assert (mixed.status, mixed.drift, mixed.semantics) == ("mixed", (), 1)
    (stranger,) = bench.fold(*closed_pane(1, name="v9"))
    assert stranger.semantics == 1
    assert bench.state.drift == known
    (bare,) = bench.fold(*(replace(s, features=(), score=None) for s in closed_pane(2)))
    assert [m.value for m in bare.metrics if m.name == "score_drift"] == [None]


def test_another_pane_length_or_profile_begins_anew():
    bench = Service()
    bench.fold(*closed_pane(0))
    bench.fold(*closed_pane(1))
    assert bench.state.drift["m\tv1"].panes == 2
    bench.fold(*closed_pane(2, profile_hash="other"))
    assert bench.state.drift["m\tv1"].panes == 1


def test_tests_of_a_models_last_versions_are_kept():
    names = [f"v{n}" for n in range(1, TESTED_MAX + 3)]
    bench = Service(*(version(name) for name in names))
    for number, name in enumerate(names):
        bench.fold(*closed_pane(number, name=name))
    assert sorted(bench.state.drift) == sorted(f"m\t{name}" for name in names[-TESTED_MAX:])
