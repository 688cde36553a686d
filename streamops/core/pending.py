"""Pending predictions by id, kept as columns of blocks.

Rule 1: whoever asks for one gets it, as the fold record by record does; a fold of many asks for
        columns of their rows.
Rule 2: a block is forgotten when all of its predictions are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from msgspec.structs import astuple

from streamops.core.block_shelf import Shelf
from streamops.core.blocks import BLOCK_BITS, KEEP_ROWS, PLACE, Blocks, Places
from streamops.core.columns import Column, Flags, Indices, groups_of, numbered
from streamops.core.join_rows import Pending
from streamops.core.pending_block import PREDICTIONS, GroupKey, Made
from streamops.core.pending_index import NO_ROW, PendingIndex

NEVER_US = 1 << 62
_NAMES = ("id", "time_us", "expires_us", "group", "prediction", "score", "features", "segments",
          "offset")  # fmt: skip


class PendingRows(Mapping[str, Pending]):
    """Pending predictions: rows of blocks.

    index  the row of each id
    """

    def __init__(self, shelf: Shelf | None = None, keep: int = KEEP_ROWS) -> None:
        self._rows = Blocks(PREDICTIONS, shelf, keep)
        self.index = PendingIndex(self._rows)
        self._keys: dict[int, GroupKey] = {}
        self._codes: dict[GroupKey, int] = {}
        self._uses: Counter[int] = Counter()
        self._last, self._in_last = -1, set[int]()
        self._next_code = 0

    def __len__(self) -> int:
        return self._rows.alive

    def __iter__(self) -> Iterator[str]:
        for rows in self._rows.alive_rows():
            yield from self._rows.gather(rows, "id")[0].tolist()

    def __contains__(self, id_: object) -> bool:
        return isinstance(id_, str) and self.index.get(id_) != NO_ROW

    def __getitem__(self, id_: str) -> Pending:
        row = self.index.get(id_)
        if row == NO_ROW:
            raise KeyError(id_)
        return self.entry(row)

    @property
    def next_row(self) -> int:
        """The row of the prediction that comes next, or a lower one."""
        return self._rows.next_row

    def entry(self, row: int) -> Pending:
        """Return a row's prediction."""
        return Pending(*self.entries(np.array([row]))[0])

    def entries(self, rows: Indices) -> list[tuple[Any, ...]]:
        """Return the fields of `Pending` of each row."""
        columns = self._rows.gather(rows, *_NAMES)
        ids, times_us, expire_us, codes, predictions, _, features, segments, offsets = (
            column.tolist() for column in columns
        )
        scores = known_of(columns[_NAMES.index("score")])
        keys: Any = zip(*map(self._keys.__getitem__, codes), strict=True)
        models, versions, panes_us, hashes, late = keys
        return list(
            zip(
                ids, times_us, expire_us, models, versions, predictions, scores, features,
                segments_of_all(segments), late, offsets, panes_us, hashes, strict=False,
            )
        )  # fmt: skip

    def gather(self, rows: Indices, *names: str) -> list[Column]:
        """Return columns of some rows, at least one."""
        return self._rows.gather(rows, *names)

    def in_log_order(self) -> Indices:
        """Return all rows by their offsets."""
        found = [np.zeros(0, dtype=np.int64), *self._rows.alive_rows()]
        offsets = [self._rows.gather(rows, "offset")[0] for rows in found[1:]]
        order = np.concatenate([found[0], *offsets]).argsort(kind="stable")
        ordered: Indices = np.concatenate(found)[order]
        return ordered

    def key_of(self, code: int) -> GroupKey:
        """Return what the rows of a group share."""
        return self._keys[code]

    def expires_us(self, number: int, places: Places) -> Indices:
        """Return when some of a block's predictions expire."""
        found: Indices = self._rows.blocks[number].take(places, "expires_us")[0]
        return found

    def add_all(self, made: Made) -> list[tuple[int, Indices]]:
        """Keep predictions; return the blocks they are in, and their places."""
        size = len(made.id)
        columns = {
            **made._asdict(),
            "group": np.array(list(map(self._code, made.groups)), dtype=np.int64)[made.of_group],
            "score": np.array(made.score, dtype=np.float64),
            "segments": [each or None for each in made.segments],
        }
        self.index.add_all(made.id, self._rows.next_row)
        found = self._rows.add_all(columns, size)
        first = 0
        for number, places in found:
            last = first + len(places)
            self._use(number, set(columns["group"][first:last].tolist()))
            first = last
        return found

    def shelve(self) -> None:
        """Put on the shelf what memory isn't meant for."""
        for number in self._rows.surplus():
            self.index.shelve(number)
            self._rows.shelve(number)
            if not self._rows.blocks[number].alive:
                self._drop(number)

    def forget(self, rows: Indices) -> list[int]:
        """Forget predictions; return the blocks that went with them."""
        for number, at in groups_of(rows >> BLOCK_BITS):
            self.index.forget(number, rows[at] & PLACE)
        empty = self._rows.forget(rows)
        for number in empty:
            self._drop(number)
        return empty

    def is_alive(self, rows: Indices) -> Flags:
        """Tell which rows are pending."""
        return self._rows.is_alive(rows)

    def _code(self, key: GroupKey) -> int:
        code = self._codes.get(key)
        if code is None:
            code = self._codes[key] = self._next_code
            self._keys[code] = key
            self._next_code += 1
        return code

    def _use(self, number: int, codes: set[int]) -> None:
        """Note that a block has rows of groups."""
        if number != self._last:
            self._last, self._in_last = number, set()
        self._uses.update(codes - self._in_last)
        self._in_last |= codes

    def _drop(self, number: int) -> None:
        """Forget a block, and groups that no other has."""
        block = self._rows.blocks[number]
        (codes,) = block.take(np.arange(block.size), "group")
        for code in set(codes.tolist()):
            self._uses[code] -= 1
            if not self._uses[code]:
                del self._uses[code], self._codes[self._keys.pop(code)]
        self.index.drop(number)
        self._rows.drop(number)


def made_of(entries: Sequence[Pending]) -> Made:
    """Return predictions, at least one, as columns."""
    columns: Any = zip(*map(astuple, entries), strict=True)
    (
        ids, times_us, expire_us, models, versions, predictions, scores, features, segments, late,
        offsets, panes_us, hashes,
    ) = columns  # fmt: skip
    keys = zip(models, versions, panes_us, hashes, late, strict=True)
    groups, of_group = numbered([GroupKey(*key) for key in keys])
    return Made(
        ids, np.array(times_us, dtype=np.int64), whole(expire_us), groups, of_group, predictions,
        scores, features, segments, offsets,
    )  # fmt: skip


def whole(us: Sequence[int]) -> Indices:
    """Return times as whole microseconds; one too far for 64 bits never comes, as NEVER_US."""
    return np.array([min(each, NEVER_US) for each in us], dtype=np.int64)


def known_of(scores: Column) -> list[float | None]:
    """Return scores with None for what is not a number."""
    found: list[float | None] = scores.tolist()
    for at in np.isnan(scores).nonzero()[0].tolist():
        found[at] = None
    return found


def segments_of_all(segments: Sequence[dict[str, str] | None]) -> Iterable[dict[str, str]]:
    """Return each row's segments, of which a block keeps none where there are none."""
    return [each or {} for each in segments] if any(segments) else repeat({}, len(segments))
