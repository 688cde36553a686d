"""First labels of pending predictions, in blocks of their own.

Rule 1: whoever asks for one gets it; a fold of many asks for columns.
Rule 2: labels lie as they came; of a block of predictions memory keeps which label each has.
Rule 3: a correction is seldom: the latest label stands apart from the columns where it isn't the
        first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from streamops.core.block_shelf import Shelf
from streamops.core.blocks import BLOCK_BITS, BLOCK_ROWS, KEEP_ROWS, PLACE, Blocks, Places
from streamops.core.columns import Column, Flags, Indices, groups_of
from streamops.core.join_rows import Matched
from streamops.core.pending import PendingRows, whole
from streamops.core.pending_block import LABELS, Labels
from streamops.core.pending_index import NO_ROW
from streamops.values import Value

# The fields of `Matched` of some rows.
Match = tuple[Any, ...]
_NAMES = ("label_id", "label", "label_us", "label_offset", "release_us", "after_cohort")


class MatchedRows(Mapping[str, Matched]):
    """The first label of each pending prediction that has one, by the prediction's id."""

    def __init__(
        self, pending: PendingRows, shelf: Shelf | None = None, keep: int = KEEP_ROWS
    ) -> None:
        self._pending = pending
        self._labels = Blocks(LABELS, shelf, keep)
        self._of: dict[int, Indices] = {}
        self._latest: dict[int, tuple[str, Value]] = {}

    def __len__(self) -> int:
        return self._labels.alive

    def __iter__(self) -> Iterator[str]:
        return (id_ for id_ in self._pending if id_ in self)

    def __contains__(self, id_: object) -> bool:
        row = self._pending.index.get(id_) if isinstance(id_, str) else NO_ROW
        return row != NO_ROW and self._label_of(row) != NO_ROW

    def __getitem__(self, id_: str) -> Matched:
        if id_ not in self:
            raise KeyError(id_)
        return self.of_row(self._pending.index.get(id_))

    def of_row(self, row: int) -> Matched:
        """Return the label of a row that has one."""
        return self.of_rows(np.array([row]))[0]

    def of_rows(self, rows: Indices) -> list[Matched]:
        """Return the labels of some rows that all have one."""
        if not len(rows):
            return []
        columns = [column.tolist() for column in self.gather(rows, *_NAMES)]
        found: list[Matched] = []
        for row, each in zip(rows.tolist(), zip(*columns, strict=True), strict=True):
            found.append(Matched(*each[:4], *self._latest.get(row, each[:2]), *each[4:]))
        return found

    def have(self, rows: Indices) -> Flags:
        """Tell which rows have a label."""
        found: Flags = self._labels_of(rows) != NO_ROW
        return found

    def gather(self, rows: Indices, *names: str) -> list[Column]:
        """Return columns of the labels of some rows, at least one, that all have one."""
        return self._labels.gather(self._labels_of(rows), *names)

    def release_us(self, number: int, places: Places) -> Indices:
        """Return when some of a block's outcomes go out: before their predictions are forgotten,
        whatever their cohort's delay."""
        (released_us,) = self._labels.gather(self._of[number][places], "release_us")
        return np.minimum(released_us, self._pending.expires_us(number, places) - 1)

    def add_all(self, rows: Indices, labels: Labels) -> Indices:
        """Note labels of rows that have none; return when their outcomes go out."""
        first = self._labels.next_row
        self._labels.add_all(labels._asdict(), len(rows))
        for number, at in groups_of(rows >> BLOCK_BITS):
            if number not in self._of:
                self._of[number] = np.full(BLOCK_ROWS, NO_ROW, dtype=np.int64)
            self._of[number][rows[at] & PLACE] = first + at
        (expires_us,) = self._pending.gather(rows, "expires_us")
        due_us: Indices = np.minimum(labels.release_us, expires_us - 1)
        return due_us

    def shelve(self) -> None:
        """Put on the shelf what memory isn't meant for."""
        for number in self._labels.surplus():
            self._labels.shelve(number)
            if not self._labels.blocks[number].alive:
                self._labels.drop(number)

    def correct(self, row: int, match: Matched) -> None:
        """Note the latest label of a row that has one, where it isn't the first."""
        first = match.label_id, type(match.label), match.label
        if first != (match.latest_id, type(match.latest), match.latest):
            self._latest[row] = match.latest_id, match.latest

    def forget(self, rows: Indices) -> None:
        """Forget the labels of predictions that are about to be."""
        labels = self._labels_of(rows)
        for number in self._labels.forget(labels[labels != NO_ROW]):
            self._labels.drop(number)
        if self._latest:
            for row in rows.tolist():
                self._latest.pop(row, None)

    def drop(self, number: int) -> None:
        """Note that a block of predictions went."""
        self._of.pop(number, None)

    def _label_of(self, row: int) -> int:
        of = self._of.get(row >> BLOCK_BITS)
        return NO_ROW if of is None else int(of[row & PLACE])

    def _labels_of(self, rows: Indices) -> Indices:
        groups = groups_of(rows >> BLOCK_BITS)
        if len(groups) == 1 and (only := self._of.get(groups[0][0])) is not None:
            all_: Indices = only[rows & PLACE]
            return all_
        found = np.full(len(rows), NO_ROW, dtype=np.int64)
        for number, at in groups:
            if (of := self._of.get(number)) is not None:
                found[at] = of[rows[at] & PLACE]
        return found


def labels_of(matches: Sequence[Matched]) -> Labels:
    """Return first labels, at least one, as columns."""
    ids, labels, times_us, offsets, _, _, release_us, after = zip(
        *map(msgspec.structs.astuple, matches), strict=True
    )
    return Labels(ids, labels, np.array(times_us), offsets, whole(release_us), np.array(after))


def matches_of(labels: Labels) -> list[Match]:
    """Return the fields of `Matched` of first labels."""
    ids, values, times_us, offsets, release_us, after = labels
    rows = zip(
        ids, values, times_us.tolist(), offsets, ids, values, release_us.tolist(), after.tolist(),
        strict=True,
    )  # fmt: skip
    return list(rows)
