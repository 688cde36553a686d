"""The broadcaster: ticks and activations into every partition of the input topics (EPOCHS 1-4).

It is the one host that reads a clock, and only to write it down. Live, a tick's time is
origin + epoch x interval; both are recorded in TopologyActivated. A driven namespace gets
activations from here and ticks from its driver.

Rule 1: any number of broadcasters may run; each does all there is to do, and what one writes twice
        counts once. None is told that it leads, so none can go on believing it.
Rule 2: a standby only waits a little longer: it finds the work done, or does it.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime, timedelta

from confluent_kafka import KafkaError, Message

from streamops import codec
from streamops.core.fitness import unfit
from streamops.core.processor import Record
from streamops.core.refusal import CONCLUSION_BYTES_MAX, refusal
from streamops.disk import broker_disk
from streamops.errors import ConfigError, TransportError
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
from streamops.hosts.activations import Activation, Activations, delivery_of
from streamops.hosts.memory import BROADCAST
from streamops.kafka.clients import make_producer
from streamops.kafka.delivery import flush_all, hand_over
from streamops.kafka.follow import Follower
from streamops.settings import Settings

LOG = logging.getLogger(__name__)
POLL_S = 0.05
CATCH_UP = 2
# A standby waits this share of the interval between ticks.
PATIENCE = 0.5
# The partition of `lifecycle` whose first TopologyActivated is the namespace's, and of `audit` in
# whose order activations are numbered.
FOUNDING = 0
NUMBERS = "audit"


def other_seals(wanted: Settings, found: int) -> ConfigError:
    """The error that says at which epochs a namespace seals, and the ways out."""
    return ConfigError(
        f"seal-every is {wanted.seal_every}, but namespace {wanted.namespace} seals every {found} "
        f"epochs, fixed when it was made: use --seal-every {found}, or another --namespace"
    )


class Broadcaster:
    """Follows `lifecycle`, answers what must be activated, and ticks a live namespace.

    is_standby  whether another one runs that should be first
    """

    def __init__(self, settings: Settings, *, is_standby: bool = False) -> None:
        self.settings = settings
        self.producer = make_producer(settings, "broadcaster", **{"linger.ms": 0})
        self.follower = Follower(settings, "broadcaster", ["lifecycle", NUMBERS])
        self.topology: TopologyActivated | None = None
        self.epoch = -1
        self._complete = -1
        self.activations = Activations(settings.skew_max_ms)
        self._patience_s = settings.interval_s * PATIENCE if is_standby else 0.0
        self._pending_since: float | None = None
        self._due = 0.0
        self._failed = ""

    def run(self, stop: threading.Event) -> None:
        """Broadcast until `stop`."""
        self._read_to_end()
        self._found_namespace()
        disk = broker_disk(self.settings)
        while not stop.is_set():
            for record in self.follower.poll(POLL_S):
                self._note(record)
            # Without ticks no epoch closes: who waits for them writes nothing either.
            if disk is not None and disk.is_low():
                continue
            self._activate()
            if not self.settings.driven:
                self._tick()
        self.producer.flush(10)
        self.follower.close()

    def _read_to_end(self) -> None:
        for record in self.follower.to_end():
            self._note(record)

    def _note(self, record: Record) -> None:
        if record.topic == NUMBERS:
            if record.partition == FOUNDING and isinstance(record.event, Activation):
                self.activations.count(record.event)
            return
        match record.event:
            case TopologyActivated() as event if record.partition == FOUNDING:
                self.topology = self.topology or event
            case Tick() as event if record.partition == FOUNDING and self._is_on_time(event):
                if event.epoch > self.epoch:
                    self.epoch = event.epoch
                    self._hold_back(event.time)
            case ConfigApplied() | ModelRegistered() as event:
                if len(record.value) > CONCLUSION_BYTES_MAX:
                    self._refuse(record)
                elif why := unfit(event):
                    # CONTROLLER reads it as well, and refuses it on the log.
                    LOG.warning("%s is not activated: %s", event.id, why)
                else:
                    self.activations.ask(event)
            case ConfigActivated() | VersionActivated() as event if record.partition == FOUNDING:
                self.activations.see(event)
            case ActivationDelivered() as event:
                self.activations.deliver(event)

    def _refuse(self, record: Record) -> None:
        """Refuse what leaves an activation no room; after a restart again, under the same id."""
        refused = refusal(
            record,
            f"it has {len(record.value):,} bytes; what is activated goes into every partition as "
            f"one record and may have {CONCLUSION_BYTES_MAX:,}: register fewer features or bins",
            "producer",
        )
        LOG.warning("%s was refused for its size", refused.event.id)
        self._write(refused.topic, codec.encode(refused.event), refused.key.encode())
        self._flush()

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
        """Record an origin. Of two that start together the first in one partition counts.

        Raises ConfigError where the namespace was founded with seals at other epochs.
        """
        if self.topology is not None and self.topology.seal_every != self.settings.seal_every:
            raise other_seals(self.settings, self.topology.seal_every)
        if self.topology is not None or self.settings.driven:
            return
        self.broadcast(
            TopologyActivated(
                id=f"topology/{self.settings.namespace}",
                time=datetime.now(UTC),
                partitions=self.settings.partitions,
                interval_s=self.settings.interval_s,
                seal_every=self.settings.seal_every,
            )
        )
        self._read_to_end()
        assert self.topology is not None, "what was written stands before the end"

    def _activate(self) -> None:
        """Number what was asked for, one at a time, and deliver what is numbered."""
        if not self._is_due():
            return
        while proposed := self.activations.propose(datetime.now(UTC)):
            self._write(NUMBERS, codec.encode(proposed), b"broadcaster", partition=FOUNDING)
            self._flush()
            self._read_to_end()
        for activated in self.activations.due():
            self._deliver(activated)

    def _is_due(self) -> bool:
        """Whether something waits, and another broadcaster had its time to do it."""
        if not self.activations.is_pending:
            self._pending_since = None
            return False
        now = time.monotonic()
        if self._pending_since is None:
            self._pending_since = now
        return now >= self._pending_since + self._patience_s

    def _deliver(self, activated: Activation) -> None:
        self.broadcast(activated)
        delivered = delivery_of(activated)
        self._write("lifecycle", codec.encode(delivered), delivered.model.encode())
        self._flush()
        self.activations.deliver(delivered)
        LOG.info("%s has revision %d", activated.id, activated.revision)

    def _tick(self) -> None:
        """Write the next tick once its time has come, never before: another ticker may have written
        the last one. After a gap it catches up at twice the pace, so that what producers spooled
        meanwhile isn't all late.

        A tick that another wrote, or this one before it died, may not have reached every partition.
        One that lacks it would cut its panes in another epoch than the rest: write it again first.
        """
        assert self.topology is not None, "a live namespace has a recorded origin"
        at = self._time_of(self.epoch + 1)
        assert at is not None, "the next tick is within the years"
        behind_s = (datetime.now(UTC) - at).total_seconds()
        if behind_s < self._patience_s or time.monotonic() < self._due + self._patience_s:
            return
        last = self._time_of(self.epoch)
        if self._complete < self.epoch and last is not None:
            self._broadcast_tick(self.epoch, last)
        self.epoch += 1
        self._broadcast_tick(self.epoch, at)
        self._hold_back(at)

    def _hold_back(self, last: datetime) -> None:
        """Set when the next tick is due at the earliest, whoever wrote the last."""
        assert self.topology is not None, "a live namespace has a recorded origin"
        interval = self.topology.interval_s
        is_late = (datetime.now(UTC) - last).total_seconds() > interval * CATCH_UP
        self._due = time.monotonic() + (interval / CATCH_UP if is_late else 0)

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

    def _write(self, topic: str, value: bytes, key: bytes, partition: int = -1) -> None:
        name = self.settings.topic(topic)
        hand_over(self.producer, name, value, key, partition, self._on_delivery)

    def _flush(self) -> None:
        flush_all(self.producer, self.settings)
        if self._failed:
            raise TransportError(f"a broadcast was not delivered to {self._failed}; start again")

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed = f"{message.topic()}: {error.str()}"
