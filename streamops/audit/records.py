"""An archive's records as they stand, holes and all: verify goes on where a file is damaged.

Rule 1: what should be there and isn't is a Hole, with topic, partition and offsets; never silence.
Rule 2: only the columns of the raw schema are read, by name, so a file that another engine wrote
        again is still read; without its cover it is a Hole of no width, for what it says.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import chain, compress
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from streamops.core.processor import Record
from streamops.core.rows import Rows
from streamops.errors import TransportError
from streamops.hosts.decoding import to_rows
from streamops.values import Span
from streamops.views.archive import COLUMNS, DAMAGE, Cover, raw_folder, read_cover

# Read together, and decoded together, then held as objects: dozens of partitions are read at once,
# and a record of metrics or summaries has some thousand bytes. A batch is whole chunks.
BATCH = 1000
CHUNK = 500


class Hole(NamedTuple):
    """Offsets [first, next) that the archive should hold and doesn't, and why."""

    topic: str
    partition: int
    first: int
    next: int
    why: str

    def meets(self, spans: Iterable[Span]) -> bool:
        """Tell whether any of its offsets lies in the spans."""
        return any(
            (s.topic, s.partition) == (self.topic, self.partition)
            and self.first < s.next
            and s.first < self.next
            for s in spans
        )

    def __str__(self) -> str:
        if self.first >= self.next:
            return f"{self.topic}-{self.partition}: {self.why}"
        end = f"{self.first} to {self.next - 1}" if self.next < NO_END else f"from {self.first}"
        return f"{self.topic}-{self.partition}: offsets {end}: {self.why}"


NO_END = 1 << 62


class PartitionReader:
    """The records of one partition in offset order, from `first` on; `holes` grows while it is
    read. It should reach to `end`."""

    def __init__(
        self, archive: Path, topic: str, partition: int, first: int = 0, end: int = 0
    ) -> None:
        self.topic, self.partition = topic, partition
        self.holes: list[Hole] = []
        paths = sorted(raw_folder(archive, topic, partition).glob("[0-9]*.parquet"))
        # A file begins where its name says: those that end before the first record are left alone.
        after = [n for n, path in enumerate(paths) if int(path.stem) <= first]
        self._paths = paths[max(after, default=0) :]
        self._first = self._next = first
        self._end = end

    def rows(self) -> int:
        """Return how many records its readable files say they have."""
        total = 0
        for path in self._paths:
            try:
                total += pq.read_metadata(path).num_rows
            except DAMAGE:
                continue
        return total

    def __iter__(self) -> Iterator[Record]:
        return chain.from_iterable(self.batches())

    def batches(self) -> Iterator[Rows]:
        """Yield the records as rows, some hundreds at a time."""
        for path in self._paths:
            yield from self._file(path)
        if self._next < self._end:
            self._hole(self._end, "no file holds them")

    def _file(self, path: Path) -> Iterator[Rows]:
        cover = self._cover(path)
        if cover.first > self._next:
            self._hole(cover.first, "no file holds them")
        self._next = max(self._next, cover.first)
        try:
            with pq.ParquetFile(path) as file:
                # By one thread: a fold is read by one of several processes.
                for batch in file.iter_batches(BATCH, columns=COLUMNS, use_threads=False):
                    yield from self._batch(batch, cover)
        except DAMAGE as error:
            self._hole(max(cover.next, self._next + 1), f"{path.name} can't be read ({error})")
        if cover.next > self._next and not _is_gap(cover, self._next, cover.next):
            self._hole(cover.next, f"{path.name} lacks them")
        self._next = max(self._next, cover.next)

    def _batch(self, batch: Any, cover: Cover) -> Iterator[Rows]:
        columns = [_values(batch.column(name)) for name in COLUMNS]
        offsets = columns[0]
        if offsets == list(range(self._next, self._next + len(offsets))):
            self._next += len(offsets)
        else:
            kept = [self._is_next(offset, cover) for offset in offsets]
            columns = [list(compress(column, kept)) for column in columns]
        for first in range(0, len(columns[0]), CHUNK):
            some = [column[first : first + CHUNK] for column in columns]
            yield to_rows(self.topic, self.partition, *some)

    def _is_next(self, offset: int, cover: Cover) -> bool:
        """Tell whether a record is read; note what lacks before it, or why it isn't."""
        if offset < self._first:
            return False
        if offset < self._next:
            why = f"offset {offset} stands twice, or out of order"
            self.holes.append(Hole(self.topic, self.partition, offset, offset, why))
            return False
        if offset > self._next and not _is_gap(cover, self._next, offset):
            self._hole(offset, "its file lacks them")
        self._next = offset + 1
        return True

    def _cover(self, path: Path) -> Cover:
        try:
            return read_cover(path)
        except TransportError:
            first = int(path.stem)
            why = f"{path.name} doesn't say what it covers: it was written again"
            self.holes.append(Hole(self.topic, self.partition, first, first, why))
            return Cover(first, first)

    def _hole(self, end: int, why: str) -> None:
        self.holes.append(Hole(self.topic, self.partition, self._next, end, why))
        self._next = end


def rows_again(archive: Path, topic: str, partition: int, first: int, end: int) -> Iterator[Rows]:
    """Yield the records of offsets [first, end) that a reader has yielded before."""
    for rows in PartitionReader(archive, topic, partition, first).batches():
        offsets = rows.columns.offsets
        if offsets[-1] < end:
            yield rows
            continue
        if offsets[0] < end:
            yield rows[: bisect_left(offsets, end)]
        return


def _values(column: Any) -> list[Any]:
    """A column's values; null bytes are none."""
    found: list[Any] = column.to_pylist()
    is_bytes = column.null_count and pa.types.is_binary(column.type)
    return [value or b"" for value in found] if is_bytes else found


def _is_gap(cover: Cover, first: int, end: int) -> bool:
    return any(start <= first and end <= stop for start, stop in cover.gaps)
