"""Seals on the log: asked for on `audit`, answered on `progress`, partition 0."""

from __future__ import annotations

import time
from collections.abc import Iterator

from confluent_kafka import KafkaError

from streamops import codec
from streamops.errors import InputError, TransportError
from streamops.events import CheckpointSealed, SealRequested
from streamops.kafka.clients import make_producer
from streamops.kafka.delivery import hand_over
from streamops.settings import Settings
from streamops.views.log import TIMEOUT_S, Log, RawRecord

HOME = ("progress", 0)
MARK = b'"CheckpointSealed"'
ASKED_ON = "audit"
ASKED = b'"SealRequested"'
KEY = b"archiver"
FLUSH_S = 0.5


def send_seal(settings: Settings, event: CheckpointSealed) -> None:
    """Write a seal to `progress` and wait until the broker has it.

    Raises TransportError if it isn't there in 30 s, or the client gave it up; the archiver's next
    start sends it again.
    """
    producer = make_producer(settings, "archiver-seals")
    topic, partition = HOME
    refused = list[str]()

    def note(error: KafkaError | None, _: object) -> None:
        if error is not None:
            refused.append(error.str())

    hand_over(producer, settings.topic(topic), codec.encode(event), KEY, partition, note)
    deadline = time.monotonic() + TIMEOUT_S
    while producer.flush(FLUSH_S):
        if time.monotonic() > deadline:
            raise TransportError(
                f"{settings.bootstrap} didn't take seal {event.number} in {TIMEOUT_S:.0f} s; the "
                "archiver sends it again at its next start"
            )
    if refused:
        raise TransportError(
            f"seal {event.number} was not delivered: {refused[0]}; the archiver sends it again at "
            "its next start"
        )


def requested_by(record: RawRecord) -> str:
    """Return the id of the request for a seal that a record is, empty for anything else."""
    if record.topic != ASKED_ON or ASKED not in record.value:
        return ""
    event = _decoded(record.value)
    return event.id if isinstance(event, SealRequested) else ""


def seals_on(log: Log, first: int = 0) -> Iterator[CheckpointSealed]:
    """Yield the seals that stand on `progress` at or behind an offset, repeats and all."""
    held = log.held(*HOME)
    start = max(first, held.first)
    if start >= held.next:
        return
    for record in log.read(*HOME, start):
        event = sealed_by(record.value)
        if event is not None:
            yield event


def sealed_by(value: bytes) -> CheckpointSealed | None:
    """Return the seal that a record's value is, None for anything else."""
    event = _decoded(value) if MARK in value else None
    return event if isinstance(event, CheckpointSealed) else None


def _decoded(value: bytes) -> object:
    try:
        return codec.decode(value)
    except InputError:
        return None
