"""panes: what one pane counts, its bounds, and how the parts of a pane merge."""

from __future__ import annotations

import hashlib
from copy import deepcopy

import numpy as np
import pytest

from streamops.core.binning import count_rows
from streamops.core.feature_reader import reader_of
from streamops.core.panes import (
    CONFUSION_MAX,
    DELAY_EDGES_S,
    DIFFERENT,
    LATENCY_EDGES_MS,
    OTHER,
    Pane,
    add_counts,
    copy_pane,
    count_pair,
    delay_bin,
    features_of,
    latency_bin,
    merge_features,
    merge_performance,
    note_evidence,
    performance_of,
)
from streamops.core.performance import accuracy
from streamops.core.tally import count_features
from streamops.values import FeatureCounts, Performance
from tests.builders import version


@pytest.mark.parametrize(
    ("value", "place"), [(0.0, 0), (0.1, 0), (0.1000001, 1), (70000.0, 35), (1e9, 36)]
)
def test_a_latency_bin_ends_at_its_edge(value, place):
    assert len(LATENCY_EDGES_MS) == 36
    assert list(LATENCY_EDGES_MS) == sorted(set(LATENCY_EDGES_MS))
    assert latency_bin(value) == place


@pytest.mark.parametrize(
    ("us", "place"), [(0, 0), (1_000_000, 0), (1_000_001, 1), (604_800_000_001, 11)]
)
def test_a_delay_bin_ends_at_its_edge(us, place):
    assert delay_bin(us) == place <= len(DELAY_EDGES_S)


def test_pairs_beyond_the_limit_keep_right_and_wrong_apart():
    pane = Pane()
    for n in range(CONFUSION_MAX):
        count_pair(pane, f"c{n}", f"c{n}")
    count_pair(pane, "c3", "c3")
    for predicted, true in (("new", "new"), ("new", "c1"), ("newer", "newest"), ("x", "x")):
        count_pair(pane, predicted, true)
    assert len(pane.confusion) == CONFUSION_MAX + 2
    assert pane.confusion[("c3", "c3")] == 2
    assert pane.confusion[(OTHER, OTHER)] == 2
    assert pane.confusion[(OTHER, DIFFERENT)] == 2
    total = CONFUSION_MAX + 5
    assert accuracy(pane.confusion) == (total - 2) / total


def test_evidence_is_the_span_and_a_chain_over_values_in_order():
    pane = Pane()
    note_evidence(pane, "predictions", 7, b"a")
    note_evidence(pane, "predictions", 3, b"b")
    note_evidence(pane, "labels", 9, b"c")
    chain = b""
    for value in (b"a", b"b", b"c"):
        chain = hashlib.sha256(chain + value).digest()
    assert pane.spans == {"predictions": [3, 8], "labels": [9, 10]}
    assert (pane.records, pane.chain) == (3, chain)


def test_a_copy_shares_nothing_that_changes():
    pane = Pane(
        counts=[[1]], sums=[[2]], score=[1], score_sums=[1], latency=[1], confusion={("a", "b"): 1},
        labels=[1], delay=[1], calibration=[[1, 0]], spans={"labels": [0, 1]},
    )  # fmt: skip
    copy = copy_pane(pane)
    assert copy == pane
    for name in pane.__struct_fields__:
        value = getattr(pane, name)
        if isinstance(value, list | dict):
            assert getattr(copy, name) is not value, name
    assert copy.calibration[0] is not pane.calibration[0]
    assert copy.spans["labels"] is not pane.spans["labels"]


def test_features_that_are_counted_in_a_copy_stay_as_they_were_in_the_pane():
    """Their lists are shared: most copies only take labels."""
    known = version("v1")
    pane = Pane()
    count_features(pane, {"x": 0.5}, known)
    before = deepcopy(pane)
    count_features(copy_pane(pane), {"x": 0.5}, known)
    reader = reader_of(known)
    rows = reader.decoder.read_all([b'{"x":0.5}'])
    count_rows([copy_pane(pane)], [reader], np.zeros(1, dtype=np.int64), rows, [0.5])
    assert pane == before


def test_an_empty_side_is_all_zeros():
    assert add_counts((), (1, 2)) == add_counts((1, 2), ()) == (1, 2)
    some = (FeatureCounts("x", (1, 2), (3, 4)),)
    assert merge_features((), some) == merge_features(some, ()) == some
    part = Performance(labelled=1, calibration=((1, 0),) * 10, delay_s=(1,) * 12)
    assert merge_performance(Performance(), part) == part
    assert merge_performance(part, Performance()) == part


def test_parts_of_different_layout_never_merge():
    with pytest.raises(ValueError, match="zip"):
        add_counts((1, 2), (1, 2, 3))


def test_merging_adds_pair_by_pair_in_order():
    a = Performance(confusion=(("a", "b", 1), ("b", "b", 2)))
    b = Performance(confusion=(("a", "a", 5), ("b", "b", 3)))
    merged = merge_performance(a, b)
    assert merged.confusion == (("a", "a", 5), ("a", "b", 1), ("b", "b", 5))


def test_a_summary_names_features_by_the_profile():
    pane = Pane(counts=[[1] * 7, [0, 1, 0, 0]], sums=[[0] * 7, [0] * 4])
    assert [f.name for f in features_of(pane, version())] == ["x", "c"]
    assert features_of(pane, None) == features_of(Pane(), version()) == ()
    assert performance_of(Pane()) == Performance()
