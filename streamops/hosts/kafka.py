"""The confluent-kafka host: one worker of a processor, any number of partitions.

The loop is poll, decode, feed, produce, flush, checkpoint. It decides nothing: the fold says what
to write and where to read again. The consumer group only balances work; its offsets are never used.
On assignment a partition starts from its checkpoint, in the archive where Kafka no longer reaches
back to it; on revocation its fold is dropped (EPOCHS 15).
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Container, Mapping, Sequence
from itertools import compress
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamops.core import numeric
from streamops.core.epochs import Fold
from streamops.core.processor import Record
from streamops.disk import disk_of
from streamops.errors import ServiceError, TransportError
from streamops.hosts.backlog import Backlog, Backlogs, Place, ReadArchive, no_archive
from streamops.hosts.decoding import to_rows
from streamops.hosts.gauges import Gauges
from streamops.hosts.hold import Hold
from streamops.hosts.pace import epochs_ahead
from streamops.hosts.partition_host import PartitionHost
from streamops.hosts.progress import concluded_epochs
from streamops.hosts.save_pace import SavePace
from streamops.hosts.sender import Sender
from streamops.hosts.spill import Spill
from streamops.kafka.clients import by_place, columns_of, make_consumer, take
from streamops.kafka.delivery import does_answer
from streamops.kafka.offsets import first_offsets
from streamops.kafka.silence import Silence
from streamops.metrics import EXPOSED
from streamops.settings import Settings

LOG = logging.getLogger(__name__)
CHUNK = 4000
POLL_S = 0.05
EPOCHS_AHEAD_MAX = 64
# In each tick's second: nothing is folded ahead of a tick before what was folded is saved.
CHECKPOINT_EVERY_S = 0.5
CHECKPOINT_AT_MOST_S = 2.0
LEAVE_S = 2.0
# A rebalance takes its session of 6 s, or two; a client that the group forgot may wait for ever.
FORGOTTEN_S = 60.0

MakeFold = Callable[[int], Fold[Any]]


class KafkaHost:
    """One worker process of one processor."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        make_fold: MakeFold,
        *,
        instance: str = "0",
        read_archive: ReadArchive = no_archive,
    ) -> None:
        numeric.self_test()
        self.settings, self.name, self.make_fold = settings, name, make_fold
        self.instance = instance
        self.gauges = Gauges(
            name,
            lambda: [host.fold for host in list(self.hosts.values())],
            lambda topic, partition: self._ends.get((topic, partition)),
        )
        self.work = self.gauges.work
        self.sender = Sender(settings, f"{name}-{instance}", self.gauges.sent, self.work)
        self.hosts: dict[int, PartitionHost] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self.generation = 0
        self._trouble: ServiceError | None = None
        self._paused: set[tuple[str, int]] = set()
        self._is_astray = False
        self._revoked_at: float | None = None
        self._pace = SavePace(CHECKPOINT_EVERY_S, CHECKPOINT_AT_MOST_S, time.monotonic())
        self._silence = Silence(settings)
        self.spill = Spill(settings.spill / f"{name}-{instance}", settings.held_bytes)
        self._backlogs = Backlogs(read_archive)
        self._has_read_archive = False
        sample = make_fold(0)
        self.topics = list(sample.inboxes)
        self._names = {settings.topic(t): t for t in self.topics}
        self.consumer: Consumer = make_consumer(
            settings,
            name,
            **{
                "group.instance.id": f"{settings.namespace}.{name}-{instance}",
                "partition.assignment.strategy": "range",
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 500,
                "max.poll.interval.ms": 300_000,
                "enable.partition.eof": True,
                "error_cb": self._on_error,
            },
        )
        self.hold = Hold(
            self.consumer,
            disk_of(settings),
            lambda topic, partition: any(
                (self._names[topic], partition) in places
                for places in (self._paused, self._backlogs)
            ),
        )

    def run(self, stop: threading.Event) -> None:
        """Fold until `stop`, then checkpoint and leave cleanly."""
        self.consumer.subscribe(
            [self.settings.topic(t) for t in self.topics],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_revoke,
        )
        gc.freeze()
        gc.set_threshold(100_000, 50, 1000)
        EXPOSED.add(self.gauges.samples)
        try:
            while not stop.is_set():
                self._round()
                if self._pace.may_save(time.monotonic()):
                    self._checkpoint()
                    self._note_ends()
                    self._pace.saved(time.monotonic())
            self._checkpoint()
            _leave(self.consumer, self.hosts, self.settings.partitions)
        finally:
            EXPOSED.remove(self.gauges.samples)
            self._drop(list(self.hosts))
            self.spill.close()
            self.consumer.close()

    def _round(self) -> None:
        generation, is_held = self.generation, self.hold.keep()
        with self.work.stage("wait"):
            messages = take(self.consumer, CHUNK, 0 if self._has_read_archive else POLL_S)
        if self._trouble is not None:
            raise self._trouble
        if generation != self.generation or self._is_astray:
            # What was fetched under the former assignment is dropped and read again. An error is
            # told only once, and where it ended fetching the client refuses to seek.
            for error in filter(None, (message.error() for message in messages)):
                _judge(error)
            self._read_again()
            self._look_after_client(heard=False)
            return
        if is_held:
            # What was fetched before the pause is read again after it.
            for error in filter(None, (message.error() for message in messages)):
                _judge(error)
            self._is_astray = any(message.error() is None for message in messages)
            self.sender.serve()
            return
        self._take(messages)
        self._look_after_client(heard=any(message.error() is None for message in messages))
        self._read_archive()
        self.sender.serve()
        self._keep_pace()

    def _look_after_client(self, *, heard: bool) -> None:
        """Raise TransportError for a client that gives nothing more for good."""
        if self._silence.is_dead(heard, lambda: _fetched(self.hosts, self._paused, self._backlogs)):
            raise TransportError(
                f"{self.name} gets no record though some wait: its client is stuck; start again"
            )
        if self._revoked_at is None or time.monotonic() - self._revoked_at < FORGOTTEN_S:
            return
        self._revoked_at = time.monotonic()
        if does_answer(self.settings):
            raise TransportError(
                f"{self.name} was not told for {FORGOTTEN_S:g} s which partitions it has after a "
                "rebalance: the group forgot it, or another worker is slow; start again"
            )

    def _take(self, messages: Sequence[Message]) -> None:
        """Feed records to their folds; those that a fold has already are passed over."""
        for message in compress(messages, map(Message.error, messages)):
            error: Any = message.error()
            if error.code() == KafkaError._PARTITION_EOF:
                place: Any = self._names[str(message.topic())], message.partition()
                self._silence.pass_end(place, message.offset() or 0)
            _judge(error)
        for (name, partition), some in by_place(messages).items():
            self._take_place(self._names[name], partition, some)

    def _take_place(self, topic: str, partition: int, messages: list[Message]) -> None:
        host = self.hosts.get(partition)
        if host is None or (topic, partition) in self._backlogs:
            return
        position: Any = host.fold.inboxes[topic].position
        if messages[0].offset() < position:
            messages = [message for message in messages if message.offset() >= position]
        if messages:
            with self.work.stage("decode"):
                records = to_rows(topic, partition, *columns_of(messages))
            self._feed(host, topic, records)

    def _feed(self, host: PartitionHost, topic: str, records: Sequence[Record]) -> None:
        before = host.fold.epoch
        with self.work.stage("fold"):
            host.feed(topic, records, self.sender)
        if host.fold.epoch > before:
            self._pace.folded(time.monotonic())
        self.gauges.took(records, host.fold.epoch - before)

    def _read_archive(self) -> None:
        """Feed a slice of each backlog that isn't ahead, so that polling goes on between them."""
        self._has_read_archive = False
        ahead = epochs_ahead(host.fold for host in self.hosts.values()) if self._backlogs else {}
        for backlog in self._backlogs:
            if ahead[backlog.place] > EPOCHS_AHEAD_MAX:
                continue
            topic, partition = backlog.place
            if records := backlog.slice():
                self._feed(self.hosts[partition], topic, records)
            self._has_read_archive = True
            if backlog.is_done:
                self._leave_archive(backlog)

    def _leave_archive(self, backlog: Backlog) -> None:
        """Go on in Kafka, or in the archive again if Kafka has dropped more meanwhile."""
        topic, partition = backlog.place
        self._backlogs.end(backlog, self.hosts[partition].fold.inboxes[topic])
        place = self._start(topic, partition, first_offsets(self.settings, [backlog.place]))
        if backlog.place not in self._backlogs:
            self._seek(place)
            self.consumer.resume([place])

    def _checkpoint(self) -> None:
        self.sender.settle()
        with self.work.stage("checkpoint"):
            for host in self.hosts.values():
                host.checkpoint()

    def _keep_pace(self) -> None:
        """Pause what is ahead of the slowest partition, so that buffers stay bounded (EPOCHS 6)."""
        for place, ahead in epochs_ahead(host.fold for host in self.hosts.values()).items():
            is_paused = place in self._paused
            where = [TopicPartition(self.settings.topic(place[0]), place[1])]
            if place in self._backlogs:
                continue
            if ahead > EPOCHS_AHEAD_MAX and not is_paused:
                self.consumer.pause(where)
                self._paused.add(place)
            elif ahead <= EPOCHS_AHEAD_MAX // 2 and is_paused:
                self.consumer.resume(where)
                self._paused.discard(place)

    def _read_again(self) -> None:
        """Seek to where each fold stands, the next time too if a partition only begins to fetch."""
        self._is_astray = False
        for partition, host in self.hosts.items():
            for topic in host.fold.inboxes:
                self._seek(self._start(topic, partition, {}))

    def _start(self, topic: str, partition: int, firsts: dict[Place, int]) -> TopicPartition:
        """Return where a topic's partition is to be read in Kafka, which begins at `firsts`."""
        place = topic, partition
        position = self.hosts[partition].fold.inboxes[topic].position
        offset = self._backlogs.start(place, position, firsts.get(place, 0))
        return TopicPartition(self.settings.topic(topic), partition, offset)

    def _seek(self, place: TopicPartition) -> None:
        try:
            self.consumer.seek(place)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._STATE:
                raise
            self._is_astray = True

    def _on_assign(self, consumer: Consumer, places: Sequence[TopicPartition]) -> None:
        self._revoked_at = None
        try:
            self._take_over(consumer, places)
        except ServiceError as error:
            self._trouble = error

    def _take_over(self, consumer: Consumer, places: Sequence[TopicPartition]) -> None:
        self.generation += 1
        self.sender.acknowledged = concluded_epochs(self.settings)
        wanted = {(self.settings.short(tp.topic), tp.partition) for tp in places}
        partitions = sorted({partition for _, partition in wanted})
        firsts = first_offsets(self.settings, wanted)
        starts: list[TopicPartition] = []
        for partition in partitions:
            for topic in self.topics:
                if (topic, partition) not in wanted:
                    raise TransportError(
                        f"{self.name} was given partition {partition} without its {topic}; give "
                        "the input topics equal partition counts"
                    )
            fold = self.make_fold(partition)
            fold.hold_in(self.spill.buffer)
            self.hosts[partition] = PartitionHost(self.settings, fold, self.instance)
            starts += [self._start(topic, partition, firsts) for topic in self.topics]
        consumer.assign(starts)
        consumer.pause(
            [
                TopicPartition(self.settings.topic(backlog.place[0]), backlog.place[1])
                for backlog in self._backlogs
            ]
        )
        LOG.info("%s holds partitions %s", self.name, partitions)

    def _on_revoke(self, _: Consumer, places: Sequence[TopicPartition]) -> None:
        self._revoked_at = time.monotonic()
        self._drop([tp.partition for tp in places])

    def _drop(self, partitions: list[int]) -> None:
        self.generation += 1
        for partition in partitions:
            self._paused = {place for place in self._paused if place[1] != partition}
            self._backlogs.drop(partition)
            host = self.hosts.pop(partition, None)
            if host is not None:
                host.close()

    def _note_ends(self) -> None:
        """Note where partitions end as the client last heard; asks nobody.

        For the gauges, whose reader's thread must not call the client: it would wait for `consume`.
        """
        for partition, host in self.hosts.items():
            for topic in host.fold.inboxes:
                place = TopicPartition(self.settings.topic(topic), partition)
                end = self.consumer.get_watermark_offsets(place, cached=True)[1]
                if end >= 0:
                    self._ends[(topic, partition)] = end

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._FATAL:
            self._trouble = _beyond_repair(error)
        if error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
            self._trouble = TransportError(
                f"Kafka refuses the connection: {error.str()}; check --kafka-config"
            )


