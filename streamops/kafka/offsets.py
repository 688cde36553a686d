"""Where partitions begin and end in Kafka, in one question for all of them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from streamops.errors import TransportError
from streamops.kafka.admin import connect
from streamops.settings import Settings

TIMEOUT_S = 30.0
RETRY_S = 0.1

Place = tuple[str, int]


def first_offsets(settings: Settings, places: Iterable[Place]) -> dict[Place, int]:
    """Return each place's first offset that Kafka still holds; places are named shortly.

    Raises TransportError where it isn't had in TIMEOUT_S.
    """
    return _ask(settings, places, OffsetSpec.earliest(), TIMEOUT_S)  # type: ignore[no-untyped-call]


def next_offsets(
    settings: Settings, places: Iterable[Place], patience_s: float
) -> dict[Place, int]:
    """Return each place's end as a read_committed consumer sees it; places are named shortly.

    Raises TransportError where it isn't had in `patience_s`.
    """
    return _ask(settings, places, OffsetSpec.latest(), patience_s)  # type: ignore[no-untyped-call]


def _ask(
    settings: Settings, places: Iterable[Place], spec: Any, patience_s: float
) -> dict[Place, int]:
    admin = connect({"bootstrap.servers": settings.bootstrap, **settings.kafka})
    asked = {TopicPartition(settings.topic(t), p): spec for t, p in places}
    deadline = time.monotonic() + patience_s
    while True:
        try:
            futures = (
                admin.list_offsets(
                    asked,
                    isolation_level=IsolationLevel.READ_COMMITTED,
                    request_timeout=patience_s,
                )
                if asked
                else {}
            )
            return {
                (settings.short(tp.topic), tp.partition): future.result().offset
                for tp, future in futures.items()
            }
        except KafkaException as error:
            # A partition made a moment ago has no leader yet.
            if time.monotonic() > deadline:
                raise TransportError(
                    f"{settings.bootstrap} doesn't say where partitions begin and end: {error}; is "
                    "it up, and did `streamops topics apply` make the topics?"
                ) from None
            time.sleep(RETRY_S)
