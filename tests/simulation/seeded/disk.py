"""Where checkpoints are kept: on a worker's own disk, or on the topic that all workers share.

Rule 1: a checkpoint is one effect: there is all of it or nothing.
Rule 2: a disk outlives its process, or is lost with it, and no other worker reads it; on the topic
        whoever takes a partition over finds the highest checkpoint, a zombie's too.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from streamops.hosts import checkpoint_topic
from streamops.hosts.checkpoint import Checkpoint
from streamops.hosts.lanes import PROCESSORS
from tests.simulation.seeded.broker import Fuse

Rows = list[tuple[bytes, bytes]]


class Disk:
    """What a store's folder holds."""

    def __init__(self) -> None:
        self.state: bytes | None = None
        self.rows: dict[bytes, bytes] = {}

    def write(self, changes: dict[bytes, bytes | None]) -> None:
        """Write the join table's rows."""
        for key, value in changes.items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value


class DiskStore:
    """A `Store` on a simulated disk."""

    def __init__(self, disk: Disk, fuse: Fuse) -> None:
        self.disk, self.fuse = disk, fuse

    def load(self) -> tuple[Checkpoint | None, Rows]:
        if self.disk.state is None:
            return None, []
        checkpoint = msgspec.msgpack.decode(self.disk.state, type=Checkpoint)
        return checkpoint, list(self.disk.rows.items())

    def save(self, checkpoint: Checkpoint, changes: dict[bytes, bytes | None]) -> None:
        self.fuse.burn()
        self.disk.write(changes)
        self.disk.state = msgspec.msgpack.encode(checkpoint)

    def close(self) -> None:
        pass


class TopicStore:
    """Checkpoints of one processor's partition on the compacted topic."""

    def __init__(self, topic: dict[bytes, bytes], folder: Path, fuse: Fuse) -> None:
        self.topic, self.fuse = topic, fuse
        self.instance, self.source = folder.parent.parent.name, folder.name

    def load(self) -> tuple[Checkpoint | None, Rows]:
        prefix = f"{self.source}-".encode()
        mine = (value for key, value in self.topic.items() if key.startswith(prefix))
        decoded = map(checkpoint_topic.decode, mine)
        highest = checkpoint_topic.highest(c for c in decoded if c is not None)
        return next(iter(highest.values()), None), []

    def save(self, checkpoint: Checkpoint, changes: dict[bytes, bytes | None]) -> None:
        self.fuse.burn()
        key = checkpoint_topic.key_of(checkpoint, self.instance)
        self.topic[key] = checkpoint_topic.encode(checkpoint)

    def close(self) -> None:
        pass


class Disks:
    """All that processes find again; `shared` if the control plane keeps its own on the topic."""

    def __init__(self, *, shared: bool) -> None:
        self.shared = shared
        self.disks: dict[Path, Disk] = {}
        self.topic: dict[bytes, bytes] = {}

    def lose(self, data: Path, processor: str) -> None:
        """Lose what a worker had on its disk: its fold starts from the log again."""
        lost = [f for f in self.disks if f.is_relative_to(data) and f.name.startswith(processor)]
        for folder in lost:
            del self.disks[folder]

    def open(self, folder: Path, fuse: Fuse) -> DiskStore | TopicStore:
        """Open the store that a partition host asks for, named processor-partition."""
        if self.shared and folder.name.partition("-")[0] in PROCESSORS:
            return TopicStore(self.topic, folder, fuse)
        return DiskStore(self.disks.setdefault(folder, Disk()), fuse)
