"""The Faust host: MONITOR and CONTROLLER in one process, for every partition given to it.

Faust is a thin at-least-once reactor here (DESIGN 6): it balances, reads and calls. State, order,
resuming and sending are the lanes'. This is the only module that imports it.

Rule 1: no exception leaves an agent: Faust would commit the record it failed on and go on.
Rule 2: the group's offsets decide nothing: after every seek of Faust's own the consumer seeks to
        where each fold stands, and a gap in what arrives is read again.
Rule 3: Faust drops what it had fetched of a place that is paused; only a seek reads on there.
Rule 4: whatever dies (a lane, an agent, the app), the process ends and its supervisor starts it.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, cast

import faust
from faust.auth import SASLCredentials, SSLCredentials
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.threads import WorkerThread

from streamops.core import numeric
from streamops.core.epochs import Fold
from streamops.core.processor import Record
from streamops.errors import ConfigError, ServiceError, TransportError
from streamops.hosts.aio_clients import auth, make_aio_producer
from streamops.hosts.backlog import Backlog, ReadArchive, no_archive
from streamops.hosts.decoding import to_record
from streamops.hosts.gauges import Gauges
from streamops.hosts.lane import Lane
from streamops.hosts.lanes import PROCESSORS, Lanes
from streamops.hosts.log_limit import LogLimit, limit_logs
from streamops.kafka.admin import connect, partition_counts
from streamops.metrics import EXPOSED
from streamops.settings import Settings
from streamops.topics import load_topics

LOG = logging.getLogger(__name__)
SESSION_S = 6.0
WATCH_S = 0.1
STOP_S = 10.0
EPOCHS_AHEAD_MAX = 1024
LOG_EVERY_S = 10.0

T = TypeVar("T")


def run_control(
    settings: Settings,
    stop: threading.Event,
    *,
    instance: str = "0",
    read_archive: ReadArchive = no_archive,
) -> None:
    """Run MONITOR and CONTROLLER on Faust until `stop`.

    instance      name of this worker, unique among those that run; the same after a restart
    read_archive  reads what Kafka no longer holds
    Raises TransportError where topics are missing, a record isn't taken, or Faust has crashed, and
    ConfigError for partition counts or client settings that can't work.
    """
    numeric.self_test()
    check_topics(settings)
    limit_logs(("aiokafka", "faust", "mode"), LogLimit(LOG_EVERY_S))
    asyncio.run(ControlHost(settings, instance, read_archive).run(stop))


def check_topics(settings: Settings) -> None:
    """Raise unless every topic stands: Faust would wait for ever without a word (measured)."""
    counts = partition_counts(connect({"bootstrap.servers": settings.bootstrap, **settings.kafka}))
    for spec in load_topics().values():
        name, wanted = settings.topic(spec.name), spec.partition_count(settings.partitions)
        if name not in counts:
            raise TransportError(f"topic {name} doesn't exist; `streamops topics apply` makes it")
        if counts[name] != wanted:
            raise ConfigError(
                f"topic {name} has {counts[name]} partitions, the settings say {wanted}; a "
                "namespace's partitions are fixed"
            )


class ControlHost:
    """One Faust worker: an app, its agents, and a lane a (processor, partition)."""

    def __init__(
        self, settings: Settings, instance: str, read_archive: ReadArchive = no_archive
    ) -> None:
        self.settings, self.instance = settings, instance
        self.failure: BaseException | None = None
        self.gauges = {name: self._gauges(name) for name in PROCESSORS}
        self.lanes = Lanes(
            settings,
            instance,
            on_failure=self._fail,
            gauges=self.gauges,
            read_archive=read_archive,
        )
        self.app = make_app(settings, instance, self._resume)
        self.producer: Any = None
        self._paused: set[TP] = set()
        self._seeking = asyncio.Lock()
        for topic in self.lanes.reader:
            self._add_agent(topic)
        self.app.finalize()

    async def run(self, stop: threading.Event) -> None:
        """Fold until `stop`, then checkpoint and leave; raises what ended it early."""
        self.producer = make_aio_producer(self.settings, f"control-{self.instance}")
        for gauges in self.gauges.values():
            EXPOSED.add(gauges.samples)
        try:
            await _of_kafka(self.producer.start(), "the producer can't start")
            await _of_kafka(self.app.start(), "Faust can't start")
            gc.freeze()  # What Faust is made of needn't be walked again while an alert waits.
            while not stop.is_set() and not self._has_failed():
                if not await self._read_archive():
                    await asyncio.sleep(WATCH_S)
            if self.failure is None:
                await self.lanes.settle()
        finally:
            await self._leave()
        if self.failure is not None:
            raise self.failure

    def _has_failed(self) -> bool:
        """Find what died: Faust and asyncio only log it."""
        if self.failure is None and self.app.crashed:
            self.failure = TransportError(f"Faust has crashed: {self.app.crash_reason!r}")
        dead = [agent.name for agent in self.app.agents.values() if agent.crashed]
        if self.failure is None and dead:
            self.failure = TransportError(f"agent {dead[0]} has died; start again")
        return self.failure is not None

    async def _leave(self) -> None:
        for gauges in self.gauges.values():
            EXPOSED.remove(gauges.samples)
        await self.lanes.close()
        for closing in (self.app.stop, self.producer.stop):
            # Not wait_for: it waits for what it cancelled, and Faust may swallow that.
            task = asyncio.ensure_future(closing())
            await asyncio.wait([task], timeout=STOP_S)
            if not task.done() or task.exception() is not None:
                error = task.exception() if task.done() else f"still running after {STOP_S:g} s"
                LOG.warning("%s did not end cleanly: %r", closing.__qualname__, error)

    def _gauges(self, name: str) -> Gauges:
        def folds() -> list[Fold[Any]]:
            return [fold for fold in self.lanes.folds() if fold.processor.name == name]

        return Gauges(name, folds, self._known_end)

    def _known_end(self, topic: str, partition: int) -> int | None:
        """Where the partition ends as the client last heard; asks nobody."""
        place = TP(self.settings.topic(topic), partition)
        if not self.lanes.folds() or place not in self.app.consumer.assignment():
            return None
        end = self.app.consumer.highwater(place)
        return None if end is None else int(end)

    def _add_agent(self, topic: str) -> None:
        channel = self.app.topic(
            self.settings.topic(topic), key_serializer="raw", value_serializer="raw"
        )

        async def read(stream: Any) -> None:
            async for event in stream.events():
                await self._take(topic, event.message)

        self.app.agent(channel, name=f"{self.settings.namespace}.{topic}")(read)

    async def _take(self, topic: str, message: Any) -> None:
        """Feed one message to the fold that reads its topic; nothing is raised (rule 1)."""
        lane = self.lanes.of(topic, message.partition)
        if lane is None or self.failure is not None:
            return
        if (topic, message.partition) in lane.backlogs:
            self._pause(topic, message.partition)
            return
        try:
            expected = lane.expects(topic, message.offset)
            if expected:
                with self.gauges[lane.fold.processor.name].work.stage("decode"):
                    record = self._record(topic, message)
                self._feed(lane, record)
                await lane.room()
                await self._read_on()
            elif expected is None:
                await self._read_again()
        except Exception as error:
            await self._end_of(lane, error)

    async def _read_archive(self) -> bool:
        """Feed a slice of each backlog that isn't ahead; tell whether there was any."""
        has_read = False
        for lane, backlog in self.lanes.backlogs():
            topic = backlog.place[0]
            if lane.fold.inboxes[topic].ahead > EPOCHS_AHEAD_MAX:
                continue
            try:
                await self._feed_from_archive(lane, backlog)
            except Exception as error:
                await self._end_of(lane, error)
                return False
            has_read = True
        return has_read

    async def _feed_from_archive(self, lane: Lane, backlog: Backlog) -> None:
        topic, partition = backlog.place
        records = await asyncio.to_thread(backlog.slice)
        # Another worker may have the partition by now.
        if self.lanes.of(topic, partition) is not lane:
            return
        for record in records:
            self._feed(lane, record)
        await lane.room()
        await self._read_on()
        if backlog.is_done and self.lanes.of(topic, partition) is lane:
            lane.backlogs.end(backlog, lane.fold.inboxes[topic])
            await self._read_again()

    async def _end_of(self, lane: Lane, error: Exception) -> None:
        """End by an error; let its dead letter out, without Kafka there is none."""
        try:
            await lane.settle()
        except ServiceError as last:
            LOG.error("%s could not send its last records: %s", lane.fold.source, last)
        self._fail(error)

    def _record(self, topic: str, message: Any) -> Record:
        append_ms = round((message.timestamp or 0) * 1000)
        key, value = message.key or b"", message.value or b""
        return to_record(topic, message.partition, message.offset, append_ms, key, value)

    def _feed(self, lane: Lane, record: Record) -> None:
        """Fold, at once."""
        before, gauges = lane.fold.epoch, self.gauges[lane.fold.processor.name]
        with gauges.work.stage("fold"):
            lane.feed(record)
        gauges.took([record], lane.fold.epoch - before)
        self._keep_pace(lane, record)

    def _keep_pace(self, lane: Lane, record: Record) -> None:
        """Pause a topic far ahead of the other one that its fold reads (EPOCHS 6)."""
        ahead = lane.fold.inboxes[record.topic].ahead
        if ahead > EPOCHS_AHEAD_MAX:
            self._pause(record.topic, record.partition)

    def _pause(self, topic: str, partition: int) -> None:
        # Faust can't resume what only equals a TP, as the place of a message does.
        tp = TP(self.settings.topic(topic), partition)
        self.app.consumer.pause_partitions({tp})
        self._paused.add(tp)

    async def _read_on(self) -> None:
        """Go on with what was paused and is no longer ahead."""
        if any(map(self._may_read, self._paused)):
            await self._read_again()

    def _may_read(self, tp: TP) -> bool:
        topic = self.settings.short(tp.topic)
        lane = self.lanes.of(topic, tp.partition)
        if lane is None or (topic, tp.partition) in lane.backlogs:
            return False
        return lane.fold.inboxes[topic].ahead <= EPOCHS_AHEAD_MAX // 2

    async def _read_again(self) -> None:
        """Seek once more; a stopped flow lets go of what was fetched before."""
        async with self._seeking:
            if self.app.rebalancing:
                return
            self.app.consumer.stop_flow()
            await self.app.consumer.perform_seek()
            if not self.app.rebalancing:
                self.app.consumer.resume_flow()

    async def _resume(self, places: set[Any], earliest: dict[Any, int]) -> dict[Any, int]:
        """Take over what is assigned now; return where each place is to be read."""
        short = self.settings.short
        try:
            firsts = {(short(tp.topic), tp.partition): earliest.get(tp, 0) for tp in places}
            starts = await self.lanes.take_over(firsts, self.producer)
        except Exception as error:
            self._fail(error)
            raise
        # Faust keeps a place paused that stays assigned.
        paused = {tp for tp in self._paused if tp in places}
        self._paused = {tp for tp in paused if not self._may_read(tp)}
        self.app.consumer.resume_partitions(paused - self._paused)
        return {tp: starts[(short(tp.topic), tp.partition)] for tp in places}

    def _fail(self, error: BaseException) -> None:
        if self.failure is None:
            LOG.error("control ends: %r", error)
            self.failure = error


