"""Records handed to a producer that may not lose one, and waited for.

Rule 1: what the client refuses at once is told as what it gives up later: TransportError.
Rule 2: a broker that is away is waited for, however long. A client whose records stay where they
        are though the cluster answers has fallen silent for good, and is told of.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from streamops.errors import TransportError
from streamops.settings import Settings

FLUSH_S = 0.5
STUCK_S = 30.0
ANSWER_S = 2.0

OnDelivery = Callable[[KafkaError | None, Message], None]


def hand_over(
    producer: Producer, topic: str, value: bytes, key: bytes, partition: int, done: OnDelivery
) -> None:
    """Queue a record, waiting while the buffer is full; TransportError where it is refused.

    partition  -1 for the one that the key gives
    """
    while True:
        try:
            producer.produce(topic, value, key, partition, done)
            return
        except BufferError:
            producer.poll(0.1)
        except KafkaException as error:
            # A topic that the broker, just awake, said it doesn't know.
            raise TransportError(f"{topic} takes no record: {error.args[0].str()}") from error


def hand_over_all(
    producer: Producer,
    topic: str,
    rows: Iterable[tuple[bytes, bytes, int]],
    done: OnDelivery,
) -> None:
    """Queue records of one topic as `hand_over` does: value, key and partition of each."""
    produce = producer.produce
    for value, key, partition in rows:
        try:
            produce(topic, value, key, partition, done)
        except (BufferError, KafkaException):
            hand_over(producer, topic, value, key, partition, done)


def flush_all(producer: Any, settings: Settings, watch: Callable[[], None] = lambda: None) -> None:
    """Wait until nothing is queued; `watch` is called now and then, and may raise.

    Raises TransportError where records stay though the cluster answers, at two looks.
    """
    left, since, is_suspect = len(producer), time.monotonic(), False
    while producer.flush(FLUSH_S):
        watch()
        if len(producer) != left:
            left, since, is_suspect = len(producer), time.monotonic(), False
        elif time.monotonic() - since > STUCK_S:
            answers = does_answer(settings)
            if answers and is_suspect:
                raise TransportError(
                    f"{left} records wait for {settings.bootstrap}, which answers others: the "
                    "client is stuck; start again"
                )
            since, is_suspect = time.monotonic(), answers
    watch()


def does_answer(settings: Settings) -> bool:
    """Tell whether the cluster answers a new client within ANSWER_S."""
    asker = AdminClient({"bootstrap.servers": settings.bootstrap, "log_level": 0, **settings.kafka})
    try:
        return bool(asker.list_topics(timeout=ANSWER_S).brokers)
    except KafkaException:
        return False
