"""statistics: golden values against scipy or an independent formula, and the boundaries."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import spatial, stats

from streamops.core import statistics

CURRENT = [12, 40, 0, 33, 15]
REFERENCE = [100, 210, 5, 400, 285]
PAIRWISE = [
    statistics.psi,
    statistics.kl,
    statistics.js,
    statistics.ks,
    statistics.chi2_two_sample,
]


def shares(counts, add=0.0):
    raised = np.array(counts, dtype=float) + add
    return raised / raised.sum()


def test_psi_by_its_formula():
    p, q = shares(CURRENT, 0.5), shares(REFERENCE, 0.5)
    expected = float(np.sum((p - q) * np.log(p / q)))
    assert statistics.psi(CURRENT, REFERENCE) == pytest.approx(expected, rel=1e-13)


def test_psi_by_hand():
    # 1 and 3 rows of two bins: (1.5/5, 3.5/5) against (3.5/5, 1.5/5).
    expected = 2 * 0.4 * math.log(3.5 / 1.5)
    assert statistics.psi([1, 3], [3, 1]) == pytest.approx(expected, rel=1e-14)


def test_psi_of_a_shift_is_about_its_square():
    """A shift of d standard deviations gives a PSI of about d^2 (Siddiqi's 0.1 is 0.32 sd)."""
    edges = stats.norm.ppf(np.linspace(0, 1, 21)[1:-1])
    cut = np.concatenate([[-np.inf], edges, [np.inf]])
    moved = np.rint(np.diff(stats.norm.cdf(cut - 0.25)) * 1_000_000).astype(np.int64)
    psi = statistics.psi(moved, np.full(20, 50_000))
    assert psi == pytest.approx(0.0614, abs=0.0005)


def test_kl_against_scipy():
    expected = float(stats.entropy(shares(CURRENT, 0.5), shares(REFERENCE, 0.5)))
    assert statistics.kl(CURRENT, REFERENCE) == pytest.approx(expected, rel=1e-13)


def test_psi_is_both_kl_divergences():
    both = statistics.kl(CURRENT, REFERENCE) + statistics.kl(REFERENCE, CURRENT)
    assert statistics.psi(CURRENT, REFERENCE) == pytest.approx(both, rel=1e-13)


def test_js_against_scipy():
    expected = float(spatial.distance.jensenshannon(shares(CURRENT), shares(REFERENCE), base=2))
    assert statistics.js(CURRENT, REFERENCE) == pytest.approx(expected, rel=1e-13)


def test_js_is_one_when_no_bin_is_common():
    assert statistics.js([3, 2, 0, 0], [0, 0, 7, 1]) == 1.0


def test_ks_against_scipy():
    values = np.arange(5.0)
    current, reference = np.repeat(values, CURRENT), np.repeat(values, REFERENCE)
    expected = float(stats.ks_2samp(current, reference).statistic)
    assert statistics.ks(CURRENT, REFERENCE) == pytest.approx(expected, rel=1e-13)


def test_ks_of_bins_is_within_its_bound_of_the_exact_one():
    rng = np.random.default_rng(3)
    current, reference = rng.normal(0.2, 1.0, 800), rng.normal(0.0, 1.0, 3000)
    edges = np.quantile(reference, np.linspace(0, 1, 21)[1:-1])
    binned = [np.bincount(np.searchsorted(edges, x), minlength=20) for x in (current, reference)]
    exact = float(stats.ks_2samp(current, reference).statistic)
    widest = float(np.max(np.minimum(shares(binned[0]), shares(binned[1]))))
    found = statistics.ks(*binned)
    assert found <= exact <= found + widest


def test_wasserstein_against_scipy_on_rows_spread_in_their_bins():
    edges, low, high = [1.0, 2.5, 4.0], 0.0, 6.0
    current, reference = [2, 5, 1, 8, 4, 1], [0, 9, 6, 3, 2, 0]
    bounds = [low, *edges, high]
    inside = (np.arange(2000) + 0.5) / 2000
    grid = np.concatenate(
        [[low], *(a + (b - a) * inside for a, b in itertools.pairwise(bounds)), [high]]
    )

    def weights(counts):
        inner = [np.full(2000, count / 2000) for count in counts[1:-1]]
        return np.concatenate([[counts[0]], *inner, [counts[-1]]])

    expected = stats.wasserstein_distance(grid, grid, weights(current), weights(reference))
    found = statistics.wasserstein(current, reference, edges, low, high)
    assert found == pytest.approx(expected, rel=1e-5)


def test_wasserstein_of_a_whole_shift_is_the_way_of_each_row():
    #  0 |----|----|----| 3      all rows of the first bin now lie in the last, 2 further
    assert statistics.wasserstein([0, 9, 0, 0, 0], [0, 0, 0, 4, 0], [1.0, 2.0], 0.0, 3.0) == 2.0


def test_wasserstein_puts_rows_outside_on_the_bound():
    assert statistics.wasserstein([5, 0, 0], [0, 0, 5], [], 10.0, 14.0) == 4.0


def test_wasserstein_of_a_constant_reference_is_zero_wide():
    assert statistics.wasserstein([1, 2, 1], [0, 9, 0], [], 3.0, 3.0) == 0.0


@pytest.mark.parametrize(
    ("edges", "low", "high", "message"),
    [
        ([1.0], 0.0, 2.0, "3 counts for 1 interior edges"),
        ([], 2.0, 1.0, "must ascend"),
    ],
)
def test_wasserstein_refuses_another_layout(edges, low, high, message):
    with pytest.raises(AssertionError, match=message):
        statistics.wasserstein([1, 1, 1], [1, 1, 1], edges, low, high)


def test_chi2_against_scipy():
    expected = stats.chi2_contingency([CURRENT, REFERENCE], correction=False)
    found = statistics.chi2_two_sample(CURRENT, REFERENCE)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-13)
    assert found.df == expected.dof == 4
    assert found.p == pytest.approx(expected.pvalue, rel=1e-11)


