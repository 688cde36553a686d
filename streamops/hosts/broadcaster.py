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

from streamops import codec
from streamops.core.processor import Refusal
from streamops.core.times import EPOCH, SECOND_US, micros, moment
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


class Broadcaster:
    """Follows `lifecycle`, answers what must be activated, and ticks a live namespace."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.producer = make_producer(settings, "broadcaster", **{"linger.ms": 0})
        self.follower = Follower(settings, "broadcaster", ["lifecycle"])
        self.topology: TopologyActivated | None = None
        self.epoch = -1
        self.revision = 0
        self.configured: set[str] = set()
        self._wanted: dict[str, ConfigApplied | ModelRegistered] = {}
        self._delivered: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Broadcast until `stop`."""
        for record in self.follower.to_end():
            self._note(record.event)
        self._found_namespace()
        due = time.monotonic()
        while not stop.is_set():
            for record in self.follower.poll(POLL_S):
                self._note(record.event)
            self._activate()
            if not self.settings.driven and time.monotonic() >= due:
                due = time.monotonic() + self._tick()
        self.producer.flush(10)
        self.follower.close()

    def _note(self, event: Event | Refusal) -> None:
        match event:
            case TopologyActivated():
                self.topology = self.topology or event
            case Tick():
                self.epoch = max(self.epoch, event.epoch)
            case ConfigApplied() | ModelRegistered():
                if event.id not in self._delivered:
                    self._wanted.setdefault(event.id, event)
            case ConfigActivated() | VersionActivated():
                self.revision = max(self.revision, event.revision)
                if isinstance(event, ConfigActivated):
                    self.configured.add(event.config.model)
            case ActivationDelivered():
                source = event.id.removeprefix("delivered/")
                self._delivered.add(source)
                self._wanted.pop(source, None)

    def _found_namespace(self) -> None:
        if self.topology is not None or self.settings.driven:
            return
        now = datetime.now(UTC)
        self.topology = TopologyActivated(
            id=f"topology/{self.settings.namespace}",
            time=now,
            partitions=self.settings.partitions,
            interval_s=self.settings.interval_s,
        )
        self.broadcast(self.topology)

    def _activate(self) -> None:
        for source, event in list(self._wanted.items()):
            self.revision += 1
            activated, delivered = self._activation(event)
            self.broadcast(activated)
            self.producer.produce(
                self.settings.topic("lifecycle"), codec.encode(delivered), delivered.model.encode()
            )
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
        """A model's first configuration rules everything; a later one begins beyond the skew."""
        if event.first_pane is not None:
            return event.first_pane
        if event.config.model not in self.configured:
            return EPOCH
        length = event.config.pane_s * SECOND_US
        skew = timedelta(milliseconds=self.settings.skew_max_ms)
        after = micros(datetime.now(UTC) + skew)
        return moment((after // length + 1) * length)

    def _tick(self) -> float:
        """Write the next tick; return the seconds to the one after. After a gap it catches up at
        twice the pace, so that what producers spooled meanwhile isn't all late."""
        assert self.topology is not None, "a live namespace has a recorded origin"
        interval = self.topology.interval_s
        self.epoch += 1
        at = self.topology.time + timedelta(seconds=self.epoch * interval)
        self.broadcast(Tick(id=f"tick/{self.epoch}", time=at, epoch=self.epoch))
        behind = (datetime.now(UTC) - at).total_seconds()
        return interval / CATCH_UP if behind > interval * CATCH_UP else max(interval - behind, 0)

    def broadcast(self, event: Event) -> None:
        """Write an event to every partition of the input topics and wait until all have it."""
        value = codec.encode(event)
        for topic in BROADCAST:
            for partition in range(self.settings.partitions):
                self.producer.produce(
                    self.settings.topic(topic), value, b"broadcast", partition=partition
                )
        self._flush()

    def _flush(self) -> None:
        while self.producer.flush(1):
            pass
