"""One fold on an event loop: records in, at once; conclusions out, in order, acknowledged.

Rule 1: `feed` never awaits, so nothing comes between reading and writing the fold's state.
Rule 2: one task sends. Epochs folded meanwhile wait in order; a checkpoint is taken when they are
        and written when all they wrote is acknowledged, marks on `progress` among it (EPOCHS 14),
        at a quiet moment (`save_pace`).
Rule 3: what stands on `progress` as acknowledged isn't sent again by the controller (EPOCHS 15).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from streamops import codec
from streamops.core.epochs import Fold, Folded
from streamops.core.output_rows import Addressed
from streamops.core.processor import Record
from streamops.errors import ServiceError, TransportError
from streamops.hosts import checkpoint_topic
from streamops.hosts.backlog import Backlogs, ReadArchive, no_archive
from streamops.hosts.checkpoint import Checkpoint, checkpoint_of
from streamops.hosts.gauges import Gauges
from streamops.hosts.save_pace import QUIET_S, SavePace
from streamops.hosts.seal_files import keep
from streamops.hosts.strays import disputed, refused_by_us, stray
from streamops.settings import Settings

LOG = logging.getLogger(__name__)
BACKLOG_MAX = 256
CHECKPOINT_EVERY_S = 1.0


class Lane:
    """A fold of one (processor, partition) and the queue behind it.

    producer      a started AIOKafkaProducer: acks=all, idempotent
    instance      name of this worker, part of its checkpoints' key
    acknowledged  last epoch of this fold that stands on `progress`; only the controller has one
    gauges        counts what is sent, and the time that it takes
    read_archive  reads what Kafka no longer holds
    """

    def __init__(
        self,
        settings: Settings,
        fold: Fold[Any],
        producer: Any,
        *,
        instance: str,
        acknowledged: int = -1,
        gauges: Gauges | None = None,
        read_archive: ReadArchive = no_archive,
    ) -> None:
        self.settings, self.fold, self.producer = settings, fold, producer
        self._gauges = gauges or Gauges(fold.processor.name, tuple, lambda *place: None)
        self.instance, self.acknowledged = instance, acknowledged
        self._folded: list[Folded] = []
        self._refused: list[Addressed] = []
        self._unsaved: Folded | None = None
        self._broken = False
        self._pace = SavePace(CHECKPOINT_EVERY_S, 2 * CHECKPOINT_EVERY_S, time.monotonic())
        self._wake, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()
        self._settling = asyncio.Lock()
        self._sought: set[str] = set()
        self._gaps: dict[str, int] = {}
        self.backlogs = Backlogs(read_archive)

    def sought(self, topic: str, first: int = 0) -> int:
        """Return where the topic is to be read in Kafka, which begins at `first`; what comes first
        after it is looked at."""
        self._sought.add(topic)
        position = self.fold.inboxes[topic].position
        return self.backlogs.start((topic, self.fold.partition), position, first)

    def expects(self, topic: str, offset: int) -> bool | None:
        """Tell whether to feed the offset: True, False for a repeat, None to seek again.

        A gap is Kafka's own (a transaction's marker), except right after a seek: there it may be a
        record read before it. It is believed only when a second seek shows it again.
        """
        position = self.fold.inboxes[topic].position
        if self._broken or offset < position or (topic, self.fold.partition) in self.backlogs:
            return False
        if offset > position and topic in self._sought:
            known = self._gaps.setdefault(topic, offset + 1)
            if offset != known:
                self._gaps[topic] = min(offset, known)
                return None if offset < known else False
        self._sought.discard(topic)
        self._gaps.pop(topic, None)
        return True

    def feed(self, record: Record) -> None:
        """Fold the record; what it concluded waits to be sent.

        A record on which our own code fails is dead-lettered as our fault, and what was raised goes
        on: such a fold is not fed again and leaves no checkpoint.
        """
        refused = stray(self.fold, record)
        if refused is not None:
            self._refused.append(refused)
        try:
            self._folded.extend(self.fold.feed(record))
            self._refused += disputed(self.fold)
        except ServiceError:
            self._broken = True
            raise
        except Exception as error:
            self._broken = True
            self._refused.append(refused_by_us(self.fold, record, error))
            raise
        finally:
            self._signal()

    async def room(self) -> None:
        """Wait while too much waits to be sent."""
        await self._room.wait()

    async def run(self) -> None:
        """Send for ever; raises TransportError where Kafka doesn't take it."""
        while True:
            # While a checkpoint is to be taken, for a quiet moment too. Not wait_for: before Python
            # 3.12 it takes a cancellation that comes with the wake for the wake.
            with suppress(TimeoutError):
                async with asyncio.timeout(QUIET_S if self._unsaved else None):
                    await self._wake.wait()
            self._wake.clear()
            await self.settle()

    async def settle(self, *, save: bool = False) -> None:
        """Send what waits; checkpoint where it is due, or where `save` asks for it."""
        async with self._settling:
            folded, self._folded = self._folded, []
            refused, self._refused = self._refused, []
            self._room.set()
            if folded:
                self._unsaved = folded[-1]
                self._pace.folded(time.monotonic())
            checkpoint = self._checkpoint(save)
            fresh = [f for f in folded if f.epoch > self.acknowledged]
            for files in filter(None, (f.files for f in fresh)):
                await asyncio.to_thread(keep, self.settings.archive, files)
            outputs = [a for f in fresh for a in f.outputs]
            work, began = self._gauges.work, time.perf_counter()
            await self._send([*refused, *(a for a in outputs if a.topic != "progress")])
            await self._send(a for a in outputs if a.topic == "progress")
            sent = time.perf_counter()
            work.spent("produce", sent - began)
            if checkpoint is not None:
                await self._save(checkpoint)
                work.spent("checkpoint", time.perf_counter() - sent)

    def _signal(self) -> None:
        if self._folded or self._refused:
            self._wake.set()
        if len(self._folded) > BACKLOG_MAX:
            self._room.clear()

    def _checkpoint(self, save: bool) -> Checkpoint | None:
        now = time.monotonic()
        if self._broken or self._unsaved is None or not (save or self._pace.may_save(now)):
            return None
        checkpoint = checkpoint_of(self.fold, self._unsaved.positions)
        assert checkpoint.epoch == self._unsaved.epoch, "state and positions are of one epoch"
        self._unsaved = None
        self._pace.saved(now)
        return checkpoint

    async def _send(self, outputs: Iterable[Addressed]) -> None:
        """Hand over in order, then wait until all are acknowledged."""
        pending = []
        try:
            for addressed in outputs:
                value, key = codec.encode(addressed.event), addressed.key.encode()
                topic = self.settings.topic(addressed.topic)
                pending.append(
                    await self.producer.send(topic, value, key, partition=addressed.partition)
                )
                self._gauges.sent(addressed.topic)
            await asyncio.gather(*pending)
        except KafkaError as error:
            raise TransportError(
                f"{self.fold.source}: a record was not delivered ({error!r}); the process ends "
                "before its checkpoint and sends it again"
            ) from error

    async def _save(self, checkpoint: Checkpoint) -> None:
        value = checkpoint_topic.encode(checkpoint)
        try:
            await self.producer.send_and_wait(
                self.settings.topic(checkpoint_topic.TOPIC),
                value,
                checkpoint_topic.key_of(checkpoint, self.instance),
                partition=checkpoint.partition,
            )
        except MessageSizeTooLargeError:
            LOG.error(
                "checkpoint of %s is %d bytes, above the topic's limit; a restart folds again "
                "from the last one",
                self.fold.source,
                len(value),
            )
        except KafkaError as error:
            raise TransportError(f"a checkpoint was not delivered: {error!r}") from error