def _leave(consumer: Consumer, held: Mapping[int, PartitionHost], partitions: int) -> None:
    """Give partitions to the others at once: a static member that only closes keeps them for its
    session. One that is alone keeps its place, and comes back to it without a wait.

    held  what is held; emptied by the consumer's own callback
    """
    if not 0 < len(held) < partitions:
        return
    consumer.unsubscribe()
    deadline = time.monotonic() + LEAVE_S
    while held and time.monotonic() < deadline:
        consumer.poll(POLL_S)
    consumer.poll(POLL_S)


def _fetched(hosts: Mapping[int, PartitionHost], *others: Container[Place]) -> dict[Place, int]:
    """Return where each place stands that is being fetched: in none of `others`."""
    return {
        (topic, partition): inbox.position
        for partition, host in hosts.items()
        for topic, inbox in host.fold.inboxes.items()
        if not any((topic, partition) in places for places in others)
    }


def _judge(error: KafkaError) -> None:
    """Raise for what won't mend itself; the client retries the rest."""
    if error.code() == KafkaError._AUTO_OFFSET_RESET:
        raise TransportError(
            f"an offset is gone from Kafka before it was read: {error.str()}; start again to read "
            "it from the archive, and keep records longer in Kafka (retention_ms)"
        )
    if error.fatal() or error.code() == KafkaError._FATAL:
        raise _beyond_repair(error)


def _beyond_repair(error: KafkaError) -> TransportError:
    """The error after which a client never reads again: most often its place in the group is lost,
    to another worker of its name or, after a pause, to its own next membership."""
    return TransportError(
        f"another worker took the place of this one, or the group forgot it: {error.str()}; "
        "start again, and give each worker a name of its own"
    )
