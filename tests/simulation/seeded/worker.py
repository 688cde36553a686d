"""One process: a processor's folds over the partitions it was given, on the product's own parts.

Rule 1: `PartitionHost`, `Sender`, checkpoint and resume are the product's; the loop is that of
        `hosts/kafka.py`: read, skip repeats, feed, serve, checkpoint. Disk and Kafka are not real.
"""

from __future__ import annotations

from pathlib import Path
from unittest import mock

from streamops.events import EpochConcluded
from streamops.hosts import partition_host, sender
from streamops.hosts.memory import Place, make_fold
from streamops.hosts.partition_host import PartitionHost
from streamops.hosts.sender import Sender
from streamops.settings import Settings
from tests.simulation.seeded.broker import Log, Producer
from tests.simulation.seeded.detector import make_ordered
from tests.simulation.seeded.disk import Disks, DiskStore, TopicStore

# Days are short; a prediction alone may be folded ahead of its tick.
BEGIN_ROWS = 1


class Worker:
    """A process of one processor; `instance` names the disks it finds again after a crash."""

    def __init__(
        self, name: str, settings: Settings, log: Log, producer: Producer, disks: Disks
    ) -> None:
        self.name, self.settings, self.log = name, settings, log
        self.producer, self.fuse, self.disks = producer, producer.fuse, disks
        with mock.patch.object(sender, "make_producer", self._producer):
            self.sender = Sender(settings, name)
        self.hosts: dict[int, PartitionHost] = {}

    def take_over(self, partitions: list[int]) -> None:
        """Hold exactly these partitions, each from its checkpoint on."""
        self.drop()
        self.sender.acknowledged = self._concluded()
        # Each worker has folders of its own here: nobody else ever holds one.
        furthest = mock.patch.object(
            partition_host, "open_furthest", lambda root, name, _: self._open(root / name)
        )
        with mock.patch.object(partition_host, "Store", self._open), furthest:
            for partition in partitions:
                fold = make_fold(
                    self.name,
                    partition,
                    self.settings.partitions,
                    skew_max_ms=self.settings.skew_ms,
                    make_detector=make_ordered,
                )
                self.hosts[partition] = PartitionHost(self.settings, fold, begin_rows=BEGIN_ROWS)

    def drop(self) -> None:
        """Let go of every partition, without a checkpoint."""
        for host in self.hosts.values():
            host.close()
        self.hosts = {}

    def unread(self) -> list[Place]:
        """Return the inputs that hold more than was read."""
        return [
            (topic, partition)
            for partition, host in self.hosts.items()
            for topic, inbox in host.fold.inboxes.items()
            if inbox.position < self.log.end((topic, partition))
        ]

    def read(self, place: Place, count: int, back: int = 0) -> None:
        """Feed an input's next records; what comes again, `back` of them, is skipped."""
        host, topic = self.hosts[place[1]], place[0]
        position = host.fold.inboxes[topic].position
        read = self.log.read(place, position, count, back)
        new = [record for record in read if record.offset >= position]
        host.feed(topic, new, self.sender)

    def serve(self) -> None:
        """Look after what was sent, as after each round."""
        self.sender.serve()

    def settle(self) -> None:
        """Wait until everything sent is acknowledged."""
        self.sender.settle()

    def checkpoint(self) -> None:
        """Settle, then save every fold."""
        self.settle()
        self.save()

    def save(self) -> None:
        """Save every fold; everything it wrote is acknowledged."""
        for host in self.hosts.values():
            host.checkpoint()

    def _producer(self, settings: Settings, client: str, **more: object) -> Producer:
        return self.producer

    def _open(self, folder: Path) -> DiskStore | TopicStore:
        return self.disks.open(folder, self.fuse)

    def _concluded(self) -> dict[int, int]:
        last: dict[int, int] = {}
        for place, rows in self.log.rows.items():
            for record in rows if place[0] == "progress" else ():
                event = record.event
                if isinstance(event, EpochConcluded):
                    last[event.partition] = max(event.epoch, last.get(event.partition, -1))
        return last
