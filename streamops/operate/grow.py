"""A namespace's history written again over more partitions: how a namespace grows (EPOCHS 25).

Rule 1: a topic's epochs come in their order, each whole before its tick, so a fold over any number
        of partitions concludes from the copy what was concluded from the original.
Rule 2: a tick, an activation and the topology stood in every partition and do so again; all else
        goes where its key belongs now.
Rule 3: what was refused for a time ahead of the broker's is left out: its time has come meanwhile,
        and the copy must not count what the original didn't.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import KafkaError, Message

from streamops import codec
from streamops.audit.namespace import namespace_of
from streamops.audit.records import PartitionReader
from streamops.core.partition import partition_of
from streamops.core.processor import Record
from streamops.core.times import micros
from streamops.errors import ConfigError, TransportError
from streamops.events import (
    ConfigActivated,
    Event,
    MetricReported,
    Tick,
    TopologyActivated,
    VersionActivated,
)
from streamops.kafka.clients import make_producer
from streamops.kafka.delivery import flush_all, hand_over
from streamops.settings import Settings
from streamops.views.archive import ArchiveLog

CUT = ("lifecycle", "predictions", "labels")
BROADCAST = (Tick, ConfigActivated, VersionActivated)
OnRecord = Callable[[], None]


class Grown(msgspec.Struct, frozen=True, kw_only=True):
    """What was written.

    last_epoch  the last that a tick closed
    records     by topic, ticks, activations and the topology not counted
    left_out    times that were refused as ahead of the broker's
    """

    namespace: str
    partitions: int
    last_epoch: int
    records: dict[str, int]
    left_out: int


class Growth:
    """One copy, from an archive to a namespace whose topics stand and are empty."""

    def __init__(self, archive: Path, target: Settings, on_record: OnRecord) -> None:
        self._archive, self._target, self._on_record = archive, target, on_record
        self._facts = namespace_of(archive)
        self._log = ArchiveLog(archive)
        self._producer: Any = make_producer(target, "grow")
        self._failed = ""
        self._topology: TopologyActivated | None = None
        self._records: dict[str, int] = {}
        self._left_out = 0
        self._last = -1

    def run(self) -> Grown:
        """Write everything.

        Raises ConfigError for a namespace without a recorded topology, TransportError for a hole in
        the archive or a broker that refuses a record.
        """
        for topic in CUT:
            self._copy_cut(topic)
        for topic, kept in (("data", Event), ("audit", Event), ("metrics", MetricReported)):
            self._copy(topic, kept)
        flush_all(self._producer, self._target, self._watch)
        return Grown(
            namespace=self._target.namespace,
            partitions=self._target.partitions,
            last_epoch=self._last,
            records=self._records,
            left_out=self._left_out,
        )

    def _copy_cut(self, topic: str) -> None:
        parts = [self._epochs(topic, p) for p in self._log.partitions(topic)]
        for _, records in groupby(merge(*parts, key=itemgetter(0)), key=itemgetter(0)):
            self._write_epoch(topic, [record for _, record in records])

    def _epochs(self, topic: str, partition: int) -> Iterator[tuple[int, Record]]:
        """Yield a partition's records, each behind the number of the last tick that counted."""
        last = -1
        for record in self._read(topic, partition):
            event = record.event
            if isinstance(event, TopologyActivated):
                self._found(event)
            elif isinstance(event, Tick):
                if event.epoch > last and self._counts(event):
                    last = event.epoch
                    yield last, record
            else:
                yield last, record

    def _found(self, event: TopologyActivated) -> None:
        """The first topology is the namespace's; over its partitions it is written at once."""
        if self._topology is not None:
            return
        self._topology = msgspec.structs.replace(
            event,
            id=f"topology/{self._target.namespace}",
            partitions=self._target.partitions,
        )
        for topic in CUT:
            self._everywhere(topic, codec.encode(self._topology), b"")

    def _counts(self, tick: Tick) -> bool:
        """Whether a ticker wrote it; in a live namespace its time says so (EPOCHS 2)."""
        if self._topology is None:
            raise ConfigError(
                f"archive {self._archive} begins with no topology: it isn't whole; restore it"
            )
        if self._topology.driven:
            return True
        due = timedelta(seconds=tick.epoch * self._topology.interval_s)
        return tick.time == self._topology.time + due

    def _write_epoch(self, topic: str, records: list[Record]) -> None:
        """Write what stood behind a tick: the tick, the broadcasts, then all else as it came."""
        first = [r for r in records if isinstance(r.event, BROADCAST) and r.partition == 0]
        for record in first:
            if isinstance(record.event, Tick):
                self._last = max(self._last, record.event.epoch - 1)
            self._everywhere(topic, record.value, record.key)
        for record in records:
            if not isinstance(record.event, BROADCAST):
                self._one(topic, record)

    def _copy(self, topic: str, kept: type[Event]) -> None:
        for partition in self._log.partitions(topic):
            for record in self._read(topic, partition):
                if isinstance(record.event, kept):
                    self._one(topic, record)

    def _one(self, topic: str, record: Record) -> None:
        if topic != "lifecycle" and self._was_ahead(record):
            self._left_out += 1
            return
        self._records[topic] = self._records.get(topic, 0) + 1
        self._write(topic, record.value, record.key, self._place(topic, record))

    def _place(self, topic: str, record: Record) -> int:
        if topic == "audit" and isinstance(record.event, BROADCAST):
            return 0  # where activations are numbered
        if not record.key:
            return record.offset % self._target.partitions
        return partition_of(record.key, self._target.partitions)

    def _was_ahead(self, record: Record) -> bool:
        skew_ms = self._facts.skew_ms
        if skew_ms is None or not isinstance(record.event, Event):
            return False
        return micros(record.event.time) > (record.append_ms + skew_ms) * 1000

    def _everywhere(self, topic: str, value: bytes, key: bytes) -> None:
        for place in range(self._target.partitions):
            self._write(topic, value, key, place)

    def _write(self, topic: str, value: bytes, key: bytes, place: int) -> None:
        self._watch()
        hand_over(self._producer, self._target.topic(topic), value, key, place, self._heard)
        self._producer.poll(0)

    def _heard(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed = f"{message.topic()} takes no record: {error.str()}"

    def _watch(self) -> None:
        if self._failed:
            raise TransportError(self._failed)

    def _read(self, topic: str, partition: int) -> Iterable[Record]:
        reader = PartitionReader(self._archive, topic, partition)
        for record in reader:
            self._on_record()
            yield record
        if reader.holes:
            raise TransportError(f"{reader.holes[0]}: the archive isn't whole; restore the file")


def rows_of(archive: Path) -> int:
    """Return how many records a copy reads: for a progress bar."""
    log = ArchiveLog(archive)
    topics = (*CUT, "data", "audit", "metrics")
    return sum(PartitionReader(archive, t, p).rows() for t in topics for p in log.partitions(t))
