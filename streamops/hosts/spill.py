"""Records of open epochs on disk, once they are more than memory is meant for (EPOCHS 9).

Rule 1: one spill a worker: its folds share the limit. What comes while the limit is reached goes
        to disk, so what stays in memory is the oldest, which is folded first.
Rule 2: the folder is disposable and nobody else's: it is emptied before its first use and has no
        log of its own; a restart reads from Kafka what lay in it.
Rule 3: a record comes back as its bytes were decoded; only a refusal is kept as it is.
Rule 4: records that come together lie together, and are decoded together again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from pathlib import Path
from typing import Any

import msgspec
from rocksdict import AccessType, Options, Rdict, WriteBatch, WriteOptions

from streamops.core.buffer import Group, are_new, hold_all, in_order, numbered
from streamops.core.processor import Record, Refusal
from streamops.core.rows import Columns, Rows, parts_of, values_of
from streamops.errors import ServiceError, TransportError
from streamops.hosts.decoding import to_record, to_rows
from streamops.values import Fault

# A decoded record takes about this and twice its value (measured: 620 B for a label of 134 B,
# 1,120 B for a prediction of 234 B).
RECORD_BYTES = 600
WRITE_BUFFER = 4 << 20
NUMBER_BYTES = 8

Numbered = tuple[int, Record]


class _Kept(msgspec.Struct, frozen=True, array_like=True, tag="record"):
    """A record as it lies on disk."""

    topic: str
    partition: int
    offset: int
    append_ms: int
    key: bytes
    value: bytes
    reason: str | None = None
    fault: Fault = "producer"


class _KeptRows(msgspec.Struct, frozen=True, array_like=True, tag="rows"):
    """Records that came together. `refused`: reason and fault, by place."""

    topic: str
    partition: int
    offsets: Sequence[int]
    append_ms: Sequence[int]
    keys: Sequence[bytes]
    values: Sequence[bytes]
    refused: dict[int, tuple[str, Fault]] = {}


class Spill:
    """The memory that a worker may use for open epochs, and the disk behind it.

    held     bytes that are held in memory now
    spilled  records that went to disk since the start
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self.held = self.spilled = 0
        self._db: Any = None
        self._buffers = 0

    def buffer(self) -> SpillingBuffer:
        """Return an empty buffer."""
        self._buffers += 1
        return SpillingBuffer(self, self._buffers.to_bytes(4, "big"))

    def write(self, kept: Iterable[tuple[bytes, Record | Rows]]) -> None:
        """Put records, or some that came together, under their keys."""
        batch = WriteBatch(raw_mode=True)
        for key, each in kept:
            batch.put(key, _encode_rows(each) if isinstance(each, Rows) else _encode(each))
            self.spilled += len(each) if isinstance(each, Rows) else 1
        try:
            self._open().write(batch)
        except ServiceError:
            raise
        except Exception as error:
            raise TransportError(
                f"folder {self.folder} takes no more: {error}; free the disk, or raise held_mb"
            ) from error

    def has(self, key: bytes) -> bool:
        """Tell whether a record lies under the key."""
        return self._open().get(key) is not None

    def read(self, first: bytes) -> Iterator[tuple[bytes, Record | Rows]]:
        """Yield all that was written, from a key on."""
        for key, value in self._open().items(from_key=first):
            yield key, _decode(value)

    def drop(self, first: bytes, end: bytes) -> None:
        """Forget what lies in [first, end)."""
        self._open().delete_range(first, end)

    def close(self) -> None:
        """Give the folder back, empty."""
        if self._db is not None:
            self._db.close()
            Rdict.destroy(str(self.folder), Options(raw_mode=True))
            self._db = None

    def _open(self) -> Any:
        if self._db is None:
            self._db = _new_store(self.folder)
        return self._db


