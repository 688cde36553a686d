"""The driver of a driven namespace: its only ticker, one epoch at a time (EPOCHS 21).

After each tick it waits until every controller concluded the epoch; while requests are open it
waits for their final answers and ticks again with the same time, so that a run repeated cuts its
log at the same places.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

from streamops import codec
from streamops.errors import TransportError
from streamops.events import (
    ActivationDelivered,
    CandidateScored,
    EpochConcluded,
    Event,
    ModelRegistered,
    RunFailed,
    Tick,
    TopologyActivated,
)
from streamops.hosts.memory import BROADCAST
from streamops.kafka.clients import make_producer
from streamops.kafka.delivery import flush_all, hand_over
from streamops.kafka.follow import Follower
from streamops.settings import Settings
from streamops.training.batch import DEFAULT_LIMITS

POLL_S = 0.02
# Without any news; a batch job says nothing until it ends.
PATIENCE_S = 240.0
PATIENCE_ANSWERS_S = DEFAULT_LIMITS.seconds + PATIENCE_S
RETRY_S = 0.2

Place = tuple[str, int]
LOG = logging.getLogger(__name__)


class Lockstep:
    """Ticks, and what came back. `watch` is called while it waits; it may raise."""

    def __init__(self, settings: Settings, watch: Callable[[], None] = lambda: None) -> None:
        self.settings = settings
        self.watch = watch
        self.epoch = -1
        self.concluded: dict[int, EpochConcluded] = {}
        self.answered: dict[str, str] = {}
        self.delivered: set[str] = set()
        self._registered: dict[str, str] = {}
        self._heard: set[str] = set()
        self._producer = make_producer(settings, "driver", **{"linger.ms": 0})
        self._follower = Follower(settings, "driver", ["lifecycle", "progress"])

    def found(self, at: datetime) -> None:
        """Record the namespace's topology and open its first epoch."""
        topology = TopologyActivated(
            id=f"topology/{self.settings.namespace}",
            time=at,
            partitions=self.settings.partitions,
            driven=True,
            seal_every=self.settings.seal_every,
        )
        self._broadcast(topology)
        self.tick(at)

    def tick(self, at: datetime) -> None:
        """Close the open epoch in every partition."""
        self.epoch += 1
        self._broadcast(Tick(id=f"tick/{self.epoch}", time=at, epoch=self.epoch))

    def step(self, at: datetime) -> None:
        """Close the open epoch and go on only when nothing is left to answer."""
        while True:
            self.tick(at)
            asked = self.wait_concluded(self.epoch - 1)
            if not asked:
                return
            answered = partial(self._are_answered, asked)
            self._wait(f"answers to {sorted(asked)}", answered, PATIENCE_ANSWERS_S)

    def wait_concluded(self, epoch: int) -> set[str]:
        """Wait until every controller concluded the epoch; return the open requests."""
        self._wait(f"epoch {epoch} to be concluded", lambda: self._is_concluded(epoch))
        return {i for event in self.concluded.values() for i in event.open_requests}

    def wait_delivered(self, ids: set[str]) -> None:
        """Wait until the activations of these events stand in every partition."""
        self._wait(f"activations of {sorted(ids)}", lambda: ids <= self.delivered)

    def revisions(self) -> dict[str, int]:
        """Return each model's deployment revision as last concluded."""
        found: dict[str, int] = {}
        for event in self.concluded.values():
            found.update(event.deployment_revisions)
        return found

    def close(self) -> None:
        """Leave the broker."""
        self._producer.flush(10)
        self._follower.close()

    def _is_concluded(self, epoch: int) -> bool:
        last = [self.concluded[p].epoch for p in self.concluded]
        return len(last) == self.settings.partitions and min(last) >= epoch

    def _are_answered(self, asked: set[str]) -> bool:
        return all(
            i in self.answered
            and (self.answered[i] == "" or f"{self.answered[i]}" in self.delivered)
            for i in asked
        )

    def _wait(self, what: str, done: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        """Wait until `done`; TransportError where nothing new is heard for `patience_s`."""
        deadline = time.monotonic() + patience_s
        while not done():
            for record in self._follower.poll(POLL_S):
                if self._is_new(record.event):
                    deadline = time.monotonic() + patience_s
                self._note(record.event)
            self.watch()
            if time.monotonic() > deadline:
                raise TransportError(
                    f"waited {patience_s:g} s for {what} and heard nothing new; look at the "
                    "services' logs"
                )

    def _is_new(self, event: Event | object) -> bool:
        """Whether something was done: a service that dies and begins again only repeats itself."""
        if isinstance(event, EpochConcluded):
            last = self.concluded.get(event.partition)
            return last is None or event.epoch > last.epoch
        if not isinstance(event, Event) or event.id in self._heard:
            return False
        self._heard.add(event.id)
        return True

    def _note(self, event: Event | object) -> None:
        match event:
            case EpochConcluded():
                last = self.concluded.get(event.partition)
                if last is None or event.epoch >= last.epoch:
                    self.concluded[event.partition] = event
            case ModelRegistered():
                self._registered.setdefault(event.version.version, event.id)
            case ActivationDelivered():
                self.delivered.add(event.id.removeprefix("delivered/"))
            case CandidateScored():
                registered = self._registered.get(event.version, "")
                self.answered.setdefault(event.request_id, registered)
            case RunFailed() if event.request_id:
                self.answered.setdefault(event.request_id, "")

    def _broadcast(self, event: Event) -> None:
        """Write an event to every partition, again where it fails: twice counts once.

        A broker that has just woken may not know its topics yet, and then the client gives up.
        """
        places = [(t, p) for t in BROADCAST for p in range(self.settings.partitions)]
        while places := self._not_delivered(event, places):
            LOG.warning("%s was not delivered to %d partitions; sent again", event.id, len(places))
            time.sleep(RETRY_S)

    def _not_delivered(self, event: Event, places: list[Place]) -> list[Place]:
        value = codec.encode(event)
        failed: list[Place] = []

        def note(place: Place, error: object, _: object) -> None:
            if error is not None:
                failed.append(place)

        for place in places:
            topic, partition = self.settings.topic(place[0]), place[1]
            try:
                hand_over(
                    self._producer, topic, value, b"broadcast", partition, partial(note, place)
                )
            except TransportError:
                failed.append(place)
        flush_all(self._producer, self.settings, self.watch)
        return failed
