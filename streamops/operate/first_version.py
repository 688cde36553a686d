"""Version 1: trained on the first tenth, registered and promoted as any user would do it.

Ids come from row numbers and names, times from the stream: a run repeated writes the same bytes.
"""

from __future__ import annotations

import uuid
from pathlib import Path

import msgspec

from streamops.client import Client
from streamops.config import ModelConfig, config_hash
from streamops.core.times import moment
from streamops.errors import ConfigError, InputError
from streamops.events import (
    ConfigApplied,
    DatasetVersioned,
    ModelRegistered,
    PromotionRequested,
    ReferenceProfiled,
    RunCompleted,
    RunStarted,
)
from streamops.operate.rows import Row
from streamops.sdk.run import read_commit, read_environment
from streamops.settings import Settings
from streamops.training.batch import Job, Trained, Trainer
from streamops.training.fitting import DEFAULT_MODEL, task_of
from streamops.values import ModelVersion

HOLDOUT_SHARE = 10
FIRST = "v1"
# A namespace has 63: what stands before it, and the mark of a unique one, take the rest.
NAME_CHARS_MAX = 50


def task_of_rows(rows: list[Row]) -> str:
    """Return the task that the rows' labels suggest."""
    return task_of([row.label for row in rows if row.label is not None])


def first_trainer(settings: Settings) -> Trainer:
    """Return what trains version 1, already at loading its libraries; close it after use."""
    training = Trainer(settings.artifacts, work=settings.data / "trainer" / "first")
    training.start()
    return training


def train_first(rows: list[Row], training: Trainer, task: str, trainer: str) -> Trained:
    """Train version 1 on labelled rows; its reference is measured on their newest tenth.

    Ends `training`: its libraries take memory. Raises InputError where that fails, ConfigError
    where it is a function of the user's own that does.
    """
    labelled = [row for row in rows if row.label is not None]
    job = Job(
        features=[msgspec.Raw(msgspec.json.encode(row.features)) for row in labelled],
        labels=[row.label for row in labelled],
        task=task,  # type: ignore[arg-type]
        holdout=len(labelled) // HOLDOUT_SHARE,
        model=trainer,
        refit=True,
        times=[row.time_us for row in labelled],
    )
    with training:
        try:
            return training.train(job)
        except InputError as error:
            if trainer == DEFAULT_MODEL:
                raise
            raise ConfigError(f"--model is {trainer!r}: {error}") from None


def register_first(
    client: Client, model: str, config: ModelConfig, trained: Trained, start_us: int
) -> set[str]:
    """Write the run, its data, version 1 and the configuration; return what must be activated."""
    at, run = moment(start_us), f"{model}/run-1"
    version = ModelVersion(
        model=model,
        version=FIRST,
        task=trained.task,
        profile=trained.profile,
        profile_hash=trained.profile_hash,
        positive=trained.positive,
        artifact=trained.artifact,
    )
    data = f"{model}-training"
    registered = ModelRegistered(
        id=f"{model}/registered-1", time=at, version=version, run_id=run,
        artifact_uri=f"artifacts/{trained.artifact}",
    )  # fmt: skip
    applied = ConfigApplied(
        id=f"{model}/config-{config_hash(config)[:12]}",
        time=at,
        config=config,
        config_hash=config_hash(config),
        actor="simulate",
        first_pane=moment(0),
    )
    columns = tuple((f.name, f.kind) for f in trained.profile.features)
    for event in (
        DatasetVersioned(
            id=f"{model}/data-1", time=at, dataset=data, version=trained.content[:12],
            content_hash=trained.content, rows=trained.rows, columns=columns,
        ),
        ReferenceProfiled(
            id=f"{model}/profile-1", time=at, dataset=data, version=trained.content[:12],
            profile=trained.profile, profile_hash=trained.profile_hash,
        ),
        RunStarted(
            id=f"{run}/started", time=at, model=model, run_id=run,
            dataset=f"{data}@{trained.content[:12]}", code_commit=read_commit(),
            parameters={"trainer": config.retrain.trainer}, environment=read_environment(),
        ),
        RunCompleted(
            id=f"{run}/completed", time=at, model=model, run_id=run, metrics=trained.metrics,
            artifact=trained.artifact, rows=trained.rows,
        ),
        registered,
        applied,
    ):  # fmt: skip
        client.send(event)
    return {registered.id, applied.id}


def promote_first(client: Client, model: str, start_us: int) -> None:
    """Ask for version 1 to go to Production; the gate has no champion to compare it with."""
    client.send(
        PromotionRequested(
            id=f"{model}/promote-1",
            time=moment(start_us),
            model=model,
            version=FIRST,
            actor="simulate",
        )
    )


def namespace_for(file: Path, *, unique: bool) -> str:
    """Return a name for a stream's namespace; `unique` where others may have used the Kafka.

    Kafka takes fewer letters than a file's name may have, and shorter names.
    """
    letters = (c if c.isascii() and c.isalnum() else "-" for c in file.stem.lower())
    plain = "".join(letters)[:NAME_CHARS_MAX]
    return f"sim-{plain}-{uuid.uuid4().hex[:8]}" if unique else f"sim-{plain}"