async def _of_kafka(work: Coroutine[Any, Any, T], what: str) -> T:
    """Await; what the client raises becomes a TransportError."""
    try:
        return await work
    except ServiceError:
        raise
    except Exception as error:
        raise TransportError(f"{what}: {error!r}; is the broker up?") from error


# Faust, bent ------------------------------------------------------------------------------------

Resume = Callable[[set[Any], dict[Any, int]], Awaitable[dict[Any, int]]]


class _Daemon(WorkerThread):
    """A consumer thread that can't keep a failed process alive."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.daemon = True


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    """The driver's thread, reading what is committed only (EPOCHS 8)."""

    Worker = _Daemon

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        assert consumer._isolation_level == "read_uncommitted", "aiokafka names it otherwise now"
        consumer._isolation_level = "read_committed"
        return consumer


class _Consumer(driver.Consumer):
    """The driver's consumer, which seeks to where the folds stand after Faust has sought."""

    def _new_consumer_thread(self) -> Any:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        await super().perform_seek()
        places = self.assignment()
        earliest = await self.earliest_offsets(*places)
        app = cast(_App, self.app)
        await self.seek_wait(await app.resume_at(places, dict(earliest)))


class _Transport(driver.Transport):
    Consumer = _Consumer


class _App(faust.App):
    """An app with our transport; `resume_at` says where each place is to be read."""

    resume_at: Resume

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)


def make_app(settings: Settings, instance: str, resume_at: Resume) -> Any:
    """Return an app set up as `measured` says: no tables, no web, no topics of its own."""
    name = f"{settings.namespace}.control"
    folder = settings.data / "state" / f"faust-{instance}"
    folder.mkdir(parents=True, exist_ok=True)
    app = _App(
        name,
        broker=[f"kafka://{address}" for address in settings.bootstrap.split(",")],
        broker_credentials=_credentials(settings),
        broker_client_id=f"{name}-{instance}",
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=0.5,
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=f"{name}-{instance}",
        processing_guarantee="at_least_once",
        producer_acks=-1,
        store="memory://",
        datadir=folder,
        topic_partitions=settings.partitions,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        web_enabled=False,
    )
    app.resume_at = resume_at
    return app


def _credentials(settings: Settings) -> Any:
    given = auth(settings)
    context = given.get("ssl_context")
    if given["security_protocol"].startswith("SASL"):
        return SASLCredentials(
            username=given["sasl_plain_username"],
            password=given["sasl_plain_password"],
            mechanism=given["sasl_mechanism"],
            ssl_context=context,
        )
    return None if context is None else SSLCredentials(context)
