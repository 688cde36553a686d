"""Bins that rose: an exact test of the panes since each start against all that came before.

Rule 1: only whole counts are compared, so nothing is assumed of shares: given how many rows of both
        sides are in a bin, which of them are the later ones is a draw without replacement.
Rule 2: a pane's tests share one unit of evidence: starts by weights that only the pane's number
        fixes, then the bins that may rise (`norms.liftable`) alike.
Rule 3: what rose by less than 2.5 standard deviations is no evidence and costs no logarithm.

A bin has x of the n rows since the start, and k of the m rows before it, the reference's among
them. Its upper tail is P(X >= x), X hypergeometric (Fisher's exact test, 1935). Ratios of its
neighbouring terms fall, so with r the first of them

    P(X >= x) <= P(X = x) / (1 - r),    r = k (n - x) / ((x + 1) (m - k + 1)),

and the evidence of a start is w (1 - r) / (P(X = x) bins). Without drift, rows independent, some
evidence of a pane reaches A with probability at most 1 / A: the weights add up to 1 (Bonferroni),
however panes and starts hang together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamops.core import cells
from streamops.core import starts as ages
from streamops.core.alternatives import Baseline
from streamops.core.cells import Block
from streamops.core.dirichlet import lgamma_half
from streamops.core.norms import LIFTABLE
from streamops.core.numeric import Floats, Integers, exp, log
from streamops.core.packed import Flags

# By age: a change is found by what came since it, and one pane alone says least.
WEIGHTS = (0, 2, 5, 5, 3, 1)
DEVIATIONS = 2.5
_EXPONENT_MAX = 700.0
_BY_AGE = np.array(WEIGHTS, dtype=np.int64)
# Log gammas of one more than K, x, k, F, n - x, m - k, T, n, m: the hypergeometric's term.
_SIGNS = (1.0, -1.0, -1.0, 1.0, -1.0, -1.0, -1.0, 1.0, 1.0)


class _Risen(NamedTuple):
    """Bins that rose since a start; arrays over them.

    x of n rows since it, k of m before it
    """

    slots: Integers
    streams: Integers
    x: Integers
    n: Integers
    k: Integers
    m: Integers


def evidence(base: Baseline, counts: Integers, rows: Integers, turn: ages.Turn) -> Floats:
    """Return the evidence of each start's best bin, [slot, stream]; 0 where none rose.

    counts, rows  by place: since each start, and last all live ones
    """
    found = np.zeros((ages.SLOTS, rows.shape[1]))
    for block in base.layout.blocks:
        is_tested = np.logical_or.reduce(base.is_exact[0, block.streams])
        risen = _risen(base, block, counts, rows) if is_tested else None
        if risen is not None:
            some = exp(np.minimum(_logs(base, risen, turn), _EXPONENT_MAX))
            np.maximum.at(found, (risen.slots, risen.streams), some)
    return found


def _risen(base: Baseline, block: Block, counts: Integers, rows: Integers) -> _Risen | None:
    """Find the bins of a block that may be tested and rose since a start."""
    own = cells.by_bin(block, counts)
    total = own[ages.SLOTS] + cells.by_bin(block, base.known)[0]
    may = (cells.by_bin(block, base.lifts)[0] < LIFTABLE) & (total > 0)
    bins, streams = np.nonzero(may & base.is_exact[0, block.streams])
    if not len(bins):
        return None
    x, both = own[: ages.SLOTS, bins, streams], total[bins, streams]
    streams = streams + block.streams.start
    n, all_ = rows[: ages.SLOTS, streams], rows[ages.SLOTS, streams] + base.known_rows[0, streams]
    slots, at = np.nonzero(_has_risen(*(part.astype(np.float64) for part in (x, n, both, all_))))
    if not len(slots):
        return None
    x, n = x[slots, at], n[slots, at]
    return _Risen(slots, streams[at], x, n, both[at] - x, all_[at] - n)


def _has_risen(x: Floats, n: Floats, both: Floats, all_: Floats) -> Flags:
    """Tell what rose by 2.5 standard deviations; in floats, as products of four counts are long."""
    # x of n less k of m, times n and m.
    gap = x * all_ - n * both
    spread = n * (all_ - n) * (both * (all_ - both) * (DEVIATIONS * DEVIATIONS))
    is_far: Flags = gap * gap * all_ >= spread
    is_far &= gap > 0.0
    return is_far


def _logs(base: Baseline, risen: _Risen, turn: ages.Turn) -> Floats:
    """Log of the evidence of each."""
    x, n, k, m = risen.x, risen.n, risen.k, risen.m
    both = x + k, n + m - x - k
    more = np.stack([both[0], x, k, both[1], n - x, m - k, n + m, n, m]) + 1
    gammas = lgamma_half(more + more, 2 * int(more.max()))
    term = np.zeros(len(x))
    for row, sign in zip(gammas, _SIGNS, strict=True):
        term += row * sign
    next_ = (k * (n - x).astype(np.float64)) / ((x + 1).astype(np.float64) * (m - k + 1))
    weights = _BY_AGE.take(turn.ages, mode="clip")
    shares = weights / np.add.reduce(weights, axis=1)[:, np.newaxis]
    share = shares[risen.streams if len(shares) > 1 else 0, risen.slots]
    found: Floats = log(share * (1.0 - next_)) - term - base.log_lifts[0, risen.streams]
    return found
