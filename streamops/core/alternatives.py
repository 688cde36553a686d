"""What shares may have become: the alternatives that `esr` weighs against the reference.

Rule 1: an alternative is fixed by the reference before the first live pane: any such choice keeps
        the bound, a better one only finds sooner.
Rule 2: what a start never changes (norms, log betas of parameters) is computed once, here.
Rule 3: streams of a part have one width; bins that don't exist have no rows and take no part.
Rule 4: streams lie as `cells` lays them out, and so do their parameters, one row for all starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamops.core import cells
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
from streamops.core.numeric import Floats, Integers, log
from streamops.core.ordered import sum_first
from streamops.core.packed import Flags

CONCENTRATIONS = (50, 1000)
LINEAR = 3
LIFT_WEIGHTS = (0.4, 0.4, 0.2)


@dataclass(frozen=True, eq=False)
class Baseline:
    """What the reference fixes; one row for all starts.

    layout     of the streams
    near       [k, cell] doubled parameters k p; prior: [1, cell] those of the prior, reference rows
               included; 2 in a bin that doesn't exist
    total, rows  [k, stream] and [1, stream]: their sums over bins that exist
    origin     [k, stream] log beta of k p
    weights    [linear, cell] log of the reference's shares; normal scores and their squares less
               the mean, 0 for categories
    lifts      [lift, cell] log of the norm of a lifted bin
    log_lifts  [1, stream] log of how many bins can be lifted: those of up to half the rows
    tilts      [score * theta, stream] log of the norm of tilted shares
    is_ordered [1, stream] bins have an order (numeric)
    dispersion [1, stream] c, at least 1
    known, known_rows  [1, cell] and [1, stream]: the reference's counts and rows
    is_exact   [1, stream] categories whose rows are independent: `rises` tests them
    tilted, lifted  the streams, without a gap, that hold all that are ordered, or aren't
    """

    layout: Layout
    near: Integers
    prior: Integers
    total: Integers
    rows: Integers
    origin: Floats
    weights: Floats
    lifts: Floats
    log_lifts: Floats
    tilts: Floats
    is_ordered: Flags
    dispersion: Floats
    known: Integers
    known_rows: Integers
    is_exact: Flags
    tilted: slice
    lifted: slice


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
        near.reshape(len(CONCENTRATIONS), -1),
        (prior + padding).transpose().reshape(1, -1),
        total,
        rows[np.newaxis],
        origin,
        weights.reshape(LINEAR, -1),
        lift_norms(p, exists).transpose(1, 2, 0).reshape(len(LIFTS), -1),
        log_count(liftable(p, exists))[np.newaxis],
        tilt_norms(p, tilted).transpose(1, 2, 0).reshape(2 * len(TILTS), -1),
        ordered[np.newaxis],
        c[np.newaxis],
        counts.transpose().reshape(1, -1),
        np.add.reduce(counts, axis=1)[np.newaxis],
        (~ordered & (c == 1.0))[np.newaxis],
        _span(ordered),
        _span(~ordered),
    )


def together(parts: Sequence[Baseline]) -> Baseline:
    """Return the streams of baselines behind each other, as parts of one."""
    if len(parts) == 1:
        return parts[0]
    layout = cells.layout_of(tuple(shape for part in parts for shape in part.layout.shapes))
    assert all(len(part.layout.shapes) == 1 for part in parts), "a baseline of more than one part"

    def by_stream(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts], axis=-1)

    def by_cell(name: str) -> Any:
        return cells.side_by_side(layout, [getattr(part, name) for part in parts])

    ordered: Flags = by_stream("is_ordered")
    return Baseline(
        layout,
        by_cell("near"),
        by_cell("prior"),
        by_stream("total"),
        by_stream("rows"),
        by_stream("origin"),
        by_cell("weights"),
        by_cell("lifts"),
        by_stream("log_lifts"),
        by_stream("tilts"),
        ordered,
        by_stream("dispersion"),
        by_cell("known"),
        by_stream("known_rows"),
        by_stream("is_exact"),
        _span(ordered[0]),
        _span(~ordered[0]),
    )


def _span(has: Flags) -> slice:
    """From the first to the last that has it."""
    places = np.flatnonzero(has)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)
