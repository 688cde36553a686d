"""Records that a fold can't refuse itself: a host dead-letters them, each under where it stood.

A derived topic has no ticks, so a stranger's record there lies in no epoch: it gets no stamp.
"""

from __future__ import annotations

from typing import Any

from streamops.core.epochs import Fold
from streamops.core.output_rows import Addressed
from streamops.core.processor import Output, Record, Refusal
from streamops.core.refusal import refusal


def stray(fold: Fold[Any], record: Record) -> Addressed | None:
    """Return the refusal of a record on a derived topic that can't be decoded, else None."""
    event = record.event
    if type(event) is not Refusal or record.topic not in fold.processor.derived:
        return None
    return _addressed(refusal(record, event.reason, event.fault))


def refused_by_us(fold: Fold[Any], record: Record, error: Exception) -> Addressed:
    """Return the refusal of a record on which our own code failed."""
    return _addressed(refusal(record, f"{fold.source} failed on it: {error!r}", "us"))


def _addressed(output: Output) -> Addressed:
    return Addressed(output.topic, output.partition, output.key, output.event)
