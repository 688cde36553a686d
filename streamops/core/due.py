"""Things by the second in which they fall due.

Rule 1: a second before the tick's is due as a whole; what is due in the tick's own second is for
        the caller to judge, and what isn't due yet to be added again.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from streamops.core.times import SECOND_US

T = TypeVar("T")


class Due(Generic[T]):
    """Things by the second in which they fall due, earliest first."""

    def __init__(self) -> None:
        self._things: dict[int, list[T]] = {}
        self._seconds: list[int] = []

    def add(self, due_us: int, thing: T) -> None:
        """Note one thing."""
        self._put(due_us // SECOND_US, (thing,))

    def add_all(self, due_us: NDArray[np.int64], things: Sequence[T]) -> None:
        """Note things, each with its time; quickest where they are in the order of their times."""
        if not len(things):
            return
        seconds = due_us // SECOND_US
        steps = np.diff(seconds)
        if np.any(steps < 0):
            order = np.argsort(seconds, kind="stable")
            things = [things[at] for at in order.tolist()]
            seconds = seconds[order]
            steps = np.diff(seconds)
        cuts = [0, *(np.flatnonzero(steps) + 1).tolist(), len(things)]
        for second, (first, last) in zip(seconds[cuts[:-1]].tolist(), pairwise(cuts), strict=True):
            self._put(second, things[first:last])

    def take(self, tick_us: int) -> tuple[list[T], list[T]]:
        """Hand over what fell due before a tick's second, and what may be due in it."""
        past, now, second = list[T](), list[T](), tick_us // SECOND_US
        while self._seconds and self._seconds[0] < second:
            past += self._things.pop(heappop(self._seconds))
        if self._seconds and self._seconds[0] == second:
            now = self._things.pop(heappop(self._seconds))
        return past, now

    def _put(self, second: int, things: Sequence[T]) -> None:
        known = self._things.get(second)
        if known is None:
            heappush(self._seconds, second)
            self._things[second] = list(things)
        else:
            known += things
