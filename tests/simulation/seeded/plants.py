"""Bugs to plant, each against a clause of the protocol: a simulation has to find every one.

Rule 1: a plant replaces a part of the product, or of its host, for as long as the context lasts;
        the product has no switch for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple
from unittest import mock

from msgspec.structs import replace

from streamops.core import derived_inbox, epochs
from streamops.core.buffer import Group
from streamops.core.derived_inbox import DerivedInbox
from streamops.core.inbox import RawInbox
from streamops.core.processor import Record
from streamops.events import Tick
from streamops.hosts.checkpoint import Checkpoint
from streamops.hosts.partition_host import PartitionHost
from streamops.hosts.sender import Sender
from tests.simulation.seeded import cluster, disk, worker
from tests.simulation.seeded.disk import DiskStore
from tests.simulation.seeded.worker import Worker


class RepeatsInbox(DerivedInbox):
    """Hands over each record as often as it came (against clause 9)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fed: dict[int, list[Record]] = {}

    def feed_together(self, group: Group, records: Sequence[Record]) -> bool:
        return False

    def feed(self, record: Record) -> None:
        super().feed(record)
        stamp = getattr(record.event, "stamp", None)
        if stamp is not None:
            self._fed.setdefault(stamp.epoch, []).append(record)

    def take(self, epoch: int) -> tuple[list[Record], Any, int]:
        _, time, position = super().take(epoch)
        return sorted(self._fed.pop(epoch, []), key=derived_inbox.total_key), time, position


class LastStampInbox(DerivedInbox):
    """Keeps each source's last stamp in place of a set (against clause 9)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._last: dict[str, tuple[int, int]] = {}

    def feed_together(self, group: Group, records: Sequence[Record]) -> bool:
        return False

    def feed(self, record: Record) -> None:
        stamp = getattr(record.event, "stamp", None)
        if stamp is not None:
            if (stamp.epoch, stamp.ordinal) <= self._last.get(stamp.source, (-1, -1)):
                self.position = record.offset + 1
                return
            self._last[stamp.source] = (stamp.epoch, stamp.ordinal)
        super().feed(record)


class OldTicksInbox(RawInbox):
    """Counts a tick of an epoch below its last as the next one (against clause 2)."""

    def feed(self, record: Record) -> None:
        event = record.event
        if isinstance(event, Tick) and event.epoch < self._open:
            record = record._replace(event=replace(event, epoch=self._open + 1))
        super().feed(record)


class SplitStore(DiskStore):
    """Writes the join table's rows, then state and positions (against clause 14)."""

    def save(self, checkpoint: Checkpoint, changes: dict[bytes, bytes | None]) -> None:
        self.fuse.burn()
        self.disk.write(changes)
        super().save(checkpoint, {})


class HastyWorker(Worker):
    """Saves before what it sent is acknowledged (against clause 14)."""

    def checkpoint(self) -> None:
        self.save()
        self.settle()


class RashHost(PartitionHost):
    """Folds ahead of a tick before the last epoch is saved (against clause 14)."""

    def _begin(self) -> None:
        positions, self._positions = self._positions, None
        super()._begin()
        self._positions = positions


class DeafSender(Sender):
    """Goes on after a send that failed (against clause 13)."""

    def _on_delivery(self, error: Any, message: Any) -> None:
        pass


def as_they_came(records: list[Record]) -> list[Record]:
    """Leave records of several sources in the order of the topic (against clause 6)."""
    return sorted(records, key=lambda record: record.offset)


class Plant(NamedTuple):
    """A bug: what is replaced, where, and by what."""

    where: Any
    name: str
    by: Any

    def planted(self) -> AbstractContextManager[Any]:
        """Plant the bug for as long as the context lasts."""
        return mock.patch.object(self.where, self.name, self.by)


PLANTS = {
    "repeats": Plant(epochs, "DerivedInbox", RepeatsInbox),
    "hasty": Plant(cluster, "Worker", HastyWorker),
    "split": Plant(disk, "DiskStore", SplitStore),
    "rash": Plant(worker, "PartitionHost", RashHost),
    "overtaken": Plant(epochs, "DerivedInbox", LastStampInbox),
    "deaf": Plant(worker, "Sender", DeafSender),
    "old-tick": Plant(epochs, "RawInbox", OldTicksInbox),
    "unsorted": Plant(derived_inbox, "in_total_order", as_they_came),
}
