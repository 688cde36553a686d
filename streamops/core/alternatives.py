"""What shares may have become: the alternatives that `esr` weighs against the reference.

Rule 1: an alternative is fixed by the reference before the first live pane: any such choice keeps
        the bound, a better one only finds sooner.
Rule 2: what a start never changes (norms, log betas of parameters) is computed once, here.
Rule 3: streams have one width; bins that don't exist have no rows and take no part.
Rule 4: streams lie on the last axis, side by side: what is done to all of them is one call, and
        what is summed over bins is summed in the bins' order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamops.core.dirichlet import log_beta
from streamops.core.normal import bin_scores
from streamops.core.numeric import Floats, Integers, exp, log, log_scalar
from streamops.core.ordered import dot_last, sum_last
from streamops.core.packed import Flags

CONCENTRATIONS = (50, 1000)
TILTS = (0.1, 0.2, 0.4, -0.1, -0.2, -0.4)
LINEAR = 3
LIFTS = (3.0, 1.7, 0.5)
LIFT_WEIGHTS = (0.4, 0.4, 0.2)
_TILTS = np.array(TILTS).reshape(-1, 1, 1)
_NEVER = 1e9
_TINY = float.fromhex("0x1p-1000")
_LOG_TILTS = log_scalar(2.0 * len(TILTS))
_LOG_LIFTS = log(np.array(LIFTS)).reshape(-1, 1, 1, 1)
_LOG_LIFT_WEIGHTS = log(np.array(LIFT_WEIGHTS)).reshape(-1, 1, 1, 1)


class Baseline(NamedTuple):
    """What the reference fixes; a 1 is the place of starts.

    prior      [bin, stream] doubled parameters of the shares' prior, reference rows included
    rows       [stream] their sum over bins that aren't padding
    weights    [linear, stream, bin] log of the reference's shares; normal scores and their squares
               less the mean, 0 for categories
    near       [bin, k, 1, stream] doubled parameters k p; total, origin: [k, 1, stream] their sum
               and log beta
    lifts      [lift, bin, 1, stream] log of the norm of a lifted bin
    log_lifts  [stream] log of how many bins can be lifted: those of up to half the rows
    tilts      [score, theta, 1, stream] log of the norm of tilted shares
    is_ordered [stream] bins have an order (numeric)
    dispersion [stream] c, at least 1
    """

    prior: Integers
    rows: Integers
    weights: Floats
    near: Integers
    total: Integers
    origin: Floats
    lifts: Floats
    log_lifts: Floats
    tilts: Floats
    is_ordered: Flags
    dispersion: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """How many streams there are, of how many bins."""
        bins, streams = self.prior.shape
        return streams, bins


def baseline(
    reference: Sequence[Sequence[int]],
    is_ordered: Sequence[bool],
    dispersion: Sequence[float] | None = None,
) -> Baseline:
    """Return what reference counts fix. Streams may differ in bins.

    Ordered streams are a numeric profile without its missing bin: [below low, inner, above high].
    """
    bins = max((len(row) for row in reference), default=1)
    counts = np.zeros((len(reference), bins), dtype=np.int64)
    exists = np.zeros((len(reference), bins), dtype=np.int64)
    for stream, row in enumerate(reference):
        counts[stream, : len(row)], exists[stream, : len(row)] = row, 1
    ordered = np.array(is_ordered, dtype=np.bool_)
    c = np.ones(len(counts)) if dispersion is None else np.array(dispersion, dtype=np.float64)
    assert bool(np.all(c >= 1.0)), "a dispersion below 1"
    prior = np.where(exists > 0, counts * 2 + 1, 0)
    p = prior / np.maximum(np.add.reduce(prior, axis=1), 1)[:, np.newaxis]
    near = np.rint(p[:, np.newaxis] * (2.0 * np.array(CONCENTRATIONS))[:, np.newaxis])
    near = np.where(exists[:, np.newaxis] > 0, np.maximum(near, 1.0), 0.0).astype(np.int64)
    total = np.add.reduce(near, axis=2).transpose()[:, np.newaxis]
    near = (near + 2 * (1 - exists[:, np.newaxis])).transpose(2, 1, 0)[:, :, np.newaxis]
    scores = _scores(p, ordered)
    shares = log(np.where(exists > 0, p, 1.0))
    found = Baseline(
        (prior + 2 * (1 - exists)).transpose(),
        np.add.reduce(prior, axis=1),
        np.concatenate([shares[:, np.newaxis], scores], axis=1).transpose(1, 0, 2),
        near,
        total,
        log_beta(near, np.maximum(total, 1)),
        _lift_norms(p, exists).transpose(1, 3, 2, 0),
        _log_count(_liftable(p, exists)),
        _norms(p, scores).transpose(1, 2, 0)[:, :, np.newaxis],
        ordered,
        c,
    )
    return Baseline._make(np.ascontiguousarray(part) for part in found)


def _scores(p: Floats, ordered: Flags) -> Floats:
    first = bin_scores(p)
    square = first * first
    second = square - dot_last(p, square)[:, np.newaxis]
    return np.stack([first, second], axis=1) * ordered[:, np.newaxis, np.newaxis]


def _lift_norms(p: Floats, exists: Integers) -> Floats:
    """Log of the norm of p with one bin lifted: [stream, lift, 1, bin]; huge for padding."""
    norms = log(1.0 + p[:, np.newaxis, np.newaxis] * (np.array(LIFTS).reshape(-1, 1, 1) - 1.0))
    return np.where(_liftable(p, exists)[:, np.newaxis, np.newaxis], norms, _NEVER)


def _liftable(p: Floats, exists: Integers) -> Flags:
    """Bins of up to half the rows: to lift a larger one is to lower the others."""
    is_alone = (np.add.reduce(exists, axis=1) == 1)[:, np.newaxis]
    found: Flags = (exists > 0) & ((p <= 0.5) | is_alone)
    return found


def _log_count(liftable: Flags) -> Floats:
    return log(np.add.reduce(liftable.astype(np.int64), axis=1).astype(np.float64))


def _norms(p: Floats, scores: Floats) -> Floats:
    """Log of the norm of p tilted by each theta on each score: [stream, score, theta]."""
    tilted = exp(scores[:, :, np.newaxis] * _TILTS[..., 0]) * p[:, np.newaxis, np.newaxis]
    return log(np.maximum(sum_last(tilted), _TINY))


def linear_sums(base: Baseline, counts: Integers) -> Floats:
    """What log-likelihoods are linear in: log shares, and both scores: [stream, 3], one pane."""
    return dot_last(counts, base.weights).transpose()


def log_likelihoods(base: Baseline, doubled: Integers, linear: Floats) -> Floats:
    """Log-likelihood of counts since each start, [k or best tilt, slot, stream], by alternative.

    doubled  twice the counts, [bin, slot, stream]; linear: their `linear_sums`, [3, slot, stream]
    """
    rows: Integers = np.add.reduce(doubled, axis=0)
    found = np.empty((len(CONCENTRATIONS) + 1, *rows.shape))
    found[:-1] = log_beta(base.near + doubled[:, np.newaxis], base.total + rows)
    found[:-1] -= base.origin
    found[-1] = linear[0] + _alternatives(base, doubled, linear)
    return found


def log_beta_of(base: Baseline, live: Integers) -> Floats:
    """Log beta of the prior, the reference and these live rows, [stream, bin]: [stream]."""
    doubled = 2 * live.transpose()
    return log_beta(base.prior + doubled, base.rows + np.add.reduce(doubled, axis=0))


def _alternatives(base: Baseline, doubled: Integers, linear: Floats) -> Floats:
    """Log-likelihood over p of a stream's best tilt, less the log of how many it has."""
    rows: Floats = np.add.reduce(doubled, axis=0) * np.float64(0.5)
    if base.is_ordered.all():
        return _tilted(base, linear, rows)
    lifted = _lifted(base, doubled * np.float64(0.5), rows)
    if not base.is_ordered.any():
        return lifted
    return np.where(base.is_ordered, _tilted(base, linear, rows), lifted)


def _tilted(base: Baseline, linear: Floats, rows: Floats) -> Floats:
    each = linear[1:, np.newaxis] * _TILTS
    each -= rows * base.tilts
    found: Floats = np.maximum.reduce(each, axis=(0, 1)) - _LOG_TILTS
    return found


def _lifted(base: Baseline, counts: Floats, rows: Floats) -> Floats:
    each = counts * _LOG_LIFTS
    each -= rows * base.lifts
    each += _LOG_LIFT_WEIGHTS
    found: Floats = np.maximum.reduce(each, axis=(0, 1)) - base.log_lifts
    return found
