"""dependence: what consecutive reference panes say of their rows."""

from __future__ import annotations

import numpy as np
import pytest

from streamops.core import dependence

BINS = 20


def panes_of(x: np.ndarray, rows: int) -> np.ndarray:
    """Bin [row, feature] values by their own quantiles: [pane, feature, bin]."""
    edges = np.quantile(x, np.arange(1, BINS) / BINS, axis=0)
    found = np.zeros((len(x) // rows, x.shape[1], BINS), dtype=np.int64)
    for feature in range(x.shape[1]):
        bins = np.searchsorted(edges[:, feature], x[:, feature], side="right")
        for pane in range(len(found)):
            part = bins[pane * rows : (pane + 1) * rows]
            found[pane, feature] = np.bincount(part, minlength=BINS)
    return found


def chain(rho: float, rows: int = 10_000, features: int = 40) -> np.ndarray:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(rows, features))
    for row in range(1, rows):
        x[row] = rho * x[row - 1] + (1 - rho**2) ** 0.5 * x[row]
    return x


def test_independent_rows_look_independent():
    found = dependence.measure(panes_of(chain(0.0), 20), np.ones(40, dtype=bool))
    assert found.is_independent.sum() >= 38
    assert np.median(found.dispersion) == pytest.approx(1.3, abs=0.3)


@pytest.mark.parametrize(("rho", "c"), [(0.3, 1.9), (0.6, 4.0)])
def test_dependent_rows_do_not(rho, c):
    found = dependence.measure(panes_of(chain(rho), 20), np.ones(40, dtype=bool))
    assert found.is_independent.sum() == 0
    assert np.median(found.dispersion) == pytest.approx(c, rel=0.25)
    assert (found.upper >= found.dispersion).all()


def test_a_slow_wave_is_seen_at_a_coarser_scale():
    x = np.random.default_rng(4).normal(size=(10_000, 1))
    x[:, 0] += 0.3 * np.sin(np.arange(10_000) / 10_000 * 2 * np.pi * 3)
    found = dependence.measure(panes_of(x, 20), np.ones(1, dtype=bool))
    assert found.is_independent.tolist() == [False]


def test_neighbouring_panes_that_agree_are_correlated():
    x = np.cumsum(np.random.default_rng(5).normal(size=(2_000, 1)), axis=0)
    found = dependence.measure(panes_of(x, 20), np.ones(1, dtype=bool))
    assert found.lag_1[0] > 0.8
    assert (
        dependence.lag_1(dependence.mean_scores(panes_of(x, 20))).tolist() == found.lag_1.tolist()
    )


def test_categories_are_judged_by_their_counts_alone():
    rng = np.random.default_rng(6)
    plain = rng.multinomial(40, [0.5, 0.3, 0.2], size=(250, 1))
    sticky = rng.multinomial(10, [0.5, 0.3, 0.2], size=(250, 1)) * 4
    found = dependence.measure(np.concatenate([plain, sticky], axis=1), np.zeros(2, dtype=bool))
    assert found.is_independent.tolist() == [True, False]


@pytest.mark.parametrize("panes", [0, 1, 2, 19])
def test_too_few_panes_show_nothing(panes):
    counts = np.full((panes, 1, 3), 7)
    found = dependence.measure(counts, np.ones(1, dtype=bool))
    assert found.is_independent.tolist() == [False]
    assert found.dispersion.tolist() == found.upper.tolist() == [1.0]


@pytest.mark.parametrize("counts", [np.full((30, 1, 1), 20), np.zeros((30, 1, 4), dtype=np.int64)])
def test_a_column_without_spread_is_finite(counts):
    found = dependence.measure(counts, np.ones(1, dtype=bool))
    assert np.isfinite(found.upper).all()
    assert found.lag_1.tolist() == [0.0]


def test_the_shift_a_reference_can_show():
    assert dependence.detectable_shift(10_000, 1.0) == pytest.approx(0.0548, abs=1e-4)
    assert dependence.detectable_shift(10_000, 19.0) == pytest.approx(0.239, abs=1e-3)
    with pytest.raises(AssertionError, match="no rows"):
        dependence.detectable_shift(0, 1.0)


def test_rare_bins_of_independent_rows_do_not_look_dependent():
    """1 % of rows are in the second bin: of 3,000 references 15 did by the plain error."""
    rng, features = np.random.default_rng(6), 3_000
    rare = rng.binomial(20, 0.01, size=(500, features))
    found = dependence.measure(np.stack([20 - rare, rare], axis=2), np.zeros(features, dtype=bool))
    assert (~found.is_independent).sum() <= 6


def test_rare_bins_that_come_in_runs_still_look_dependent():
    rng = np.random.default_rng(7)
    rare = rng.binomial(20, 0.01, size=(500, 50)) * 5
    found = dependence.measure(np.stack([100 - rare, rare], axis=2), np.zeros(50, dtype=bool))
    assert not found.is_independent.any()
