"""Synthetic columns: their reference profile, and the shares that their live rows are drawn from.

Edges are quantiles of the reference's own rows, as in `core.profile`, so the true shares of the
bins are random: Dirichlet(rows a bin) for a continuous column. Columns of independent rows are
drawn that way: shares first, then the reference's rows in a random order, then live counts, which
have the same law as counting rows and cost a hundredth. Rows that depend on each other are made
one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

from streamops.core.pane_rows import measure_rows, numeric_bins, other_bins
from streamops.core.profile import BINS, category_profile, numeric_profile
from streamops.values import FeatureProfile

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Random = np.random.Generator
Counts = list[tuple[int, ...]]

NAMES = "abcdefghij"


class Column(NamedTuple):
    """A column of independent rows. `shares`: of its profile's bins, missing last, in live rows."""

    profile: FeatureProfile
    shares: Floats


def numeric(rng: Random, name: str, rows: int, missing: float = 0.0) -> Column:
    """Return a continuous column with a share of missing values."""
    gone = int(rng.binomial(rows, missing)) if missing else 0
    there = rows - gone
    inner = np.diff([there * k // BINS for k in range(BINS + 1)])
    # The spaces between sorted rows, two of them outside, are Dirichlet(1, 1, ...).
    spaces = np.concatenate([[1], inner[:-1], [inner[-1] - 1], [1]]).astype(np.float64)
    drawn = rng.standard_gamma(spaces)
    shares = np.append(drawn / drawn.sum() * (1.0 - missing), missing)
    counts = (0, *inner.tolist(), 0, gone)
    profile = FeatureProfile(
        name=name, kind="numeric", counts=counts, edges=tuple(float(k) for k in range(1, BINS)),
        low=0.0, high=float(BINS),
    )  # fmt: skip
    return Column(_in_random_order(rng, profile), shares)


def category(rng: Random, name: str, rows: int, shares: tuple[float, ...]) -> Column:
    """Return a column of categories."""
    counts = rng.multinomial(rows, shares).tolist()
    profile = FeatureProfile(
        name=name, kind="category", counts=(*counts, 0, 0), categories=tuple(NAMES[: len(shares)])
    )
    return Column(_in_random_order(rng, profile), np.array([*shares, 0.0, 0.0]))


def _in_random_order(rng: Random, profile: FeatureProfile) -> FeatureProfile:
    bins = rng.permutation(np.repeat(np.arange(len(profile.counts)), profile.counts))
    return replace(profile, rows=measure_rows(profile, bins, 1))


def shifted(column: Column, mean: float = 0.0, spread: float = 1.0) -> Column:
    """Return a continuous column whose normal rows move by `mean` sd and stretch by `spread`."""
    inner = np.clip(np.cumsum(column.shares[:-1])[:-1], 1e-12, 1 - 1e-12)
    below = stats.norm.cdf((stats.norm.ppf(inner) - mean) / spread)
    shares = np.diff(np.concatenate([[0.0], below, [1.0]]))
    return Column(column.profile, np.append(shares, 0.0))


class Live:
    """Panes of many columns; one draw a pane for all columns of a width."""

    def __init__(self, columns: list[Column]) -> None:
        widths = [len(c.shares) for c in columns]
        groups = [[at for at, w in enumerate(widths) if w == width] for width in sorted({*widths})]
        self.groups = [(at, np.stack([columns[n].shares for n in at])) for at in groups]
        self.columns = len(columns)

    def pane(self, rng: Random, rows: int) -> Counts:
        """Return counts of a pane of `rows`, a column each."""
        found: Counts = [()] * self.columns
        for places, shares in self.groups:
            drawn = rng.multinomial(rows, shares).tolist()
            for at, counts in zip(places, drawn, strict=True):
                found[at] = tuple(counts)
        return found


class Chain:
    """AR(1) normal rows of many columns, [column, row]."""

    def __init__(self, rng: Random, columns: int, rho: float) -> None:
        self.rng, self.rho = rng, rho
        self.last = rng.standard_normal((columns, 1))

    def take(self, rows: int) -> Floats:
        """Return the next rows."""
        noise = self.rng.standard_normal((len(self.last), rows)) * (1 - self.rho**2) ** 0.5
        found, _ = lfilter([1.0], [1.0, -self.rho], noise, zi=self.rho * self.last)
        self.last = found[:, -1:]
        return np.asarray(found, dtype=np.float64)


def measured(name: str, values: list[Any] | Floats, kind: str = "numeric") -> FeatureProfile:
    """Return the profile of rows in their order, as a trainer makes it."""
    if kind == "numeric":
        numbers = np.asarray(values, dtype=np.float64)
        held = [None if v != v else v for v in numbers.tolist()]
        plain = numeric_profile(name, held)
        return replace(plain, rows=measure_rows(plain, numeric_bins(plain, numbers), 1))
    plain = category_profile(name, list(values))
    return replace(plain, rows=measure_rows(plain, other_bins(plain, list(values)), 1))


def panes_of(bins: list[Integers], widths: list[int], rows: int) -> Iterator[Counts]:
    """Yield counts of consecutive panes of `rows`, from each column's bins row by row."""
    panes = len(bins[0]) // rows
    by_column = []
    for column, width in zip(bins, widths, strict=True):
        at = column[: panes * rows] + np.repeat(np.arange(panes) * width, rows)
        by_column.append(np.bincount(at, minlength=panes * width).reshape(panes, width).tolist())
    for pane in range(panes):
        yield [tuple(column[pane]) for column in by_column]
