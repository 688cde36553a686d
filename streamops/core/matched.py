"""First labels of pending predictions, kept beside them in their blocks.

Rule 1: whoever asks for one gets it; a fold of many asks `PendingRows` for columns.
Rule 2: a correction is seldom: the latest label stands apart from the columns where it isn't the
        first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from streamops.core.columns import Indices, groups_of
from streamops.core.due_rows import Places
from streamops.core.join_rows import Matched
from streamops.core.pending import PendingRows
from streamops.core.pending_block import BLOCK_BITS, PLACE, Block, Labels, objects
from streamops.values import Value

_OBJECTS = ("label_id", "label")


class MatchedRows(Mapping[str, Matched]):
    """The first label of each pending prediction that has one, by the prediction's id."""

    def __init__(self, pending: PendingRows) -> None:
        self._pending = pending
        self._count = 0
        self._latest: dict[int, tuple[str, Value]] = {}

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return (id_ for id_ in self._pending if id_ in self)

    def __contains__(self, id_: object) -> bool:
        row = self._pending.index.get(id_)  # type: ignore[call-overload]
        return row is not None and bool(self._block(row).is_matched[row & PLACE])

    def __getitem__(self, id_: str) -> Matched:
        if id_ not in self:
            raise KeyError(id_)
        return self.of_row(self._pending.index[id_])

    def of_row(self, row: int) -> Matched:
        """Return the label of a row that has one."""
        block, place = self._block(row), row & PLACE
        label_id, label, time_us, offset, release_us, after = [
            column[place : place + 1].tolist()[0] for column in block.matches.values()
        ]
        latest_id, latest = self._latest.get(row, (label_id, label))
        return Matched(label_id, label, time_us, offset, latest_id, latest, release_us, after)

    def release_us(self, number: int, places: Places) -> Indices:
        """Return when some of a block's outcomes go out: before their predictions are forgotten,
        whatever their cohort's delay."""
        released_us = self._pending.blocks[number].matches["release_us"][places]
        return np.minimum(released_us, self._pending.expires_us(number, places) - 1)

    def add_all(self, rows: Indices, labels: Labels) -> list[tuple[int, Indices]]:
        """Note labels; return the blocks of their predictions, and their places."""
        columns: dict[str, Any] = labels._asdict()
        columns |= {name: objects(columns[name]) for name in _OBJECTS}
        columns = {name: np.asarray(column) for name, column in columns.items()}
        found: list[tuple[int, Indices]] = []
        for number, at in groups_of(rows >> BLOCK_BITS):
            block, places = self._pending.blocks[number], rows[at] & PLACE
            before = int(np.count_nonzero(block.is_matched))
            block.match(places, {name: column[at] for name, column in columns.items()})
            self._count += int(np.count_nonzero(block.is_matched)) - before
            found.append((number, places))
        return found

    def correct(self, row: int, latest_id: str, latest: Value) -> None:
        """Note another latest label of a row that has one."""
        self._latest[row] = latest_id, latest

    def forgotten(self, rows: Indices, matched: int) -> None:
        """Note that predictions were forgotten, and how many of them had a label."""
        self._count -= matched
        if self._latest:
            for row in rows.tolist():
                self._latest.pop(row, None)

    def _block(self, row: int) -> Block:
        return self._pending.blocks[row >> BLOCK_BITS]
