"""Where a prediction's records stand, so that a look-up doesn't read every raw file.

    index/topic=T/partition=P.keys      a block for each raw file, one behind the other

Rule 1: derived and disposable. The archiver appends a block behind each raw file; who finds none
        for a file reads the file itself.
Rule 2: a block holds the CRC-32 of each key, sorted, and where each stands. A hash that is equal is
        only looked at: two keys with one hash cost a look, never an answer.
Rule 3: a block of metrics holds, instead of a key, the event time each is about, first to last.
Rule 4: what isn't a whole block ends the file: it was cut short, and is written over.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from streamops import codec
from streamops.core.times import micros
from streamops.errors import InputError, TransportError
from streamops.events import DriftDetected, MetricEvaluated, OutcomeJoined
from streamops.views.archive import ArchiveLog, Cover
from streamops.views.log import Partition, RawRecord
from streamops.views.raw_columns import in_columns

# Magic, bytes behind it, and offsets [first, next).
HEADER = struct.Struct("<8sqqq")
MAGIC = b"streamK1"
# Each key's hash and place; each metric's first and last microsecond since 1970, and its place.
KEYED = np.dtype([("hash", "<u4"), ("behind", "<u4")])
TIMED = np.dtype([("first", "<i8"), ("last", "<i8"), ("behind", "<i8")])
KINDS = {"predictions": KEYED, "labels": KEYED, "outcomes": KEYED, "metrics": TIMED}


class _Joined(msgspec.Struct):
    """Of an outcome, what is looked up."""

    prediction_id: str


class _Timed(msgspec.Struct):
    """Of a metric, what it is about: from pane_start, or since, to its time."""

    time: datetime
    pane_start: datetime | None = None
    since: datetime | None = None


_JOINED, _TIMED = msgspec.json.Decoder(_Joined), msgspec.json.Decoder(_Timed)


class Block(NamedTuple):
    """What the index has of one raw file: that of offsets [first, next).

    rows  a row of KEYED, ascending by hash, or of TIMED, for each record that can be looked up;
          `behind`: how far it stands behind `first`
    """

    first: int
    next: int
    rows: Any

    def of_key(self, key: bytes) -> list[int]:
        """Offsets of records that may have a key, ascending."""
        hashes, hash_ = self.rows["hash"], np.uint32(zlib.crc32(key))
        start = end = int(hashes.searchsorted(hash_))
        while end < len(hashes) and hashes[end] == hash_:
            end += 1
        return sorted(self.first + int(n) for n in self.rows["behind"][start:end])

    def around(self, time_us: int) -> list[int]:
        """Offsets of metrics that are about an event time, ascending."""
        rows = self.rows[(self.rows["first"] <= time_us) & (time_us <= self.rows["last"])]
        found: list[int] = (self.first + rows["behind"]).tolist()
        return found


class KeyIndex:
    """The index of an archive; one process writes it, any number read."""

    def __init__(self, archive: Path) -> None:
        self._folder = archive / "index"

    def blocks(self, place: Partition) -> Iterator[Block]:
        """Yield the whole blocks of a partition, in the order they were written."""
        return _blocks(self._data(place), KINDS[place[0]])

    def add(self, place: Partition, records: Sequence[RawRecord], cover: Cover) -> None:
        """Append the block of a raw file; raises TransportError where the disk refuses."""
        if place[0] not in KINDS:
            return
        path = self._path(place)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(_block(place[0], records, cover))
        except OSError as error:
            raise TransportError(
                f"{path} can't be written ({error}); check disk and rights, or delete it"
            ) from error

    def mend(self, place: Partition, log: ArchiveLog) -> None:
        """Add the blocks that a crash, or an archive of before, left out."""
        if place[0] not in KINDS:
            return
        data, blocks = self._data(place), list(self.blocks(place))
        known = {block.first for block in blocks}
        whole = sum(HEADER.size + block.rows.nbytes for block in blocks)
        if whole < len(data):
            with self._path(place).open("r+b") as file:
                file.truncate(whole)
        for _, cover in log.files(*place):
            if cover.first not in known:
                records = list(log.read(*place, cover.first, cover.next))
                self.add(place, records, cover)

    def _path(self, place: Partition) -> Path:
        return self._folder / f"topic={place[0]}" / f"partition={place[1]}.keys"

    def _data(self, place: Partition) -> Any:
        path = self._path(place)
        try:
            return np.memmap(path, np.uint8, "r") if path.stat().st_size else b""
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise TransportError(f"{path} can't be read ({error}); delete it") from error


def _blocks(data: Any, kind: Any) -> Iterator[Block]:
    at = 0
    while at + HEADER.size <= len(data):
        magic, size, first, next_ = HEADER.unpack_from(data, at)
        at += HEADER.size
        if magic != MAGIC or size < 0 or size % kind.itemsize or at + size > len(data):
            return
        yield Block(first, next_, np.frombuffer(data, kind, size // kind.itemsize, at))
        at += size


def _block(topic: str, records: Sequence[RawRecord], cover: Cover) -> bytes:
    kind, given = KINDS[topic], in_columns(records).columns
    behind = np.array(given.offsets, np.int64) - cover.first
    if kind is TIMED:
        spans = zip(map(_span_of, given.values), behind.tolist(), strict=True)
        rows = np.array([(*span, n) for span, n in spans if span is not None], kind)
    else:
        keys = map(_prediction_of, given.values) if topic == "outcomes" else given.keys
        rows = np.empty(len(records), kind)
        rows["hash"], rows["behind"] = list(map(zlib.crc32, keys)), behind
        rows = rows[np.argsort(rows["hash"], kind="stable")]
    return HEADER.pack(MAGIC, rows.nbytes, cover.first, cover.next) + rows.tobytes()


def _prediction_of(value: bytes) -> bytes:
    """The id of an outcome's prediction; nothing for what else stands there."""
    try:
        return _JOINED.decode(value).prediction_id.encode()
    except (msgspec.MsgspecError, UnicodeError):
        event = _event_of(value)
        return event.prediction_id.encode() if isinstance(event, OutcomeJoined) else b""


def _span_of(value: bytes) -> tuple[int, int] | None:
    """The event time that a metric is about; nothing for what else stands there."""
    try:
        said: Any = _TIMED.decode(value)
        begun = said.pane_start or said.since
    except (msgspec.MsgspecError, UnicodeError):
        said = _event_of(value)
        begun = getattr(said, "pane_start", None) or getattr(said, "since", None)
        if not isinstance(said, MetricEvaluated | DriftDetected):
            return None
    return None if begun is None else (micros(begun), micros(said.time))


def _event_of(value: bytes) -> object:
    try:
        return codec.decode(value)
    except InputError:
        return None
