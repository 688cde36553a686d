"""Where records of epochs that are not folded yet are held.

Rule 1: records lie in groups (an epoch, and in a derived partition a source of it), each under a
        number; a number is held once, and the first record under it stays (EPOCHS 9).
Rule 2: a group is read in the order of its numbers, whatever the order of arrival.
Rule 3: what kind of memory it is changes nothing else; the host chooses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Protocol

from streamops.core.processor import Record

# An epoch and a source; a raw partition's records have none.
Group = tuple[int, str]
_OFFSET = itemgetter(2)


class Buffer(Protocol):
    """The records that one inbox holds."""

    def add(self, group: Group, number: int, record: Record) -> bool:
        """Hold a record; False where the number is held already."""
        ...

    def extend(self, group: Group, records: Sequence[Record]) -> None:
        """Hold records that are held nowhere yet, numbered by their offsets."""
        ...

    def count(self, group: Group) -> int:
        """Return how many records a group has."""
        ...

    def read(self, group: Group) -> Iterable[Record]:
        """Return a group's records in the order of their numbers."""
        ...

    def drop(self, group: Group) -> None:
        """Forget a group."""
        ...

    def clear(self) -> None:
        """Forget everything; the buffer is not used after this."""
        ...


MakeBuffer = Callable[[], Buffer]


class MemoryBuffer:
    """Everything in memory."""

    def __init__(self) -> None:
        self._groups: dict[Group, dict[int, Record]] = {}

    def add(self, group: Group, number: int, record: Record) -> bool:
        """Hold a record; False where the number is held already."""
        return self._groups.setdefault(group, {}).setdefault(number, record) is record

    def extend(self, group: Group, records: Sequence[Record]) -> None:
        """Hold records, numbered by their offsets."""
        self._groups.setdefault(group, {}).update(zip(map(_OFFSET, records), records, strict=True))

    def count(self, group: Group) -> int:
        """Return how many records a group has."""
        return len(self._groups.get(group, ()))

    def read(self, group: Group) -> list[Record]:
        """Return a group's records in the order of their numbers."""
        held = self._groups.get(group, {})
        return [held[number] for number in sorted(held)]

    def drop(self, group: Group) -> None:
        """Forget a group."""
        self._groups.pop(group, None)

    def clear(self) -> None:
        """Forget everything."""
        self._groups.clear()
