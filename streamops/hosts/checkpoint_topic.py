"""Checkpoints of the small processors on the compacted topic `checkpoints` (EPOCHS 14).

The key is processor-partition-instance, so two workers never overwrite one another: whoever takes
a partition over resumes from the highest checkpoint, ordered by (epoch, positions). A checkpoint
that can't be read is passed over: the fold only starts earlier.
"""

from __future__ import annotations

import gzip
import logging
import time
from collections.abc import Iterable
from contextlib import closing

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from streamops.errors import TransportError
from streamops.hosts.checkpoint import FORMAT, Checkpoint
from streamops.kafka.clients import make_consumer
from streamops.settings import Settings

LOG = logging.getLogger(__name__)
TOPIC = "checkpoints"
# Each worker writes about one a second: the newest thousand hold every fold's latest.
RECENT = 1000
TIMEOUT_S = 30.0
POLL_S = 0.05
CHUNK = 100


def key_of(checkpoint: Checkpoint, instance: str) -> bytes:
    """Return the record's key; its partition is the fold's."""
    return f"{checkpoint.processor}-{checkpoint.partition}-{instance}".encode()


def encode(checkpoint: Checkpoint) -> bytes:
    """Return the checkpoint as gzipped MessagePack: states are mostly small integers."""
    return gzip.compress(msgspec.msgpack.encode(checkpoint), compresslevel=1, mtime=0)


def decode(value: bytes) -> Checkpoint | None:
    """Return the checkpoint, or None where this version can't read it."""
    try:
        checkpoint = msgspec.msgpack.decode(gzip.decompress(value), type=Checkpoint)
    except (msgspec.MsgspecError, OSError, EOFError, ValueError) as error:
        LOG.warning("a checkpoint can't be read and is passed over: %s", error)
        return None
    return checkpoint if checkpoint.format == FORMAT else None


def highest(checkpoints: Iterable[Checkpoint]) -> dict[str, Checkpoint]:
    """Return the highest checkpoint of each processor by (epoch, positions)."""
    best: dict[str, Checkpoint] = {}
    for checkpoint in checkpoints:
        known = best.get(checkpoint.processor)
        if known is None or _order(checkpoint) > _order(known):
            best[checkpoint.processor] = checkpoint
    return best


def read_checkpoints(
    settings: Settings, partitions: Iterable[int], processors: Iterable[str]
) -> dict[tuple[str, int], Checkpoint]:
    """Return the highest readable checkpoint by processor and partition.

    The newest records are read first; only where a processor has none there, all of them.
    Raises TransportError where the topic can't be read.
    """
    wanted, found = set(processors), dict[tuple[str, int], Checkpoint]()
    with closing(make_consumer(settings, "checkpoint-reader")) as consumer:
        for partition in partitions:
            place = TopicPartition(settings.topic(TOPIC), partition)
            for name, checkpoint in _read_partition(consumer, place, wanted).items():
                found[(name, partition)] = checkpoint
    return found


def _read_partition(
    consumer: Consumer, place: TopicPartition, wanted: set[str]
) -> dict[str, Checkpoint]:
    first, end = _watermarks(consumer, place)
    found: dict[str, Checkpoint] = {}
    for start in (max(first, end - RECENT), first):
        decoded = map(decode, _values(consumer, place, start, end))
        mine = (c for c in decoded if c is not None and c.partition == place.partition)
        found = highest(c for c in mine if c.processor in wanted)
        if found.keys() == wanted or start == first:
            break
    return found


def _order(checkpoint: Checkpoint) -> tuple[int, list[tuple[str, int]]]:
    return checkpoint.epoch, sorted(checkpoint.positions.items())


def _watermarks(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    try:
        first, end = consumer.get_watermark_offsets(place, TIMEOUT_S)
    except (KafkaException, TypeError) as error:
        raise TransportError(
            f"{place.topic} partition {place.partition} can't be read: {error}; is the broker up, "
            "and did `streamops topics apply` make it?"
        ) from error
    return first, end


def _values(consumer: Consumer, place: TopicPartition, start: int, end: int) -> list[bytes]:
    """Read [start, end); the last records may be gone by compaction or be markers."""
    if start >= end:
        return []
    consumer.assign([TopicPartition(place.topic, place.partition, start)])
    values: list[bytes] = []
    deadline = time.monotonic() + TIMEOUT_S
    while consumer.position([place])[0].offset < end:
        messages = consumer.consume(CHUNK, POLL_S)
        if not messages and time.monotonic() > deadline:
            raise TransportError(
                f"{place.topic} partition {place.partition} gave no record for {TIMEOUT_S:g} s"
            )
        for message in messages:
            error = message.error()
            if error is not None:
                raise TransportError(f"{place.topic} can't be read: {error.str()}; start again")
            offset = message.offset()
            assert offset is not None, "a record has an offset"
            values.append(message.value() or b"")
            if offset + 1 >= end:
                return values
    return values
