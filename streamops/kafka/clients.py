"""Kafka clients as every part of streamops makes them.

The settings answer measured traps (docs/decisions): a client that lost all brokers soon asks the
first ones again (011), no expiry and acks=all leave no gap, one partitioner serves every client,
one request at a time loses no first batch (061).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaException, Message, Producer

from streamops.errors import ConfigError
from streamops.settings import Settings

_SECOND = itemgetter(1)
# For who stores records by the batch, and knows where a partition ends. The broker answers with so
# many bytes or after half a second: an answer for every few records costs it more than they do.
BY_BATCH = {"enable.partition.eof": True, "fetch.min.bytes": 1 << 20}
_Client = TypeVar("_Client")


def build(kind: type[_Client], conf: Mapping[str, Any]) -> _Client:
    """Return a client of one kind; ConfigError for settings that librdkafka refuses."""
    try:
        return kind(dict(conf))  # type: ignore[call-arg]
    except KafkaException as error:
        raise ConfigError(
            f"the Kafka client refuses its settings: {error.args[0].str()}; check --kafka-config"
        ) from error


def base_conf(settings: Settings, client: str) -> dict[str, Any]:
    """Return what all clients share."""
    return {
        "bootstrap.servers": settings.bootstrap,
        "client.id": f"{settings.namespace}.{client}",
        "metadata.recovery.strategy": "rebootstrap",
        "metadata.recovery.rebootstrap.trigger.ms": 4000,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        "log_level": 2,
        **settings.kafka,
    }


def make_producer(settings: Settings, client: str, **more: Any) -> Producer:
    """Return a producer that keeps trying: acks=all, idempotent, no expiry (EPOCHS 13)."""
    return build(
        Producer,
        {
            **base_conf(settings, client),
            "acks": "all",
            "enable.idempotence": True,
            # A broker that knows no sequence of a producer yet takes any: a first batch that it
            # refuses, with the second on its way already, is taken for a repeat and lost (061).
            "max.in.flight": 1,
            "message.timeout.ms": 0,
            "partitioner": "murmur2_random",
            "linger.ms": 2,
            "compression.type": "lz4",
            "message.max.bytes": 4_194_304,
            "retry.backoff.ms": 20,
            "retry.backoff.max.ms": 500,
            **more,
        },
    )


def make_consumer(settings: Settings, client: str, **more: Any) -> Consumer:
    """Return a read_committed consumer that never commits and stops at a lost offset."""
    return build(
        Consumer,
        {
            **base_conf(settings, client),
            "group.id": f"{settings.namespace}.{client}",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "fetch.queue.backoff.ms": 5,
            "fetch.wait.max.ms": 500,
            "fetch.error.backoff.ms": 50,
            "queued.max.messages.kbytes": 16384,
            **more,
        },
    )


def take(consumer: Consumer, limit: int, timeout_s: float) -> list[Message]:
    """Return the messages there are, at most `limit`, waiting for the first one only.

    `consume` alone waits for the whole number or the whole timeout.
    """
    first = consumer.poll(timeout_s)
    return [] if first is None else [first, *consumer.consume(limit, 0)]


def by_place(messages: Sequence[Message]) -> dict[Any, list[Message]]:
    """Return what was fetched by topic and partition, errors left out."""
    if any(map(Message.error, messages)):
        messages = [message for message in messages if message.error() is None]
    where = list(zip(map(Message.topic, messages), map(Message.partition, messages), strict=True))
    # A fetch holds one partition behind the other: most batches are of one.
    if where and where.count(where[0]) == len(where):
        return {where[0]: list(messages)}
    found: defaultdict[Any, list[Message]] = defaultdict(list)
    for place, message in zip(where, messages, strict=True):
        found[place].append(message)
    return found


def columns_of(messages: Sequence[Message]) -> tuple[Any, Any, Any, Any]:
    """Return offsets, append times in milliseconds, keys and values; none of the last is None."""
    keys, values = list(map(Message.key, messages)), list(map(Message.value, messages))
    return (
        list(map(Message.offset, messages)),
        list(map(_SECOND, map(Message.timestamp, messages))),
        [key or b"" for key in keys] if None in keys else keys,
        [value or b"" for value in values] if None in values else values,
    )
