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

from collections.abc import Iterable, Sequence
from itertools import chain, compress

import msgspec
import numpy as np

from streamops.core.block_shelf import Shelf
from streamops.core.blocks import BLOCK_BITS, KEEP_ROWS
from streamops.core.columns import Indices
from streamops.core.due import Due
from streamops.core.due_rows import DueRows
from streamops.core.join_rows import Matched, MatchRow, Pending, Waiting
from streamops.core.matched import Match, MatchedRows, labels_of, matches_of
from streamops.core.pending import PendingRows, made_of
from streamops.core.pending_block import Labels, Made
from streamops.core.pending_index import NO_ROW

BLOCK_ROWS_MAX = 4096


class JoinTable:
    """Pending predictions, their first labels, and waiting labels, by prediction id."""

    def __init__(self, shelf: Shelf | None = None, keep: int = KEEP_ROWS) -> None:
        """Be empty.

        shelf  where rows go once more than `keep` of predictions, or of labels, are in memory
        """
        self.pending = PendingRows(shelf, keep)
        self.matched = MatchedRows(self.pending, shelf, keep)
        self.waiting: dict[str, Waiting] = {}
        self._pending_due = DueRows(self.pending.expires_us)
        self._release_due = DueRows(self.matched.release_us)
        self._waiting_due = Due[str]()
        self._saved = 0
        self._new_matched: list[tuple[Indices, Labels | list[Match]]] = []
        self._waiting_changes: dict[bytes, bytes | None] = {}
        self._blocks = Due[tuple[int, bytes]]()
        self._next_block = 0

    def add_pending(self, entry: Pending) -> None:
        """Keep a prediction until it expires."""
        ((number, places),) = self.pending.add_all(made_of([entry]))
        self._pending_due.add((number << BLOCK_BITS) + int(places[0]))
        self.pending.shelve()

    def add_all(self, made: Made) -> None:
        """Keep predictions, each of another id."""
        for number, places in self.pending.add_all(made):
            self._pending_due.add_all(number, places)
        self.pending.shelve()

    def match_all(self, rows: Indices, labels: Labels) -> None:
        """Note the first labels of predictions."""
        self._release_due.add_rows(rows, self.matched.add_all(rows, labels))
        self.matched.shelve()
        self._new_matched.append((rows, labels))

    def add_matched(self, entry: Pending, match: Matched) -> None:
        """Note the first label beside its prediction."""
        row = self.pending.index.get(entry.id)
        self.matched.add_all(np.array([row]), labels_of([match]))
        self._release_due.add(row)
        self.matched.shelve()
        self.correct(entry, match)

    def correct(self, entry: Pending, match: Matched) -> None:
        """Note another latest label of a prediction that has one."""
        row = self.pending.index.get(entry.id)
        self.matched.correct(row, match)
        self._new_matched.append((np.array([row]), [msgspec.structs.astuple(match)]))

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
        rows = self.release_rows(labels_tick_us).tolist()
        return [(self.pending.entry(row), self.matched.of_row(row)) for row in rows]

    def release_rows(self, labels_tick_us: int) -> Indices:
        """Hand over the rows of the outcomes that are due, by prediction time and id."""
        rows = self._release_due.take(labels_tick_us)
        if not len(rows):
            return rows
        (time_us,) = self.pending.gather(rows, "time_us")
        if (time_us[1:] <= time_us[:-1]).any():
            (ids,) = self.pending.gather(rows, "id")
            order = sorted(zip(time_us.tolist(), ids.tolist(), rows.tolist(), strict=True))
            rows = np.array([row for _, _, row in order])
        return rows

    def expire_pending(self, labels_tick_us: int) -> None:
        """Forget predictions that labels' tick has reached the horizon of."""
        rows = self._pending_due.take(labels_tick_us + 1)
        if len(rows):
            self.matched.forget(rows)
            for number in self.pending.forget(rows):
                self.matched.drop(number)

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
        new = np.arange(self._saved, self.pending.next_row)
        rows, matches = self._take_matched()
        for some in _parts(new[self.pending.is_alive(new)]):
            changes[self._block(b"p", some)] = _ENCODER.encode(self.pending.entries(some))
        for first in range(0, len(matches), BLOCK_ROWS_MAX):
            some = rows[first : first + BLOCK_ROWS_MAX]
            ids, offsets = self.pending.gather(some, "id", "offset")
            found = zip(ids.tolist(), offsets.tolist(), matches[first:], strict=False)
            changes[self._block(b"m", some)] = _ENCODER.encode(list(found))
        self._saved = self.pending.next_row
        return changes

    def restore(self, rows: Iterable[tuple[bytes, bytes]], labels_tick_us: int) -> None:
        """Fill an empty table with what earlier batches wrote, as it stood at labels' tick.

        rows  in the order of their keys; they are read twice, and needn't be in memory
        """
        for key, value in rows:
            if key[:1] == b"w":
                self.add_waiting(_WAITING.decode(value))
            elif key[:1] == b"p":
                some = _PENDINGS.decode(value)
                self._known(key, max((entry.expires_us for entry in some), default=0))
                if alive := [entry for entry in some if entry.expires_us > labels_tick_us]:
                    self.add_all(made_of(alive))
        # After all predictions: a match lies in a block of its own.
        for key, value in rows:
            if key[:1] == b"m":
                self._restore_matched(key, _MATCHES.decode(value), labels_tick_us)
        self._saved, self._new_matched, self._waiting_changes = self.pending.next_row, [], {}

    def _restore_matched(self, key: bytes, some: Sequence[MatchRow], labels_tick_us: int) -> None:
        rows = self.pending.index.get_all([each.id for each in some])
        known = rows != NO_ROW
        if np.any(known):
            (offsets,) = self.pending.gather(rows[known], "offset")
            known[known] = offsets == np.array([each.offset for each in some])[known]
        self._known(key, self._last_us(rows[known]))
        matches = dict[int, Matched]()
        pairs = list(zip(rows[known].tolist(), compress(some, known.tolist()), strict=True))
        for row, each in pairs:
            matches.setdefault(row, each.match)
        new = np.array(list(matches), dtype=np.int64)
        new = new[~self.matched.have(new)]
        if len(new):
            labels = labels_of([matches[row] for row in new.tolist()])
            due_us = self.matched.add_all(new, labels)
            waits = due_us >= labels_tick_us
            self._release_due.add_rows(new[waits], due_us[waits])
            self.matched.shelve()
        for row, each in pairs:
            self.matched.correct(row, each.match)

    def _take_matched(self) -> tuple[Indices, list[Match]]:
        """Hand over the new labels of predictions that are still pending."""
        some, self._new_matched = self._new_matched, []
        rows = np.concatenate([np.zeros(0, dtype=np.int64), *(rows for rows, _ in some)])
        alive = self.pending.is_alive(rows)
        # Made only now: tuples that are kept until a checkpoint are walked by the collector.
        parts = (matches_of(new) if isinstance(new, Labels) else new for _, new in some)
        return rows[alive], list(compress(chain.from_iterable(parts), alive.tolist()))

    def _block(self, kind: bytes, rows: Indices) -> bytes:
        key = kind + self._next_block.to_bytes(8, "big")
        self._known(key, self._last_us(rows))
        return key

    def _last_us(self, rows: Indices) -> int:
        return int(self.pending.gather(rows, "expires_us")[0].max()) if len(rows) else 0

    def _known(self, key: bytes, expires_us: int) -> None:
        """Note a block that lies in the store, until all in it expired."""
        self._blocks.add(expires_us, (expires_us, key))
        self._next_block = max(self._next_block, int.from_bytes(key[1:], "big") + 1)


def _parts(rows: Indices) -> Iterable[Indices]:
    return (rows[at : at + BLOCK_ROWS_MAX] for at in range(0, len(rows), BLOCK_ROWS_MAX))


_ENCODER = msgspec.msgpack.Encoder()
_PENDINGS = msgspec.msgpack.Decoder(list[Pending])
_MATCHES = msgspec.msgpack.Decoder(list[MatchRow])
_WAITING = msgspec.msgpack.Decoder(Waiting)
