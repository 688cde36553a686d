"""The life of one prediction, read from the archive: who answered it, and where it counted.

Rule 1: records are found by the archive's index; what lies in files that it hasn't, by key in the
        partition that the key gives, and the outcome by the typed files, or by reading.
Rule 2: a prediction counts in the panes of its version that hold its time, and in an alert exactly
        if one of the alert's metrics is such a pane, a detector that had read its outcome, or a
        drift test: it has read every pane of its version before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from streamops.audit.erasures import personal_of
from streamops.audit.look_up import Found, around, by_key, outcomes_of
from streamops.audit.namespace import namespace_of
from streamops.config import DRIFT_METRICS
from streamops.core.panes import OTHER
from streamops.core.partition import partition_of
from streamops.core.times import micros
from streamops.errors import ConfigError
from streamops.events import (
    AlertRaised,
    DatasetVersioned,
    DriftDetected,
    Event,
    LabelArrived,
    MetricEvaluated,
    ModelRegistered,
    OutcomeJoined,
    PredictionFailed,
    PredictionMade,
    RunCompleted,
    RunStarted,
    StageChanged,
)
from streamops.views.archive import ArchiveLog
from streamops.views.log import to_record

Made = PredictionMade | PredictionFailed
E = TypeVar("E", bound=Event)


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """Where the version that answered comes from; None for what the archive doesn't hold."""

    registered: ModelRegistered | None
    started: RunStarted | None
    completed: RunCompleted | None
    dataset: DatasetVersioned | None
    step: StageChanged | None


class Biography(msgspec.Struct, frozen=True, kw_only=True):
    """One prediction and what came before and after it.

    made     as it stands on `predictions`; the first is the one that counts, the others are repeats
    labels   what arrived for it
    outcomes joined from it: the first, then corrections
    panes    evaluated panes that it counted in, by segment and cut
    drifts   detector records that had read its outcome since the change they found
    alerts   that rest on one of those
    personal what became of its values about a person; empty where it has none
    """

    id: str
    made: tuple[Found[Made], ...]
    version: Version
    labels: tuple[Found[LabelArrived], ...]
    outcomes: tuple[Found[OutcomeJoined], ...]
    panes: tuple[Found[MetricEvaluated], ...]
    drifts: tuple[Found[DriftDetected], ...]
    alerts: tuple[Found[AlertRaised], ...]
    personal: str = ""


def biography(archive: Path, id_: str) -> Biography:
    """Return the life of a prediction.

    Raises ConfigError where the archive has no prediction of this id.
    """
    log, partitions = ArchiveLog(archive), namespace_of(archive).partitions
    own = partition_of(id_, partitions)
    made: list[Found[Made]] = [
        Found(f.at, f.event)
        for f in by_key(archive, ("predictions", own), id_)
        if isinstance(f.event, PredictionMade | PredictionFailed)
    ]
    if not made:
        raise ConfigError(
            f"id is {id_!r}, which is neither an alert nor a prediction in {str(archive)!r}; "
            "`streamops alerts` lists alerts, the view predictions has the others"
        )
    first = made[0].event
    shared = partition_of(first.model, partitions)
    metrics = list(around(archive, ("metrics", shared), micros(first.time)))
    panes = _own_segments(_only(MetricEvaluated, metrics, lambda e: _holds(e, first)), first)
    outcomes = tuple(outcomes_of(archive, ("outcomes", shared), id_))
    drifts = _only(DriftDetected, metrics, lambda e: bool(outcomes) and _has_read(e, first))
    counted = {f.event.id for f in panes} | {f.event.id for f in drifts}
    labels = by_key(archive, ("labels", own), id_)
    alerts = (found for p in log.partitions("alerts") for found in _events(log, "alerts", p))
    return Biography(
        id=id_,
        made=tuple(made),
        version=_version(log, partitions, first),
        labels=tuple(_only(LabelArrived, labels, lambda e: e.prediction_id == id_)),
        outcomes=outcomes,
        panes=tuple(panes),
        drifts=tuple(drifts),
        alerts=tuple(_only(AlertRaised, alerts, lambda e: _rests_on(e, counted, first))),
        personal=personal_of(archive, id_, bytes(first.features))
        if isinstance(first, PredictionMade)
        else "",
    )


def _only(
    kind: type[E], found: Iterable[Found[Any]], is_meant: Callable[[E], bool]
) -> list[Found[E]]:
    return [f for f in found if isinstance(f.event, kind) and is_meant(f.event)]


def _holds(event: MetricEvaluated, made: Made) -> bool:
    same = (event.model, event.version) == (made.model, made.version)
    return same and event.pane_start <= made.time < event.time


def _own_segments(panes: list[Found[MetricEvaluated]], made: Made) -> list[Found[MetricEvaluated]]:
    """Those of its segments; a value that isn't counted on its own is in the others'."""
    there = {found.event.segment for found in panes}
    own = {"all"}
    for name, value in made.segments.items():
        named = f"{name}={value}"
        own.add(named if named in there else f"{name}={OTHER}")
    return [found for found in panes if found.event.segment in own]


def _has_read(event: DriftDetected, made: Made) -> bool:
    same = (event.model, event.version) == (made.model, made.version)
    return same and event.since <= made.time <= event.time


def _rests_on(event: AlertRaised, counted: set[str], made: Made) -> bool:
    if event.metric in DRIFT_METRICS:
        same = (event.model, event.version) == (made.model, made.version)
        return same and made.time < event.time
    proof = event.evidence
    return proof is not None and any(ref.id in counted for ref in proof.metrics)


def _version(log: ArchiveLog, partitions: int, made: Made) -> Version:
    shared = partition_of(made.model, partitions)
    lifecycle = [found.event for found in _events(log, "lifecycle", shared)]
    registered = next(
        (e for e in lifecycle if isinstance(e, ModelRegistered) and _is_version(e, made)), None
    )
    run = registered.run_id if registered else ""
    started = next((e for e in lifecycle if isinstance(e, RunStarted) and e.run_id == run), None)
    done = next((e for e in lifecycle if isinstance(e, RunCompleted) and e.run_id == run), None)
    step = getattr(made, "deployment_step", "")
    moves = (f.event for f in _events(log, "deployments", shared))
    return Version(
        registered=registered,
        started=started if run else None,
        completed=done if run else None,
        dataset=_dataset(log, started) if started and run else None,
        step=next((e for e in moves if isinstance(e, StageChanged) and e.id == step), None),
    )


def _is_version(event: ModelRegistered, made: Made) -> bool:
    return (event.version.model, event.version.version) == (made.model, made.version)


def _dataset(log: ArchiveLog, run: RunStarted) -> DatasetVersioned | None:
    """The data set that a run names: one version as NAME@VERSION, or the newest by then."""
    found: list[DatasetVersioned] = []
    for partition in log.partitions("data") if run.dataset else ():
        for record in _events(log, "data", partition):
            data = record.event
            if isinstance(data, DatasetVersioned) and _is_meant(data, run):
                found.append(data)
    return max(found, key=lambda data: (data.time, data.version), default=None)


def _is_meant(data: DatasetVersioned, run: RunStarted) -> bool:
    is_this = f"{data.dataset}@{data.version}" == run.dataset
    return is_this or (data.dataset == run.dataset and data.time <= run.time)


def _events(
    log: ArchiveLog, topic: str, partition: int, first: int = 0, end: int | None = None
) -> Iterator[Found[Event]]:
    for raw in log.read(topic, partition, first, end):
        event = to_record(raw).event
        if isinstance(event, Event):
            yield Found(f"{topic}-{partition} offset {raw.offset}", event)
