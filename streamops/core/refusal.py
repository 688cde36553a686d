"""Refused records: raw bytes, where they stood, why, whose fault.

Rule 1: a refusal's id is where the record stood: a refold refuses it again under the same id. A
        conclusion too large to write is known by its stamp (EPOCHS 13).
"""

from __future__ import annotations

import hashlib

from streamops.core.processor import Output, Record
from streamops.core.times import micros, moment
from streamops.events import Event, RecordRefused
from streamops.values import Fault, Stamp

RAW_BYTES_MAX = 65536
# Of a conclusion: what a topic takes (`topics/*.toml`), less room for stamp, evidence and headers.
CONCLUSION_BYTES_MAX = 4_194_304 - 65536
NOWHERE = -1


def refusal(record: Record, reason: str, fault: Fault) -> Output:
    """Return the record as RecordRefused for `dlq`, its value capped at RAW_BYTES_MAX."""
    event = RecordRefused(
        id=f"refused/{record.topic}/{record.partition}/{record.offset}",
        time=moment(record.append_ms * 1000),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        reason=reason,
        fault=fault,
        raw=record.value[:RAW_BYTES_MAX],
        raw_bytes=len(record.value),
        raw_sha256=hashlib.sha256(record.value).hexdigest(),
        key=record.key[:1024],
    )
    return Output("dlq", f"{record.topic}/{record.partition}", event)


def why_ahead(event: Event, record: Record, skew_max_ms: int | None) -> str | None:
    """Return why an event is refused that is from after its append (EPOCHS 3); None: no check."""
    if skew_max_ms is None or micros(event.time) <= (record.append_ms + skew_max_ms) * 1000:
        return None
    return (
        f"time is {event.time.isoformat()}, more than {skew_max_ms} ms after the broker stored it; "
        "set the producer's clock"
    )


def too_large(output: Output, event: Event, conclusion: bytes, stamp: Stamp) -> Output:
    """Return what stands for a conclusion that no topic would take: a producer's record made it."""
    reason = (
        f"{type(event).__name__} {event.id[:200]} would be {len(conclusion):,} bytes, a record may "
        f"have {CONCLUSION_BYTES_MAX:,}; send fewer or shorter features and labels"
    )
    refused = RecordRefused(
        id=f"refused/{stamp.source}/{stamp.epoch}/{stamp.ordinal}",
        time=event.time,
        topic=output.topic,
        partition=int(stamp.source.rpartition("/")[2]),
        offset=NOWHERE,
        reason=reason,
        fault="producer",
        raw=conclusion[:RAW_BYTES_MAX],
        raw_bytes=len(conclusion),
        raw_sha256=hashlib.sha256(conclusion).hexdigest(),
        key=output.key.encode()[:1024],
        stamp=stamp,
    )
    return Output("dlq", stamp.source, refused)
