"""Laws of the statistics and of the arithmetic below them, by Hypothesis."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streamops.core import numeric, performance, statistics

BINS = 6
EDGES = [1.0, 2.0, 4.0]
# Small counts meet the boundaries (empty bins, equal counts) more often than large ones.
counts = st.lists(st.integers(0, 9), min_size=BINS, max_size=BINS)
filled = counts.filter(any)
finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=5e-324, allow_infinity=False)
shares = st.floats(0.0, 1.0)


def wasserstein(current, reference):
    return statistics.wasserstein(current, reference, EDGES, 0.0, 8.0)


def chi2(current, reference):
    found = statistics.chi2_two_sample(current, reference)
    return None if found is None else found.statistic


SYMMETRIC = [statistics.psi, statistics.js, statistics.ks, wasserstein]
DISTANCES = [*SYMMETRIC, statistics.kl, chi2]


@pytest.mark.parametrize("distance", DISTANCES)
@given(current=counts, reference=counts)
def test_a_distance_is_a_number_from_zero_or_none(distance, current, reference):
    found = distance(current, reference)
    assert (found is None) == (not any(current) or not any(reference))
    assert found is None or (found >= 0.0 and math.isfinite(found))


@pytest.mark.parametrize("distance", DISTANCES)
@given(current=filled)
def test_identical_counts_are_exactly_zero_apart(distance, current):
    assert distance(current, list(current)) == 0.0


@pytest.mark.parametrize("distance", [statistics.js, statistics.ks, wasserstein, chi2])
@given(current=filled, times=st.integers(1, 50))
def test_equal_shares_are_exactly_zero_apart(distance, current, times):
    """PSI and KL are left out: smoothing adds half a row to a bin whatever the rows."""
    assert distance(current, [count * times for count in current]) == 0.0


@pytest.mark.parametrize("distance", SYMMETRIC)
@given(current=filled, reference=filled)
def test_distances_are_symmetric_to_the_last_bit(distance, current, reference):
    assert distance(current, reference) == distance(reference, current)


@pytest.mark.parametrize(
    ("distance", "upper"), [(statistics.js, 1.0), (statistics.ks, 1.0), (wasserstein, 8.0)]
)
@given(current=filled, reference=filled)
def test_bounded_distances_keep_their_bound(distance, upper, current, reference):
    assert distance(current, reference) <= upper


@given(filled, filled)
def test_other_counts_are_not_zero_apart(current, reference):
    p, q = (np.array(c) / np.add.reduce(c) for c in (current, reference))
    assume(np.max(np.abs(p - q)) > 1e-9)
    assert statistics.psi(current, reference) > 0.0
    assert statistics.js(current, reference) > 0.0
    assert statistics.ks(current, reference) > 0.0


@pytest.mark.parametrize("distance", [statistics.psi, statistics.kl, statistics.js, chi2])
@given(current=filled, reference=filled, order=st.permutations(range(BINS)))
def test_order_of_bins_means_nothing_to_categories(distance, current, reference, order):
    """Equal but for rounding: the sum has another order."""
    moved = distance([current[i] for i in order], [reference[i] for i in order])
    assert moved == pytest.approx(distance(current, reference), rel=1e-12, abs=1e-7)


@pytest.mark.parametrize("distance", DISTANCES)
@given(parts=st.lists(counts, min_size=1, max_size=5), reference=filled, data=st.data())
def test_merging_panes_in_any_order_gives_the_same_bits(distance, parts, reference, data):
    shuffled = data.draw(st.permutations(parts))
    merged = [np.add.reduce(np.array(each), axis=0) for each in (parts, shuffled)]
    assert distance(merged[0], reference) == distance(merged[1], reference)


@given(filled, filled, filled)
def test_js_obeys_the_triangle(a, b, c):
    direct = statistics.js(a, c)
    assert direct <= statistics.js(a, b) + statistics.js(b, c) + 1e-9


@given(filled, filled)
def test_chi2_tail_is_a_probability(current, reference):
    found = statistics.chi2_two_sample(current, reference)
    assert 0.0 <= found.p <= 1.0
    assert 0 <= found.df < BINS


@given(filled, st.lists(shares, min_size=2, max_size=6))
def test_quantiles_ascend(current, qs):
    edges = [1.0, 2.0, 4.0, 8.0, 16.0]
    found = [statistics.quantile_from_bins(current, edges, q, low=0.0) for q in sorted(qs)]
    assert found == sorted(found)
    assert found[0] >= 0.0
    assert found[-1] <= 16.0


@given(st.lists(positive, min_size=1, max_size=20))
def test_log_has_the_same_bits_in_both_forms(x):
    assert numeric.log(np.array(x)).tolist() == [numeric.log_scalar(value) for value in x]


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20))
def test_exp_has_the_same_bits_in_both_forms(x):
    assert numeric.exp(np.array(x)).tolist() == [numeric.exp_scalar(value) for value in x]


@given(st.lists(st.floats(1e-6, 1e200), min_size=1, max_size=20))
def test_lgamma_has_the_same_bits_in_both_forms(x):
    assert numeric.lgamma(np.array(x)).tolist() == [numeric.lgamma_scalar(value) for value in x]


@given(finite, st.sampled_from([1.0, 0.001, 2.0**-40, 5e-324]), st.integers(1, 1 << 53))
def test_fixed_point_is_the_same_in_both_forms_and_within_its_limit(x, quantum, limit):
    one = numeric.to_fixed(x, quantum, limit)
    assert [one] == numeric.to_fixed(np.array([x]), quantum, limit).tolist()
    assert -limit <= one <= limit
    assert numeric.to_fixed(-x, quantum, limit) == -one


@given(shares, st.booleans())
def test_a_surer_right_answer_loses_less(score, positive):
    better = score + (1.0 - score) / 2 if positive else score / 2
    for term in (performance.log_loss_term, performance.brier_term):
        assert 0 <= term(better, positive) <= term(score, positive)


@given(st.dictionaries(st.tuples(*[st.sampled_from("abc")] * 2), st.integers(0, 5)))
def test_ratios_are_shares_or_none(confusion):
    for found in (performance.binary(confusion, "a"), performance.multiclass(confusion)):
        assert all(value is None or 0.0 <= value <= 1.0 for value in found.values())
