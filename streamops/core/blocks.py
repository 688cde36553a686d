"""Rows in blocks: columns in memory for the newest, bytes on a shelf for the others.

Rule 1: a row's number names its block and its place there; it is given once and never again.
Rule 2: where a block lies changes nothing but what it costs to read it.
Rule 3: of a block on the shelf memory keeps which rows are alive. It goes with its last row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamops.core.block_shelf import Layout, Shelf, Shelved, take_scattered
from streamops.core.columns import Column, Flags, Indices, groups_of

BLOCK_BITS = 12
BLOCK_ROWS = 1 << BLOCK_BITS
PLACE = BLOCK_ROWS - 1
# So many of the newest rows stay in memory, some 120 MB of predictions with ten features.
KEEP_ROWS = 64 * BLOCK_ROWS
# So few rows of a block on the shelf are read together with those of others.
FEW = 4
# Places in a block; two bytes each where many are kept.
Places = NDArray[np.uint16] | Indices


class Block:
    """Rows in the order in which they came.

    size   how many there are; the rest of each column is room
    alive  how many of them are not forgotten yet
    shelved  where they lie once they have left memory
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.size = self.alive = 0
        self.room = BLOCK_ROWS
        self.columns = {name: np.empty(BLOCK_ROWS, kind) for name, kind in layout.kinds.items()}
        self.is_alive = np.zeros(BLOCK_ROWS, dtype=np.bool_)
        self.shelved: Shelved | None = None

    def fill(self, columns: Mapping[str, Sequence[Any] | Column], first: int, last: int) -> None:
        """Take some rows of columns."""
        end = self.size + last - first
        for name, column in self.columns.items():
            column[self.size : end] = columns[name][first:last]
        self.is_alive[self.size : end] = True
        self.alive += last - first
        self.room -= last - first
        self.size = end

    def take(self, places: Places, *names: str) -> list[Column]:
        """Return columns of some rows, at least one."""
        if self.shelved is not None:
            return self.shelved.take(places, *names)
        return [self.columns[name][places] for name in names]

    def shelve(self, shelf: Shelf) -> None:
        """Leave memory; no more rows come."""
        self.shelved = Shelved(shelf, self._layout, self.columns, self.size)
        self.columns, self.room = {}, 0

    def drop(self) -> None:
        """Give back what it takes on the shelf."""
        if self.shelved is not None:
            self.shelved.drop()


class Blocks:
    """Rows of one kind by their numbers.

    shelf  where blocks go once more than `keep` rows are in memory; None: all stay
    alive  how many rows are not forgotten yet
    """

    def __init__(self, layout: Layout, shelf: Shelf | None = None, keep: int = KEEP_ROWS) -> None:
        self._layout, self._shelf, self._keep = layout, shelf, keep
        self.next_row = self.alive = 0
        self.blocks: dict[int, Block] = {}
        self._held: dict[int, Block] = {}
        self._held_rows = 0

    def add_all(
        self, columns: Mapping[str, Sequence[Any] | Column], size: int
    ) -> list[tuple[int, Indices]]:
        """Keep rows; return the blocks they are in, and their places."""
        first = 0
        found: list[tuple[int, Indices]] = []
        while first < size:
            number = self.next_row >> BLOCK_BITS
            block = self.blocks.get(number)
            if block is None:
                block = self.blocks[number] = self._held[number] = Block(self._layout)
            last = min(size, first + block.room)
            found.append((number, np.arange(block.size, block.size + last - first)))
            block.fill(columns, first, last)
            self.next_row += last - first
            first = last
        self.alive += size
        self._held_rows += size
        return found

    def gather(self, rows: Indices, *names: str) -> list[Column]:
        """Return columns of some rows, at least one."""
        numbers = rows >> BLOCK_BITS
        first = int(numbers[0])
        if (numbers == first).all():
            return self.blocks[first].take(rows & PLACE, *names)
        parts: list[tuple[Indices, list[Column]]] = []
        few: list[Indices] = []
        for number, at in groups_of(numbers):
            block = self.blocks[number]
            if block.shelved is not None and len(at) <= FEW:
                few.append(at)
            else:
                parts.append((at, block.take(rows[at] & PLACE, *names)))
        if few:
            at = np.concatenate(few)
            shelved = [self.blocks[number].shelved for number in numbers[at].tolist()]
            places = (rows[at] & PLACE).tolist()
            parts.append((at, take_scattered(self._layout, shelved, places, *names)))  # type: ignore[arg-type]
        found = [np.empty(len(rows), dtype=column.dtype) for column in parts[0][1]]
        for at, some in parts:
            for whole, part in zip(found, some, strict=True):
                whole[at] = part
        return found

    def is_alive(self, rows: Indices) -> Flags:
        """Tell which rows are not forgotten."""
        found = np.zeros(len(rows), dtype=np.bool_)
        for number, at in groups_of(rows >> BLOCK_BITS):
            if (block := self.blocks.get(number)) is not None:
                found[at] = block.is_alive[rows[at] & PLACE]
        return found

    def alive_rows(self) -> Iterator[Indices]:
        """Yield the rows that are not forgotten, by block, in order."""
        for number, block in self.blocks.items():
            if block.alive:
                yield (number << BLOCK_BITS) + np.flatnonzero(block.is_alive)

    def forget(self, rows: Indices) -> list[int]:
        """Forget rows; return the blocks that have none any more, which are to be dropped."""
        empty: list[int] = []
        for number, at in groups_of(rows >> BLOCK_BITS):
            block = self.blocks[number]
            block.is_alive[rows[at] & PLACE] = False
            block.alive -= len(at)
            if not block.alive and not block.room:
                empty.append(number)
        self.alive -= len(rows)
        return empty

    def drop(self, number: int) -> None:
        """Drop a block."""
        self.blocks.pop(number).drop()
        if (held := self._held.pop(number, None)) is not None:
            self._held_rows -= held.size

    def surplus(self) -> Iterator[int]:
        """Yield blocks, the oldest first, that `shelve` is to be called for."""
        while self._shelf is not None and self._held_rows > self._keep:
            yield next(iter(self._held))

    def is_held(self, number: int) -> bool:
        """Tell whether a block is in memory."""
        return number in self._held

    def shelve(self, number: int) -> None:
        """Put a block on the shelf; one that has room takes no more rows."""
        assert self._shelf is not None, "there is a shelf"
        block = self._held.pop(number)
        self._held_rows -= block.size
        block.shelve(self._shelf)
        self.next_row = max(self.next_row, (number + 1) << BLOCK_BITS)
