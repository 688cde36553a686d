"""How all columns of a pane differ from their reference, in a few operations over all of them.

Rule 1: `statistics`, column by column, is the definition; a law holds this equal to its last bit.
Rule 2: bins are padded on the right: a padded bin has no rows, and its term is 0. A sum is read
        where its column ends, so what comes behind can't touch it.
Rule 3: what the reference alone fixes is made once a profile, not once a pane.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from streamops.core.drift_plan import padded
from streamops.core.numeric import LN_2, Floats, Integers, chi2_sf, log
from streamops.core.packed import Flags
from streamops.core.statistics import EXACT_MAX, SMOOTHING
from streamops.values import FeatureProfile


class Distances(NamedTuple):
    """One column's distances, as `statistics` defines them; None where there is too little data.

    kl, ks, wasserstein  of numbers only; chi2, chi2_p of categories and booleans only
    """

    psi: float | None = None
    js: float | None = None
    kl: float | None = None
    ks: float | None = None
    wasserstein: float | None = None
    chi2: float | None = None
    chi2_p: float | None = None


class _Side(NamedTuple):
    """Counts of all columns, [column, bin], and what follows from them alone.

    rows, there    [column, 1] all rows, and those of all bins but the last
    shares         of all rows; smoothed: with half a row a bin, 1 where there is no bin
    distribution   share at or below the bin, of rows of all bins but the last
    """

    counts: Integers
    rows: Integers
    there: Integers
    shares: Floats
    smoothed: Floats
    distribution: Floats


class _Reference(NamedTuple):
    """What the columns' profiles fix; `last` is [column, 1], the number of a column's last bin."""

    last: Integers
    exists: Flags
    is_numeric: tuple[bool, ...]
    widths: Floats
    side: _Side


def distances_of(
    columns: tuple[FeatureProfile, ...], counts: Sequence[tuple[int, ...]]
) -> list[Distances]:
    """Return a pane's distances, column by column; its counts are laid out as the profiles."""
    if not columns:
        return []
    base = _reference(columns)
    for column, row in zip(columns, counts, strict=True):
        assert len(row) == len(column.counts), f"{len(row)} bins of {len(column.counts)}"
    live = _side(padded(counts, base.exists.shape[1]), base.last, base.exists)
    psi, kl, js = _divergences(base, live)
    ks, area = _gaps(base, live)
    statistic, degrees = _chi2(base, live)
    found = []
    some = ((live.rows > 0) & (base.side.rows > 0))[:, 0].tolist()
    values = ((live.there > 0) & (base.side.there > 0))[:, 0].tolist()
    for at, is_numeric in enumerate(base.is_numeric):
        if not some[at]:
            found.append(Distances())
            continue
        bounded = math.sqrt(min(max(js[at] / LN_2, 0.0), 1.0))
        if is_numeric:
            gap, moved = (ks[at], area[at]) if values[at] else (None, None)
            found.append(Distances(psi[at], bounded, max(0.0, kl[at]), gap, moved))
        else:
            df = degrees[at]
            p = chi2_sf(statistic[at], df) if df else 1.0
            found.append(Distances(psi[at], bounded, None, None, None, statistic[at], p))
    return found


@lru_cache(maxsize=256)
def _reference(columns: tuple[FeatureProfile, ...]) -> _Reference:
    width = max(len(column.counts) for column in columns)
    last = np.array([[len(column.counts) - 1] for column in columns], dtype=np.int64)
    exists = np.arange(width) <= last
    widths = np.zeros((len(columns), max(1, width - 3)))
    for at, column in enumerate(columns):
        if column.kind == "numeric":
            bounds = np.array([column.low, *column.edges, column.high], dtype=np.float64)
            widths[at, : len(bounds) - 1] = np.diff(bounds)
    assert bool(np.all(widths >= 0.0)), "low, edges and high must ascend"
    is_numeric = tuple(column.kind == "numeric" for column in columns)
    counts = padded([column.counts for column in columns], width)
    return _Reference(last, exists, is_numeric, widths, _side(counts, last, exists))


def _side(counts: Integers, last: Integers, exists: Flags) -> _Side:
    assert bool(np.all(counts >= 0)), "a count is negative"
    rows: Integers = np.add.reduce(counts, axis=1, keepdims=True)
    assert int(rows.max()) < EXACT_MAX, f"{int(rows.max())} rows, must be below 2^53"
    there = rows - np.take_along_axis(counts, last, axis=1)
    plain = counts.astype(np.float64)
    smoothed = (plain + SMOOTHING) / (rows + SMOOTHING * (last + 1))
    below = np.minimum(np.add.accumulate(counts, axis=1), there)
    return _Side(
        counts,
        rows,
        there,
        plain / np.maximum(rows, 1),
        np.where(exists, smoothed, 1.0),
        below.astype(np.float64) / np.maximum(there, 1),
    )


def _divergences(base: _Reference, live: _Side) -> list[list[float]]:
    """Sums of PSI, of KL and (nats) of JS."""
    p, q = live.smoothed, base.side.smoothed
    high, low = np.maximum(p, q), np.minimum(p, q)
    a, b = live.shares, base.side.shares
    middle = (a + b) * 0.5
    ratios = np.stack([high / low, p / q, _over(a, middle), _over(b, middle)])
    logs = log(ratios)
    terms = np.stack(
        [(high - low) * logs[0], p * logs[1], (a * logs[2] + b * logs[3]) * 0.5],
    )
    last = np.broadcast_to(base.last, (len(terms), *base.last.shape))
    sums = np.take_along_axis(np.add.accumulate(terms, axis=2), last, axis=2)
    found: list[list[float]] = sums[..., 0].tolist()
    return found


def _over(share: Floats, middle: Floats) -> Floats:
    present = share > 0.0
    return np.where(present, share, 1.0) / np.where(present, middle, 1.0)


def _gaps(base: _Reference, live: _Side) -> tuple[list[float], list[float]]:
    """KS and Wasserstein of the bins before the last."""
    gap = live.distribution - base.side.distribution
    largest = np.abs(gap).max(axis=1)
    if gap.shape[1] < 4:
        return largest.tolist(), [0.0] * len(largest)
    left, right = gap[:, :-3], gap[:, 1:-2]
    size = np.abs(left) + np.abs(right)
    crossed = (left * left + right * right) / np.where(size > 0.0, size, 1.0)
    area = np.where((left < 0.0) == (right < 0.0), size, crossed) * 0.5
    ends = np.maximum(base.last - 3, 0)
    sums = np.take_along_axis(np.add.accumulate(area * base.widths, axis=1), ends, axis=1)
    return largest.tolist(), sums[:, 0].tolist()


def _chi2(base: _Reference, live: _Side) -> tuple[list[float], list[int]]:
    """Pearson's statistic and its degrees of freedom; zeros where no column is a category."""
    if all(base.is_numeric):
        nothing = [0] * len(base.is_numeric)
        return [0.0] * len(nothing), nothing
    both = (live.counts + base.side.counts).astype(np.float64)
    used = both > 0.0
    gap = live.shares - base.side.shares
    scale = live.rows.astype(np.float64) * base.side.rows.astype(np.float64)
    terms = np.where(used, gap * gap / np.where(used, both, 1.0) * scale, 0.0)
    sums = np.add.accumulate(terms, axis=1)[:, -1]
    return sums.tolist(), (np.add.reduce(used.astype(np.int64), axis=1) - 1).tolist()
