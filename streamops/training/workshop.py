"""The workshop: how a run's challenger is made, and how versions answer held-out rows.

Rule 1: a run follows from the request and the rows alone, whatever runs beside it.
Rule 2: what is judged never learned from the rows that it is judged on.
"""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec

from streamops.errors import InputError, ServiceError, TransportError
from streamops.events import ModelRegistered, RetrainRequested
from streamops.training.batch import Job, Trained, Trainer
from streamops.training.fitting import DEFAULT_MODEL
from streamops.training.frames import Columns, Row, profile_rows
from streamops.training.online import OnlineLearner
from streamops.training.outcomes import OutcomeRow
from streamops.training.runs import Rows, Run, content_hash, version_name
from streamops.training.scoring import Answer, open_model, score_answers
from streamops.values import ModelVersion
from streamops.versions import profile_hash

LOG = logging.getLogger(__name__)
PROFILE_ROWS = 4000


class Workshop:
    """What runs are made with: the training child, the online folds, the artifacts.

    One thread calls; an online fold that was begun goes on in another beside it.

    folder  holds the online folds' snapshots and the rows of the job under way; disposable
    """

    def __init__(self, artifacts: Path, folder: Path) -> None:
        self.artifacts = artifacts
        self.trainer = Trainer(artifacts, work=folder / "work")
        self.online = OnlineLearner(folder / "online")
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="online")
        self._begun: dict[str, Future[Trained]] = {}
        self._judged: tuple[str, tuple[Answer, ...]] = ("", ())

    def close(self) -> None:
        """End the training child."""
        self._beside.shutdown(cancel_futures=True)
        self.trainer.close()

    def begin(self, request: RetrainRequested, rows: Rows, base: ModelVersion) -> None:
        """Learn online beside the batch runs that come before this request's `run`."""
        if request.strategy == "online" and request.id not in self._begun:
            self._begun[request.id] = self._beside.submit(self._learn, request, rows, base)

    def run(
        self, request: RetrainRequested, rows: Rows, base: ModelVersion, champion: ModelRegistered
    ) -> Run:
        """Train the challenger that a request asks for.

        base  the model's first version: task, positive class, columns and, online, categories
        Raises InputError or ConfigError where training fails.
        """
        if request.strategy == "online":
            self.begin(request, rows, base)
            with _failing("online training failed"):
                trained = self._begun.pop(request.id).result()
        else:
            trained = self._fit(request, rows, base, champion)
        if not trained.champion:
            trained = msgspec.structs.replace(trained, champion=self._judge(champion, rows.held))
        runner = "river" if request.strategy == "online" else "skops"
        return Run(_version(request, base, trained), runner, trained)

    def forget(self, request_id: str) -> None:
        """Drop what was begun for a request that someone else answered."""
        self._begun.pop(request_id, None)

    def answers(self, registered: ModelRegistered, rows: Sequence[OutcomeRow]) -> list[Answer]:
        """Return a registered version's answers; none for one that only reports."""
        artifact = registered.version.artifact
        if not artifact or not rows:
            return []
        if registered.runner == "skops":
            job = Job(
                features=[msgspec.Raw(row.features) for row in rows],
                labels=[row.label for row in rows],
                task=registered.version.task,
                holdout=len(rows),
                champion=artifact,
                fit=False,
            )
            return list(self.trainer.train(job).champion)
        version = registered.version.version
        with _failing(f"version {version!r} can't answer"):
            try:
                model = open_model(self.artifacts, artifact, registered.runner)
            except TransportError as error:
                raise InputError(f"version {version!r} can't be asked: {error}") from None
            return model.answer(_features(rows))

    def _fit(
        self, request: RetrainRequested, rows: Rows, base: ModelVersion, champion: ModelRegistered
    ) -> Trained:
        key = _judged_key(champion, rows.held)
        asked = champion.runner == "skops" and key != self._judged[0]
        trained = self.trainer.train(
            Job(
                features=[msgspec.Raw(row.features) for row in (*rows.learn, *rows.held)],
                labels=[row.label for row in (*rows.learn, *rows.held)],
                task=base.task,
                columns=_columns(base),
                holdout=len(rows.held),
                recent=request.recent_rows if request.strategy == "recent" else 0,
                model=request.trainer or DEFAULT_MODEL,
                positive=base.positive,
                champion=champion.version.artifact if asked else "",
                refit=request.refit,
                times=[row.time_us for row in (*rows.learn, *rows.held)],
            )
        )
        if trained.champion:
            self._judged = (key, trained.champion)
        return trained

    def _judge(self, champion: ModelRegistered, held: Sequence[OutcomeRow]) -> tuple[Answer, ...]:
        """Return the champion's answers; requests of one moment share champion and rows."""
        key = _judged_key(champion, held)
        if key != self._judged[0]:
            self._judged = (key, tuple(self.answers(champion, held)))
        return self._judged[1]

    def _learn(self, request: RetrainRequested, rows: Rows, base: ModelVersion) -> Trained:
        columns = base.profile.features
        fold = self.online.advance(request.model, rows.learn, task=base.task, columns=columns)
        name, model = fold.snapshot(self.artifacts, base.positive)
        answers = tuple(model.answer(_features(rows.held)))
        labels = [row.label for row in rows.held]
        metrics = score_answers(answers, labels, base.task, model.about.positive)
        learned = rows.learn
        if request.refit and rows.held:
            # The kept fold must not see what the next request may hold out.
            fold = copy.deepcopy(fold)
            fold.learn(rows.held)
            name, _ = fold.snapshot(self.artifacts, base.positive)
            learned = [*rows.learn, *rows.held]
        if fold.accuracy is not None:
            metrics = {**metrics, "prequential_accuracy": fold.accuracy}
        recent = learned[-(request.recent_rows or PROFILE_ROWS) :]
        scores = [
            float(a.prediction) if base.task == "regression" else a.score or 0.0 for a in answers
        ]
        profile = profile_rows(
            _features(recent),
            [row.label for row in recent],
            scores,
            base.task,
            _columns(base),
            metrics,
            times_us=[row.time_us for row in recent],
        )
        return Trained(
            artifact=name,
            task=base.task,
            columns=_columns(base),
            profile=profile,
            profile_hash=profile_hash(profile),
            positive=model.about.positive,
            rows=len(learned),
            content=content_hash(learned),
            metrics=metrics,
            answers=answers,
        )


@contextlib.contextmanager
def _failing(what: str) -> Iterator[None]:
    """Take what a library raises over a run's rows for the run's failure, not the trainer's end."""
    try:
        yield
    except ServiceError:
        raise
    except Exception as error:
        LOG.exception("%s", what)
        raise InputError(f"{what}: {type(error).__name__}: {error}") from error


def _judged_key(champion: ModelRegistered, held: Sequence[OutcomeRow]) -> str:
    return f"{champion.runner}/{champion.version.artifact}/{content_hash(held)}"


def _version(request: RetrainRequested, base: ModelVersion, trained: Trained) -> ModelVersion:
    return ModelVersion(
        model=request.model,
        version=version_name(request),
        task=base.task,
        profile=trained.profile,
        profile_hash=trained.profile_hash,
        positive=trained.positive,
        artifact=trained.artifact,
    )


def _columns(base: ModelVersion) -> Columns:
    return tuple((feature.name, feature.kind) for feature in base.profile.features)


def _features(rows: Sequence[OutcomeRow]) -> list[Row]:
    return [_FEATURES.decode(row.features) for row in rows]


_FEATURES: msgspec.json.Decoder[Row] = msgspec.json.Decoder(dict)
