"""Counts of streams of several widths side by side: what is done to all of them is one call.

Rule 1: streams come in parts of one width; neighbouring parts of one width are a block. A cell is a
        bin of a stream. A block's cells lie bin by bin, its streams side by side, behind those of
        the block before it; so what is a stream's or a cell's own is a row of an array.
Rule 2: cells have `PLACES` rows: what was counted since each start, and last in all live panes.
Rule 3: a sum over bins goes from the first to the last, whatever else lies beside it.
Rule 4: a layout follows from the parts' shapes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, groupby, pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from streamops.core.numeric import Floats, Integers
from streamops.core.packed import integers, joined, pack
from streamops.core.starts import SLOTS, Turn

PLACES = SLOTS + 1

Shape = tuple[int, int]
Number = TypeVar("Number", np.float64, np.int64)


class Block(NamedTuple):
    """Neighbouring parts of one width: their numbers, their streams and cells."""

    parts: slice
    streams: slice
    cells: slice
    bins: int


class Layout(NamedTuple):
    """Where things lie.

    shapes  streams and bins of each part; parts: its streams
    streams, cells  how many there are
    """

    shapes: tuple[Shape, ...]
    parts: tuple[slice, ...]
    blocks: tuple[Block, ...]
    streams: int
    cells: int


@lru_cache(maxsize=256)
def layout_of(shapes: tuple[Shape, ...]) -> Layout:
    """Return the layout of parts of these streams and bins."""
    first = tuple(accumulate((streams for streams, _ in shapes), initial=0))
    blocks, part, cell = list[Block](), 0, 0
    for bins, same in groupby(bins for _, bins in shapes):
        end = part + len(list(same))
        streams = slice(first[part], first[end])
        width = (streams.stop - streams.start) * bins
        blocks.append(Block(slice(part, end), streams, slice(cell, cell + width), bins))
        part, cell = end, cell + width
    parts = tuple(slice(*pair) for pair in pairwise(first))
    return Layout(shapes, parts, tuple(blocks), first[-1], cell)


def by_bin(block: Block, rows: NDArray[Number]) -> NDArray[Number]:
    """A block's own of [row, cell], as [row, bin, stream]: a view."""
    return rows[:, block.cells].reshape(len(rows), block.bins, -1)


def side_by_side(layout: Layout, parts: Sequence[NDArray[Number]]) -> NDArray[Number]:
    """Join what parts have by cell, [row, cell]."""
    found = np.empty((len(parts[0]), layout.cells), dtype=parts[0].dtype)
    for block in layout.blocks:
        own = [part.reshape(len(part), block.bins, -1) for part in parts[block.parts]]
        by_bin(block, found)[:] = own[0] if len(own) == 1 else np.concatenate(own, axis=-1)
    return found


def pane_of(layout: Layout, counts: Sequence[Integers]) -> Integers:
    """Return a pane's counts, [stream, bin] a part, by cell: one row."""
    return side_by_side(layout, [part.transpose().reshape(1, -1) for part in counts])


def unpacked(layout: Layout, since: Sequence[bytes], live: Sequence[bytes]) -> Integers:
    """Return what states hold of each part as [place, cell].

    since  [stream, start, bin]; live: [stream, bin]
    """
    found = np.empty((PLACES, layout.cells), dtype=np.int64)
    for block in layout.blocks:
        own, bins = by_bin(block, found), block.bins
        held = integers(joined(since[block.parts]), -1, SLOTS, bins)
        own[:SLOTS] = held.transpose(1, 2, 0)
        own[SLOTS] = integers(joined(live[block.parts]), -1, bins).transpose()
    return found


def packed(layout: Layout, counts: Integers) -> list[tuple[bytes, bytes]]:
    """Return what each part's state holds of [place, cell]: since each start, and all."""
    found = []
    for block in layout.blocks:
        own = by_bin(block, counts)
        since, live = pack(own[:SLOTS].transpose(2, 0, 1)), pack(own[SLOTS].transpose())
        begin, width = 0, 8 * block.bins
        for streams, _ in layout.shapes[block.parts]:
            end = begin + width * streams
            found.append((since[begin * SLOTS : end * SLOTS], live[begin:end]))
            begin = end
    return found


def lengthen(layout: Layout, counts: Integers, pane: Integers, turn: Turn) -> None:
    """Add a pane's counts, one row, to all places of each cell; a start that died has none."""
    if len(turn.starts) == 1:
        counts += pane
        counts[int(turn.opened[0])] = pane
        for slot in np.flatnonzero(turn.starts[0] == 0).tolist():
            counts[slot] = 0
        return
    # All bits set for a start; slot by slot, as one slot's cells stay in the processor's cache.
    lives, old = (-mask.transpose().astype(np.int64) for mask in turn[3:5])
    for block in layout.blocks:
        own, added = by_bin(block, counts), by_bin(block, pane)[0]
        for slot in range(SLOTS):
            since = own[slot]
            since &= old[slot, block.streams]
            since += added & lives[slot, block.streams]
        own[SLOTS] += added


def sums(layout: Layout, terms: Floats, out: Floats | None = None) -> Floats:
    """Sum [row, cell] over bins: [row, stream]."""
    found = np.empty((len(terms), layout.streams)) if out is None else out
    for block in layout.blocks:
        own, width = terms[:, block.cells], block.streams.stop - block.streams.start
        total = found[:, block.streams]
        total[:] = own[:, :width]
        for at in range(width, own.shape[1], width):
            total += own[:, at : at + width]
    return found


def rows(layout: Layout, counts: Integers) -> Integers:
    """Return the rows of each stream, [place, stream]."""
    found = np.empty((len(counts), layout.streams), dtype=np.int64)
    for block in layout.blocks:
        np.add.reduce(by_bin(block, counts), axis=1, out=found[:, block.streams])
    return found
