"""How likely a pane's counts are under each alternative: sums over bins, for every start at once.

Rule 1: a sum over bins goes first to last; all that is summed over bins is one array, its rows the
        starts with each k p, the prior with all live rows, and what is linear in counts.
Rule 2: nothing here remembers a pane: counts since each start come in, log-likelihoods go out.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np

from streamops.core import cells
from streamops.core import starts as ages
from streamops.core.alternatives import CONCENTRATIONS, LIFT_WEIGHTS, LINEAR, Baseline
from streamops.core.dirichlet import lgamma_half
from streamops.core.norms import LIFTS, TILTS
from streamops.core.numeric import Floats, Integers, log, log_scalar

_TILTS = np.array(TILTS).reshape(-1, 1, 1)
_LOG_TILTS = log_scalar(2.0 * len(TILTS))
_LOG_LIFTS = log(np.array(LIFTS)).reshape(-1, 1, 1, 1)
_LOG_LIFT_WEIGHTS = log(np.array(LIFT_WEIGHTS)).reshape(-1, 1, 1, 1)
_NEAR = len(CONCENTRATIONS) * ages.SLOTS
# Rows that are added, looked up and summed at a time; they divide the slots, and `linear` fits.
_ROWS = 4


class Summed(NamedTuple):
    """Sums over bins.

    near    [k, slot, stream] log beta of k p and counts, less what it is without counts: counts C
            against parameters a have probability exp(log_beta(a + C) - log_beta(a)) in their order
            (Polya's urn)
    now     [stream] log beta of the prior, the reference and all live rows
    linear  [linear, stream] of one pane: log-likelihood's part, and both scores
    """

    near: Floats
    now: Floats
    linear: Floats


def summed(base: Baseline, counts: Integers, rows: Integers, pane: Integers) -> Summed:
    """Sum over bins; counts and rows by place, the pane's counts one row."""
    slots, width, doubled = ages.SLOTS, rows.shape[1], counts + counts
    total, twice = np.empty((_NEAR + 1, width), dtype=np.int64), rows + rows
    for k in range(len(CONCENTRATIONS)):
        np.add(twice[:slots], base.total[k], out=total[k * slots : (k + 1) * slots])
    np.add(twice[slots:], base.rows, out=total[_NEAR:])
    # No parameter of a bin is above its stream's sum, or it is padding.
    most = int(np.maximum.reduce(total, axis=None, initial=1))
    found = np.empty((_NEAR + 1, width))
    # Some rows at a time, in the same memory: it stays in the processor's cache.
    added, terms = np.empty((_ROWS, counts.shape[1]), np.int64), np.empty((_ROWS, counts.shape[1]))
    for k, first in product(range(len(CONCENTRATIONS)), range(0, slots, _ROWS)):
        np.add(doubled[first : first + _ROWS], base.near[k], out=added)
        at = k * slots + first
        cells.sums(base.layout, lgamma_half(added, most, terms), found[at : at + _ROWS])
    np.add(doubled[slots:], base.prior, out=added[:1])
    cells.sums(base.layout, lgamma_half(added[:1], most, terms[:1]), found[_NEAR:])
    found -= lgamma_half(total, most)
    near = found[:_NEAR].reshape(len(CONCENTRATIONS), slots, width)
    near -= base.origin[:, np.newaxis]
    linear = cells.sums(base.layout, np.multiply(base.weights, pane, out=terms[:LINEAR]))
    return Summed(near, found[_NEAR], linear)


def first_beta(base: Baseline) -> Floats:
    """Log beta of the prior and the reference, [stream]."""
    most = int(np.maximum.reduce(base.rows, axis=None, initial=1))
    found = cells.sums(base.layout, lgamma_half(base.prior, most))
    found -= lgamma_half(base.rows, most)
    only: Floats = found[0]
    return only


def best_of(base: Baseline, counts: Integers, rows: Integers, linear: Floats) -> Floats:
    """Log-likelihood over p of a stream's best tilt or lift, less the log of how many it has.

    counts, rows  by place; linear: [linear, slot, stream]; returned: [slot, stream]
    """
    found, each = np.empty(linear.shape[1:]), rows[: ages.SLOTS].astype(np.float64)
    tilted, lifted = base.tilted, base.lifted
    if tilted.stop:
        found[:, tilted] = _tilted(base, linear[1:, :, tilted], each[:, tilted])
    if lifted.stop:
        most = _lifted(base, counts, each)
        if tilted.stop > lifted.start:
            most = np.where(base.is_ordered[:, lifted], found[:, lifted], most)
        found[:, lifted] = most
    return found


def _tilted(base: Baseline, linear: Floats, rows: Floats) -> Floats:
    """[slot, stream] of the streams that are ordered."""
    each = linear[:, np.newaxis] * _TILTS
    norms = base.tilts[:, base.tilted].reshape(len(linear), len(TILTS), 1, -1)
    each -= rows * norms
    found: Floats = np.maximum.reduce(each, axis=(0, 1)) - _LOG_TILTS
    return found


def _lifted(base: Baseline, counts: Integers, rows: Floats) -> Floats:
    """[slot, stream] of the streams that aren't."""
    begin, end = base.lifted.start, base.lifted.stop
    found = np.empty((len(rows), end - begin))
    for block in base.layout.blocks:
        first, last = max(block.streams.start, begin), min(block.streams.stop, end)
        if first >= last:
            continue
        own = slice(first - block.streams.start, last - block.streams.start)
        each = cells.by_bin(block, counts)[: ages.SLOTS, :, own] * _LOG_LIFTS
        norms = cells.by_bin(block, base.lifts)[:, np.newaxis, :, own]
        each -= rows[:, np.newaxis, first:last] * norms
        each += _LOG_LIFT_WEIGHTS
        best = np.maximum.reduce(np.maximum.reduce(each, axis=0), axis=1)
        found[:, first - begin : last - begin] = best
    found -= base.log_lifts[:, base.lifted]
    return found
