"""Statistics of a closed pane: how its counts differ from the reference's, and what they amount to.

Rule 1: counts come in, floats come out. `current` (p) and `reference` (q) are counts over the same
        bins; a different length is our own fault and an assertion.
Rule 2: too little data is None, never NaN and never 0: an empty side says nothing.
Rule 3: identical counts give exactly 0 for every distance here.
Rule 4: terms are summed from the first bin to the last, by `numeric` alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamops.core.numeric import LN_2, Floats, Integers, chi2_sf, log, ordered_sum

Counts = Sequence[int] | Integers

SMOOTHING = 0.5
EXACT_MAX = 1 << 53


class ChiSquared(NamedTuple):
    """A chi-squared statistic (0 up), its degrees of freedom, and its tail probability (0..1)."""

    statistic: float
    df: int
    p: float


def psi(current: Counts, reference: Counts) -> float | None:
    """Population stability index, nats: sum of (p - q) ln(p / q) over bins (Siddiqi 2006, ch. 9).

    It is the symmetric Kullback-Leibler divergence (Jeffreys 1946). Each count gets +0.5, so an
    empty bin counts as half a row and the index is finite: p = (count + 0.5) / (n + bins / 2).
    From 0 (equal shares) up; it has no upper bound but grows with the log of n.
    """
    p, q = _smoothed(current), _smoothed(reference)
    if p is None or q is None:
        return None
    high, low = np.maximum(p, q), np.minimum(p, q)
    # (p - q) and ln(p / q) have one sign, so the larger over the smaller makes each term >= 0
    # and the index symmetric to the last bit.
    return ordered_sum((high - low) * log(high / low))


def kl(current: Counts, reference: Counts) -> float | None:
    """Kullback-Leibler divergence D(p || q), nats: sum of p ln(p / q) (Kullback, Leibler 1951).

    Smoothed as `psi`. From 0 (equal shares) up; not symmetric.
    """
    p, q = _smoothed(current), _smoothed(reference)
    if p is None or q is None:
        return None
    return max(0.0, ordered_sum(p * log(p / q)))


def js(current: Counts, reference: Counts) -> float | None:
    """Jensen-Shannon distance: square root of the divergence in bits (Lin 1991; Endres, Schindelin
    2003, who show that the root is a metric).

    From 0 (equal shares) to 1 (no bin in common); symmetric. Not smoothed: 0 ln 0 is 0.
    """
    p, q = _shares(current), _shares(reference)
    if p is None or q is None:
        return None
    middle = (p + q) * 0.5
    terms = (_entropy_terms(p, middle) + _entropy_terms(q, middle)) * 0.5
    return math.sqrt(min(max(ordered_sum(terms) / LN_2, 0.0), 1.0))


def ks(current: Counts, reference: Counts) -> float | None:
    """Binned Kolmogorov-Smirnov statistic: largest gap between the two distribution functions at
    the bins' edges (Kolmogorov 1933, Smirnov 1939).

    From 0 (equal at every edge) to 1. It is at most the exact statistic, and short of it by at most
    the largest share that one bin has on both sides. The order of bins matters.
    """
    f, g = _distribution(current), _distribution(reference)
    if f is None or g is None:
        return None
    return float(np.max(np.abs(f - g)))


def wasserstein(
    current: Counts, reference: Counts, edges: Sequence[float], low: float, high: float
) -> float | None:
    """Wasserstein-1 distance, in the feature's unit: the area between the two distribution
    functions (Vallender 1974).

    Counts are laid out as a numeric profile without its last bin: [below low, bins cut by `edges`,
    above high]. Rows are taken as spread evenly in their bin, and rows outside low..high as lying
    on the bound they passed, so a shift beyond the reference's range is understated. From 0 to
    high - low.
    """
    assert len(current) == len(edges) + 3, f"{len(current)} counts for {len(edges)} interior edges"
    f, g = _distribution(current), _distribution(reference)
    if f is None or g is None:
        return None
    widths = np.diff(np.array([low, *edges, high], dtype=np.float64))
    assert bool(np.all(widths >= 0.0)), f"low {low}, edges and high {high} must ascend"
    gap = (f - g)[:-1]
    left, right = gap[:-1], gap[1:]
    size = np.abs(left) + np.abs(right)
    # Between two edges the gap is a line: a trapezoid, or two triangles where it crosses 0.
    crossed = (left * left + right * right) / np.where(size > 0.0, size, 1.0)
    area = np.where((left < 0.0) == (right < 0.0), size, crossed) * 0.5
    return ordered_sum(area * widths)


def chi2_two_sample(current: Counts, reference: Counts) -> ChiSquared | None:
    """Pearson's chi-squared test that both samples have one distribution (Numerical Recipes, 3rd
    ed., 14.3; the test of a 2 x bins contingency table).

    statistic  sum of (p - q)^2 n m / (count_p + count_q) over bins that are not empty on both
               sides; 0 for equal shares
    df         such bins less 1; with 0 nothing could differ, and p is 1
    p          P(statistic or more | equal distributions). It holds for independent rows only, from
               about 5 rows a bin up
    """
    p, q = _shares(current), _shares(reference)
    if p is None or q is None:
        return None
    a, b = _counts(current), _counts(reference)
    both = (a + b).astype(np.float64)
    used = both > 0.0
    gap = (p - q)[used]
    scale = float(_total(a)) * float(_total(b))
    statistic = ordered_sum(gap * gap / both[used] * scale)
    df = int(np.count_nonzero(used)) - 1
    return ChiSquared(statistic, df, chi2_sf(statistic, df) if df else 1.0)


def missing_rate(missing: int, n: int) -> float | None:
    """Share of `n` rows without a value, 0..1; None for no rows."""
    assert 0 <= missing <= n, f"{missing} missing of {n} rows"
    return missing / n if n else None


def new_category_rate(other: int, n: int) -> float | None:
    """Share of `n` present values that are no category of the reference, 0..1; None for none."""
    assert 0 <= other <= n, f"{other} new categories of {n} values"
    return other / n if n else None


def quantile_from_bins(
    counts: Counts,
    edges: Sequence[float],
    q: float,
    *,
    low: float | None = None,
    high: float | None = None,
) -> float | None:
    """The q-quantile (q 0..1) of binned values, in their unit; None for no values.

    The value below which a share q lies, linear inside its bin: its error is below the bin's width.
    len(edges) + 1 counts: up to the first edge, between edges, above the last. The outer bins reach
    to `low` and `high`; without these they give their edge, the nearest value that is known.
    """
    assert 0.0 <= q <= 1.0, f"q is {q}, must be 0..1"
    assert len(counts) == len(edges) + 1, f"{len(counts)} counts for {len(edges)} edges"
    found = _counts(counts)
    n = _total(found)
    if not n:
        return None
    bounds = [edges[0] if low is None else low, *edges, edges[-1] if high is None else high]
    reached = np.add.accumulate(found)
    target = q * n
    place = int(np.argmax((reached >= target) & (found > 0)))
    left, right = bounds[place], bounds[place + 1]
    inside = (target - float(reached[place] - found[place])) / float(found[place])
    return min(right, left + (right - left) * max(0.0, inside))


def mean_from_fixed(total: int, n: int, quantum: float) -> float | None:
    """Mean of `n` values whose fixed-point sum is `total` quanta; None for none.

    Python's division of integers of any size is correctly rounded, so the result has one rounding
    (two if the quantum is no power of two).
    """
    return int(total) / int(n) * quantum if n else None


def _counts(counts: Counts) -> Integers:
    found = np.asarray(counts, dtype=np.int64)
    assert bool(np.all(found >= 0)), "a count is negative"
    return found


def _total(counts: Integers) -> int:
    total = int(np.add.accumulate(counts)[-1]) if counts.size else 0
    assert total < EXACT_MAX, f"{total} rows, must be below 2^53"
    return total


def _shares(counts: Counts) -> Floats | None:
    """Share of each bin; None for no rows."""
    found = _counts(counts)
    n = _total(found)
    return found.astype(np.float64) / n if n else None


def _smoothed(counts: Counts) -> Floats | None:
    """Share of each bin with half a row added to each; None for no rows."""
    found = _counts(counts)
    n = _total(found)
    return (found.astype(np.float64) + SMOOTHING) / (n + SMOOTHING * found.size) if n else None


def _distribution(counts: Counts) -> Floats | None:
    """Share at or below the upper edge of each bin; None for no rows."""
    found = _counts(counts)
    n = _total(found)
    return np.add.accumulate(found).astype(np.float64) / n if n else None


def _entropy_terms(p: Floats, middle: Floats) -> Floats:
    """p ln(p / middle), 0 where p is 0."""
    present = p > 0.0
    return p * log(np.where(present, p, 1.0) / np.where(present, middle, 1.0))