class SpillingBuffer:
    """The records of one inbox: in memory while the worker's limit lets it, else on disk."""

    def __init__(self, spill: Spill, prefix: bytes) -> None:
        self._spill, self._prefix = spill, prefix
        self._memory: dict[Group, dict[int, Record]] = {}
        self._parts: dict[Group, list[Sequence[Record]]] = {}
        self._sizes: dict[Group, int] = {}
        self._on_disk: dict[Group, int] = {}
        self._rows_on_disk: set[Group] = set()

    def add(self, group: Group, number: int, record: Record) -> bool:
        """Hold a record; False where the number is held already."""
        held = self._memory.get(group)
        if held is not None and number in held:
            return False
        if group in self._on_disk and self._spill.has(self._key(group, number)):
            return False
        size = RECORD_BYTES + 2 * len(record.value)
        if self._has_room(group, size):
            self._memory.setdefault(group, {})[number] = record
        else:
            self._write(group, {number: record}, 1)
        return True

    def add_all(self, group: Group, numbers: Sequence[int], records: Sequence[Record]) -> bool:
        """Hold records; False where that has to be asked one by one, and then none is held."""
        held = self._memory.setdefault(group, {})
        if group in self._on_disk or not are_new(held, numbers):
            return False
        size = RECORD_BYTES * len(records) + 2 * sum(map(len, values_of(records)))
        return self._has_room(group, size) and hold_all(held, numbers, records)

    def extend(self, group: Group, records: Sequence[Record]) -> None:
        """Hold records, numbered by their offsets."""
        size = RECORD_BYTES * len(records) + 2 * sum(map(len, values_of(records)))
        if self._has_room(group, size):
            self._parts.setdefault(group, []).append(records)
        else:
            parts = {part.columns.offsets[0]: part for part in parts_of(records)}
            self._write(group, parts, len(records))
            self._rows_on_disk.add(group)

    def count(self, group: Group) -> int:
        """Return how many records a group has."""
        together = sum(map(len, self._parts.get(group, ())))
        return together + len(self._memory.get(group, ())) + self._on_disk.get(group, 0)

    def read(self, group: Group) -> Iterable[Record]:
        """Return a group's records in the order of their numbers."""
        held = self._memory.get(group, {}), self._parts.get(group, ())
        if group not in self._on_disk:
            return in_order(*held)
        if group in self._rows_on_disk:
            return self._read_together(group)
        return (record for _, record in merge(numbered(*held), self._records(group), key=_number))

    def drop(self, group: Group) -> None:
        """Forget a group."""
        self._memory.pop(group, None)
        self._parts.pop(group, None)
        self._spill.held -= self._sizes.pop(group, 0)
        self._rows_on_disk.discard(group)
        if self._on_disk.pop(group, 0):
            self._spill.drop(self._key(group, 0), _after(self._key(group)))

    def clear(self) -> None:
        """Forget everything."""
        for group in {*self._memory, *self._parts, *self._on_disk}:
            self.drop(group)

    def _has_room(self, group: Group, size: int) -> bool:
        """Take memory for what a group is given, if there is any."""
        spill = self._spill
        if spill.held + size > spill.limit:
            return False
        self._sizes[group] = self._sizes.get(group, 0) + size
        spill.held += size
        return True

    def _write(self, group: Group, kept: Mapping[int, Record | Rows], count: int) -> None:
        self._spill.write((self._key(group, number), each) for number, each in kept.items())
        self._on_disk[group] = self._on_disk.get(group, 0) + count

    def _read(self, group: Group) -> Iterator[tuple[int, Record | Rows]]:
        start = self._key(group)
        for key, each in self._spill.read(start):
            if not key.startswith(start):
                return
            yield int.from_bytes(key[-NUMBER_BYTES:], "big"), each

    def _records(self, group: Group) -> Iterator[Numbered]:
        for number, each in self._read(group):
            assert isinstance(each, Record), "rows are read together"
            yield number, each

    def _read_together(self, group: Group) -> Sequence[Record]:
        single = dict(self._memory.get(group, {}))
        parts = list(self._parts.get(group, ()))
        for number, each in self._read(group):
            if isinstance(each, Rows):
                parts.append(each)
            else:
                single[number] = each
        return in_order(single, parts)

    def _key(self, group: Group, number: int | None = None) -> bytes:
        epoch, source = group[0].to_bytes(8, "big"), group[1].encode()
        start = self._prefix + epoch + len(source).to_bytes(2, "big") + source
        return start if number is None else start + number.to_bytes(NUMBER_BYTES, "big")


def _number(numbered: Numbered) -> int:
    return numbered[0]


def _after(start: bytes) -> bytes:
    """The key behind all that begin so: no number has eight bytes of 255."""
    return start + b"\xff" * NUMBER_BYTES


def _encode(record: Record) -> bytes:
    event = record.event
    refusal = event if isinstance(event, Refusal) else ()
    return msgspec.msgpack.encode(_Kept(*record[:6], *refusal))


def _encode_rows(rows: Rows) -> bytes:
    offsets, append_ms, keys, values, events = rows.columns
    refused = {at: (*e,) for at, e in enumerate(events) if isinstance(e, Refusal)}
    kept = _KeptRows(rows.topic, rows.partition, offsets, append_ms, keys, values, refused)
    return msgspec.msgpack.encode(kept)


def _decode(value: bytes) -> Record | Rows:
    kept: _Kept | _KeptRows = _DECODER.decode(value)
    if isinstance(kept, _KeptRows):
        return _decoded_rows(kept)
    where = kept.topic, kept.partition, kept.offset, kept.append_ms, kept.key, kept.value
    if kept.reason is not None:
        return Record(*where, Refusal(kept.reason, kept.fault))
    return to_record(*where)


def _decoded_rows(kept: _KeptRows) -> Rows:
    columns = kept.offsets, kept.append_ms, kept.keys, kept.values
    rows = to_rows(kept.topic, kept.partition, *columns)
    if not kept.refused:
        return rows
    events = list(rows.columns.events)
    for at, refusal in kept.refused.items():
        events[at] = Refusal(*refusal)
    return Rows(kept.topic, kept.partition, Columns(*columns, events))


_DECODER: msgspec.msgpack.Decoder[_Kept | _KeptRows] = msgspec.msgpack.Decoder(_Kept | _KeptRows)


def _new_store(folder: Path) -> Any:
    """Return an empty store; raises TransportError where another process works in the folder."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_max_open_files(64)
    options.set_write_buffer_size(WRITE_BUFFER)
    options.set_max_write_buffer_number(2)
    options.set_keep_log_file_num(1)
    unlogged = WriteOptions()
    unlogged.disable_wal = True  # type: ignore[method-assign,assignment]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        Rdict.destroy(str(folder), Options(raw_mode=True))
        store = Rdict(str(folder), options, access_type=AccessType.read_write())
    except Exception as error:
        raise TransportError(
            f"folder {folder} can't be opened: {error}; stop the process that holds it (two "
            "workers of one name?), or free the disk"
        ) from error
    store.set_write_options(unlogged)
    return store
