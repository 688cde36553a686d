"""The join of predictions and labels: what waits for what, and for how long.

Rule 1: a label matches exactly if labels' tick where it stands is below prediction time + horizon.
        Pending predictions expire by labels' ticks, waiting labels by predictions' (EPOCHS 17).
Rule 2: a match never overwrites the pending prediction: a refold needs it (14).
Rule 3: this table is a port, the one state that a fold changes in place. The host writes its
        changes with the positions as one batch, and hands the rows back; predictions and matches
        go in blocks, for a row each costs more than the fold.
Rule 4: an outcome is held exactly while labels' tick hasn't passed its release (19).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain, compress, repeat
from operator import attrgetter, is_, itemgetter
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamops.core.due import Due
from streamops.core.join_rows import Matched, MatchRow, Pending, Waiting, release_time_us

BLOCK_ROWS_MAX = 4096
_ID, _EXPIRES = attrgetter("id"), attrgetter("expires_us")
_FIRST = itemgetter(0)
_BY_TIME = attrgetter("time_us", "id")

T = TypeVar("T")


class JoinTable:
    """Pending predictions, their first labels, and waiting labels, by prediction id."""

    def __init__(self) -> None:
        self.pending: dict[str, Pending] = {}
        self.matched: dict[str, Matched] = {}
        self.waiting: dict[str, Waiting] = {}
        self._pending_due = Due[Pending]()
        self._waiting_due = Due[str]()
        self._release_due = Due[Pending]()
        self._new_pending: list[Pending] = []
        self._new_matched: list[tuple[Pending, Matched]] = []
        self._waiting_changes: dict[bytes, bytes | None] = {}
        self._blocks = Due[tuple[int, bytes]]()
        self._next_block = 0

    def add_pending(self, entry: Pending) -> None:
        """Keep a prediction until it expires."""
        self.pending[entry.id] = entry
        self._pending_due.add(entry.expires_us, entry)
        self._new_pending.append(entry)

    def add_all(self, entries: Sequence[Pending], expires_us: NDArray[np.int64]) -> None:
        """Keep predictions, each of another id."""
        self.pending.update(zip(map(_ID, entries), entries, strict=True))
        self._pending_due.add_all(expires_us, entries)
        self._new_pending += entries

    def match_all(
        self,
        entries: Sequence[Pending],
        matches: Sequence[Matched],
        release_us: NDArray[np.int64],
    ) -> None:
        """Note the first labels of predictions, and when their outcomes go out."""
        self.matched.update(zip(map(_ID, entries), matches, strict=True))
        self._release_due.add_all(release_us, entries)
        self._new_matched += zip(entries, matches, strict=True)

    def add_matched(self, entry: Pending, match: Matched) -> None:
        """Note the first label beside its prediction."""
        self._release_due.add(release_time_us(entry, match), entry)
        self.correct(entry, match)

    def correct(self, entry: Pending, match: Matched) -> None:
        """Note another latest label of a prediction that has one."""
        self.matched[entry.id] = match
        self._new_matched.append((entry, match))

    def add_waiting(self, entry: Waiting) -> None:
        """Keep a label until its prediction comes or it expires."""
        if entry.prediction_id not in self.waiting:
            self._waiting_due.add(entry.expires_us, entry.prediction_id)
        self.waiting[entry.prediction_id] = entry
        self._waiting_changes[b"w" + entry.prediction_id.encode()] = _ENCODER.encode(entry)

    def drop_waiting(self, prediction_id: str) -> None:
        """Forget a waiting label: its prediction came."""
        del self.waiting[prediction_id]
        self._waiting_changes[b"w" + prediction_id.encode()] = None

    def release(self, labels_tick_us: int) -> list[tuple[Pending, Matched]]:
        """Hand over the outcomes that are due, by prediction time and id."""
        due, now = self._release_due.take(labels_tick_us)
        for entry in now:
            release_us = release_time_us(entry, self.matched[entry.id])
            if release_us < labels_tick_us:
                due.append(entry)
            else:
                self._release_due.add(release_us, entry)
        due.sort(key=_BY_TIME)
        return list(zip(due, map(self.matched.__getitem__, map(_ID, due)), strict=True))

    def expire_pending(self, labels_tick_us: int) -> None:
        """Forget predictions that labels' tick has reached the horizon of."""
        due, now = self._pending_due.take(labels_tick_us)
        for entry in now:
            if entry.expires_us > labels_tick_us:
                self._pending_due.add(entry.expires_us, entry)
            else:
                due.append(entry)
        # An id may have come again after it expired; then another entry is pending.
        ids = list(map(_ID, due))
        if not all(map(is_, map(self.pending.get, ids), due)):
            ids = [entry.id for entry in due if self.pending.get(entry.id) is entry]
        deque(map(self.pending.pop, ids), 0)
        deque(map(self.matched.pop, ids, repeat(None)), 0)

    def expire_waiting(self, predictions_tick_us: int) -> list[Waiting]:
        """Forget, and return in offset order, labels whose prediction never came."""
        gone: list[Waiting] = []
        for key in chain(*self._waiting_due.take(predictions_tick_us)):
            entry = self.waiting.get(key)
            if entry is not None and entry.expires_us <= predictions_tick_us:
                self.drop_waiting(key)
                gone += (entry, *entry.later)
            elif entry is not None:
                self._waiting_due.add(entry.expires_us, key)
        return sorted(gone, key=lambda entry: entry.offset)

    def take_changes(self, labels_tick_us: int) -> dict[bytes, bytes | None]:
        """Return all changes since the last call; None stands for a deletion."""
        changes, self._waiting_changes = self._waiting_changes, {}
        for expires_us, key in chain(*self._blocks.take(labels_tick_us)):
            if expires_us <= labels_tick_us:
                changes[key] = None
            else:
                self._blocks.add(expires_us, (expires_us, key))
        pending = self._alive(self._new_pending, self._new_pending)
        matched = self._alive(list(map(_FIRST, self._new_matched)), self._new_matched)
        self._new_pending, self._new_matched = [], []
        for some in _parts(pending):
            key = self._block(b"p", some)
            changes[key] = _ENCODER.encode(some)
        for pairs in _parts(matched):
            key = self._block(b"m", [entry for entry, _ in pairs])
            changes[key] = _ENCODER.encode([MatchRow(e.id, e.offset, m) for e, m in pairs])
        return changes

    def restore(self, rows: Iterable[tuple[bytes, bytes]], labels_tick_us: int) -> None:
        """Fill an empty table with what earlier batches wrote, as it stood at labels' tick."""
        for key, value in sorted(rows):
            if key[:1] == b"w":
                self.add_waiting(_WAITING.decode(value))
            elif key[:1] == b"p":
                some = _PENDINGS.decode(value)
                self._known(key, some)
                for entry in some:
                    if entry.expires_us > labels_tick_us:
                        self.add_pending(entry)
        # After all predictions: a match lies in a block of its own.
        for key, value in sorted(rows):
            if key[:1] == b"m":
                self._restore_matched(key, _MATCHES.decode(value), labels_tick_us)
        self._new_pending, self._new_matched, self._waiting_changes = [], [], {}

    def _restore_matched(self, key: bytes, rows: Sequence[MatchRow], labels_tick_us: int) -> None:
        found = [(row, self.pending.get(row.id)) for row in rows]
        known = [(e, row.match) for row, e in found if e is not None and e.offset == row.offset]
        self._known(key, [entry for entry, _ in known])
        for entry, match in known:
            is_held = release_time_us(entry, match) >= labels_tick_us
            if is_held and entry.id not in self.matched:
                self._release_due.add(release_time_us(entry, match), entry)
            self.matched[entry.id] = match

    def _alive(self, entries: Sequence[Pending], rows: Sequence[T]) -> Sequence[T]:
        """Return the rows whose predictions are still pending."""
        found = map(self.pending.get, map(_ID, entries))
        return list(compress(rows, map(is_, found, entries)))

    def _block(self, kind: bytes, entries: Sequence[Pending]) -> bytes:
        key = kind + self._next_block.to_bytes(8, "big")
        self._known(key, entries)
        return key

    def _known(self, key: bytes, entries: Sequence[Pending]) -> None:
        """Note a block that lies in the store, until all in it expired."""
        expires_us = max(map(_EXPIRES, entries), default=0)
        self._blocks.add(expires_us, (expires_us, key))
        self._next_block = max(self._next_block, int.from_bytes(key[1:], "big") + 1)


def _parts(rows: Sequence[T]) -> Iterable[Sequence[T]]:
    return (rows[at : at + BLOCK_ROWS_MAX] for at in range(0, len(rows), BLOCK_ROWS_MAX))


_ENCODER = msgspec.msgpack.Encoder()
_PENDINGS = msgspec.msgpack.Decoder(list[Pending])
_MATCHES = msgspec.msgpack.Decoder(list[MatchRow])
_WAITING = msgspec.msgpack.Decoder(Waiting)
