"""Views for tests of the page: the story's records, stored as the materializer stores them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from streamops.errors import TransportError
from streamops.hosts.memory import MemoryHost
from streamops.kafka.admin import create_topics
from streamops.kafka.clients import base_conf, make_producer
from streamops.settings import Settings
from streamops.views.copies import copy_store
from streamops.views.log import Partition, RawRecord
from streamops.views.positions import Position
from streamops.views.store import open_store, store


def raws(host: MemoryHost) -> list[RawRecord]:
    """Every record of a memory host."""
    return [RawRecord(*record[:6]) for rows in host.log.values() for record in rows]


class StoredViews:
    """A DuckDB file filled through the materializer's own `store`, without a broker.

    more  records the broker would have beyond those stored; none: it gives no answer
    """

    def __init__(self, folder: Path, records: Sequence[RawRecord], more: int | None = 0) -> None:
        self.more = more
        self._path, self._folder = folder / "views.duckdb", folder / "copies"
        self._con = open_store(self._path)
        self._lock = threading.Lock()
        self._positions: dict[Partition, Position] = {}
        self.add(records)

    def add(self, records: Iterable[RawRecord]) -> None:
        """Store records behind those that are there."""
        self._positions.update(store(self._con, list(records), self._positions, None))

    def cursor(self) -> Any:
        with self._lock:
            return self._con.cursor()

    def snapshot(self) -> Path:
        with self._lock:
            self._con.execute("CHECKPOINT")
            self._folder.mkdir(exist_ok=True)
            return copy_store(self._path, self._folder)

    def positions(self) -> dict[Partition, int]:
        return {place: position.next for place, position in self._positions.items()}

    def ends(self) -> dict[Partition, int]:
        if self.more is None:
            raise TransportError("localhost:1: no answer; check the broker")
        return {place: at + self.more for place, at in self.positions().items()}

    def close(self) -> None:
        self._con.close()


def publish(host: MemoryHost, settings: Settings) -> int:
    """Write a memory host's records to Kafka, each to its partition; returns how many."""
    create_topics(base_conf(settings, "test"), settings.namespace, settings.partitions)
    producer = make_producer(settings, "test")
    records = raws(host)
    for raw in records:
        topic = settings.topic(raw.topic)
        producer.produce(topic, raw.value, raw.key, partition=raw.partition)
        producer.poll(0)
    assert producer.flush(60) == 0, "records were not delivered"
    return len(records)
