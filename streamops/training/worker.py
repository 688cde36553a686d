"""TRAINER: answers requests on `retraining` with events on `lifecycle`.

Rule 1: a request is open until its final answer (CandidateScored or RunFailed) stands on lifecycle,
        whoever wrote it; the first one counts, so an answered request is passed over.
Rule 2: a request is answered when its last epoch of outcomes is complete, in the order of its
        partition: RunStarted, RunCompleted, ModelRegistered, CandidateScored.
Rule 3: the process keeps nothing that it can't make again. After a crash it trains the same run and
        sends only what isn't on lifecycle yet.
"""

from __future__ import annotations

import contextlib
import logging
import platform
import threading
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeGuard

from streamops import codec
from streamops.config import ModelConfig
from streamops.errors import ConfigError, InputError, TransportError
from streamops.events import (
    CandidateScored,
    ConfigActivated,
    ConfigApplied,
    DatasetVersioned,
    EvaluationRequested,
    Event,
    ModelRegistered,
    RetrainRequested,
    RunCompleted,
    RunFailed,
    RunStarted,
)
from streamops.kafka.clients import make_producer
from streamops.kafka.delivery import hand_over
from streamops.kafka.follow import Follower
from streamops.settings import Settings
from streamops.training.outcomes import Outcomes, OutcomeStore
from streamops.training.runs import Request, Rows, Run, scored, split
from streamops.training.workshop import Workshop
from streamops.values import ModelVersion, ReferenceProfile

LOG = logging.getLogger(__name__)
POLL_S = 0.05
FLUSH_S = 60.0
ERROR_CHARS_MAX = 4000
LIBRARIES = ("numpy", "scikit-learn", "river", "skops", "streamops")


def run_trainer(settings: Settings, stop: threading.Event) -> None:
    """Answer requests until `stop`."""
    worker = TrainerWorker(settings)
    try:
        worker.catch_up()
        while not stop.is_set():
            worker.poll()
    finally:
        worker.close()


class TrainerWorker:
    """One trainer: what it read of lifecycle, and the requests that wait."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._follower = Follower(settings, "trainer", ("lifecycle", "retraining"))
        self._outcomes = OutcomeStore(settings)
        self._producer: Any = make_producer(settings, "trainer", **{"linger.ms": 0})
        self._workshop = Workshop(settings.artifacts, settings.data / "trainer")
        self._open: dict[str, Request] = {}
        self._answered: set[str] = set()
        self._sent: set[str] = set()
        self._registered: dict[tuple[str, str], ModelRegistered] = {}
        self._first: dict[str, ModelVersion] = {}
        self._configs: dict[str, ModelConfig] = {}

    def catch_up(self) -> None:
        """Read both topics to their end: what is answered there is not done again."""
        for record in self._follower.to_end():
            self._take(record.event)

    def poll(self) -> None:
        """Read what has come and answer the requests whose outcomes are complete."""
        for record in self._follower.poll(POLL_S):
            self._take(record.event)
        self._outcomes.poll(POLL_S if self._open else 0.0)
        ready = [r for r in self._open.values() if self._outcomes.has(r.model, r.last_epoch)]
        if ready:
            self.catch_up()
            self._begin(ready)
        for request in ready:
            self.catch_up()
            if request.id in self._open:
                self._answer(request)
            else:
                self._workshop.forget(request.id)

    def close(self) -> None:
        """End the training child and leave the broker."""
        self._workshop.close()
        self._outcomes.close()
        self._follower.close()

    def _take(self, event: Event | object) -> None:
        match event:
            case RetrainRequested() | EvaluationRequested():
                if event.id not in self._answered:
                    self._open.setdefault(event.id, event)
            case CandidateScored() | RunFailed():
                self._sent.add(event.id)
                self._settle(event.request_id)
            case RunStarted() | RunCompleted():
                self._sent.add(event.id)
            case ModelRegistered():
                self._sent.add(event.id)
                self._first.setdefault(event.version.model, event.version)
                self._registered.setdefault((event.version.model, event.version.version), event)
            case ConfigApplied() | ConfigActivated():
                self._configs[event.config_hash] = event.config
                self._configs[f"latest/{event.config.model}"] = event.config

    def _settle(self, request_id: str) -> None:
        if request_id:
            self._answered.add(request_id)
            self._open.pop(request_id, None)

    def _begin(self, ready: list[Request]) -> None:
        """Let online runs learn beside the batch runs that are answered before them."""
        for request in ready:
            base = self._first.get(request.model)
            if base and _is_online(request) and request.id in self._open:
                # Whoever answers it meets the same error, and says so on the log.
                with contextlib.suppress(InputError):
                    self._workshop.begin(request, self._rows(request, base), base)

    def _rows(self, request: RetrainRequested, base: ModelVersion) -> Rows:
        outcomes = self._outcomes.rows(
            request.model,
            request.first_epoch,
            request.last_epoch,
            corrected=request.strategy != "online",
        )
        return self._split(request, outcomes, base.task)

    def _split(self, request: Request, found: Outcomes, task: str) -> Rows:
        if found.unread:
            both = found.unread, found.unread + len(found.rows)
            LOG.warning(
                "%s: %d of %d outcomes left out, no key opens their values about persons: erased, "
                "or %s isn't their key store",
                request.id, *both, self.settings.keys,
            )  # fmt: skip
        return split(request, found.rows, task, found.unread)

    def _answer(self, request: Request) -> None:
        LOG.info("answering %s", request.id)
        try:
            if isinstance(request, RetrainRequested):
                self._retrain(request)
            else:
                self._evaluate(request)
        except (InputError, ConfigError) as error:
            LOG.warning("%s failed: %s", request.id, error)
            self._send(
                RunFailed(
                    id=f"{request.id}/failed",
                    time=request.time,
                    model=request.model,
                    run_id=request.id,
                    error=str(error)[:ERROR_CHARS_MAX],
                    request_id=request.id,
                )
            )
        self._settle(request.id)

    def _retrain(self, request: RetrainRequested) -> None:
        base = self._first.get(request.model)
        if base is None:
            raise InputError(f"model {request.model!r} has no version; register one first")
        champion = self._champion(request)
        self._send(_started(request, base))
        rows = self._rows(request, base)
        run = self._workshop.run(request, rows, base, champion)
        self._send(_dataset(request, run), topic="data")
        self._send(_completed(request, run, rows.unread))
        self._send(_registered(request, run, self.settings))
        answers = run.trained.answers, run.trained.champion
        self._send(scored(request, run.version, rows, answers, self._config(request)))

    def _evaluate(self, request: EvaluationRequested) -> None:
        candidate = self._registered.get((request.model, request.version))
        if candidate is None or not candidate.version.artifact:
            raise InputError(
                f"version {request.version!r} of {request.model} has no artifact; register one "
                "that can be scored"
            )
        outcomes = self._outcomes.rows(request.model, request.first_epoch, request.last_epoch)
        rows = self._split(request, outcomes, candidate.version.task)
        ours = self._workshop.answers(candidate, rows.held)
        theirs = self._workshop.answers(self._champion(request), rows.held)
        version = candidate.version
        self._send(scored(request, version, rows, (ours, theirs), self._config(request)))

    def _champion(self, request: Request) -> ModelRegistered:
        known = self._registered.get((request.model, request.champion_version))
        if known is not None:
            return known
        nobody = ReferenceProfile(rows=0, features=())
        return ModelRegistered(
            id="",
            time=request.time,
            version=ModelVersion(
                model=request.model, version="", task="binary", profile=nobody, profile_hash=""
            ),
        )

    def _config(self, request: Request) -> ModelConfig | None:
        by_hash = getattr(request, "config_hash", "")
        return self._configs.get(by_hash) or self._configs.get(f"latest/{request.model}")

    def _send(self, event: Event, topic: str = "lifecycle") -> None:
        if event.id in self._sent:
            return
        key = event.dataset if isinstance(event, DatasetVersioned) else _model_of(event)
        name, value = self.settings.topic(topic), codec.encode(event)
        hand_over(self._producer, name, value, key.encode(), -1, _delivered)
        if self._producer.flush(FLUSH_S):
            raise TransportError(
                f"{self.settings.bootstrap} took no record for {FLUSH_S:g} s; is it up?"
            )
        self._sent.add(event.id)


def environment() -> dict[str, str]:
    """Return Python, platform and library versions that a run trains with."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def dataset_name(request: RetrainRequested) -> str:
    """Return the data set of a run: what its strategy takes of the model's outcomes, by epochs."""
    epochs = f"{request.first_epoch}-{request.last_epoch}"
    return f"{request.model}/outcomes?epochs={epochs}&strategy={request.strategy}"


