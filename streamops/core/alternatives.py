"""What shares may have become: the alternatives that `esr` weighs against the reference.

Rule 1: an alternative is fixed by the reference before the first live pane: any such choice keeps
        the bound, a better one only finds sooner.
Rule 2: what a start never changes (norms, log betas of parameters) is computed once, here.
Rule 3: streams of a part have one width; bins that don't exist have no rows and take no part.
Rule 4: bins and starts of all streams lie end to end, as `cells` lays them out, and so do their
        parameters: what is done to all of them is one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from streamops.core import cells
from streamops.core import starts as ages
from streamops.core.cells import Layout
from streamops.core.dirichlet import lgamma_half
from streamops.core.norms import (
    LIFTS,
    TILTS,
    lift_norms,
    liftable,
    log_count,
    scores,
    tilt_norms,
)
from streamops.core.numeric import Floats, Integers, log, log_scalar
from streamops.core.ordered import sum_first
from streamops.core.packed import Flags

CONCENTRATIONS = (50, 1000)
LINEAR = 3
LIFT_WEIGHTS = (0.4, 0.4, 0.2)
Number = TypeVar("Number", np.float64, np.int64)
_TILTS = np.array(TILTS).reshape(-1, 1)
_LOG_TILTS = log_scalar(2.0 * len(TILTS))
_LOG_LIFTS = log(np.array(LIFTS)).reshape(-1, 1)
_LOG_LIFT_WEIGHTS = log(np.array(LIFT_WEIGHTS)).reshape(-1, 1)


class Baseline(NamedTuple):
    """What the reference fixes. "Place" is one of `cells`: a start's, and last all live rows'.

    layout     of the streams
    near       [k, cell's place] doubled parameters k p; at the last place of the first k those of
               the prior, reference rows included
    total      [k, stream's place] their sum over bins that aren't padding
    origin     [k, stream's place] log beta of k p; 0 for the prior
    weights    [linear, cell] log of the reference's shares; normal scores and their squares less
               the mean, 0 for categories
    lifts      [lift, cell's place] log of the norm of a lifted bin
    log_lifts  [stream] log of how many bins can be lifted: those of up to half the rows
    tilts      [score, theta, stream's start] log of the norm of tilted shares
    is_ordered [stream] bins have an order (numeric)
    dispersion [stream] c, at least 1
    tilted, lifted  numbers of the parts, without a gap, that hold all that are ordered, or aren't
    """

    layout: Layout
    near: Integers
    total: Integers
    origin: Floats
    weights: Floats
    lifts: Floats
    log_lifts: Floats
    tilts: Floats
    is_ordered: Flags
    dispersion: Floats
    tilted: range
    lifted: range


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
    rows: Integers = np.add.reduce(prior, axis=1)
    p = prior / np.maximum(rows, 1)[:, np.newaxis]
    near = np.rint(p[:, np.newaxis] * (2.0 * np.array(CONCENTRATIONS))[:, np.newaxis])
    near = np.where(exists[:, np.newaxis] > 0, np.maximum(near, 1.0), 0.0).astype(np.int64)
    total = np.add.reduce(near, axis=2).transpose()
    padding = 2 * (1 - exists)
    near = (near + padding[:, np.newaxis]).transpose(1, 2, 0)
    first = lgamma_half(near, int(near.max(initial=1)))
    # The logarithm of a beta function: its gammas in the bins' order, over that of their sum.
    origin = sum_first(first.transpose(1, 0, 2)) - lgamma_half(
        np.maximum(total, 1), int(total.max(initial=1))
    )
    tilted = scores(p, ordered)
    shares = log(np.where(exists > 0, p, 1.0))
    weights = np.concatenate([shares[:, np.newaxis], tilted], axis=1).transpose(1, 2, 0)
    return Baseline(
        cells.layout_of((counts.shape,)),
        _placed(near, (prior + padding).transpose()),
        _placed(total, rows),
        _placed(origin, np.zeros(len(rows))),
        np.ascontiguousarray(weights.reshape(LINEAR, -1)),
        _placed(lift_norms(p, exists).transpose(1, 2, 0)),
        log_count(liftable(p, exists)),
        np.repeat(tilt_norms(p, tilted).transpose(1, 2, 0), ages.SLOTS, axis=-1),
        ordered,
        c,
        range(int(ordered.any())),
        range(int(not ordered.all())),
    )


def together(parts: Sequence[Baseline]) -> Baseline:
    """Return parts of one block each as one baseline, their streams behind each other."""
    if len(parts) == 1:
        return parts[0]
    layout = cells.layout_of(tuple(part.layout.shapes[0] for part in parts))
    arrays: Any = zip(*(part[1:-2] for part in parts), strict=True)
    tilted, lifted = (_span([bool(part[at]) for part in parts]) for at in (-2, -1))
    fields = (np.concatenate(field, axis=-1) for field in arrays)
    return Baseline._make((layout, *fields, tilted, lifted))


def _span(has: list[bool]) -> range:
    """From the first to the last that has it."""
    places = [at for at, one in enumerate(has) if one]
    return range(places[0], places[-1] + 1) if places else range(0)


def _placed(values: NDArray[Number], last: NDArray[Number] | None = None) -> NDArray[Number]:
    """Give each bin and stream, all axes but the first, its value at all of its places.

    last  what the first row has at the last place instead
    """
    found = np.repeat(values.reshape(len(values), -1), cells.PLACES, axis=-1)
    if last is not None:
        found[0, cells.PLACES - 1 :: cells.PLACES] = last.ravel()
    return found


def linear_sums(base: Baseline, pane: Integers) -> Floats:
    """What log-likelihoods are linear in: log shares, and both scores: [stream, 3], one pane.

    pane  counts by cell
    """
    terms = base.weights * pane.astype(np.float64)
    found = np.empty((base.layout.first[-1], LINEAR))
    for (streams, bins), first, cell in zip(
        base.layout.shapes, base.layout.first, base.layout.cell, strict=False
    ):
        part = terms[:, cell : cell + streams * bins].reshape(LINEAR, bins, streams)
        found[first : first + streams] = sum_first(part.transpose(1, 2, 0))
    return found


def log_betas(base: Baseline, counts: Integers, rows: Integers) -> Floats:
    """Log beta of parameters and counts, [k, stream's place], less what it is without counts.

    At the last place of the first k: log beta of the prior, the reference and all live rows. Counts
    C against parameters a have probability exp(log_beta(a + C) - log_beta(a)) in their order:
    Polya's urn.
    """
    total = base.total + (rows + rows)
    # No parameter of a bin is above its stream's sum, or it is padding.
    most = int(np.maximum.reduce(total, axis=None, initial=1))
    doubled = counts + counts
    found = cells.sums(base.layout, base.near, doubled, lambda at: lgamma_half(at, most))
    found -= lgamma_half(total, most)
    found -= base.origin
    return found


def best_of(base: Baseline, counts: Integers, rows: Integers, linear: Floats) -> Floats:
    """Log-likelihood over p of a stream's best tilt or lift, less the log of how many it has.

    counts, rows  by place; linear: [linear, stream, slot]; returned: [stream, slot]
    """
    found, each = np.empty(linear.shape[1:]), rows.astype(np.float64)
    if base.tilted:
        at = slice(base.layout.first[base.tilted[0]], base.layout.first[base.tilted[-1] + 1])
        found[at] = _tilted(
            base, linear[1:, at], each.reshape(-1, cells.PLACES)[at, : ages.SLOTS], at
        )
    if base.lifted:
        at = slice(base.layout.first[base.lifted[0]], base.layout.first[base.lifted[-1] + 1])
        lifted = _lifted(base, counts, each)[:, : ages.SLOTS] - base.log_lifts[at, np.newaxis]
        mixed = base.tilted and base.tilted[-1] >= base.lifted[0]
        is_ordered = base.is_ordered[at, np.newaxis]
        found[at] = np.where(is_ordered, found[at], lifted) if mixed else lifted
    return found


def _tilted(base: Baseline, linear: Floats, rows: Floats, at: slice) -> Floats:
    each = linear.reshape(2, 1, -1) * _TILTS
    each -= rows.reshape(-1) * base.tilts[..., at.start * ages.SLOTS : at.stop * ages.SLOTS]
    found: Floats = np.maximum.reduce(each, axis=(0, 1)) - _LOG_TILTS
    return found.reshape(rows.shape)


def _lifted(base: Baseline, counts: Integers, rows: Floats) -> Floats:
    """[stream of those parts, place], not yet less the log of how many lifts there are."""
    layout, parts = base.layout, base.lifted
    at = slice(layout.cell[parts[0]] * cells.PLACES, layout.cell[parts[-1] + 1] * cells.PLACES)
    each = counts[at].astype(np.float64) * _LOG_LIFTS
    each -= rows.take(layout.owner[at]) * base.lifts[:, at]
    each += _LOG_LIFT_WEIGHTS
    best, found = np.maximum.reduce(each, axis=0), list[Floats]()
    for part in parts:
        _, bins = layout.shapes[part]
        own = slice(
            layout.cell[part] * cells.PLACES - at.start,
            layout.cell[part + 1] * cells.PLACES - at.start,
        )
        found.append(np.maximum.reduce(best[own].reshape(bins, -1), axis=0))
    return np.concatenate(found).reshape(-1, cells.PLACES)
