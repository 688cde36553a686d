"""Bins that rose: an exact test of the panes since each start against all that came before.

Rule 1: only whole counts are compared, so nothing is assumed of shares: given how many rows of both
        sides are in a bin, which of them are the later ones is a draw without replacement.
Rule 2: a pane's tests share one unit of evidence: starts by weights that only the pane's number
        fixes, then the bins that may rise (`norms.liftable`) alike.
Rule 3: what rose by less than two standard deviations is no evidence and costs no logarithm.

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

# By age: a change is found by what came since it, and one pane alone says least.
_WEIGHTS = np.array([0, 2, 5, 5, 3, 1], dtype=np.int64)
_DEVIATIONS_2 = 4.0
_EXPONENT_MAX, _NOTHING = 700.0, -1000.0
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
    found = np.full((ages.SLOTS, rows.shape[1]), _NOTHING)
    for block in base.layout.blocks:
        if base.is_exact[0, block.streams].any():
            risen = _risen(base, block, counts, rows)
            if len(risen.x):
                np.maximum.at(found, (risen.slots, risen.streams), _logs(base, risen, turn))
    return exp(np.minimum(found, _EXPONENT_MAX))


def _risen(base: Baseline, block: Block, counts: Integers, rows: Integers) -> _Risen:
    """Find the bins of a block that may be tested and rose since a start."""
    own, known = cells.by_bin(block, counts), cells.by_bin(block, base.known)
    # Products of four counts are beyond 64 bits.
    x = own[: ages.SLOTS].astype(np.float64)
    both = (own[ages.SLOTS :] + known).astype(np.float64)
    n = rows[: ages.SLOTS, np.newaxis, block.streams].astype(np.float64)
    all_ = (rows[ages.SLOTS :] + base.known_rows)[:, np.newaxis, block.streams].astype(np.float64)
    k, m = both - x, all_ - n
    gap = x * m - k * n
    is_far = gap * gap * all_ >= n * m * both * (all_ - both) * _DEVIATIONS_2
    may = cells.by_bin(block, base.lifts)[:1] < LIFTABLE
    may = may & base.is_exact[:, np.newaxis, block.streams]
    slots, bins, streams = np.nonzero((gap > 0.0) & is_far & may)
    at = slots, bins, streams
    return _Risen(
        slots,
        streams + block.streams.start,
        *(part[at].astype(np.int64) for part in np.broadcast_arrays(x, n, k, m)),
    )


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
    weights = _WEIGHTS.take(turn.ages, mode="clip")
    shares = weights / np.add.reduce(weights, axis=1)[:, np.newaxis]
    share = shares[risen.streams if len(shares) > 1 else 0, risen.slots]
    found: Floats = log(share * (1.0 - next_)) - term - base.log_lifts[0, risen.streams]
    return found
