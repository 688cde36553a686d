"""cuts: what a summary shows at each cut, what is restated, and in which order cuts go out."""

from __future__ import annotations

from msgspec.structs import replace

from streamops.core.cuts import merge_summaries
from streamops.events import PaneSummarized
from tests.builders import MeterBench, activated, at, config, label, made, of_type, version


def bench(**fields):
    return MeterBench(activated(version(), 1), activated(config(**fields), 2))


def shown(events):
    return [(s.cut, s.pane_start) for s in of_type(events, PaneSummarized)]


def test_a_tick_over_many_panes_cuts_them_in_order():
    meter = bench(maturity_s=5)
    events = meter.epoch([made(23), made(3), made(13)], seconds=500)
    starts = [at(0), at(10), at(20)]
    assert shown(events) == [(cut, s) for cut in ("closed", "mature", "restated") for s in starts]


def test_each_cut_shows_its_own_part():
    meter = bench()
    events = meter.epoch([made(3, latency_ms=4.0)], [label("p3")], seconds=500)
    closed, mature, restated = of_type(events, PaneSummarized)
    assert (bool(closed.features), closed.performance) == (True, None)
    assert (mature.features, mature.performance.labelled) == ((), 1)
    assert (bool(restated.features), restated.performance.labelled) == (True, 1)
    assert restated.restatement == 0
    assert {s.id.split("/")[-2] for s in (closed, mature, restated)} == {
        "closed",
        "mature",
        "restated",
    }


def test_evidence_of_a_restatement_spans_what_came_late():
    meter = bench()
    meter.epoch([made(3)], [label("p3")], seconds=10)
    meter.epoch([made(4)], [label("p4")], seconds=20)
    (restated,) = [s for s in meter.epoch(seconds=110) if getattr(s, "restatement", 0)]
    assert [(s.topic, s.first, s.next) for s in restated.evidence.spans] == [
        ("labels", 1, 4),
        ("predictions", 3, 6),
    ]


def test_a_pane_in_which_only_repeats_came_has_a_summary():
    meter = bench()
    meter.epoch([made(3, "p")], seconds=10)
    (closed, mature) = meter.epoch([made(13, "p")], seconds=20)
    assert (closed.predictions, closed.repeats, closed.score) == (0, 1, None)
    assert mature.cut == "mature"


def test_merging_drops_where_things_stood():
    meter = bench()
    closed = meter.epoch([made(3)], seconds=10)[0]
    merged = merge_summaries(closed, replace(closed, predictions=4))
    assert (merged.predictions, merged.stamp, merged.evidence) == (5, None, None)
    assert merged.score.counts == tuple(2 * n for n in closed.score.counts)
