"""Dependence of rows, measured on the reference: which test a feature can have.

Rule 1: consecutive panes of the reference are judged, each scale made of the last by merging two.
Rule 2: a feature counts as independent only if no scale says otherwise; then `esr` may take its
        rows one by one. Any other is `tsr`'s, whose observation is the pane.
Rule 3: what is reported here is for people too: how many rows stand for one independent row.

For m panes of n rows with the scores a of a reference, c = sum (pane mean)^2 / (m - 1) over what
independent rows give, variance / n. Three means are judged: the score's, its square's, and (the
only one for categories) Pearson's X2 of the pane against the reference. Independent rows have c of
mean 1 and a standard error of sqrt(2 / (df (m - 1))), df being the bins less one for X2, else 1.
Rare bins make X2 vary more, by (sum 1 / share - bins^2 - 2 bins + 2) / n over 2 df (Haldane,
Biometrika 29, 1937), and skew it: with 1 % of rows missing, one reference of 200 would look
dependent.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from streamops.core.normal import bin_scores
from streamops.core.numeric import Floats, Integers
from streamops.core.ordered import dot_last
from streamops.core.packed import Flags

PANES_MIN = 20
SURE = 3.5
_DETECTABLE = 30.0


class Dependence(NamedTuple):
    """Arrays over features.

    is_independent  no dispersion is 3.5 standard errors above 1, rare bins minded, and some could
                    be judged
    dispersion      the largest c of any scale, at least 1
    upper           the largest c plus two standard errors of its scale, at least 1
    lag_1           correlation of one pane's mean score with the next one's
    """

    is_independent: Flags
    dispersion: Floats
    upper: Floats
    lag_1: Floats


def measure(panes: Integers, is_ordered: Flags) -> Dependence:
    """Judge consecutive reference panes of about equal rows, [pane, feature, bin]."""
    shares, scores = _judged(panes, is_ordered)
    lag = lag_1(_means(panes, scores))
    found = np.ones(len(shares), dtype=np.bool_) & (len(panes) >= PANES_MIN)
    largest, upper = np.ones(len(shares)), np.ones(len(shares))
    while len(panes) >= PANES_MIN:
        for c, error, wide in _dispersions(panes, shares, scores):
            found = found & (c <= 1.0 + SURE * error * wide)
            largest = np.maximum(largest, c)
            upper = np.maximum(upper, c * (1.0 + 2.0 * error))
        even = len(panes) // 2 * 2
        panes = panes[:even:2] + panes[1:even:2]
    return Dependence(found, largest, upper, lag)


def mean_scores(panes: Integers) -> Floats:
    """Return each pane's mean score of ordered features alone, [pane, feature, bin]."""
    _, scores = _judged(panes, np.ones(panes.shape[1], dtype=np.bool_))
    return _means(panes, scores)


def score_variance(panes: Integers) -> Floats:
    """Return the variance of one row's score, of ordered features, [feature]."""
    shares, scores = _judged(panes, np.ones(panes.shape[1], dtype=np.bool_))
    return dot_last(shares, scores * scores)


def _judged(panes: Integers, is_ordered: Flags) -> tuple[Floats, Floats]:
    """Shares of all panes together, and the scores of their bins; 0 for categories."""
    counts: Integers = np.add.reduce(panes, axis=0)
    total = np.maximum(np.add.reduce(counts, axis=1), 1)
    shares = counts / total[:, np.newaxis]
    return shares, bin_scores(shares) * is_ordered[:, np.newaxis]


def detectable_shift(rows: int, dispersion: float) -> float:
    """Return the smallest shift, in standard deviations, that a reference of `rows` can show.

    Detection needs 1 / n_ref + 1 / n_live <= shift^2 / (30 c); this is its limit for a long wait.
    """
    assert rows > 0, "a reference of no rows shows no shift"
    return math.sqrt(_DETECTABLE * dispersion / rows)


def _dispersions(
    panes: Integers, shares: Floats, scores: Floats
) -> list[tuple[Floats, Floats, Floats]]:
    """c and its standard error for each mean of this scale; 1 and 0 where it says nothing.

    The third is by how much rare bins widen the error, at least 1.
    """
    pairs = max(len(panes) - 1, 1)
    square = scores * scores
    second = dot_last(shares, square)
    fourth = dot_last(shares, square * square) - second * second
    error, plain = math.sqrt(2.0 / pairs), np.ones(len(shares))
    found = [
        (_over(_spread(panes, scores, None), second, pairs), plain * error, plain),
        (_over(_spread(panes, square, second), fourth, pairs), plain * error, plain),
    ]
    degrees: Integers = np.add.reduce((shares > 0.0).astype(np.int64), axis=1) - 1
    safe = np.maximum(degrees, 1).astype(np.float64)
    n = np.add.reduce(panes, axis=2)
    expected = shares * n[..., np.newaxis]
    gap = panes - expected
    terms = np.where(expected > 0.0, gap * gap / np.where(expected > 0.0, expected, 1.0), 0.0)
    x2 = np.add.accumulate(dot_last(terms, np.ones(terms.shape[-1])), axis=0)[-1]
    c = np.where(degrees > 0, x2 / (pairs * safe), 1.0)
    rows = np.add.reduce(n, axis=0) / np.maximum(len(panes), 1)
    return [*found, (c, error / np.sqrt(safe), _widened(shares, safe, rows))]


def _widened(shares: Floats, degrees: Floats, rows: Floats) -> Floats:
    """By how much the variance of X2 in panes of so many rows is above that of its limit.

    The error grows by the root of it alone, but rare bins also skew X2: by as much as that again.
    """
    there, bins = shares > 0.0, degrees + 1.0
    inverse = np.where(there, 1.0 / np.where(there, shares, 1.0), 0.0)
    rare = dot_last(inverse, np.ones(inverse.shape[-1])) - bins * bins - 2.0 * bins + 2.0
    share = rare / (np.maximum(rows, 1.0) * 2.0 * degrees)
    return 1.0 + np.maximum(share, 0.0)


def _spread(panes: Integers, scores: Floats, centre: Floats | None) -> Floats:
    """Sum over panes of n (mean - centre)^2."""
    means = _means(panes, scores) - (0.0 if centre is None else centre)
    n = np.add.reduce(panes, axis=2)
    found: Floats = np.add.accumulate(means * means * n, axis=0)[-1]
    return found


def _means(panes: Integers, scores: Floats) -> Floats:
    n = np.maximum(np.add.reduce(panes, axis=2), 1)
    found: Floats = dot_last(panes.astype(np.float64), scores) / n
    return found


def _over(spread: Floats, variance: Floats, pairs: int) -> Floats:
    known = variance > 0.0
    return np.where(known, spread / (np.where(known, variance, 1.0) * pairs), 1.0)


def lag_1(means: Floats) -> Floats:
    """Correlation of each pane's mean score with the next one's, [pane, feature].

    0 for fewer than three panes or no spread.
    """
    if len(means) < 3:
        return np.zeros(means.shape[1])
    centred = means - np.add.accumulate(means, axis=0)[-1] / len(means)
    both = np.add.accumulate(centred[:-1] * centred[1:], axis=0)[-1]
    own = np.add.accumulate(centred * centred, axis=0)[-1]
    found: Floats = np.where(own > 0.0, both / np.where(own > 0.0, own, 1.0), 0.0)
    return found
