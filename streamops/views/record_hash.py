"""Hashes over raw records: what a seal says, and what anyone computes again from the archive.

A record's leaf covers all that a read-committed consumer sees of it: offset, append time, key,
value, headers. Leaves make a Merkle tree (`core/merkle.py`), its root goes into the segment's
head, that into the next one's; a seal's head covers its segments and the seal before.

Rule 1: every hash begins with a byte that says what it is of, and every length is written down: no
        record can pass for a node, no two records for one.
Rule 2: nothing of a file goes in: how records lie in files, and how these are packed, is free.
Rule 3: this is a format. A change of a byte breaks every seal there is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import repeat

from streamops.core.times import micros
from streamops.events import CheckpointSealed
from streamops.values import SegmentSeal
from streamops.views.log import RawRecord
from streamops.views.raw_columns import in_columns

SIZE = 32
_LEAF, _SEGMENT, _SEAL = b"\x00", b"\x02", b"\x03"
_RECORD = struct.Struct(">cqqIII").pack
# A copy of an empty hash is made in less time than a new one.
_fresh = sha256().copy
_SPAN = struct.Struct(">qqq").pack


def leaf_hashes(records: Sequence[RawRecord]) -> list[bytes]:
    """Return the leaf hash of each of a partition's records, 32 bytes."""
    offsets, append_ms, keys, values, headers = in_columns(records).columns
    sizes = (map(len, keys), map(len, values), map(len, headers))
    parts = [map(_RECORD, repeat(_LEAF), offsets, append_ms, *sizes), keys, values]
    if any(headers):
        parts.append(map(_headers, headers))
    found: list[bytes] = []
    for said in map(b"".join, zip(*parts, strict=True)):
        leaf = _fresh()
        leaf.update(said)
        found.append(leaf.digest())
    return found


def segment_head(segment: SegmentSeal, before: str) -> str:
    """Return the head that a segment must have behind the head `before`, empty for the first."""
    said = _SPAN(segment.first, segment.next, segment.records)
    place = f"{segment.topic}/{segment.partition}"
    return _chained(_SEGMENT, (before, place, segment.root), said)


def seal_head(event: CheckpointSealed) -> str:
    """Return the head that a seal must have, from all else that it says."""
    heads = [segment.head for segment in event.segments]
    said = _SPAN(event.number, micros(event.time), len(heads))
    return _chained(_SEAL, (event.previous, event.namespace, event.request, *heads), said)


def _chained(kind: bytes, parts: Iterable[str], said: bytes) -> str:
    return sha256(b"".join((kind, said, *map(_sized, parts)))).hexdigest()


def _sized(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return struct.pack(">I", len(data)) + data


def _headers(headers: tuple[tuple[str, bytes], ...]) -> bytes:
    return b"".join(_sized(name) + struct.pack(">I", len(value)) + value for name, value in headers)
