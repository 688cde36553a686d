"""What the archiver has read of a partition and not written yet, and when it becomes a file."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streamops.views.log import Partition, RawRecord
from streamops.views.raw_columns import Columns, RawColumns, in_columns

# A record in a buffer costs about this beside its bytes.
RECORD_BYTES = 180


class Roll(NamedTuple):
    """When a partition's buffer becomes a file.

    rows, size   records, and bytes of keys and values
    idle_s       seconds without a new record
    age_s        seconds since its first record
    total        bytes of all buffers together: beyond, the largest is written
    """

    rows: int = 100_000
    size: int = 16 * 1024**2
    idle_s: float = 10.0
    age_s: float = 300.0
    total: int = 16 * 1024**2


DEFAULT_ROLL = Roll()


@dataclass
class Buffer:
    """Records of one partition that are in no file yet: those of the offsets [first, next)."""

    first: int
    next: int
    born: float = 0.0
    touched: float = 0.0
    size: int = 0
    columns: list[list[Any]] = field(default_factory=lambda: [[] for _ in Columns._fields])

    def __len__(self) -> int:
        return len(self.columns[0])

    def add_all(self, records: Sequence[RawRecord], now: float) -> None:
        """Take the partition's next records; `now` is in seconds of a monotonic clock."""
        if not len(self):
            self.born = now
        self.touched = now
        part = in_columns(records).columns
        for whole, some in zip(self.columns, part, strict=True):
            whole += some
        self.size += _size(part)
        self.next = part.offsets[-1] + 1

    def records(self, place: Partition) -> RawColumns:
        """Return what it holds."""
        return RawColumns(place, Columns(*self.columns))

    def split(self, end: int) -> Buffer:
        """Keep what stands below `end` alone; returns a buffer of what stands from there on."""
        if self.next <= end:
            return Buffer(self.next, self.next)
        end = max(end, self.first)
        at = bisect_left(self.columns[0], end)
        rest = Buffer(end, self.next, self.born, self.touched, 0, [c[at:] for c in self.columns])
        rest.size = _size(rest.columns)
        self.next, self.columns = end, [column[:at] for column in self.columns]
        self.size -= rest.size
        return rest

    def due(self, roll: Roll, now: float) -> bool:
        """Tell whether the buffer should become a file."""
        if not len(self):
            return False
        full = len(self) >= roll.rows or self.size >= roll.size
        return full or now - self.touched >= roll.idle_s or now - self.born >= roll.age_s


def _size(columns: Sequence[Any]) -> int:
    offsets, _, keys, values, _ = columns
    return sum(map(len, keys)) + sum(map(len, values)) + RECORD_BYTES * len(offsets)
