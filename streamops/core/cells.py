"""Counts of streams of several widths, end to end: what is done to all of them is one call.

Rule 1: streams come in parts of one width. A cell is a bin of a stream; the cells of a part lie bin
        by bin, its streams side by side, and a part lies behind the one before it.
Rule 2: a cell has `PLACES` places: the rows since each start, and last all live rows.
Rule 3: a sum over bins goes from the first to the last, whatever else lies beside it.
Rule 4: a layout follows from the parts' shapes alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from streamops.core.numeric import Floats, Integers
from streamops.core.starts import SLOTS, Turn

PLACES = SLOTS + 1

Shape = tuple[int, int]
Table = Callable[[Integers], Floats]


class Layout(NamedTuple):
    """Where things lie.

    shapes  streams and bins of each part; parts: its streams
    first, cell  numbers of its first stream and cell, behind the last part how many there are
    held    place among what states hold of each cell's places: all parts' [stream, start, bin],
            then all parts' [stream, bin] of all live rows; to_hold is the way back
    pane    place among a pane's counts, all parts' [stream, bin], of each cell
    owner   place among all streams' places of each cell's places
    bins    by part: its streams' places, and for each bin those of its cells
    """

    shapes: tuple[Shape, ...]
    parts: tuple[slice, ...]
    first: tuple[int, ...]
    cell: tuple[int, ...]
    held: Integers
    to_hold: Integers
    pane: Integers
    owner: Integers
    bins: tuple[tuple[slice, tuple[slice, ...]], ...]


@lru_cache(maxsize=64)
def layout_of(shapes: tuple[Shape, ...]) -> Layout:
    """Return the layout of parts of these streams and bins."""
    first = tuple(accumulate((streams for streams, _ in shapes), initial=0))
    cell = tuple(accumulate((streams * bins for streams, bins in shapes), initial=0))
    held, pane, owner, sums = [], [], [], []
    for at, (streams, bins) in enumerate(shapes):
        number = np.arange(cell[at], cell[at + 1]).reshape(streams, bins)
        inner = np.arange(streams * SLOTS * bins).reshape(streams, SLOTS, bins) + cell[at] * SLOTS
        both = np.concatenate([inner, number[:, np.newaxis] + cell[-1] * SLOTS], axis=1)
        held.append(both.transpose(2, 0, 1).ravel())
        pane.append(number.transpose().ravel())
        owner.append(np.tile(np.arange(first[at] * PLACES, first[at + 1] * PLACES), bins))
        ends = range(cell[at] * PLACES, cell[at + 1] * PLACES + 1, streams * PLACES)
        own = tuple(slice(*pair) for pair in pairwise(ends))
        sums.append((slice(first[at] * PLACES, first[at + 1] * PLACES), own))
    gathered = np.concatenate(held)
    return Layout(
        shapes,
        tuple(slice(*pair) for pair in pairwise(first)),
        first,
        cell,
        gathered,
        np.argsort(gathered),
        np.concatenate(pane),
        np.concatenate(owner),
        tuple(sums),
    )


def longer(layout: Layout, held: Integers, pane: Integers, turn: Turn) -> Integers:
    """Add a pane's counts, by cell, to all places of each; a start that died has none."""
    counts, added = held.take(layout.held), np.repeat(pane, PLACES)
    if len(turn.starts) > 1:
        counts &= _everywhere(turn.old).take(layout.owner)
        added &= _everywhere(turn.lives).take(layout.owner)
        counts += added
        return counts
    counts += added
    by_cell, opened = counts.reshape(-1, PLACES), int(turn.opened[0])
    by_cell[:, opened] = pane
    for slot in np.flatnonzero(turn.starts[0] == 0).tolist():
        by_cell[:, slot] = 0
    return counts


def _everywhere(mask: Floats) -> Integers:
    """Return 0 or all bits set for each stream's places; the last is always there."""
    found = np.full((len(mask), PLACES), -1, dtype=np.int64)
    found[:, :SLOTS] = -mask.astype(np.int64)
    return found


def sums(layout: Layout, near: Integers, counts: Integers, table: Table) -> Floats:
    """Sum what a table says of parameters and counts over bins, [k, stream's place].

    near  [k, cell's place]; counts: [cell's place]
    """
    found = np.empty((len(near), layout.first[-1] * PLACES))
    for streams, bins in layout.bins:
        at, width = slice(bins[0].start, bins[-1].stop), streams.stop - streams.start
        # Bin by bin, all k of a bin together.
        added = near[:, at].reshape(len(near), len(bins), width)
        by_bin = table(added.transpose(1, 0, 2) + counts[at].reshape(len(bins), 1, width))
        total = by_bin[0]
        for one in by_bin[1:]:
            total += one
        found[:, streams] = total
    return found


def rows(layout: Layout, counts: Integers) -> Integers:
    """Return the rows of each stream's places."""
    found = np.empty(layout.first[-1] * PLACES, dtype=np.int64)
    for streams, bins in layout.bins:
        part = counts[bins[0].start : bins[-1].stop].reshape(len(bins), -1)
        np.add.reduce(part, axis=0, out=found[streams])
    return found
