"""Things by the second in which they fall due.

Rule 1: `take` hands over whole seconds: what isn't due yet at the tick is to be added again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from itertools import groupby
from typing import Generic, TypeVar

from streamops.core.times import SECOND_US

T = TypeVar("T")


def _second(due: tuple[int, object]) -> int:
    return due[0] // SECOND_US


class Due(Generic[T]):
    """Things by the second in which they fall due, earliest first."""

    def __init__(self) -> None:
        self._things: dict[int, list[T]] = {}
        self._seconds: list[int] = []

    def add(self, due_us: int, thing: T) -> None:
        """Note one thing."""
        second = due_us // SECOND_US
        things = self._things.get(second)
        if things is None:
            heappush(self._seconds, second)
            self._things[second] = [thing]
        else:
            things.append(thing)

    def add_all(self, dues: Sequence[tuple[int, T]]) -> None:
        """Note things, quickest where those of a second come together."""
        for second, some in groupby(dues, _second):
            things = [thing for _, thing in some]
            self.add(second * SECOND_US, things[0])
            self._things[second] += things[1:]

    def take(self, tick_us: int) -> Iterable[T]:
        """Hand over all that may be due at a tick; what isn't is to be added again."""
        taken = list[T]()
        while self._seconds and self._seconds[0] <= tick_us // SECOND_US:
            taken += self._things.pop(heappop(self._seconds))
        return taken
