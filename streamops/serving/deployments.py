"""Which version serves: a fold of lifecycle and deployments, whatever their interleaving.

Rule 1: the promotion with the highest revision counts, once its version's activation is delivered;
        until then what served before goes on serving (EPOCHS 4).
Rule 2: a person's rollback is obeyed at once, before the controller has folded it: until a
        promotion names it as its cause, the version that the newest one replaced serves. It brakes
        the deployment that stood when it came (read from the log again: one older than it is).
Rule 3: while a person has paused retraining, a promotion by the controller is not taken up; one
        asked for or approved by a person is.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from streamops.events import (
    ActivationDelivered,
    DeploymentServed,
    Event,
    ModelRegistered,
    RetrainingPaused,
    RollbackRequested,
    StageChanged,
)

CONTROLLER = "controller"


class Target(msgspec.Struct, frozen=True):
    """What should serve: a version, under which step and revision, since when."""

    version: str
    step: str
    revision: int
    time: datetime
    by_rollback: str = ""


class Deployments:
    """One model's deployments as a gateway sees them.

    gateway  the name it writes its own DeploymentServed under
    """

    def __init__(self, gateway: str) -> None:
        self.gateway = gateway
        self.registered: dict[str, ModelRegistered] = {}
        self.paused = False
        self.served: set[str] = set()
        self._delivered: set[str] = set()
        self._promotions: dict[int, StageChanged] = {}
        self._rollbacks: dict[str, tuple[RollbackRequested, int | None]] = {}
        self._answered: set[str] = set()
        self._held_at = -1
        self._live = False

    def take(self, event: Event | object) -> None:
        """Note one event of this model; others change nothing."""
        match event:
            case ModelRegistered():
                self.registered.setdefault(event.version.version, event)
            case ActivationDelivered():
                if event.version:
                    self._delivered.add(event.version)
            case StageChanged():
                if event.after == "Production":
                    self._promotions.setdefault(event.revision, event)
                    self._answered.add(event.cause)
            case RollbackRequested():
                against = max(self._promotions, default=0) if self._live else None
                self._rollbacks.setdefault(event.id, (event, against))
            case RetrainingPaused():
                self.paused = event.paused
            case DeploymentServed():
                if event.gateway == self.gateway:
                    self.served.add(event.id)
                    self._held_at = max(self._held_at, event.revision)

    @property
    def target(self) -> Target | None:
        """What should serve now; None before the first promotion is delivered."""
        ready = [
            revision
            for revision, event in sorted(self._promotions.items())
            if event.version in self._delivered and event.version in self.registered
        ]
        if not ready:
            return None
        newest = self._promotions[self._allowed(ready)]
        brake = self._brake(newest)
        if brake is not None and newest.replaced in self.registered:
            return self._former(newest, brake)
        return Target(newest.version, newest.id, newest.revision, newest.time)

    def went_live(self) -> None:
        """From now on events come in the order they were written."""
        self._live = True

    def note_served(self, revision: int) -> None:
        """Remember what serves, for a pause that comes later."""
        self._held_at = max(self._held_at, revision)

    def _brake(self, newest: StageChanged) -> RollbackRequested | None:
        for id_, (asked, against) in sorted(self._rollbacks.items()):
            if id_ in self._answered:
                continue
            if asked.time >= newest.time if against is None else against == newest.revision:
                return asked
        return None

    def _allowed(self, ready: list[int]) -> int:
        if self.paused and self._held_at >= 0:
            known = [
                revision
                for revision in ready
                if revision <= self._held_at or self._promotions[revision].actor != CONTROLLER
            ]
            return known[-1] if known else ready[0]
        return ready[-1]

    def _former(self, newest: StageChanged, asked: RollbackRequested) -> Target:
        steps = [e for e in self._promotions.values() if e.version == newest.replaced]
        step = max(steps, key=lambda e: e.revision).id if steps else newest.id
        return Target(newest.replaced, step, newest.revision, asked.time, asked.id)
