"""Outcomes by epoch: the training log, complete and in one fixed order.

Rule 1: a model's outcomes stand on one partition; an epoch of it is complete when every METER
        source closed it, repeats dropped (`core.derived_inbox`). Inside an epoch they are sorted by
        the total key, so every read of a range gives the same rows.
Rule 2: rows wait in a spool file, an index of (model, epoch) in memory: bytes a row, not objects.
        The file is disposable; the log fills it again. Open epochs wait on disk beyond `held_mb`.
Rule 3: a correction replaces its row's label, where it stands in the range; the last one wins.
Rule 4: a row whose values about a person no key opens (any more) teaches nothing: it is left out,
        and counted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from typing import BinaryIO, NamedTuple

import msgspec

from streamops.core.derived_inbox import DerivedInbox, sources_of
from streamops.core.partition import partition_of
from streamops.core.personal import is_personal
from streamops.core.processor import Record
from streamops.core.times import micros
from streamops.events import OutcomeJoined
from streamops.hosts.spill import Spill
from streamops.kafka.follow import Follower
from streamops.personal import Opener
from streamops.settings import Settings
from streamops.values import Value

SOURCES = ("meter",)


class OutcomeRow(msgspec.Struct, frozen=True, array_like=True):
    """One labelled prediction; `features` is a JSON object of the model's columns."""

    time_us: int
    prediction_id: str
    features: bytes
    label: Value
    segments: dict[str, str]
    correction: bool = False


class Outcomes(NamedTuple):
    """A range's rows in the clear, and how many were left out (Rule 4)."""

    rows: list[OutcomeRow]
    unread: int


class Spool:
    """Encoded epochs of rows in a file without a name."""

    def __init__(self, folder: str | None = None) -> None:
        self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._index: dict[str, dict[int, tuple[int, int]]] = {}
        self._end = 0

    def add(self, model: str, epoch: int, rows: list[OutcomeRow]) -> None:
        """Keep an epoch's rows."""
        data = _ENCODER.encode(rows)
        self._file.seek(self._end)
        self._file.write(data)
        self._index.setdefault(model, {})[epoch] = (self._end, len(data))
        self._end += len(data)

    def read(self, model: str, first: int, last: int) -> Iterable[OutcomeRow]:
        """Yield the rows of epochs [first, last] in their order."""
        for epoch, (start, length) in sorted(self._index.get(model, {}).items()):
            if first <= epoch <= last:
                self._file.seek(start)
                yield from _ROWS.decode(self._file.read(length))

    def close(self) -> None:
        """Drop the file."""
        self._file.close()


class OutcomeStore:
    """Reads `outcomes` as it grows; answers ranges of complete epochs."""

    def __init__(self, settings: Settings, client: str = "trainer-outcomes") -> None:
        self.settings = settings
        folder = settings.data / "trainer"
        folder.mkdir(parents=True, exist_ok=True)
        self._spool = Spool(str(folder))
        self._opener = Opener(settings.keys)
        self._spill = Spill(folder / f"open-{client}", settings.held_bytes)
        self._follower = Follower(settings, client, ("outcomes",))
        self._inboxes = {q: self._inbox(q) for q in range(settings.partitions)}
        self._complete = dict.fromkeys(self._inboxes, -1)

    def poll(self, timeout_s: float) -> None:
        """Read what has come."""
        for record in self._follower.poll(timeout_s):
            self.feed(record)

    def feed(self, record: Record) -> None:
        """Take one record of `outcomes` and spool the epochs that it completed."""
        q = record.partition
        inbox = self._inboxes[q]
        inbox.feed(record)
        while inbox.ready(self._complete[q] + 1):
            self._complete[q] += 1
            records, _, _ = inbox.take(self._complete[q])
            self._keep(self._complete[q], records)

    def has(self, model: str, epoch: int) -> bool:
        """Tell whether the model's outcomes are complete up to and including an epoch."""
        return self._complete[partition_of(model, self.settings.partitions)] >= epoch

    def rows(self, model: str, first: int, last: int, *, corrected: bool = True) -> Outcomes:
        """Return the model's rows of epochs [first, last] in their fixed order.

        corrected  a correction replaces the label of its row; else corrections are left out
        """
        assert self.has(model, last), f"epoch {last} of {model} isn't complete"
        found = corrected_rows(self._spool.read(model, first, last), corrected=corrected)
        return in_clear(found, self._opener)

    def close(self) -> None:
        """Leave the broker and drop the spool."""
        self._follower.close()
        self._spool.close()
        self._spill.close()

    def _inbox(self, q: int) -> DerivedInbox:
        sources = sources_of("outcomes", SOURCES, q, self.settings.partitions)
        inbox = DerivedInbox("outcomes", next_epoch=0, sources=sources)
        inbox.buffer = self._spill.buffer()
        return inbox

    def _keep(self, epoch: int, records: Sequence[Record]) -> None:
        models: dict[str, list[OutcomeRow]] = {}
        for record in records:
            event = record.event
            if isinstance(event, OutcomeJoined):
                models.setdefault(event.model, []).append(_row(event))
        for model, rows in models.items():
            self._spool.add(model, epoch, rows)


def corrected_rows(rows: Iterable[OutcomeRow], *, corrected: bool = True) -> list[OutcomeRow]:
    """Return one row a prediction: at its first place, with its last label (Rule 3)."""
    places: dict[str, int] = {}
    found: list[OutcomeRow] = []
    for row in rows:
        if row.correction and not corrected:
            continue
        at = places.setdefault(row.prediction_id, len(found))
        if at == len(found):
            found.append(row)
        elif row.correction:
            found[at] = msgspec.structs.replace(found[at], label=row.label)
    return found


def in_clear(found: list[OutcomeRow], opener: Opener) -> Outcomes:
    """Return rows with values about persons in the clear, and the number of those left out."""
    rows: list[OutcomeRow] = []
    for row in found:
        if not is_personal(row.features):
            rows.append(row)
        elif (features := opener.read(row.prediction_id, row.features)) is not None:
            rows.append(msgspec.structs.replace(row, features=features))
    return Outcomes(rows, len(found) - len(rows))


def _row(event: OutcomeJoined) -> OutcomeRow:
    return OutcomeRow(
        micros(event.time),
        event.prediction_id,
        bytes(event.features),
        event.label,
        event.segments,
        event.correction,
    )


_ENCODER = msgspec.msgpack.Encoder()
_ROWS = msgspec.msgpack.Decoder(list[OutcomeRow])
