"""Synthetic streams as counts: what a profile and panes of such columns would hold.

Edges are quantiles of the reference's own rows, as in `core.profile`, so the true shares of the
bins are random: Dirichlet(rows a bin) for a continuous column. Simulations draw those shares first,
then deal the reference's rows into panes, then draw live panes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Random = np.random.Generator

BINS = 20
GRID = 64
CELLS = 1024


def numeric(rng: Random, features: int, rows: int) -> tuple[Integers, Floats]:
    """Return reference counts and true shares, [feature, bin], of continuous columns."""
    cuts = np.array([rows * k // BINS for k in range(BINS + 1)])
    counts = np.repeat(np.diff(cuts)[np.newaxis], features, axis=0)
    drawn = rng.standard_gamma(counts.astype(np.float64))
    return counts, drawn / drawn.sum(axis=1, keepdims=True)


def categories(
    rng: Random, features: int, rows: int, shares: tuple[float, ...]
) -> tuple[Integers, Floats]:
    """Return reference counts and true shares of category columns."""
    true = np.repeat(np.array(shares)[np.newaxis], features, axis=0)
    return rng.multinomial(rows, true), true


def deal(rng: Random, counts: Integers, panes: int) -> Integers:
    """Deal a reference's rows at random into equal panes: [pane, feature, bin]."""
    rows = int(counts[0].sum()) // panes * panes
    found = np.zeros((panes, *counts.shape), dtype=np.int64)
    for feature, row in enumerate(counts):
        bins = rng.permutation(np.repeat(np.arange(len(row)), row))[:rows]
        cells = np.repeat(np.arange(panes), rows // panes) * len(row) + bins
        found[:, feature] = np.bincount(cells, minlength=panes * len(row)).reshape(panes, -1)
    return found


def merge(panes: Integers, times: int) -> Integers:
    """Add up each `times` consecutive panes."""
    count = len(panes) // times
    return panes[: count * times].reshape(count, times, *panes.shape[1:]).sum(axis=1)


def shifted(shares: Floats, mean: float = 0.0, spread: float = 1.0) -> Floats:
    """Shares after normal rows moved by `mean` sd and were stretched `spread` times."""
    inner = np.clip(np.cumsum(shares, axis=1)[:, :-1], 1e-12, 1 - 1e-12)
    below = stats.norm.cdf((stats.norm.ppf(inner) - mean) / spread)
    low, high = np.zeros((len(shares), 1)), np.ones((len(shares), 1))
    return np.diff(np.concatenate([low, below, high], axis=1), axis=1)


class Chain:
    """AR(1) normal rows of many features, as histograms on a fine grid."""

    def __init__(self, rng: Random, features: int, rho: float) -> None:
        self.rng, self.rho = rng, np.float32(rho)
        self.scale = np.float32((1.0 - rho * rho) ** 0.5)
        self.last = rng.standard_normal(features, dtype=np.float32)
        self.offsets = np.arange(features) * CELLS + CELLS // 2

    def rows(self, count: int) -> NDArray[np.float32]:
        """Return the next rows, [row, feature]."""
        noise = self.rng.standard_normal((count, len(self.last)), dtype=np.float32) * self.scale
        for row in noise:
            row += self.rho * self.last
            self.last = row
        self.last = self.last.copy()
        return noise

    def histogram(self, count: int, shift: float = 0.0, spread: float = 1.0) -> Integers:
        """Return counts of the next rows on the grid, [feature, cell]."""
        x = self.rows(count) * np.float32(spread) + np.float32(shift)
        cells = np.clip(np.floor(x * GRID), -CELLS // 2, CELLS // 2 - 1).astype(np.int64)
        found = np.bincount((cells + self.offsets).ravel(), minlength=len(self.last) * CELLS)
        return found.reshape(-1, CELLS)


def quantile_cells(total: Integers) -> Integers:
    """Cells at which bins begin, [feature, bin], so that they are quantiles of these counts."""
    reached = np.cumsum(total, axis=1)
    wanted = reached[:, -1:] * np.arange(1, BINS) / BINS
    inner = (reached[:, np.newaxis] < wanted[..., np.newaxis]).sum(axis=2) + 1
    return np.concatenate([np.zeros((len(total), 1), dtype=np.int64), inner], axis=1)


def in_bins(histogram: Integers, begins: Integers) -> Integers:
    """Merge grid cells into bins."""
    reached = np.cumsum(histogram, axis=1)
    reached = np.concatenate([np.zeros((len(reached), 1), dtype=np.int64), reached], axis=1)
    below = np.take_along_axis(reached, begins, axis=1)
    return np.diff(np.concatenate([below, reached[:, -1:]], axis=1), axis=1)
