"""Where partitions begin in Kafka, in one question for all of them."""

from __future__ import annotations

import time
from collections.abc import Iterable

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from streamops.errors import TransportError
from streamops.kafka.admin import connect
from streamops.settings import Settings

TIMEOUT_S = 30.0
RETRY_S = 0.1


def first_offsets(
    settings: Settings, places: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], int]:
    """Return each place's first offset that Kafka still holds; places are named shortly.

    Raises TransportError where it isn't had in TIMEOUT_S.
    """
    admin = connect({"bootstrap.servers": settings.bootstrap, **settings.kafka})
    earliest = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
    asked = {TopicPartition(settings.topic(t), p): earliest for t, p in places}
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            futures = admin.list_offsets(asked, request_timeout=TIMEOUT_S) if asked else {}
            return {
                (settings.short(tp.topic), tp.partition): future.result().offset
                for tp, future in futures.items()
            }
        except KafkaException as error:
            # A partition made a moment ago has no leader yet.
            if time.monotonic() > deadline:
                raise TransportError(
                    f"{settings.bootstrap} doesn't say where partitions begin: {error}; is it up, "
                    "and did `streamops topics apply` make the topics?"
                ) from None
            time.sleep(RETRY_S)
