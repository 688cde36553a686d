"""Records of a partition as columns, so that none needs an object of its own on its way to a fold.

Rule 1: rows are a sequence of records, in the order of their offsets; whoever asks for one gets it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, groupby, repeat
from operator import itemgetter
from typing import Any, NamedTuple, overload

from streamops.core.processor import Record, Refusal
from streamops.events import Event

# Half the time of Record(...): records are made by the million.
_record: Callable[[Iterable[Any]], Record] = partial(tuple.__new__, Record)
_PLACE, _VALUE, _EVENT = itemgetter(0, 1), itemgetter(5), itemgetter(6)


class Columns(NamedTuple):
    """What records bring beside their place."""

    offsets: Sequence[int]
    append_ms: Sequence[int]
    keys: Sequence[bytes]
    values: Sequence[bytes]
    events: Sequence[Event | Refusal]


class Rows(Sequence[Record]):
    """Records of one partition of a topic, offsets ascending."""

    __slots__ = ("columns", "partition", "topic")

    def __init__(self, topic: str, partition: int, columns: Columns) -> None:
        self.topic, self.partition, self.columns = topic, partition, columns

    def __len__(self) -> int:
        return len(self.columns.events)

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> Rows: ...
    def __getitem__(self, at: int | slice) -> Record | Rows:
        found: Any = [column[at] for column in self.columns]
        if isinstance(at, slice):
            return Rows(self.topic, self.partition, Columns(*found))
        return Record(self.topic, self.partition, *found)

    def __iter__(self) -> Iterator[Record]:
        where = repeat(self.topic), repeat(self.partition)
        return map(_record, zip(*where, *self.columns, strict=False))


class Parts(Sequence[Record]):
    """Records of several partitions or topics, one part behind the other."""

    __slots__ = ("parts",)

    def __init__(self, parts: Sequence[Rows]) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Record]: ...
    def __getitem__(self, at: int | slice) -> Record | Sequence[Record]:
        return list(self)[at]

    def __iter__(self) -> Iterator[Record]:
        return chain.from_iterable(self.parts)


def parts_of(records: Sequence[Record]) -> Sequence[Rows]:
    """Return records as rows, split where topic or partition change."""
    if isinstance(records, Parts):
        return records.parts
    if isinstance(records, Rows):
        return [records]
    found: list[Rows] = []
    for (topic, number), some in groupby(records, _PLACE):
        _, _, *columns = zip(*some, strict=True)
        found.append(Rows(topic, number, Columns(*columns)))
    return found


def one_behind_the_other(parts: Sequence[Sequence[Record]]) -> Sequence[Record]:
    """Return all records of some parts; as rows where all parts are."""
    rows = [part for part in parts if isinstance(part, Rows)]
    if len(rows) < len(parts):
        return list(chain.from_iterable(parts))
    if len({(part.topic, part.partition) for part in rows}) != 1:
        return Parts(rows)
    if len(rows) == 1:
        return rows[0]
    columns: Any = zip(*(part.columns for part in rows), strict=True)
    joined = Columns(*(list(chain.from_iterable(each)) for each in columns))
    return Rows(rows[0].topic, rows[0].partition, joined)


def values_of(records: Sequence[Record]) -> Sequence[bytes]:
    """Return each record's value."""
    return records.columns.values if isinstance(records, Rows) else list(map(_VALUE, records))


def events_of(records: Sequence[Record]) -> Sequence[Event | Refusal]:
    """Return each record's event."""
    return records.columns.events if isinstance(records, Rows) else list(map(_EVENT, records))
