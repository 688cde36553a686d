"""The broadcaster: ticks and activations into every partition of the input topics (EPOCHS 1-4).

It is the one host that reads a clock, and only to write it down. Live, a tick's time is
origin + epoch x interval; both are recorded in TopologyActivated. A driven namespace gets
activations from here and ticks from its driver.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import KafkaError, Message

from streamops import codec
from streamops.core.processor import Record
from streamops.core.times import EPOCH, SECOND_US, micros, moment
from streamops.errors import TransportError
from streamops.events import (
    ActivationDelivered,
    ConfigActivated,
    ConfigApplied,
    Event,
    ModelRegistered,
    Tick,
    TopologyActivated,
    VersionActivated,
)
from streamops.hosts.memory import BROADCAST
from streamops.kafka.clients import make_producer
from streamops.kafka.follow import Follower
from streamops.settings import Settings

LOG = logging.getLogger(__name__)
POLL_S = 0.05
CATCH_UP = 2
# The partition of `lifecycle` whose first TopologyActivated is the namespace's.
FOUNDING = 0


class Broadcaster:
    """Follows `lifecycle`, answers what must be activated, and ticks a live namespace."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.producer = make_producer(settings, "broadcaster", **{"linger.ms": 0})
        self.follower = Follower(settings, "broadcaster", ["lifecycle"])
        self.topology: TopologyActivated | None = None
        self.epoch = -1
        self._complete = -1
        self.revision = 0
        self.configured: set[str] = set()
        self._wanted: dict[str, ConfigApplied | ModelRegistered] = {}
        self._delivered: set[str] = set()
        self._first_panes: dict[str, datetime] = {}
        self._due = 0.0
        self._failed = ""

    def run(self, stop: threading.Event) -> None:
        """Broadcast until `stop`."""
        for record in self.follower.to_end():
            self._note(record)
        self._found_namespace()
        while not stop.is_set():
            for record in self.follower.poll(POLL_S):
                self._note(record)
            self._activate()
            if not self.settings.driven:
                self._tick()
        self.producer.flush(10)
        self.follower.close()

    def _note(self, record: Record) -> None:
        event = record.event
        match event:
            case TopologyActivated() if record.partition == FOUNDING:
                self.topology = self.topology or event
            case Tick() if record.partition == FOUNDING and self._is_on_time(event):
                self.epoch = max(self.epoch, event.epoch)
            case ConfigApplied() | ModelRegistered():
                if event.id not in self._delivered:
                    self._wanted.setdefault(event.id, event)
            case ConfigActivated() | VersionActivated():
                self.revision = max(self.revision, event.revision)
                if isinstance(event, ConfigActivated):
                    self.configured.add(event.config.model)
                    self._first_panes.setdefault(event.id, event.first_pane)
            case ActivationDelivered():
                source = event.id.removeprefix("delivered/")
                self._delivered.add(source)
                self._wanted.pop(source, None)

    def _is_on_time(self, tick: Tick) -> bool:
        """Whether a ticker wrote it: a stranger's tick must not move the count of epochs."""
        return self.topology is not None and tick.time == self._time_of(tick.epoch)

    def _time_of(self, epoch: int) -> datetime | None:
        assert self.topology is not None, "a live namespace has a recorded origin"
        try:
            return self.topology.time + timedelta(seconds=epoch * self.topology.interval_s)
        except OverflowError:
            return None

    def _found_namespace(self) -> None:
        """Record an origin. Of two that start together the first in one partition counts."""
        if self.topology is not None or self.settings.driven:
            return
        self.broadcast(
            TopologyActivated(
                id=f"topology/{self.settings.namespace}",
                time=datetime.now(UTC),
                partitions=self.settings.partitions,
                interval_s=self.settings.interval_s,
            )
        )
        for record in self.follower.to_end():
            self._note(record)
        assert self.topology is not None, "what was written stands before the end"

    def _activate(self) -> None:
        for source, event in list(self._wanted.items()):
            self.revision += 1
            activated, delivered = self._activation(event)
            self.broadcast(activated)
            self._write("lifecycle", codec.encode(delivered), delivered.model.encode())
            self._flush()
            self._delivered.add(source)
            del self._wanted[source]
            LOG.info("activated %s as revision %d", source, self.revision)

    def _activation(
        self, event: ConfigApplied | ModelRegistered
    ) -> tuple[Event, ActivationDelivered]:
        id_, revision = f"activated/{event.id}", self.revision
        if isinstance(event, ModelRegistered):
            version = event.version
            return VersionActivated(
                id=id_, time=event.time, revision=revision, first_pane=EPOCH, version=version
            ), ActivationDelivered(
                id=f"delivered/{event.id}",
                time=event.time,
                revision=revision,
                model=version.model,
                version=version.version,
            )
        activated = ConfigActivated(
            id=id_,
            time=event.time,
            revision=revision,
            first_pane=self._first_pane(event),
            config=event.config,
            config_hash=event.config_hash,
        )
        self.configured.add(event.config.model)
        return activated, ActivationDelivered(
            id=f"delivered/{event.id}",
            time=event.time,
            revision=revision,
            model=event.config.model,
            config_hash=event.config_hash,
        )

    def _first_pane(self, event: ConfigApplied) -> datetime:
        """A model's first configuration rules everything; a later one begins beyond the skew. One
        that reached some partitions before a crash begins where it began there."""
        begun = self._first_panes.get(f"activated/{event.id}", event.first_pane)
        if begun is not None:
            return begun
        if event.config.model not in self.configured:
            return EPOCH
        length = event.config.pane_s * SECOND_US
        skew = timedelta(milliseconds=self.settings.skew_max_ms)
        after = micros(datetime.now(UTC) + skew)
        return moment((after // length + 1) * length)

    def _tick(self) -> None:
        """Write the next tick once its time has come, never before: another ticker may have written
        the last one. After a gap it catches up at twice the pace, so that what producers spooled
        meanwhile isn't all late.

        A tick that another wrote, or this one before it died, may not have reached every partition.
        One that lacks it would cut its panes in another epoch than the rest: write it again first.
        """
        assert self.topology is not None, "a live namespace has a recorded origin"
        interval, at = self.topology.interval_s, self._time_of(self.epoch + 1)
        assert at is not None, "the next tick is within the years"
        behind = (datetime.now(UTC) - at).total_seconds()
        if behind < 0 or time.monotonic() < self._due:
            return
        last = self._time_of(self.epoch)
        if self._complete < self.epoch and last is not None:
            self._broadcast_tick(self.epoch, last)
        self.epoch += 1
        self._broadcast_tick(self.epoch, at)
        self._due = time.monotonic() + (interval / CATCH_UP if behind > interval * CATCH_UP else 0)

    def _broadcast_tick(self, epoch: int, at: datetime) -> None:
        self.broadcast(Tick(id=f"tick/{epoch}", time=at, epoch=epoch))
        self._complete = epoch

    def broadcast(self, event: Event) -> None:
        """Write an event to every partition of the input topics and wait until all have it."""
        value = codec.encode(event)
        for topic in BROADCAST:
            for partition in range(self.settings.partitions):
                self._write(topic, value, b"broadcast", partition=partition)
        self._flush()

    def _write(self, topic: str, value: bytes, key: bytes, **where: Any) -> None:
        self.producer.produce(
            self.settings.topic(topic), value, key, on_delivery=self._on_delivery, **where
        )

    def _flush(self) -> None:
        while self.producer.flush(1):
            pass
        if self._failed:
            raise TransportError(f"a broadcast was not delivered to {self._failed}; start again")

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed = f"{message.topic()}: {error.str()}"
