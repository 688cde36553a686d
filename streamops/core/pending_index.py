"""Which row an id's pending prediction is: a dictionary for those in memory, hashes for the others.

Rule 1: a row that a hash names is one only if it has the id, which the shelf tells.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import repeat

import numpy as np

from streamops.core.blocks import BLOCK_BITS, PLACE, Blocks
from streamops.core.columns import Flags, Indices
from streamops.core.id_table import IdTable, hash_of, hashes_of

NO_ROW = -1


class PendingIndex:
    """Rows by id."""

    def __init__(self, rows: Blocks) -> None:
        self._rows = rows
        self._held: dict[str, int] = {}
        self._shelved = IdTable()

    def get(self, id_: str) -> int:
        """Return the row of an id, NO_ROW for none."""
        row = self._held.get(id_, NO_ROW)
        if row == NO_ROW and self._shelved:
            for candidate in self._shelved.find_one(hash_of(id_)):
                if self._ids(candidate >> BLOCK_BITS, np.array([candidate & PLACE])) == [id_]:
                    return candidate
        return row

    def get_all(self, ids: Sequence[str]) -> Indices:
        """Return the row of each id, NO_ROW for none."""
        found = np.fromiter(map(self._held.get, ids, repeat(NO_ROW)), np.int64, len(ids))
        if self._shelved:
            unknown = np.flatnonzero(found == NO_ROW)
            if len(unknown):
                found[unknown] = self._look_up([ids[at] for at in unknown.tolist()])
        return found

    def has_any(self, ids: set[str]) -> bool:
        """Tell whether one of the ids is known."""
        if not self._held.keys().isdisjoint(ids):
            return True
        return bool(self._shelved) and bool((self._look_up(list(ids)) != NO_ROW).any())

    def are_known(self, ids: Sequence[str]) -> Flags:
        """Tell which ids are known."""
        found: Flags = self.get_all(ids) != NO_ROW
        return found

    def add_all(self, ids: Sequence[str], first_row: int) -> None:
        """Note ids of rows that follow one another."""
        self._held.update(zip(ids, range(first_row, first_row + len(ids)), strict=True))

    def shelve(self, number: int) -> None:
        """Let go of the ids of a block that is about to leave memory."""
        (places,) = self._rows.blocks[number].is_alive.nonzero()
        if len(places):
            ids = self._ids(number, places)
            self._pop(ids)
            self._shelved.add(number, hashes_of(ids), places)

    def forget(self, number: int, places: Indices) -> None:
        """Forget ids of a block's rows."""
        ids = self._ids(number, places)
        if self._rows.is_held(number):
            self._pop(ids)
        else:
            self._shelved.remove(number, hashes_of(ids), places)

    def drop(self, number: int) -> None:
        """Forget a block, whose rows all are."""
        self._shelved.drop(number)

    def _ids(self, number: int, places: Indices) -> list[str]:
        (column,) = self._rows.blocks[number].take(places, "id")
        ids: list[str] = column.tolist()
        return ids

    def _pop(self, ids: Sequence[str]) -> None:
        deque(map(self._held.pop, ids, repeat(None)), 0)

    def _look_up(self, ids: Sequence[str]) -> Indices:
        """Return the row of each id among those on the shelf."""
        found = np.full(len(ids), NO_ROW, dtype=np.int64)
        at, rows = self._shelved.find(hashes_of(ids))
        if len(rows):
            (names,) = self._rows.gather(rows, "id")
            places = at.tolist()
            same = [ids[place] == name for place, name in zip(places, names.tolist(), strict=True)]
            found[at[same]] = rows[same]
        return found
