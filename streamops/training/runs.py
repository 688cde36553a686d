"""One run: from a request and its outcomes to what the log will say about it.

Rule 1: a run's events follow from the request and the outcomes alone: ids from the request's id,
        times from its time, no clock. The same run again gives the same bytes (EPOCHS 22).
Rule 2: the champion and the candidate are judged on the same held-out rows, the newest of the
        range. Only a refit, which the record names, lets the artifact see them afterwards.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from streamops.config import ModelConfig
from streamops.core.meter_state import segments_of
from streamops.core.profile import profile_hash
from streamops.core.times import micros
from streamops.errors import InputError
from streamops.events import CandidateScored, EvaluationRequested, ModelRegistered, RetrainRequested
from streamops.training.batch import Job, Trained, Trainer
from streamops.training.fitting import DEFAULT_MODEL
from streamops.training.frames import Columns, Row, profile_rows
from streamops.training.online import OnlineLearner, link
from streamops.training.outcomes import OutcomeRow
from streamops.training.scoring import Answer, open_model, score_answers, score_segments
from streamops.values import ModelVersion

PROFILE_ROWS = 4000

Request = RetrainRequested | EvaluationRequested


class Rows(msgspec.Struct, frozen=True):
    """The outcomes of a run: what may be learned, oldest first, and what is held out."""

    learn: list[OutcomeRow]
    held: list[OutcomeRow]


class Run(msgspec.Struct, frozen=True):
    """What training brought: the version, its runner, and the answers on the held-out rows."""

    version: ModelVersion
    runner: str
    trained: Trained


class Workshop:
    """What runs are made with: the training child, the online folds, the artifacts."""

    def __init__(self, artifacts: Path, online: Path) -> None:
        self.artifacts = artifacts
        self.trainer = Trainer(artifacts)
        self.online = OnlineLearner(online)

    def close(self) -> None:
        """End the training child."""
        self.trainer.close()

    def run(
        self, request: RetrainRequested, rows: Rows, base: ModelVersion, champion: ModelRegistered
    ) -> Run:
        """Train the challenger that a request asks for.

        base  the model's first version: task, positive class, columns and, online, categories
        Raises InputError or ConfigError where training fails.
        """
        if request.strategy == "online":
            return self._learn_online(request, rows, base, champion)
        job = Job(
            features=[msgspec.Raw(row.features) for row in (*rows.learn, *rows.held)],
            labels=[row.label for row in (*rows.learn, *rows.held)],
            task=base.task,
            columns=_columns(base),
            holdout=len(rows.held),
            recent=request.recent_rows if request.strategy == "recent" else 0,
            model=request.trainer or DEFAULT_MODEL,
            positive=base.positive,
            champion=champion.version.artifact if champion.runner == "skops" else "",
            refit=request.refit,
        )
        trained = self.trainer.train(job)
        if champion.runner != "skops":
            answers = tuple(self.answers(champion, rows.held))
            trained = msgspec.structs.replace(trained, champion=answers)
        return Run(_version(request, base, trained), "skops", trained)

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
        return open_model(self.artifacts, artifact, registered.runner).answer(_features(rows))

    def _learn_online(
        self, request: RetrainRequested, rows: Rows, base: ModelVersion, champion: ModelRegistered
    ) -> Run:
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
        )
        trained = Trained(
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
            champion=tuple(self.answers(champion, rows.held)),
        )
        return Run(_version(request, base, trained), "river", trained)


def split(request: Request, rows: Sequence[OutcomeRow]) -> Rows:
    """Hold out the newest rows; of the others keep what the strategy may learn from.

    Raises InputError where nothing is left to learn from.
    """
    cut = max(0, len(rows) - request.holdout_rows)
    learn, held = list(rows[:cut]), list(rows[cut:])
    if isinstance(request, EvaluationRequested):
        return Rows([], held)
    if request.strategy == "since_change" and request.since is not None:
        since_us = micros(request.since)
        learn = [row for row in learn if row.time_us >= since_us]
    if not learn:
        raise InputError(
            f"outcomes are {len(rows)} in epochs {request.first_epoch} to {request.last_epoch}, "
            f"{request.holdout_rows} held out; none is left to learn from: wait for more labels"
        )
    return Rows(learn, held)


def scored(
    request: Request,
    version: ModelVersion,
    rows: Rows,
    answers: tuple[Sequence[Answer], Sequence[Answer]],
    config: ModelConfig | None,
) -> CandidateScored:
    """Return the final answer to a request.

    answers  the candidate's and the champion's on the held-out rows; the champion's may be none
    """
    candidate, champion = answers
    labels = [row.label for row in rows.held]
    names = _segments(rows.held, config)
    known = len(champion) == len(labels)
    task, positive = version.task, version.positive
    return CandidateScored(
        id=f"{request.id}/scored",
        time=request.time,
        model=request.model,
        version=version.version,
        request_id=request.id,
        champion_version=request.champion_version,
        rows=len(labels),
        candidate=score_answers(candidate, labels, task, positive),
        champion=score_answers(champion, labels, task, positive) if known else {},
        segments=score_segments(candidate, champion, labels, names, task, request.metric, positive)
        if known
        else {},
        first_epoch=request.first_epoch,
        last_epoch=request.last_epoch,
        refit=isinstance(request, RetrainRequested) and request.refit,
    )


def version_name(request: RetrainRequested) -> str:
    """Return the challenger's name: its strategy and the start of its request's hash."""
    return f"{request.strategy}-{hashlib.sha256(request.id.encode()).hexdigest()[:10]}"


def content_hash(rows: Sequence[OutcomeRow]) -> str:
    """Return the SHA-256 (hex) of a chain over features and labels in order."""
    chain = b""
    for row in rows:
        chain = link(chain, row)
    return hashlib.sha256(chain).hexdigest()


def _segments(rows: Sequence[OutcomeRow], config: ModelConfig | None) -> list[list[str]]:
    if config is None:
        return [sorted(f"{name}={value}" for name, value in row.segments.items()) for row in rows]
    return [segments_of(row.segments, config)[1:] for row in rows]


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
