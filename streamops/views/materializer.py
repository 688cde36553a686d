"""The materializer: the log as DuckDB tables and views, by the one process that owns the file.

Rule 1: it goes on where the file stands. What Kafka no longer has comes from the archive, so a
        deleted file comes back whole.
Rule 2: one thread writes. Readers take a cursor each, and see whole transactions.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import duckdb

from streamops.disk import disk_of
from streamops.errors import TransportError
from streamops.hosts.garbage import rare_collections
from streamops.hosts.work import Work
from streamops.metrics import EXPOSED, Sample
from streamops.settings import Settings
from streamops.topics import load_topics
from streamops.views.archive import ArchiveLog
from streamops.views.copies import copy_store
from streamops.views.log import (
    TIMEOUT_S,
    Joined,
    KafkaLog,
    Partition,
    RawRecord,
)
from streamops.views.positions import Position, load
from streamops.views.store import open_store, store
from streamops.views.tables import tables
from streamops.views.tail import Tail

BATCH = 20_000
POLL_S = 0.2
# A transaction costs as much for one record as for a thousand.
GATHER_S = 1.0
SNAPSHOTS = 4


class Materializer:
    """Owns the DuckDB file; `run_once` is called by one thread, the rest by any.

    Raises TransportError if another process has the file, the broker gives no answer, records are
    neither in Kafka nor in the archive, or the topics were made anew. Close it after use.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.work = Work("materializer")
        self.disk = disk_of(settings)
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
        self._backlog, starts = self._begin()
        self._tail = Tail(settings, "materializer", starts)

    def close(self) -> None:
        """Close the file and the clients."""
        self._tail.close()
        self._live.close()
        with self._lock:
            self._readers.close()
            self._con.close()
        shutil.rmtree(self._snapshots, ignore_errors=True)

    def run_once(self, timeout_s: float = POLL_S) -> int:
        """Store what there is, up to one transaction of 20,000 records; returns how many."""
        with self.work.stage("wait"):
            raws = list(islice(self._backlog, BATCH)) or self._tail.poll(BATCH, timeout_s)
        if raws:
            with self.work.stage("store"), self._lock:
                after = store(self._con, raws, self._positions, self._settings.skew_ms)
                self._positions.update(after)
                self._snapshot = None
            for topic, records in Counter(raw.topic for raw in raws).items():
                self.work.took(topic, records)
        return len(raws)

    def samples(self) -> Iterator[Sample]:
        """Yield what it did and how far it is behind, as the client last heard; by any thread."""
        yield from self.work.samples()
        for (topic, partition), lag in self._tail.lags().items():
            where = {"topic": topic, "partition": str(partition)}
            yield self.work.sample("streamops_lag_records", lag, **where)

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
        with self._lock:
            places = list(self._positions)
        return {(topic, p): self._live.held(topic, p).next for topic, p in places}

    def run_to_end(self) -> None:
        """Store everything up to where the topics end at the call.

        Raises TransportError if nothing comes for 30 s though records are missing.
        """
        ends = self.ends()
        heard = time.monotonic()
        with rare_collections():
            while lacking := [place for place, end in ends.items() if self._reached(place) < end]:
                if self.run_once():
                    heard = time.monotonic()
                elif time.monotonic() - heard > TIMEOUT_S:
                    raise TransportError(
                        f"{lacking[0]}: nothing came for {TIMEOUT_S:.0f} s though records are "
                        "missing; is a transaction open, or the broker down?"
                    )

    def counts(self, topics: Iterable[str] | None = None) -> dict[str, int]:
        """Return how many events of each type stand on the topics (all if None).

        An id counts once, whatever the number of partitions it was broadcast to; ticks don't count.
        """
        wanted = list(load_topics() if topics is None else topics)
        marks = ", ".join("?" * len(wanted))
        found: dict[str, int] = {}
        with self.cursor() as con:
            for kind, table in tables().items():
                query = f'SELECT count(DISTINCT id) FROM "{table.name}" WHERE topic IN ({marks})'
                row = con.execute(query, wanted).fetchone()
                if kind != "Tick" and row[0]:
                    found[kind] = row[0]
        return dict(sorted(found.items()))

    def _reached(self, place: Partition) -> int:
        position = self._positions.get(place, Position())
        return max(position.next, self._tail.passed(place))

    def _begin(self) -> tuple[Iterator[RawRecord], dict[Partition, int]]:
        joined = Joined(ArchiveLog(self._settings.archive), self._live)
        backlog = list[Iterator[RawRecord]]()
        starts = dict[Partition, int]()
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
                starts[(topic, partition)] = max(at, held.first)
        return chain.from_iterable(backlog), starts

    def _copy(self, number: int) -> Path:
        try:
            self._con.execute("CHECKPOINT")
        except duckdb.Error as error:
            raise TransportError(f"no snapshot of the views ({error}); check the disk") from error
        shutil.rmtree(self._snapshots / str(number - SNAPSHOTS), ignore_errors=True)
        return copy_store(self._settings.views, self._snapshots / str(number))


def keep_up(materializer: Materializer, stop: threading.Event) -> None:
    """Keep the views up to date until `stop` is set: a transaction a second, more when behind."""
    EXPOSED.add(materializer.samples)
    try:
        with rare_collections():
            while not stop.is_set():
                if materializer.disk.is_low() or 0 < materializer.run_once() < BATCH:
                    stop.wait(GATHER_S)
    finally:
        EXPOSED.remove(materializer.samples)


def run_materializer(settings: Settings, stop: threading.Event) -> None:
    """Keep the views up to date until `stop` is set."""
    materializer = Materializer(settings)
    try:
        keep_up(materializer, stop)
    finally:
        materializer.close()
