"""The lanes of one worker of the control plane: one a (processor, partition) that it holds.

Rule 1: a partition's topics are held together or not at all: CONTROLLER reads two of them.
Rule 2: what is held already goes on where it stands; what is new starts at its highest checkpoint.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from streamops.core.epochs import Fold
from streamops.errors import TransportError
from streamops.hosts.backlog import Backlog, Place, ReadArchive
from streamops.hosts.checkpoint import resume
from streamops.hosts.checkpoint_topic import read_checkpoints
from streamops.hosts.gauges import Gauges
from streamops.hosts.lane import Lane
from streamops.hosts.memory import make_fold
from streamops.hosts.progress import concluded_epochs
from streamops.hosts.spill import Spill
from streamops.settings import Settings

LOG = logging.getLogger(__name__)
PROCESSORS = ("monitor", "controller")


class Lanes:
    """Opens, finds and closes lanes.

    reader      topic -> the processor that reads it
    on_failure    is told what ended a lane
    gauges        processor -> counts what its lanes do
    read_archive  reads what Kafka no longer holds
    """

    def __init__(
        self,
        settings: Settings,
        instance: str,
        *,
        on_failure: Callable[[BaseException], None],
        gauges: Mapping[str, Gauges],
        read_archive: ReadArchive,
    ) -> None:
        self.settings, self.instance, self.read_archive = settings, instance, read_archive
        self.on_failure, self.gauges = on_failure, gauges
        self._spill = Spill(settings.spill / f"control-{instance}", settings.held_bytes)
        self.reader = {topic: name for name in PROCESSORS for topic in self._fold(name, 0).inboxes}
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._taking_over = asyncio.Lock()

    def of(self, topic: str, partition: int) -> Lane | None:
        """Return the lane that reads a topic's partition, if it is held."""
        return self._lanes.get((self.reader[topic], partition))

    def backlogs(self) -> list[tuple[Lane, Backlog]]:
        """Return what lanes still read from the archive."""
        return [(lane, backlog) for lane in self._lanes.values() for backlog in lane.backlogs]

    def folds(self) -> list[Fold[Any]]:
        """Return the folds that are held; may be called by any thread."""
        return [lane.fold for lane in list(self._lanes.values())]

    async def take_over(self, firsts: Mapping[Place, int], producer: Any) -> dict[Place, int]:
        """Hold exactly these places; return the offset at which each is to be read.

        firsts  each place's first offset in Kafka
        Raises TransportError where topics aren't held together, and ConfigError for a checkpoint
        of other semantics.
        """
        async with self._taking_over:
            partitions = self._held_together(firsts)
            for key in [key for key in self._lanes if key[1] not in partitions]:
                await self._close(key)
            held = {partition for _, partition in self._lanes}
            if partitions - held:
                await self._open(sorted(partitions - held), producer)
            return {
                (topic, p): self._lanes[(self.reader[topic], p)].sought(topic, first)
                for (topic, p), first in firsts.items()
            }

    async def settle(self) -> None:
        """Send and checkpoint all there is."""
        for lane in list(self._lanes.values()):
            await lane.settle(save=True)

    async def close(self) -> None:
        """Drop every lane without a checkpoint."""
        for key in list(self._lanes):
            await self._close(key)
        self._spill.close()

    def _held_together(self, places: Iterable[Place]) -> set[int]:
        held = set(places)
        partitions = {partition for _, partition in held}
        for partition in sorted(partitions):
            for topic in self.reader:
                if (topic, partition) not in held:
                    raise TransportError(
                        f"control was given partition {partition} without its {topic}; give the "
                        "input topics equal partition counts"
                    )
        return partitions

    async def _open(self, partitions: list[int], producer: Any) -> None:
        found = await asyncio.to_thread(read_checkpoints, self.settings, partitions, PROCESSORS)
        concluded = await asyncio.to_thread(concluded_epochs, self.settings)
        for partition in partitions:
            for name in PROCESSORS:
                fold = self._fold(name, partition)
                checkpoint = found.get((name, partition))
                if checkpoint is not None:
                    fold = resume(fold, checkpoint, [])
                acknowledged = concluded.get(partition, -1) if name == "controller" else -1
                self._add(fold, producer, acknowledged)

    def _fold(self, name: str, partition: int) -> Fold[Any]:
        fold = make_fold(
            name,
            partition,
            self.settings.partitions,
            skew_max_ms=self.settings.skew_ms,
            seal_every=self.settings.seal_every,
        )
        fold.hold_in(self._spill.buffer)
        return fold

    def _add(self, fold: Fold[Any], producer: Any, acknowledged: int) -> None:
        key = (fold.processor.name, fold.partition)
        lane = Lane(
            self.settings,
            fold,
            producer,
            instance=self.instance,
            acknowledged=acknowledged,
            gauges=self.gauges[fold.processor.name],
            read_archive=self.read_archive,
        )
        task = asyncio.create_task(lane.run(), name=f"lane {fold.source}")
        task.add_done_callback(self._ended)
        self._lanes[key], self._tasks[key] = lane, task
        LOG.info("control resumes %s after epoch %d", fold.source, fold.epoch)

    async def _close(self, key: tuple[str, int]) -> None:
        """Drop a lane; whoever holds the partition next sends what it had not."""
        self._lanes.pop(key).fold.let_go()
        task = self._tasks.pop(key)
        task.remove_done_callback(self._ended)
        task.cancel()
        await asyncio.wait([task])

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self.on_failure(task.exception() or AssertionError(f"{task.get_name()} ended"))
