"""Scoring in process: follow deployments, load by hash, answer rows.

    scorer = Scorer(settings)
    scorer.poll()
    answers = scorer.predict_many([{"price": 1.5}], "demand")

Rule 1: a version serves only by `deployments.Deployments`; its artifact is loaded by the hash that
        ModelRegistered names.
Rule 2: each switch is written to `deployments` as DeploymentServed, once, whatever restarts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from streamops import codec
from streamops.core.processor import Record
from streamops.core.times import moment
from streamops.errors import InputError, TransportError
from streamops.events import DeploymentServed, ModelRegistered, RollbackRequested
from streamops.kafka.clients import make_producer
from streamops.kafka.delivery import hand_over
from streamops.kafka.follow import Follower
from streamops.serving.deployments import Deployments, Target
from streamops.settings import Settings
from streamops.training.frames import Row
from streamops.training.scoring import Model, open_model
from streamops.values import Value

LOG = logging.getLogger(__name__)
FLUSH_S = 30.0
POLL_S = 0.05


class Scored(NamedTuple):
    """One answer: prediction, score, and the version and deployment step it comes from."""

    prediction: Value
    score: float | None
    version: str
    step_id: str


class Serving(NamedTuple):
    """What answers now."""

    target: Target
    model: Model


def as_stored(record: Record) -> object:
    """Return a record's event; a rollback from a clock ahead is from when the broker stored it.

    CONTROLLER refuses one that is far ahead. Read from the log again, it would brake what was
    promoted after it.
    """
    event = record.event
    if isinstance(event, RollbackRequested):
        return replace(event, time=min(event.time, moment(record.append_ms * 1000)))
    return event


class Scorer:
    """The versions in Production of every model, ready to answer; safe between threads.

    name  the gateway's, in DeploymentServed and towards the broker
    """

    def __init__(self, settings: Settings, name: str = "scorer") -> None:
        self.settings = settings
        self.name = name
        self._follower = Follower(settings, name, ("lifecycle", "deployments"))
        self._producer: Any = make_producer(settings, name)
        self._models: dict[str, Deployments] = {}
        self._serving: dict[str, Serving] = {}
        self._opened: dict[str, Model] = {}
        # Why a model's newest version isn't served here, where it can't be.
        self._why: dict[str, str] = {}
        self._live = False
        self._reading = threading.Lock()
        with self._reading:
            for record in self._follower.to_end():
                self._take(record.event if self.settings.driven else as_stored(record))
        self._live = True
        for known in self._models.values():
            known.went_live()
        for why in self._switch():
            LOG.error("a deployment was not taken up: %s", why)

    def poll(self, timeout_s: float = 0.0) -> None:
        """Read what has come and switch where a deployment says so.

        Raises InputError, once, where the artifact of a deployed version is damaged or missing, or
        it has none: what served before goes on serving, and other models switch.
        """
        with self._reading:
            changed = False
            for record in self._follower.poll(timeout_s):
                self._take(record.event if self.settings.driven else as_stored(record))
                changed = True
            if changed and (whys := self._switch()):
                raise InputError("; ".join(whys))

    def wait_for(self, model: str, revision: int, timeout_s: float = 60.0) -> None:
        """Poll until a deployment of at least this revision serves; raises TransportError."""
        deadline = time.monotonic() + timeout_s
        while (now := self.serving(model)) is None or now.target.revision < revision:
            if time.monotonic() > deadline:
                found = "nothing" if now is None else f"revision {now.target.revision}"
                raise TransportError(
                    f"model {model!r} serves {found} after {timeout_s:g} s, not revision "
                    f"{revision}; "
                    + (
                        self._why.get(model)
                        or "look at the controller's and the broadcaster's logs"
                    )
                )
            self.poll(POLL_S)

    def models(self) -> list[str]:
        """Return the names of all models known, sorted."""
        return sorted(self._models)

    def serving(self, model: str) -> Serving | None:
        """Return what answers for a model now, None before its first deployment."""
        return self._serving.get(model)

    def unserved(self, model: str) -> str:
        """Return a sentence on a model that nothing serves here, and why if that is known."""
        why = self._why.get(model)
        return f"model is {model!r}, which has no version serving" + (f": {why}" if why else "")

    def registered(self, model: str, version: str) -> ModelRegistered | None:
        """Return a version's registration."""
        known = self._models.get(model)
        return None if known is None else known.registered.get(version)

    def predict_many(self, rows: Sequence[Row], model: str = "") -> list[Scored]:
        """Return an answer a row from the version that serves.

        model  may be left out where there is only one
        Raises InputError for a model that nothing serves.
        """
        name = model or (self.models()[0] if len(self._models) == 1 else "")
        now = self._serving.get(name)
        if now is None:
            known = ", ".join(sorted(self._serving)) or "none"
            raise InputError(f"{self.unserved(model)}; these do: {known}")
        target = now.target
        return [
            Scored(answer.prediction, answer.score, target.version, target.step)
            for answer in now.model.answer(rows)
        ]

    def close(self) -> None:
        """Send what is left and leave the broker."""
        self._flush()
        self._follower.close()

    def _take(self, event: object) -> None:
        model = event.version.model if isinstance(event, ModelRegistered) else _model_of(event)
        if model:
            if model not in self._models:
                self._models[model] = Deployments(self.name)
                if self._live:
                    self._models[model].went_live()
            self._models[model].take(event)

    def _switch(self) -> list[str]:
        """Serve what is deployed; return why a version can't be, once each."""
        fresh: list[str] = []
        for name, known in self._models.items():
            target, now = known.target, self._serving.get(name)
            if target is None or (now is not None and now.target == target):
                self._why.pop(name, None)
                continue
            try:
                opened = self._open(known.registered[target.version])
            except (InputError, TransportError) as error:
                if self._why.get(name) != str(error):
                    fresh.append(str(error))
                self._why[name] = str(error)
                continue
            self._why.pop(name, None)
            self._serving[name] = Serving(target, opened)
            known.note_served(target.revision)
            self._say(name, target, known)
        self._flush()
        return fresh

    def _open(self, registered: ModelRegistered) -> Model:
        artifact = registered.version.artifact
        if not artifact:
            raise InputError(
                f"version {registered.version.version!r} of {registered.version.model} has no "
                "artifact, it only reports; register one that has, to serve it here"
            )
        if artifact not in self._opened:
            # The last two: a rollback must not wait for the disk.
            while len(self._opened) >= 2 * max(1, len(self._models)):
                del self._opened[next(iter(self._opened))]
            folder = self.settings.artifacts
            self._opened[artifact] = open_model(folder, artifact, registered.runner)
        return self._opened[artifact]

    def _say(self, model: str, target: Target, known: Deployments) -> None:
        id_ = f"served/{self.name}/{model}/{target.version}/{target.revision}"
        if id_ in known.served:
            return
        known.served.add(id_)
        event = DeploymentServed(
            id=id_,
            time=target.time,
            model=model,
            version=target.version,
            revision=target.revision,
            gateway=self.name,
        )
        name, value = self.settings.topic("deployments"), codec.encode(event)
        hand_over(self._producer, name, value, model.encode(), -1, _delivered)

    def _flush(self) -> None:
        if len(self._producer) and self._producer.flush(FLUSH_S):
            raise TransportError(
                f"{self.settings.bootstrap} took no record for {FLUSH_S:g} s; is it up?"
            )


def _delivered(error: object, _: object) -> None:
    if error is not None:
        raise TransportError(f"a switch could not be recorded: {error}; start again")


def _model_of(event: object) -> str:
    model = getattr(event, "model", "")
    return model if isinstance(model, str) else ""
