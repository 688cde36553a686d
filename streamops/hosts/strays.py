"""Records that a fold can't refuse itself: a host dead-letters them, each under where it stood.

A derived topic has no ticks, so a stranger's record there lies in no epoch: it gets no stamp.
"""

from __future__ import annotations

from typing import Any

from streamops.core.derived_inbox import DerivedInbox
from streamops.core.epochs import Fold
from streamops.core.output_rows import Addressed
from streamops.core.processor import Output, Record, Refusal
from streamops.core.refusal import refusal
from streamops.events import EpochClosed, Event


def stray(fold: Fold[Any], record: Record) -> Addressed | None:
    """Return the refusal of a record on a derived topic that can't be decoded, else None."""
    event = record.event
    if type(event) is not Refusal or record.topic not in fold.processor.derived:
        return None
    return _addressed(refusal(record, event.reason, event.fault))


def disputed(fold: Fold[Any]) -> list[Addressed]:
    """Return refusals of closes that didn't match what their source sent, each once (EPOCHS 10)."""
    found: list[Addressed] = []
    for inbox in fold.inboxes.values():
        if isinstance(inbox, DerivedInbox) and inbox.disputed:
            closes, inbox.disputed = inbox.disputed, []
            found += [_addressed(refusal(record, _why(record.event), "us")) for record in closes]
    return found


def _why(event: Event | Refusal) -> str:
    assert isinstance(event, EpochClosed), "only a close is disputed"
    return (
        f"count is {event.count}, hash {event.hash[:12]}: not what {event.source} sent of epoch "
        f"{event.epoch}; it was set aside, another close matched: keep the log and report it"
    )


def refused_by_us(fold: Fold[Any], record: Record, error: Exception) -> Addressed:
    """Return the refusal of a record on which our own code failed."""
    return _addressed(refusal(record, f"{fold.source} failed on it: {error!r}", "us"))


def _addressed(output: Output) -> Addressed:
    return Addressed(output.topic, output.partition, output.key, output.event)
