"""The materializer: the log as DuckDB tables and views, by the one process that owns the file.

Rule 1: it goes on where the file stands. What Kafka no longer has comes from the archive, so a
        deleted file comes back whole.
Rule 2: one thread writes. Readers take a cursor each, and see whole transactions.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import duckdb
from confluent_kafka import TopicPartition

from streamops.errors import TransportError
from streamops.kafka.clients import make_consumer
from streamops.settings import Settings
from streamops.views.archive import ArchiveLog
from streamops.views.log import (
    Joined,
    KafkaLog,
    Partition,
    RawRecord,
    is_notice,
    to_raw,
)
from streamops.views.positions import Position, load
from streamops.views.store import open_store, store

BATCH = 20_000
POLL_S = 0.2
SNAPSHOTS = 4


class Materializer:
    """Owns the DuckDB file; `run_once` is called by one thread, the rest by any.

    Raises TransportError if another process has the file, the broker gives no answer, records are
    neither in Kafka nor in the archive, or the topics were made anew. Close it after use.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._con: Any = open_store(settings.views)
        self._readers: Any = self._con.cursor()
        self._readers_lock = threading.Lock()
        self._snapshots = settings.data / "snapshots"
        self._numbers = count(1)
        self._snapshot: Path | None = None
        shutil.rmtree(self._snapshots, ignore_errors=True)
        self._positions = load(self._con)
        self._live = KafkaLog(settings)
        self._consumer = make_consumer(settings, "materializer")
        self._backlog = self._begin()

    def close(self) -> None:
        """Close the file and the clients."""
        self._consumer.close()
        self._live.close()
        with self._lock:
            self._readers.close()
            self._con.close()
        shutil.rmtree(self._snapshots, ignore_errors=True)

    def run_once(self, timeout_s: float = POLL_S) -> int:
        """Store what there is, up to one transaction of 20,000 records; returns how many."""
        raws = list(islice(self._backlog, BATCH)) or self._poll(timeout_s)
        if raws:
            with self._lock:
                after = store(self._con, raws, self._positions, self._settings.skew_ms)
                self._positions.update(after)
                self._snapshot = None
        return len(raws)

    def cursor(self) -> Any:
        """Return a DuckDB connection of the caller's own, for queries of ours; close it."""
        with self._readers_lock:
            return self._readers.cursor()

    def snapshot(self) -> Path:
        """Return a copy of the file as it stands, for queries of anyone's.

        It stays until four newer ones were made. Raises TransportError if the disk refuses.
        """
        with self._lock:
            if self._snapshot is None:
                self._snapshot = self._copy(next(self._numbers))
            return self._snapshot

    def positions(self) -> dict[Partition, int]:
        """Return the next offset of each partition."""
        with self._lock:
            return {place: position.next for place, position in self._positions.items()}

    def ends(self) -> dict[Partition, int]:
        """Return each partition's end in Kafka at this moment."""
        live = self._live
        return {
            (topic, p): live.held(topic, p).next
            for topic in live.topics()
            for p in live.partitions(topic)
        }

    def _begin(self) -> Iterator[RawRecord]:
        joined = Joined(ArchiveLog(self._settings.archive), self._live)
        backlog = list[Iterator[RawRecord]]()
        starts = list[TopicPartition]()
        for topic in self._live.topics():
            for partition in self._live.partitions(topic):
                held = self._live.held(topic, partition)
                at = self._positions.setdefault((topic, partition), Position()).next
                if at > held.next:
                    raise TransportError(
                        f"{topic}-{partition}: the views stand at offset {at}, the topic ends at "
                        f"{held.next}: it was made anew; delete {self._settings.views}"
                    )
                if at < held.first:
                    backlog.append(joined.read(topic, partition, at, held.first))
                name = self._settings.topic(topic)
                starts.append(TopicPartition(name, partition, max(at, held.first)))
        self._consumer.assign(starts)
        return chain.from_iterable(backlog)

    def _poll(self, timeout_s: float) -> list[RawRecord]:
        messages = self._consumer.consume(BATCH, timeout_s)
        short = self._settings.short
        return [to_raw(short(m.topic() or ""), m) for m in messages if not is_notice(m)]

    def _copy(self, number: int) -> Path:
        folder = self._snapshots / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        source = self._settings.views
        try:
            self._con.execute("CHECKPOINT")
            for name in (source, Path(f"{source}.wal")):
                if name.exists():
                    shutil.copyfile(name, folder / name.name)
        except (OSError, duckdb.Error) as error:
            raise TransportError(f"no snapshot of {source} ({error}); check the disk") from error
        shutil.rmtree(self._snapshots / str(number - SNAPSHOTS), ignore_errors=True)
        return folder / source.name


def run_materializer(settings: Settings, stop: threading.Event) -> None:
    """Keep the views up to date until `stop` is set."""
    materializer = Materializer(settings)
    try:
        while not stop.is_set():
            materializer.run_once()
    finally:
        materializer.close()
