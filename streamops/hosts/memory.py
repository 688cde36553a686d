"""The chain METER, DETECT, MONITOR, CONTROLLER over logs in memory: for tests, replay and what-if.

It keeps the order that Kafka keeps (a partition's) and no other; `run` may be given a seed-driven
choice of which partition to read next, and must conclude the same.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from streamops import codec
from streamops.core.controller import Controller
from streamops.core.detect import Bank, Detect, Detector
from streamops.core.epochs import Fold
from streamops.core.meter import Meter
from streamops.core.monitor import Monitor
from streamops.core.output_rows import Addressed
from streamops.core.partition import partition_of
from streamops.core.personal import Open, unopened
from streamops.core.processor import Record
from streamops.core.times import micros
from streamops.events import Event, Tick
from streamops.hosts.decoding import to_record
from streamops.hosts.strays import disputed, stray

BROADCAST = ("predictions", "labels", "lifecycle")
Place = tuple[str, int]
Choose = Callable[[list[Place]], Place]


def make_fold(
    name: str,
    partition: int,
    partitions: int,
    *,
    skew_max_ms: int | None,
    seal_every: int = 0,
    make_detector: Callable[[str], Detector] | None = None,
    open_: Open = unopened,
) -> Fold[Any]:
    """Return a fresh fold of a processor by name: meter, detect, monitor or controller.

    open_  gives METER the features of persons that there are keys for
    """
    if name == "meter":
        processor: Any = Meter(skew_max_ms=skew_max_ms, open_=open_)
    elif name == "monitor":
        processor = Monitor()
    elif name == "controller":
        processor = Controller(partition, skew_max_ms)
    else:
        assert make_detector is not None, "detect needs detectors"
        processor = Detect(Bank(make_detector))
    return Fold(
        processor,
        partition=partition,
        partitions=partitions,
        skew_max_ms=skew_max_ms,
        seal_every=seal_every,
    )


class MemoryHost:
    """A whole namespace in memory. `log` holds each partition's records in order, `files` what its
    seals are made of."""

    def __init__(
        self,
        *,
        partitions: int,
        make_detector: Callable[[str], Detector],
        skew_max_ms: int | None = None,
        seal_every: int = 0,
        open_: Open = unopened,
        names: tuple[str, ...] = ("meter", "detect", "monitor", "controller"),
    ) -> None:
        self.partitions = partitions
        self.log: dict[Place, list[Record]] = {}
        self.files: dict[str, bytes] = {}
        self.folds = [
            make_fold(
                name,
                p,
                partitions,
                skew_max_ms=skew_max_ms,
                seal_every=seal_every,
                make_detector=make_detector,
                open_=open_,
            )
            for name in names
            for p in range(partitions)
        ]
        self._read: dict[tuple[int, str], int] = {}

    def append(
        self, topic: str, key: str, event: Event | bytes, *, partition: int | None = None
    ) -> Record:
        """Append one event (or raw bytes) as a producer would; append time follows event time."""
        at = partition_of(key, self.partitions) if partition is None else partition
        value = event if isinstance(event, bytes) else codec.encode(event)
        append_ms = 0 if isinstance(event, bytes) else micros(event.time) // 1000
        rows = self.log.setdefault((topic, at), [])
        record = to_record(topic, at, len(rows), append_ms, key.encode(), value)
        rows.append(record)
        return record

    def broadcast(self, event: Event) -> None:
        """Append an event to every partition of the input topics."""
        for topic in BROADCAST:
            for partition in range(self.partitions):
                self.append(topic, "broadcast", event, partition=partition)

    def tick(self, epoch: int, time: datetime) -> None:
        """Cut every input partition."""
        self.broadcast(Tick(id=f"tick/{epoch}", time=time, epoch=epoch))

    def run(self, choose: Choose | None = None) -> None:
        """Feed every fold what it has not read, until nothing is left."""
        while pending := self._pending():
            place = pending[0] if choose is None else choose(pending)
            for number, fold in enumerate(self.folds):
                if place[0] in fold.inboxes and place[1] == fold.partition:
                    self._feed(number, fold, place)

    def events(self, topic: str) -> list[Event]:
        """Return a topic's events in partition and log order, repeats included."""
        places = sorted(place for place in self.log if place[0] == topic)
        records = [record for place in places for record in self.log[place]]
        return [record.event for record in records if isinstance(record.event, Event)]

    def _pending(self) -> list[Place]:
        found = {
            (topic, fold.partition)
            for number, fold in enumerate(self.folds)
            for topic in fold.inboxes
            if self._read.get((number, topic), 0) < len(self.log.get((topic, fold.partition), ()))
        }
        return sorted(found)

    def _feed(self, number: int, fold: Fold[Any], place: Place) -> None:
        rows = self.log[place]
        start = self._read.get((number, place[0]), 0)
        self._read[(number, place[0])] = len(rows)
        for record in rows[start:]:
            refused = stray(fold, record)
            if refused is not None:
                self._write(refused)
            for folded in fold.feed(record):
                self.files.update(folded.files)
                for addressed in folded.outputs:
                    self._write(addressed)
            for addressed in disputed(fold):
                self._write(addressed)

    def _write(self, addressed: Addressed) -> None:
        self.append(addressed.topic, addressed.key, addressed.event, partition=addressed.partition)
