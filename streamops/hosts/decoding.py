"""Raw records to those that a fold reads: decoded, and what can't be decoded with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamops import codec
from streamops.core.processor import Record, Refusal
from streamops.core.rows import Columns, Rows
from streamops.errors import InputError
from streamops.events import Event

RawRow = tuple[int, int, bytes, bytes]


def to_record(
    topic: str, partition: int, offset: int, append_ms: int, key: bytes, value: bytes
) -> Record:
    """Decode one raw record; what can't be decoded becomes a Refusal with the reason."""
    event: Event | Refusal
    try:
        event = codec.decode(value)
    except InputError as error:
        event = Refusal(str(error))
    return Record(topic, partition, offset, append_ms, key, value, event)


def to_records(topic: str, partition: int, rows: Sequence[RawRow]) -> Sequence[Record]:
    """Decode raw records of one partition: (offset, append_ms, key, value) each."""
    return to_rows(topic, partition, *zip(*rows, strict=True)) if rows else []


def to_rows(
    topic: str,
    partition: int,
    offsets: Sequence[int],
    append_ms: Sequence[int],
    keys: Sequence[bytes],
    values: Sequence[bytes],
) -> Rows:
    """Decode raw records of one partition, given as columns."""
    found: list[Any] = codec.decode_all(values)
    if InputError in set(map(type, found)):
        found = [Refusal(str(e)) if isinstance(e, InputError) else e for e in found]
    return Rows(topic, partition, Columns(offsets, append_ms, keys, values, found))