def test_chi2_leaves_out_bins_that_are_empty_on_both_sides():
    with_empty = statistics.chi2_two_sample([5, 0, 9, 0], [7, 0, 4, 1])
    assert with_empty == statistics.chi2_two_sample([5, 9, 0], [7, 4, 1])
    assert with_empty.df == 2


def test_chi2_of_one_category_can_not_differ():
    assert statistics.chi2_two_sample([5, 0], [9, 0]) == (0.0, 0, 1.0)


def test_chi2_holds_its_level_without_drift():
    """Two-sample Pearson is exact to within noise (measured): 5 % of panes are below 0.05."""
    rng = np.random.default_rng(11)
    reference = rng.multinomial(10_000, [0.1] * 10)
    panes = rng.multinomial(500, rng.dirichlet(reference), size=2000)
    below = [statistics.chi2_two_sample(pane, reference).p < 0.05 for pane in panes]
    assert 0.035 < float(np.mean(below)) < 0.065


@pytest.mark.parametrize("statistic", PAIRWISE)
def test_an_empty_side_says_nothing(statistic):
    assert statistic([0, 0], [1, 2]) is None
    assert statistic([1, 2], [0, 0]) is None
    assert statistic([], []) is None


def test_an_empty_side_has_no_wasserstein_distance():
    assert statistics.wasserstein([0, 0, 0], [0, 1, 0], [], 0.0, 1.0) is None
    assert statistics.wasserstein([0, 1, 0], [0, 0, 0], [], 0.0, 1.0) is None


@pytest.mark.parametrize("statistic", PAIRWISE)
def test_lists_and_arrays_give_the_same(statistic):
    arrays = (np.array(CURRENT, dtype=np.int64), np.array(REFERENCE, dtype=np.int64))
    assert statistic(*arrays) == statistic(CURRENT, REFERENCE)


@pytest.mark.parametrize("statistic", PAIRWISE)
def test_a_negative_count_is_our_fault(statistic):
    with pytest.raises(AssertionError, match="negative"):
        statistic([1, -1, 3], [1, 1, 1])


def test_rows_at_2_to_the_53_are_refused():
    with pytest.raises(AssertionError, match="below 2\\^53"):
        statistics.psi([1 << 53, 0], [1, 1])
    assert statistics.psi([(1 << 53) - 1, 0], [1, 1]) > 0.0


def test_rates():
    assert statistics.missing_rate(1, 4) == 0.25
    assert statistics.missing_rate(0, 4) == 0.0
    assert statistics.missing_rate(0, 0) is None
    assert statistics.new_category_rate(3, 3) == 1.0
    assert statistics.new_category_rate(0, 0) is None
    with pytest.raises(AssertionError, match="5 missing of 4"):
        statistics.missing_rate(5, 4)
    with pytest.raises(AssertionError, match="5 new categories of 4"):
        statistics.new_category_rate(5, 4)


@pytest.mark.parametrize(
    ("q", "expected"),
    [(0.0, 1.0), (0.25, 1.5), (0.5, 2.0), (0.65, 4.5), (0.8, 5.0), (1.0, 5.0)],
)
def test_quantiles_are_linear_inside_a_bin(q, expected):
    #  | 0 rows | 1 --5 rows-- 2 | 0 rows | 4 --3 rows-- 5 | 2 rows above
    counts, edges = [0, 5, 0, 3, 2], [1.0, 2.0, 4.0, 5.0]
    assert statistics.quantile_from_bins(counts, edges, q) == pytest.approx(expected, rel=1e-15)


def test_outer_bins_reach_to_the_given_ends():
    counts, edges = [2, 0, 2], [10.0, 20.0]
    assert statistics.quantile_from_bins(counts, edges, 0.25) == 10.0
    assert statistics.quantile_from_bins(counts, edges, 0.25, low=0.0) == 5.0
    assert statistics.quantile_from_bins(counts, edges, 0.75) == 20.0
    assert statistics.quantile_from_bins(counts, edges, 0.75, high=40.0) == 30.0


@pytest.mark.parametrize("q", [0.01, 0.5, 0.95, 0.99])
def test_a_quantile_is_within_its_bin_of_the_exact_one(q):
    rows = np.random.default_rng(5).lognormal(3.0, 0.7, 5000)
    edges = [float(1 << power) for power in range(12)]
    counts = np.bincount(np.searchsorted(edges, rows), minlength=13)
    exact = float(np.quantile(rows, q))
    place = int(np.searchsorted(edges, exact))
    found = statistics.quantile_from_bins(counts, edges, q)
    assert abs(found - exact) < edges[place] - edges[place - 1]


def test_quantiles_at_their_limits():
    assert statistics.quantile_from_bins([0, 0], [1.0], 0.5) is None
    with pytest.raises(AssertionError, match="must be 0"):
        statistics.quantile_from_bins([1, 1], [1.0], 1.01)
    with pytest.raises(AssertionError, match="2 counts for 2 edges"):
        statistics.quantile_from_bins([1, 1], [1.0, 2.0], 0.5)


def test_a_mean_of_fixed_point_sums_is_exact_beyond_2_to_the_53():
    quantum = float.fromhex("0x1p-20")
    assert statistics.mean_from_fixed(3 << 70, 1 << 51, quantum) == 1.5
    assert statistics.mean_from_fixed(-5, 2, quantum) == -2.5 * quantum
    assert statistics.mean_from_fixed(0, 7, quantum) == 0.0
    assert statistics.mean_from_fixed(0, 0, quantum) is None