def _is_online(request: Request) -> TypeGuard[RetrainRequested]:
    return isinstance(request, RetrainRequested) and request.strategy == "online"


def _started(request: RetrainRequested, base: ModelVersion) -> RunStarted:
    return RunStarted(
        id=f"{request.id}/started",
        time=request.time,
        model=request.model,
        run_id=request.id,
        request_id=request.id,
        parameters={
            "strategy": request.strategy,
            "trainer": request.trainer,
            "recent_rows": request.recent_rows,
            "holdout_rows": request.holdout_rows,
            "refit": request.refit,
            "task": base.task,
        },
        dataset=dataset_name(request),
        environment=environment(),
    )


def _dataset(request: RetrainRequested, run: Run) -> DatasetVersioned:
    trained = run.trained
    return DatasetVersioned(
        id=f"{request.id}/dataset",
        time=request.time,
        dataset=dataset_name(request),
        version=trained.content[:12],
        content_hash=trained.content,
        rows=trained.rows,
        columns=tuple((name, str(kind)) for name, kind in trained.columns),
        uri=f"outcomes?model={request.model}&epochs={request.first_epoch}-{request.last_epoch}",
    )


def _completed(request: RetrainRequested, run: Run, unread: int) -> RunCompleted:
    return RunCompleted(
        id=f"{request.id}/completed",
        time=request.time,
        model=request.model,
        run_id=request.id,
        metrics=run.trained.metrics,
        artifact=run.trained.artifact,
        rows=run.trained.rows,
        first_epoch=request.first_epoch,
        last_epoch=request.last_epoch,
        parameters={"rows_unread": unread} if unread else {},
    )


def _registered(request: RetrainRequested, run: Run, settings: Settings) -> ModelRegistered:
    artifact = run.trained.artifact
    return ModelRegistered(
        id=f"{request.id}/registered",
        time=request.time,
        version=run.version,
        run_id=request.id,
        request_id=request.id,
        artifact_uri=f"{settings.artifacts.name}/{artifact[:2]}/{artifact}",
        runner=run.runner,
    )


def _model_of(event: Event) -> str:
    if isinstance(event, ModelRegistered):
        return event.version.model
    return str(getattr(event, "model", ""))


def _delivered(error: object, _: object) -> None:
    if error is not None:
        raise TransportError(f"a record was not delivered: {error}; start again")
