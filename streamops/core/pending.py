"""Pending predictions by id, kept as columns of blocks.

Rule 1: whoever asks for one gets it, as the fold record by record does; a fold of many asks for
        columns of their rows.
Rule 2: a block is forgotten when all of its predictions are.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, KeysView, Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from msgspec.structs import astuple

from streamops.core.columns import Flags, Indices, groups_of, numbered
from streamops.core.due_rows import Places
from streamops.core.join_rows import Pending
from streamops.core.pending_block import (
    BLOCK_BITS,
    PLACE,
    Block,
    Column,
    GroupKey,
    Made,
)

NO_ROW = -1
NEVER_US = 1 << 62


class PendingRows(Mapping[str, Pending]):
    """Pending predictions: rows of blocks.

    index     the row of each id
    next_row  that of the prediction that comes next
    """

    def __init__(self) -> None:
        self.index: dict[str, int] = {}
        self.next_row = 0
        self.blocks: dict[int, Block] = {}
        self._keys: dict[int, GroupKey] = {}
        self._codes: dict[GroupKey, int] = {}
        self._uses: Counter[int] = Counter()
        self._in_last: set[int] = set()
        self._next_code = 0

    def __len__(self) -> int:
        return len(self.index)

    def __iter__(self) -> Iterator[str]:
        return iter(self.index)

    def __contains__(self, id_: object) -> bool:
        return id_ in self.index

    def __getitem__(self, id_: str) -> Pending:
        return self.entry(self.index[id_])

    def keys(self) -> KeysView[str]:
        """The ids."""
        return self.index.keys()

    def entry(self, row: int) -> Pending:
        """Return a row's prediction."""
        column, at = self.blocks[row >> BLOCK_BITS].columns, row & PLACE
        key = self._keys[column["group"].item(at)]
        (score,) = known_of(column["score"][at : at + 1])
        return Pending(
            column["id"][at], column["time_us"].item(at), column["expires_us"].item(at), key.model,
            key.version, column["prediction"][at], score, column["features"][at],
            column["segments"][at] or {}, key.late, column["offset"].item(at), key.pane_us,
            key.config_hash,
        )  # fmt: skip

    def entries(self, rows: Indices) -> list[tuple[Any, ...]]:
        """Return the fields of `Pending` of each row."""
        names = ("id", "time_us", "expires_us", "group", "prediction", "score", "features",
                 "segments", "offset")  # fmt: skip
        columns = self.gather(rows, *names)
        ids, times_us, expire_us, codes, predictions, _, features, segments, offsets = (
            column.tolist() for column in columns
        )
        scores = known_of(columns[names.index("score")])
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
        numbers = rows >> BLOCK_BITS
        first = int(numbers[0])
        if (numbers == first).all():
            places, block = rows & PLACE, self.blocks[first]
            return [block.column(name)[places] for name in names]
        found: list[Column] = []
        for number, at in groups_of(numbers):
            places, block = rows[at] & PLACE, self.blocks[number]
            some = [block.column(name)[places] for name in names]
            found = found or [np.empty(len(rows), dtype=column.dtype) for column in some]
            for whole, part in zip(found, some, strict=True):
                whole[at] = part
        return found

    def key_of(self, code: int) -> GroupKey:
        """Return what the rows of a group share."""
        return self._keys[code]

    def expires_us(self, number: int, places: Places) -> Indices:
        """Return when some of a block's predictions expire."""
        found: Indices = self.blocks[number].columns["expires_us"][places]
        return found

    def add_all(self, made: Made) -> list[tuple[int, Indices]]:
        """Keep predictions; return the blocks they are in, and their places."""
        size, first = len(made.id), 0
        columns = {
            **made._asdict(),
            "group": np.array(list(map(self._code, made.groups)), dtype=np.int64)[made.of_group],
            "score": np.array(made.score, dtype=np.float64),
            "segments": [each or None for each in made.segments],
        }
        self.index.update(zip(made.id, range(self.next_row, self.next_row + size), strict=True))
        found: list[tuple[int, Indices]] = []
        while first < size:
            number = self.next_row >> BLOCK_BITS
            block = self.blocks.get(number)
            if block is None:
                block = self.blocks[number] = Block()
                self._in_last = set()
            last = min(size, first + block.room)
            found.append((number, np.arange(block.size, block.size + last - first)))
            block.fill(columns, first, last)
            new = set(columns["group"][first:last].tolist()) - self._in_last
            self._uses.update(new)
            self._in_last |= new
            self.next_row += last - first
            first = last
        return found

    def forget(self, rows: Indices) -> int:
        """Forget predictions; return how many of them had a label."""
        matched = 0
        for number, at in groups_of(rows >> BLOCK_BITS):
            block, places = self.blocks[number], rows[at] & PLACE
            matched += int(np.count_nonzero(block.is_matched[places]))
            ids = block.columns["id"][places].tolist()
            deque(map(self.index.pop, ids, repeat(None)), 0)
            block.is_alive[places] = False
            block.alive -= len(places)
            if not block.alive and not block.room:
                self._drop(number)
        return matched

    def is_alive(self, rows: Indices) -> Flags:
        """Tell which rows are pending."""
        found = np.zeros(len(rows), dtype=np.bool_)
        for number, at in groups_of(rows >> BLOCK_BITS):
            if (block := self.blocks.get(number)) is not None:
                found[at] = block.is_alive[rows[at] & PLACE]
        return found

    def _code(self, key: GroupKey) -> int:
        code = self._codes.get(key)
        if code is None:
            code = self._codes[key] = self._next_code
            self._keys[code] = key
            self._next_code += 1
        return code

    def _drop(self, number: int) -> None:
        """Forget a block, and groups that no other has."""
        for code in set(self.blocks.pop(number).columns["group"].tolist()):
            self._uses[code] -= 1
            if not self._uses[code]:
                del self._uses[code], self._codes[self._keys.pop(code)]


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
