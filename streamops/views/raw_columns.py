"""Raw records of one partition as columns: what the archiver handles by the million.

Rule 1: to who asks they are a sequence of records; none is made before. Most of what is done with
        them takes one column, and a record takes longer to make than to write.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple, overload

from confluent_kafka import Message

from streamops.kafka.clients import columns_of
from streamops.views.log import Partition, RawRecord

Headers = tuple[tuple[str, bytes], ...]


class Columns(NamedTuple):
    """What records say, without their partition: a value of each in every column."""

    offsets: Sequence[int]
    append_ms: Sequence[int]
    keys: Sequence[bytes]
    values: Sequence[bytes]
    headers: Sequence[Headers]


_FIELDS = tuple(map(attrgetter, ("offset", "append_ms", "key", "value", "headers")))


class RawColumns(Sequence[RawRecord]):
    """Records of one partition, ascending by offset."""

    __slots__ = ("columns", "place")

    def __init__(self, place: Partition, columns: Columns) -> None:
        self.place, self.columns = place, columns

    def __len__(self) -> int:
        return len(self.columns.offsets)

    @overload
    def __getitem__(self, at: int) -> RawRecord: ...
    @overload
    def __getitem__(self, at: slice) -> RawColumns: ...
    def __getitem__(self, at: int | slice) -> RawRecord | RawColumns:
        found: list[Any] = [column[at] for column in self.columns]
        if isinstance(at, slice):
            return RawColumns(self.place, Columns(*found))
        return RawRecord(*self.place, *found)

    def behind(self, offset: int) -> RawColumns:
        """Return those that stand at an offset or behind it."""
        offsets = self.columns.offsets
        if not offsets or offsets[0] >= offset:
            return self
        return self[sum(map(offset.__gt__, offsets)) :]


def in_columns(records: Sequence[RawRecord]) -> RawColumns:
    """Return records of one partition as columns, what they are as they are."""
    if isinstance(records, RawColumns):
        return records
    place = (records[0].topic, records[0].partition) if records else ("", 0)
    found: list[Any] = [list(map(field, records)) for field in _FIELDS]
    return RawColumns(place, Columns(*found))


def of_messages(place: Partition, messages: Sequence[Any]) -> RawColumns:
    """Return what `to_raw` makes of each message of a partition, at least one."""
    given: list[Any] = list(map(Message.headers, messages))
    headers = (
        [_headers(some) if some else () for some in given] if any(given) else [()] * len(given)
    )
    return RawColumns(place, Columns(*columns_of(messages), headers))


def _headers(some: Any) -> Headers:
    return tuple((name, value or b"") for name, value in some)
