"""Scores of a pane: three numbers a numeric feature that say how it lies against the reference.

Rule 1: integers in, floats out. Only a pane's counts enter, so the order of its rows can't.
Rule 2: counts are [pane, feature, bin] or [feature, bin], bins in order, padded with zeros on the
        right to a common width. Rows without a value are not in them: missing is e-SR's.
Rule 3: the reference is judged by the same function as what is compared with it, each of its panes
        without its own share of the reference counts.
Rule 4: a feature that can't be scored says so (`usable`); e-SR takes it.

    mean    mean of the rows' normal scores: a shift
    spread  cube root of their mean square (Wilson, Hilferty 1931: squares are skewed, cube roots
            nearly normal): a change of scale
    shape   log of the two-sample Pearson X2 against the reference: what the others leave alone

Scores, not the pane's fixed-point sum, make the mean: they are bounded, so one wild row is one
row, and the spread of pane means exists whatever the column's tail. Twenty bins lose about 1 % of
a shift's information to exact values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamops.core.normal import bin_scores, cube_root
from streamops.core.numeric import Floats, Integers, log
from streamops.core.ordered import sum_last
from streamops.core.packed import Flags

DIRECTIONS = ("mean", "spread", "shape")
REFERENCE_PANES_MIN = 20
PANE_ROWS_MIN = 20
FILLED_BINS_MIN = 3
_X2_SHARE_MIN = 0.4
_ASYMPTOTIC = 8


class Scale(NamedTuple):
    """What the reference fixes for each feature; arrays over features.

    scores   [feature, bin] the normal score of a bin
    counts   [feature, bin] all reference rows; shares: of all rows, total
    rows     rows of a mean reference pane
    degrees  filled bins less one
    centre   [feature, direction] what a score is without drift, about
    noise    [feature, direction] variance of a score if rows were independent
    usable   at least 20 reference panes of 20 rows and 3 filled bins
    """

    scores: Floats
    counts: Integers
    shares: Floats
    total: Integers
    rows: Floats
    degrees: Floats
    centre: Floats
    noise: Floats
    usable: Flags


def lay_out(counts: Sequence[Sequence[int]]) -> Integers:
    """Return numeric profiles' counts as [feature, bin]: outer bins join their neighbours.

    Each is [below low, inner bins, above high, missing]; no reference row lies beyond low or high.
    """
    width = max((len(row) for row in counts), default=4) - 3
    found = np.zeros((len(counts), width), dtype=np.int64)
    for feature, row in enumerate(counts):
        found[feature, : len(row) - 3] = row[1:-2]
        found[feature, 0] += row[0]
        found[feature, len(row) - 4] += row[-2]
    return found


def scale_of(panes: Integers) -> Scale:
    """Return what reference panes, [pane, feature, bin], fix."""
    counts = np.add.reduce(panes, axis=0)
    total = np.add.reduce(counts, axis=1)
    scored = np.add.reduce((_rows(panes) >= PANE_ROWS_MIN).astype(np.int64), axis=0)
    filled = np.add.reduce((counts > 0).astype(np.int64), axis=1)
    shares = counts / np.maximum(total, 1)[:, np.newaxis]
    scores = bin_scores(shares)
    rows = total / np.maximum(np.add.reduce((_rows(panes) > 0).astype(np.int64), axis=0), 1)
    usable = (scored >= REFERENCE_PANES_MIN) & (filled >= FILLED_BINS_MIN)
    centre, noise = _moments(shares, scores, filled, rows)
    degrees = (filled - 1).astype(np.float64)
    return Scale(scores, counts, shares, total, rows, degrees, centre, noise, usable)


def _moments(
    shares: Floats, scores: Floats, filled: Integers, rows: Floats
) -> tuple[Floats, Floats]:
    square = scores * scores
    second = sum_last(shares * square)
    fourth = sum_last(shares * square * square)
    degrees = np.maximum(filled - 1, 1).astype(np.float64)
    safe = np.where(second > 0.0, second, 1.0)
    each = np.maximum(rows, 1.0)
    root = cube_root(safe)
    # Delta method for the cube root: variance of the mean square over 9 second^(4/3).
    spread = np.maximum(fourth - second * second, 0.0) / (9.0 * safe * root * each)
    centre = np.stack([np.zeros_like(second), cube_root(second), log(degrees)], axis=-1)
    return centre, np.stack([second / each, spread, _trigamma(degrees * 0.5)], axis=-1)


def score(scale: Scale, counts: Integers, *, inside: bool = False) -> Floats:
    """Return [feature, direction] scores of one pane, or of many ([pane, feature, bin]).

    inside  the pane is part of the reference: it is compared with the rest of it

    A pane thinner than the reference's is noisier: its mean and spread are shrunk by the root of
    its share of rows, so that each pane is measured in about its own error. A thicker one is left
    as it is: if rows depend on each other, more rows bring less than they seem to.
    """
    n = _rows(counts)
    each = np.maximum(n, 1).astype(np.float64)
    rest, shares, m = scale.counts, scale.shares, scale.total
    if inside:
        rest = rest - counts
        m = _rows(rest)
        shares = rest / np.maximum(m, 1)[..., np.newaxis]
    terms = np.empty((3, *counts.shape))
    np.multiply(counts, scale.scores, out=terms[0])
    np.multiply(terms[0], scale.scores, out=terms[1])
    # Pearson's X2 of both sides over bins that are filled on either; elsewhere there is no gap.
    gap = np.divide(counts, each[..., np.newaxis], out=terms[2])
    gap -= shares
    gap *= gap
    gap /= np.maximum(counts + rest, 1)
    sums = sum_last(terms)
    sums[:2] /= each
    x2 = sums[2] * n * m
    thin = np.sqrt(np.minimum(each / np.maximum(scale.rows, 1.0), 1.0))
    # Fits that are too good say nothing of drift, and their logarithms have a long tail.
    least = np.maximum(scale.degrees * _X2_SHARE_MIN, _X2_SHARE_MIN)
    found = np.empty((*n.shape, len(DIRECTIONS)))
    np.multiply(sums[0], thin, out=found[..., 0])
    np.multiply(cube_root(sums[1]) - scale.centre[:, 1], thin, out=found[..., 1])
    np.subtract(log(np.maximum(x2, least)), scale.centre[:, 2], out=found[..., 2])
    return found


def is_scored(scale: Scale, counts: Integers) -> Flags:
    """Tell which features have enough rows in a pane. Others let the pane pass unseen."""
    return scale.usable & (_rows(counts) >= PANE_ROWS_MIN)


def _rows(counts: Integers) -> Integers:
    found: Integers = np.add.reduce(counts, axis=-1)
    return found


def _trigamma(x: Floats) -> Floats:
    """Variance of the log of a gamma variable of this shape (Abramowitz, Stegun 6.4.12)."""
    total = np.zeros_like(x)
    for _ in range(_ASYMPTOTIC):
        total = total + 1.0 / (x * x)
        x = x + 1.0
    inverse = 1.0 / x
    square = inverse * inverse
    series = square * (1.0 / 6.0 - square * (1.0 / 30.0 - square * (1.0 / 42.0)))
    return total + inverse + square * 0.5 + inverse * series
