"""Blocks of rows that left memory: how their bytes are laid out, and how some rows are read again.

Rule 1: a shelf only keeps bytes. What it lost can't be had again but from the log, so it is never
        asked whether it has something: the table knows.
Rule 2: what is read back is what was put away, to the type: numbers by column, the rest of a row as
        MessagePack, which is how the store has it too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamops.core.columns import Column, Indices, objects

# Reading so many bytes more at once costs less than reading a row by itself.
GAP_BYTES = 4096
# Where texts begin in a block and how long they are, to the texts.
Read = Callable[[Indices, Indices], list[bytes]]
_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder()


class Shelf(Protocol):
    """Where blocks lie that memory has no room for."""

    def put(self, packed: bytes) -> int:
        """Keep a block; return its number. Raises TransportError where there is no room."""
        ...

    def get(self, number: int, first: int, size: int) -> bytes:
        """Return some bytes of a block."""
        ...

    def drop(self, number: int) -> None:
        """Forget a block."""
        ...


class Layout:
    """Columns of a block.

    fixed  numbers and flags, with their types
    texts  the other columns, those together that are read together
    """

    def __init__(self, fixed: Mapping[str, Any], texts: Sequence[Sequence[str]]) -> None:
        self.fixed, self.texts = fixed, texts

    @cached_property
    def kinds(self) -> dict[str, Any]:
        """Each column's type."""
        return {**self.fixed, **{name: object for part in self.texts for name in part}}

    @cached_property
    def record(self) -> np.dtype[Any]:
        """What is fixed of a row: its numbers, and where its texts lie."""
        places = [(f"{what}{at}", np.int64) for at in range(len(self.texts)) for what in _PLACES]
        return np.dtype([*self.fixed.items(), *places])


class Shelved:
    """A block on a shelf: its records, then each part of its rows' texts."""

    __slots__ = ("_layout", "_number", "_shelf")

    def __init__(
        self, shelf: Shelf, layout: Layout, columns: Mapping[str, Column], size: int
    ) -> None:
        self._shelf, self._layout = shelf, layout
        self._number = shelf.put(_packed(layout, columns, size))

    def take(self, places: NDArray[Any], *names: str) -> list[Column]:
        """Return columns of some rows, at least one."""
        return _columns(self._layout, self._records(places), self._read, names)

    def get(self, first: int, size: int) -> bytes:
        """Return some bytes of the block."""
        return self._shelf.get(self._number, first, size)

    def drop(self) -> None:
        """Forget the block."""
        self._shelf.drop(self._number)

    def _records(self, places: NDArray[Any]) -> Any:
        size = self._layout.record.itemsize
        first, last = int(places.min()), int(places.max()) + 1
        if (last - first) * size <= GAP_BYTES * len(places):
            text = self.get(first * size, (last - first) * size)
            return np.frombuffer(text, self._layout.record)[places - first]
        texts = (self.get(at * size, size) for at in places.tolist())
        return np.frombuffer(b"".join(texts), self._layout.record)

    def _read(self, firsts: Indices, sizes: Indices) -> list[bytes]:
        low, high = int(firsts.min()), int((firsts + sizes).max())
        if high - low > GAP_BYTES * len(firsts):
            spans = zip(firsts.tolist(), sizes.tolist(), strict=True)
            return [self.get(first, size) for first, size in spans]
        text = self.get(low, high - low)
        starts = firsts - low
        spans = zip(starts.tolist(), (starts + sizes).tolist(), strict=True)
        return [text[first:last] for first, last in spans]


def take_scattered(
    layout: Layout, blocks: Sequence[Shelved], places: Sequence[int], *names: str
) -> list[Column]:
    """Return columns of rows, at least one, each of any block: a read of each row's parts."""
    size = layout.record.itemsize
    texts = [block.get(at * size, size) for block, at in zip(blocks, places, strict=True)]

    def read(firsts: Indices, sizes: Indices) -> list[bytes]:
        return [
            block.get(first, size)
            for block, first, size in zip(blocks, firsts.tolist(), sizes.tolist(), strict=True)
        ]

    return _columns(layout, np.frombuffer(b"".join(texts), layout.record), read, names)


def _columns(layout: Layout, records: Any, read: Read, names: Sequence[str]) -> list[Column]:
    found: dict[str, Column] = {}
    for at, part in enumerate(layout.texts):
        if not set(part).isdisjoint(names):
            texts = read(records[f"first{at}"], records[f"size{at}"])
            columns = zip(*map(_DECODER.decode, texts), strict=True)
            found.update(zip(part, map(objects, columns), strict=True))
    return [found[name] if name in found else records[name].copy() for name in names]


def _packed(layout: Layout, columns: Mapping[str, Column], size: int) -> bytes:
    records = np.zeros(size, layout.record)
    for name in layout.fixed:
        records[name] = columns[name][:size]
    parts: list[bytes] = []
    first = records.nbytes
    for at, names in enumerate(layout.texts):
        rows = zip(*(columns[name][:size].tolist() for name in names), strict=True)
        texts = list(map(_ENCODER.encode, rows))
        sizes = np.fromiter(map(len, texts), np.int64, size)
        ends = np.add.accumulate(sizes) + first
        records[f"first{at}"], records[f"size{at}"] = ends - sizes, sizes
        parts += texts
        first = int(ends[-1])
    return b"".join([records.tobytes(), *parts])


_PLACES = ("first", "size")
