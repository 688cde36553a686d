"""What shares may have become: the alternatives that `esr` weighs against the reference.

Rule 1: an alternative is fixed by the reference before the first live pane: any such choice keeps
        the bound, a better one only finds sooner.
Rule 2: what a start never changes (norms, log betas of parameters) is computed once, here.
Rule 3: streams have one width; bins that don't exist have no rows and take no part.
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
_LOG_LIFTS = log(np.array(LIFTS)).reshape(-1, 1, 1)
_LOG_LIFT_WEIGHTS = log(np.array(LIFT_WEIGHTS)).reshape(-1, 1, 1)


class Baseline(NamedTuple):
    """What the reference fixes; arrays over streams.

    prior      [stream, bin] doubled parameters of the shares' prior, reference rows included
    shares     log of the reference's shares
    near       [stream, k, bin] doubled parameters k p; total, origin: their sum and log beta
    lifts      [stream, lift, 1, bin] log of the norm of a lifted bin; tilts: of tilted shares
    log_lifts  [stream, 1] log of how many bins can be lifted: those of up to half the rows
    scores     [stream, 2, bin] normal scores and their squares less the mean; 0 for categories
    is_ordered bins have an order (numeric)
    exists     1 where a bin isn't padding
    dispersion c, at least 1
    """

    prior: Integers
    shares: Floats
    near: Integers
    total: Integers
    origin: Floats
    lifts: Floats
    log_lifts: Floats
    tilts: Floats
    scores: Floats
    is_ordered: Flags
    exists: Integers
    dispersion: Floats


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
    total = np.add.reduce(near, axis=2)
    near = near + 2 * (1 - exists[:, np.newaxis])
    scores = _scores(p, ordered)
    return Baseline(
        prior,
        log(np.where(exists > 0, p, 1.0)),
        near,
        total,
        log_beta(near, np.maximum(total, 1)),
        _lift_norms(p, exists),
        _log_count(_liftable(p, exists)),
        _norms(p, scores),
        scores,
        ordered,
        exists,
        c,
    )


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
    return log(np.add.reduce(liftable.astype(np.int64), axis=1).astype(np.float64))[:, np.newaxis]


def _norms(p: Floats, scores: Floats) -> Floats:
    """Log of the norm of p tilted by each theta on each score: [stream, score, theta]."""
    tilted = exp(scores[:, :, np.newaxis] * _TILTS[..., 0]) * p[:, np.newaxis, np.newaxis]
    return log(np.maximum(sum_last(tilted), _TINY))


def linear_sums(base: Baseline, counts: Integers) -> Floats:
    """What log-likelihoods are linear in: log shares, and both scores: [stream, 3], one pane."""
    weights = np.concatenate([base.shares[:, np.newaxis], base.scores], axis=1)
    return dot_last(counts[:, np.newaxis].astype(np.float64), weights)


def log_likelihoods(base: Baseline, counts: Integers, linear: Floats) -> Floats:
    """Log-likelihood of counts since each start, [stream, slot, k or best tilt], by alternative.

    linear  their `linear_sums`, [stream, slot, 3]
    """
    rows: Integers = np.add.reduce(counts, axis=2)
    doubled = base.near[:, np.newaxis] + (2 * counts)[:, :, np.newaxis]
    total = base.total[:, np.newaxis] + 2 * rows[..., np.newaxis]
    spread = log_beta(doubled, total) - base.origin[:, np.newaxis]
    best = linear[..., 0] + _alternatives(base, counts, linear, rows)
    return np.concatenate([spread, best[..., np.newaxis]], axis=2)


def log_beta_of(base: Baseline, live: Integers) -> Floats:
    """Log beta of the prior, the reference and these live rows: [stream]."""
    doubled = base.prior + 2 * live
    return log_beta(doubled + 2 * (1 - base.exists), np.add.reduce(doubled, axis=1))


def _alternatives(base: Baseline, c: Integers, linear: Floats, rows: Integers) -> Floats:
    """Log-likelihood over p of a stream's best tilt, less the log of how many it has."""
    if base.is_ordered.all():
        return _tilted(base, linear, rows)
    if not base.is_ordered.any():
        return _lifted(base, c, rows)
    ordered = base.is_ordered[:, np.newaxis]
    return np.where(ordered, _tilted(base, linear, rows), _lifted(base, c, rows))


def _tilted(base: Baseline, linear: Floats, rows: Integers) -> Floats:
    best = [
        linear[..., score + 1] * _TILTS - rows * base.tilts[:, np.newaxis, score].transpose(2, 0, 1)
        for score in range(base.scores.shape[1])
    ]
    found: Floats = np.maximum(*best).max(axis=0) - _LOG_TILTS
    return found


def _lifted(base: Baseline, c: Integers, rows: Integers) -> Floats:
    gains = c[:, np.newaxis] * _LOG_LIFTS
    each = gains - rows[:, np.newaxis, :, np.newaxis] * base.lifts + _LOG_LIFT_WEIGHTS
    found: Floats = each.max(axis=1).max(axis=2) - base.log_lifts
    return found
