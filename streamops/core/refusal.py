"""Refused records: raw bytes, where they stood, why, whose fault.

Rule 1: a refusal's id is where the record stood: a refold refuses it again under the same id.
"""

from __future__ import annotations

import hashlib

from streamops.core.processor import Output, Record
from streamops.core.times import moment
from streamops.events import RecordRefused
from streamops.values import Fault

RAW_BYTES_MAX = 65536


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
