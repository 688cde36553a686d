"""Rows of blocks by when they fall due.

Rule 1: when a row is due stands in its block, so that no row takes room for it here; it never
        changes. Rows are handed over once, exactly when a limit passes them.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

import numpy as np

from streamops.core.blocks import BLOCK_BITS, PLACE, Places
from streamops.core.columns import Indices

# Number of a block and places in it to when each is due, in microseconds.
DueOf = Callable[[int, Places], Indices]


class DueRows:
    """Rows by when they fall due, earliest first."""

    def __init__(self, due_of: DueOf) -> None:
        self._due_of = due_of
        self._parts: list[tuple[int, int, int, Places]] = []
        self._single: dict[int, list[int]] = {}
        self._count = 0

    def add(self, row: int) -> None:
        """Note one row."""
        self._single.setdefault(row >> BLOCK_BITS, []).append(row & PLACE)

    def add_all(self, number: int, places: Indices) -> None:
        """Note some rows of a block."""
        some = places.astype(np.uint16)
        due = self._due_of(number, some)
        if (due[1:] < due[:-1]).any():
            order = np.argsort(due, kind="stable")
            some, due = some[order], due[order]
        self._push(number, some, int(due[0]))

    def take(self, limit_us: int) -> Indices:
        """Hand over the rows that are due before a limit."""
        for number, single in self._single.items():
            self.add_all(number, np.array(single))
        self._single.clear()
        found = [np.zeros(0, dtype=np.int64)]
        while self._parts and self._parts[0][0] < limit_us:
            _, _, number, places = heappop(self._parts)
            due = self._due_of(number, places)
            count = int(due.searchsorted(limit_us))
            found.append((number << BLOCK_BITS) + places[:count].astype(np.int64))
            if count < len(places):
                self._push(number, places[count:], int(due[count]))
        return np.concatenate(found)

    def _push(self, number: int, places: Places, first_us: int) -> None:
        # The count keeps parts apart that are due together: arrays have no order.
        self._count += 1
        heappush(self._parts, (first_us, self._count, number, places))
