"""Rows of blocks by when they fall due.

Rule 1: when a row is due stands in its block, so that no row takes room for it here; it never
        changes. Rows are handed over once, exactly when a limit passes them.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

import numpy as np

from streamops.core.blocks import BLOCK_BITS, PLACE, Places
from streamops.core.columns import Indices, groups_of

# Number of a block and places in it to when each is due, in microseconds.
DueOf = Callable[[int, Places], Indices]


class DueRows:
    """Rows by when they fall due, earliest first."""

    def __init__(self, due_of: DueOf) -> None:
        self._due_of = due_of
        self._parts: list[tuple[int, int, int, Places, int]] = []
        self._single: dict[int, list[int]] = {}
        self._count = 0

    def add(self, row: int) -> None:
        """Note one row."""
        self._single.setdefault(row >> BLOCK_BITS, []).append(row & PLACE)

    def add_all(self, number: int, places: Places) -> None:
        """Note some rows of a block."""
        self._add(number, places.astype(np.uint16), self._due_of(number, places))

    def add_rows(self, rows: Indices, due_us: Indices) -> None:
        """Note rows of any blocks, and when they are due, which their blocks say too."""
        for number, at in groups_of(rows >> BLOCK_BITS):
            self._add(number, (rows[at] & PLACE).astype(np.uint16), due_us[at])

    def take(self, limit_us: int) -> Indices:
        """Hand over the rows that are due before a limit."""
        for number, single in self._single.items():
            self.add_all(number, np.array(single))
        self._single.clear()
        found = [np.zeros(0, dtype=np.int64)]
        while self._parts and self._parts[0][0] < limit_us:
            _, _, number, places, last_us = heappop(self._parts)
            count = len(places)
            if last_us >= limit_us:
                due = self._due_of(number, places)
                count = int(due.searchsorted(limit_us))
                self._push(number, places[count:], int(due[count]), last_us)
            found.append((number << BLOCK_BITS) + places[:count].astype(np.int64))
        return np.concatenate(found)

    def _add(self, number: int, places: Places, due: Indices) -> None:
        if (due[1:] < due[:-1]).any():
            order = np.argsort(due, kind="stable")
            places, due = places[order], due[order]
        self._push(number, places, int(due[0]), int(due[-1]))

    def _push(self, number: int, places: Places, first_us: int, last_us: int) -> None:
        # The count keeps parts apart that are due together: arrays have no order.
        self._count += 1
        heappush(self._parts, (first_us, self._count, number, places, last_us))
