"""The join of predictions and labels: what waits for what, and for how long.

Rule 1: a label matches exactly if labels' tick where it stands is below prediction time + horizon.
        Pending predictions expire by labels' ticks, waiting labels by predictions' (EPOCHS 17).
Rule 2: a match never overwrites the pending prediction: a refold needs it (14).
Rule 3: this table is a port, the one state that a fold changes in place. It notes each change
        under a key; the host writes them with the positions as one batch, and hands them back.
"""

from __future__ import annotations

import msgspec

from streamops.core.times import SECOND_US
from streamops.values import Value

LATER_MAX = 100


class Pending(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A prediction that may still get a label. Times in microseconds; features as JSON."""

    id: str
    time_us: int
    expires_us: int
    model: str
    version: str
    prediction: Value
    score: float | None
    features: bytes
    segments: dict[str, str]
    late: bool
    offset: int
    pane_us: int
    config_hash: str


class Matched(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The first label of a pending prediction, and the latest correction of it."""

    label_id: str
    label: Value
    time_us: int
    offset: int
    latest_id: str
    latest: Value


class Waiting(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A label that came before its prediction; `stood_us` is labels' tick where it stands.

    later  more labels for the same prediction, in log order, at most LATER_MAX
    """

    prediction_id: str
    label_id: str
    label: Value
    time_us: int
    stood_us: int
    expires_us: int
    offset: int
    append_ms: int
    value: bytes
    later: tuple[Waiting, ...] = ()


class JoinTable:
    """Pending predictions, their first labels, and waiting labels, by prediction id."""

    def __init__(self) -> None:
        self.pending: dict[str, Pending] = {}
        self.matched: dict[str, Matched] = {}
        self.waiting: dict[str, Waiting] = {}
        self.changes: dict[bytes, bytes | None] = {}
        self._pending_due: dict[int, list[str]] = {}
        self._waiting_due: dict[int, list[str]] = {}

    def add_pending(self, entry: Pending) -> None:
        """Keep a prediction until it expires."""
        self.pending[entry.id] = entry
        self._pending_due.setdefault(_due(entry.expires_us), []).append(entry.id)
        self.changes[b"p" + entry.id.encode()] = _ENCODER.encode(entry)

    def add_matched(self, prediction_id: str, entry: Matched) -> None:
        """Note the first label beside its prediction."""
        self.matched[prediction_id] = entry
        self.changes[b"m" + prediction_id.encode()] = _ENCODER.encode(entry)

    def add_waiting(self, entry: Waiting) -> None:
        """Keep a label until its prediction comes or it expires."""
        if entry.prediction_id not in self.waiting:
            self._waiting_due.setdefault(_due(entry.expires_us), []).append(entry.prediction_id)
        self.waiting[entry.prediction_id] = entry
        self.changes[b"w" + entry.prediction_id.encode()] = _ENCODER.encode(entry)

    def drop_waiting(self, prediction_id: str) -> None:
        """Forget a waiting label: its prediction came."""
        del self.waiting[prediction_id]
        self.changes[b"w" + prediction_id.encode()] = None

    def expire_pending(self, labels_tick_us: int) -> None:
        """Forget predictions that labels' tick has reached the horizon of."""
        for key in _take_due(self._pending_due, labels_tick_us):
            entry = self.pending.get(key)
            if entry is not None and entry.expires_us <= labels_tick_us:
                del self.pending[key]
                self.changes[b"p" + key.encode()] = None
                if self.matched.pop(key, None) is not None:
                    self.changes[b"m" + key.encode()] = None
            elif entry is not None:
                self._pending_due.setdefault(_due(entry.expires_us), []).append(key)

    def expire_waiting(self, predictions_tick_us: int) -> list[Waiting]:
        """Forget, and return in offset order, labels whose prediction never came."""
        gone: list[Waiting] = []
        for key in _take_due(self._waiting_due, predictions_tick_us):
            entry = self.waiting.get(key)
            if entry is not None and entry.expires_us <= predictions_tick_us:
                self.drop_waiting(key)
                gone += (entry, *entry.later)
            elif entry is not None:
                self._waiting_due.setdefault(_due(entry.expires_us), []).append(key)
        return sorted(gone, key=lambda entry: entry.offset)

    def take_changes(self) -> dict[bytes, bytes | None]:
        """Return all changes since the last call; None stands for a deletion."""
        changes, self.changes = self.changes, {}
        return changes

    def restore(self, rows: list[tuple[bytes, bytes]]) -> None:
        """Fill an empty table with what earlier batches wrote."""
        for key, value in sorted(rows):
            name = key[1:].decode()
            if key[:1] == b"p":
                self.add_pending(_PENDING.decode(value))
            elif key[:1] == b"m":
                self.matched[name] = _MATCHED.decode(value)
            else:
                self.add_waiting(_WAITING.decode(value))
        self.changes = {}


def _due(time_us: int) -> int:
    return time_us // SECOND_US


def _take_due(due: dict[int, list[str]], tick_us: int) -> list[str]:
    keys: list[str] = []
    for second in sorted(s for s in due if s <= _due(tick_us)):
        keys.extend(due.pop(second))
    return keys


_ENCODER = msgspec.msgpack.Encoder()
_PENDING = msgspec.msgpack.Decoder(Pending)
_MATCHED = msgspec.msgpack.Decoder(Matched)
_WAITING = msgspec.msgpack.Decoder(Waiting)
