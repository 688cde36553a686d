"""Where records of epochs that are not folded yet are held.

Rule 1: records lie in groups (an epoch, and in a derived partition a source of it), each under a
        number; a number is held once, and the first record under it stays (EPOCHS 9).
Rule 2: a group is read in the order of its numbers, whatever the order of arrival. Records that
        come together come in that order, and none lies between them.
Rule 3: what kind of memory it is changes nothing else; the host chooses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Protocol

from streamops.core.processor import Record
from streamops.core.rows import one_behind_the_other

# An epoch and a source; a raw partition's records have none.
Group = tuple[int, str]


class Buffer(Protocol):
    """The records that one inbox holds."""

    def add(self, group: Group, number: int, record: Record) -> bool:
        """Hold a record; False where the number is held already."""
        ...

    def add_all(self, group: Group, numbers: Sequence[int], records: Sequence[Record]) -> bool:
        """Hold records; False where that has to be asked one by one, and then none is held."""
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
        self._parts: dict[Group, list[Sequence[Record]]] = {}

    def add(self, group: Group, number: int, record: Record) -> bool:
        """Hold a record; False where the number is held already."""
        return self._groups.setdefault(group, {}).setdefault(number, record) is record

    def add_all(self, group: Group, numbers: Sequence[int], records: Sequence[Record]) -> bool:
        """Hold records; False where one of the numbers is held already, and then none is."""
        return hold_all(self._groups.setdefault(group, {}), numbers, records)

    def extend(self, group: Group, records: Sequence[Record]) -> None:
        """Hold records, numbered by their offsets."""
        if records:
            self._parts.setdefault(group, []).append(records)

    def count(self, group: Group) -> int:
        """Return how many records a group has."""
        return len(self._groups.get(group, ())) + sum(map(len, self._parts.get(group, ())))

    def read(self, group: Group) -> Sequence[Record]:
        """Return a group's records in the order of their numbers."""
        return in_order(self._groups.get(group, {}), self._parts.get(group, ()))

    def drop(self, group: Group) -> None:
        """Forget a group."""
        self._groups.pop(group, None)
        self._parts.pop(group, None)

    def clear(self) -> None:
        """Forget everything."""
        self._groups.clear()
        self._parts.clear()


def hold_all(held: dict[int, Record], numbers: Sequence[int], records: Sequence[Record]) -> bool:
    """Put records under their numbers; False, and none is put, where one is there already."""
    if not are_new(held, numbers):
        return False
    held.update(zip(numbers, records, strict=True))
    return True


def are_new(held: Mapping[int, Record], numbers: Sequence[int]) -> bool:
    """Tell whether none of the numbers is held, or given twice."""
    return len(set(numbers)) == len(numbers) and held.keys().isdisjoint(numbers)


def in_order(single: Mapping[int, Record], parts: Sequence[Sequence[Record]]) -> Sequence[Record]:
    """Return records that came one by one, and those that came together, by their numbers."""
    if parts and not single:
        return one_behind_the_other(sorted(parts, key=_first_offset))
    return [record for _, record in numbered(single, parts)]


def numbered(
    single: Mapping[int, Record], parts: Sequence[Sequence[Record]]
) -> list[tuple[int, Record]]:
    """Return the same with their numbers."""
    together = [(record.offset, record) for part in parts for record in part]
    return sorted([*single.items(), *together], key=itemgetter(0))


def _first_offset(part: Sequence[Record]) -> int:
    return part[0].offset
