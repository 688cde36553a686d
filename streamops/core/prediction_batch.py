"""A run of plain predictions, counted at once (meter_batch, rules 1 and 2).

Rule 1: a prediction is plain if its pane is open, its id is new, no label waits for it, it may
        still get one, and a typed decoder takes its features.
Rule 2: panes are opened when the run is counted: a prediction that is refused opens none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from streamops.config import ModelConfig
from streamops.core.binning import ROWS_MAX, bin_column, count_rows
from streamops.core.feature_reader import Reader, Row, reader_of
from streamops.core.join import Pending
from streamops.core.meter_state import (
    BEGINNING_US,
    MeterState,
    default_config,
    segments_of,
    version_of,
)
from streamops.core.panes import (
    LATENCY_EDGES_MS,
    Pane,
    PaneKey,
    add_bins,
    bump,
    note_evidences,
)
from streamops.core.processor import Record
from streamops.core.profile import bin_of
from streamops.core.tally import count_prediction
from streamops.core.times import SECOND_US, micros
from streamops.core.workspace import Step
from streamops.events import PredictionMade
from streamops.values import FeatureProfile, ModelVersion

# Below these numbers it costs more at once than one by one.
RUN_MIN = 16
PANE_MIN = 32
_NUMBERS = {float, int, type(None)}
_LATENCY_EDGES = np.array(LATENCY_EDGES_MS)


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


class Plain(NamedTuple):
    """One prediction of a run."""

    record: Record
    event: PredictionMade
    group: Group
    row: Row
    entry: Pending


def take_predictions(work: Step, records: Iterable[Record]) -> None:
    """Fold predictions in their order: plain ones together, others by themselves."""
    sieve = _Sieve(work)
    run: dict[str, Plain] = {}
    for record in records:
        plain = sieve.plain(record)
        if plain is not None and plain.entry.id not in run:
            run[plain.entry.id] = plain
            continue
        _fold(work, list(run.values()))
        run.clear()
        work.take(record)
    _fold(work, list(run.values()))


class _Sieve:
    """Tells which predictions are plain, between two changes of ticks and configuration."""

    def __init__(self, work: Step) -> None:
        self._state, self._join = work.state, work.join
        self._skew_ms = work.skew_max_ms
        self._rulers: dict[str, Ruler] = {}
        self._groups: dict[Any, Group] = {}

    def plain(self, record: Record) -> Plain | None:
        """Return a prediction ready to be counted, or None for one that isn't plain."""
        event: Any = record.event
        time_us = micros(event.time)
        ruler = self._rulers.get(event.model)
        if ruler is None:
            ruler = self._rulers[event.model] = _ruler(self._state, event.model)
        at = time_us // ruler.pane_us
        if (
            time_us < ruler.first_us
            or (at + 1) * ruler.pane_us + ruler.lateness_us <= self._state.predictions_us
            or time_us + ruler.horizon_us <= self._state.labels_us
            or event.id in self._join.pending
            or event.id in self._join.waiting
        ):
            return None
        if self._skew_ms is not None and time_us > (record.append_ms + self._skew_ms) * 1000:
            return None
        group = self._group(event, at, ruler)
        row: Row = ()
        if group.version is not None:
            if group.reader is None:
                return None
            try:
                row = group.reader.read(event.features)
            except ValueError:
                return None
        return Plain(record, event, group, row, _entry(record, time_us, group, ruler))

    def _group(self, event: PredictionMade, at: int, ruler: Ruler) -> Group:
        key: Any = (event.model, event.version, at)
        names: list[str] | None = None
        if ruler.config.segments:
            names = segments_of(event.segments, ruler.config)
            key = (*key, *names)
        group = self._groups.get(key)
        if group is None:
            start_us = at * ruler.pane_us
            version = version_of(self._state, event.model, event.version)
            keys = tuple(
                PaneKey(
                    event.model, event.version, segment, start_us, start_us + ruler.pane_us,
                    ruler.hash,
                )
                for segment in names or segments_of({}, ruler.config)
            )  # fmt: skip
            reader = None if version is None else reader_of(version.profile)
            group = self._groups[key] = Group(keys, version, reader)
        return group


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


def _entry(record: Record, time_us: int, group: Group, ruler: Ruler) -> Pending:
    event: Any = record.event
    return Pending(
        event.id,
        time_us,
        time_us + ruler.horizon_us,
        event.model,
        event.version,
        event.prediction,
        event.score,
        bytes(event.features),
        event.segments,
        False,
        record.offset,
        group.keys[0].start_us,
        ruler.hash,
    )


def _fold(work: Step, run: Sequence[Plain]) -> None:
    if len(run) < RUN_MIN:
        for plain in run:
            work.take(plain.record)
        return
    panes: dict[PaneKey, list[Plain]] = {}
    for plain in run:
        for key in plain.group.keys:
            panes.setdefault(key, []).append(plain)
    for key, some in panes.items():
        _count(work.pane(key, after=False), some)
    _count_features(work, run)
    for plain in run:
        work.join.add_pending(plain.entry)


def _count(pane: Pane, some: Sequence[Plain]) -> None:
    records = [plain.record for plain in some]
    note_evidences(pane, "predictions", [r.offset for r in records], [r.value for r in records])
    version = some[0].group.version
    if len(some) < PANE_MIN:
        for plain in some:
            count_prediction(pane, plain.event, version)
        return
    pane.predictions += len(some)
    events = [plain.event for plain in some]
    _count_latencies(pane, [e.latency_ms for e in events if e.latency_ms is not None])
    profile = None if version is None else version.profile.score
    if version is None or profile is None:
        return
    if version.task == "regression":
        _count_scores(pane, profile, [event.prediction for event in events])
    else:
        _count_scores(pane, profile, [event.score for event in events])


def _count_latencies(pane: Pane, values: Sequence[float]) -> None:
    if values:
        at = np.searchsorted(_LATENCY_EDGES, np.array(values), side="left")
        size = len(LATENCY_EDGES_MS) + 1
        add_bins(pane.latency, np.bincount(at, minlength=size).tolist())


def _count_scores(pane: Pane, profile: FeatureProfile, values: Sequence[Any]) -> None:
    size = len(profile.counts)
    if profile.kind != "numeric" or not set(map(type, values)) <= _NUMBERS:
        for value in values:
            at, amount, _ = bin_of(profile, value)
            bump(pane.score, at, 1, size)
            bump(pane.score_sums, at, amount, size)
        return
    for first in range(0, len(values), ROWS_MAX):
        places = bin_column(profile, values[first : first + ROWS_MAX])
        amounts = np.zeros(size, dtype=np.int64)
        np.add.at(amounts, places.at, places.amounts)
        add_bins(pane.score, np.bincount(places.at, minlength=size).tolist())
        add_bins(pane.score_sums, amounts.tolist())


def _count_features(work: Step, run: Sequence[Plain]) -> None:
    numbers: dict[PaneKey, int] = {}
    panes, readers = list[Pane](), list[Reader]()
    places, rows = list[int](), list[Row]()
    for plain in run:
        key, reader = plain.group.keys[0], plain.group.reader
        if reader is None:
            continue
        place = numbers.setdefault(key, len(panes))
        if place == len(panes):
            panes.append(work.pane(key, after=False))
            readers.append(reader)
        places.append(place)
        rows.append(plain.row)
    if rows:
        count_rows(panes, readers, places, rows)
