"""A run of plain predictions, counted at once (meter_batch, rules 1 and 2).

Rule 1: a prediction is plain if its pane is open, its id is new, no label waits for it, it may
        still get one, and a typed decoder takes its features.
Rule 2: panes are opened when the run is counted: a prediction that is refused opens none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import astuple

from streamops.config import ModelConfig
from streamops.core.binning import count_rows
from streamops.core.feature_reader import Reader, Row, reader_of
from streamops.core.join import Pending
from streamops.core.meter_state import (
    BEGINNING_US,
    MeterState,
    default_config,
    segments_of,
    version_of,
)
from streamops.core.panes import Pane, PaneKey
from streamops.core.prediction_counts import count_predictions
from streamops.core.processor import Record
from streamops.core.times import EPOCH, MICROSECOND, SECOND_US
from streamops.core.workspace import Step
from streamops.events import PredictionMade
from streamops.values import ModelVersion

# Below it a run costs more at once than record by record.
RUN_MIN = 16


class Ruler(NamedTuple):
    """A model's last configuration, which rules from `first_us` on."""

    first_us: int
    pane_us: int
    lateness_us: int
    horizon_us: int
    config: ModelConfig
    hash: str


class Group(NamedTuple):
    """Where predictions of one model, version, pane and segments count; keys[0] is all of them."""

    keys: tuple[PaneKey, ...]
    version: ModelVersion | None
    reader: Reader | None
    read: Callable[[msgspec.Raw], Any] | None


class Run:
    """Plain predictions in log order, a list for each of what they bring."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.records: list[Record] = []
        self.groups: list[Group] = []
        self.rows: list[Row] = []
        self.entries: list[Pending] = []


def take_predictions(work: Step, records: Iterable[Record]) -> None:
    """Fold predictions in their order: plain ones together, others by themselves."""
    state, join, skew_ms = work.state, work.join, work.skew_max_ms
    pending, waiting = join.pending, join.waiting
    rulers: dict[str, Ruler] = {}
    groups: dict[tuple[Any, ...], Group] = {}
    run = Run()
    for record in records:
        event: Any = record.event
        id_, model, moment = event.id, event.model, event.time
        time_us = (moment - EPOCH) // MICROSECOND
        ruler = rulers.get(model)
        if ruler is None:
            ruler = rulers[model] = _ruler(state, model)
        first_us, pane_us, lateness_us, horizon_us, config, hash_ = ruler
        at = time_us // pane_us
        expires_us = time_us + horizon_us
        row: Row | None = None
        group: Group | None = None
        if (
            time_us >= first_us
            and (at + 1) * pane_us + lateness_us > state.predictions_us
            and expires_us > state.labels_us
            and id_ not in pending
            and id_ not in waiting
            and id_ not in run.ids
            and (skew_ms is None or time_us <= (record.append_ms + skew_ms) * 1000)
        ):
            key: tuple[Any, ...] = (model, event.version, at)
            if config.segments:
                key += tuple(segments_of(event.segments, config))
            group = groups.get(key)
            if group is None:
                group = groups[key] = _group(state, event, at * pane_us, ruler)
            row = _row(group, event.features)
        if row is None or group is None:
            _fold(work, run)
            work.take(record)
            run = Run()
            continue
        run.ids.add(id_)
        run.records.append(record)
        run.groups.append(group)
        run.rows.append(row)
        run.entries.append(
            Pending(
                id_, time_us, expires_us, model, event.version, event.prediction, event.score,
                bytes(event.features), event.segments, False, record.offset, at * pane_us, hash_,
            )
        )  # fmt: skip
    _fold(work, run)


def _row(group: Group, features: msgspec.Raw) -> Row | None:
    """Return the values of a profiled version; None where the definition must judge them."""
    if group.version is None:
        return ()
    if group.read is None:
        return None
    try:
        return astuple(group.read(features))
    except ValueError:
        return None


def _group(state: MeterState, event: PredictionMade, start_us: int, ruler: Ruler) -> Group:
    version = version_of(state, event.model, event.version)
    keys = tuple(
        PaneKey(event.model, event.version, segment, start_us, start_us + ruler.pane_us, ruler.hash)
        for segment in segments_of(event.segments, ruler.config)
    )
    reader = None if version is None else reader_of(version)
    return Group(keys, version, reader, None if reader is None else reader.decode)


def _ruler(state: MeterState, model: str) -> Ruler:
    first_us, (config, hash_) = BEGINNING_US, default_config(model)
    if rows := state.configs.get(model):
        first_us, config, hash_ = rows[-1]
    return Ruler(
        first_us,
        config.pane_s * SECOND_US,
        config.allowed_lateness_s * SECOND_US,
        config.horizon_s * SECOND_US,
        config,
        hash_,
    )


def _fold(work: Step, run: Run) -> None:
    if len(run.records) < RUN_MIN:
        for record in run.records:
            work.take(record)
        return
    panes: dict[PaneKey, list[int]] = {}
    for at, group in enumerate(run.groups):
        for key in group.keys:
            rows = panes.get(key)
            if rows is None:
                panes[key] = [at]
            else:
                rows.append(at)
    for key, rows in panes.items():
        group = run.groups[rows[0]]
        pane = work.pane(key, after=False)
        is_scored = key == group.keys[0] and group.reader is not None and group.reader.scored
        count_predictions(
            pane, [run.records[at] for at in rows], group.version, is_scored=is_scored
        )
    _count_features(work, run)
    work.join.add_all(run.entries)


def _count_features(work: Step, run: Run) -> None:
    numbers: dict[PaneKey, int] = {}
    panes, readers = list[Pane](), list[Reader]()
    places, rows = list[int](), list[Row]()
    for group, row, entry in zip(run.groups, run.rows, run.entries, strict=True):
        if group.reader is None:
            continue
        key = group.keys[0]
        place = numbers.get(key)
        if place is None:
            place = numbers[key] = len(panes)
            panes.append(work.pane(key, after=False))
            readers.append(group.reader)
        places.append(place)
        rows.append((*row, entry.score) if group.reader.scored else row)
    if rows:
        count_rows(panes, readers, places, rows)
