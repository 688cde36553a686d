"""Laws of merging: summaries and their parts merge in any order, to the last bit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamops.core.cuts import merge_summaries
from streamops.core.panes import (
    Pane,
    add_counts,
    count_pair,
    merge_features,
    merge_performance,
    performance_of,
)
from streamops.events import PaneSummarized
from streamops.values import FeatureCounts, Performance
from tests.builders import at

COUNT = st.integers(0, 1 << 60)
SUM = st.integers(-(1 << 60), 1 << 60)


def counts(size, number=COUNT):
    return st.one_of(st.just(()), st.tuples(*[number] * size))


FEATURES = st.one_of(
    st.just(()),
    st.builds(
        lambda a, b: (FeatureCounts("x", a[:3], a[3:]), FeatureCounts("c", b[:2], b[2:])),
        st.tuples(*[SUM] * 6),
        st.tuples(*[SUM] * 4),
    ),
)
CONFUSION = st.dictionaries(st.tuples(st.sampled_from("ab"), st.sampled_from("ab")), COUNT).map(
    lambda found: tuple((*pair, found[pair]) for pair in sorted(found))
)
PERFORMANCES = st.builds(
    Performance,
    labelled=COUNT, confusion=CONFUSION, scored=COUNT, log_loss=COUNT, brier=COUNT, measured=COUNT,
    absolute_error=COUNT, squared_error=COUNT, labels=counts(3), delay_s=counts(12),
    calibration=st.one_of(st.just(()), st.tuples(*[st.tuples(COUNT, COUNT)] * 10)),
    corrections=COUNT, duplicates=COUNT,
)  # fmt: skip
SUMMARIES = st.builds(
    PaneSummarized,
    id=st.just("s"), time=st.just(at(10)), model=st.just("m"), version=st.just("v"),
    segment=st.just("all"), pane_start=st.just(at(0)), cut=st.just("restated"),
    config_hash=st.just("h"), profile_hash=st.just("p"), restatement=st.just(1),
    predictions=COUNT, failures=COUNT, repeats=COUNT, late=COUNT, faults=COUNT, features=FEATURES,
    score=st.one_of(st.none(), st.builds(FeatureCounts, st.just("score"), st.tuples(COUNT, COUNT),
                                         st.tuples(SUM, SUM))),
    latency_ms=counts(37), performance=st.one_of(st.none(), PERFORMANCES),
    stamp=st.none(), evidence=st.none(),
)  # fmt: skip


@given(SUMMARIES, SUMMARIES, SUMMARIES)
def test_summaries_merge_in_any_order(a, b, c):
    assert merge_summaries(a, b) == merge_summaries(b, a)
    left = merge_summaries(merge_summaries(a, b), c)
    assert left == merge_summaries(a, merge_summaries(b, c))


@given(PERFORMANCES, PERFORMANCES, PERFORMANCES)
def test_performances_merge_in_any_order_and_have_an_identity(a, b, c):
    assert merge_performance(a, b) == merge_performance(b, a)
    left = merge_performance(merge_performance(a, b), c)
    assert left == merge_performance(a, merge_performance(b, c))
    assert merge_performance(a, Performance()) == a


@given(FEATURES, FEATURES, FEATURES)
def test_features_merge_in_any_order(a, b, c):
    assert merge_features(a, b) == merge_features(b, a)
    assert merge_features(merge_features(a, b), c) == merge_features(a, merge_features(b, c))


@given(counts(3), counts(3))
def test_nothing_is_lost_in_adding(a, b):
    assert sum(add_counts(a, b)) == sum(a) + sum(b)


PAIRS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), max_size=12)


@given(PAIRS, st.integers(0, 12))
def test_counting_apart_and_merging_is_counting_together(pairs, cut):
    def counted(some):
        pane = Pane()
        for predicted, true in some:
            count_pair(pane, predicted, true)
        return performance_of(pane)

    assert merge_performance(counted(pairs[:cut]), counted(pairs[cut:])) == counted(pairs)
