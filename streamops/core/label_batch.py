"""A run of plain labels, counted at once (meter_batch, rules 1 and 2).

Rule 1: a label is plain if its prediction is pending, hasn't one yet, and its horizon isn't past.
Rule 2: losses are the terms of `performance`, by the array form of the same kernel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from streamops.core.join import Matched, Pending
from streamops.core.labels import key_of
from streamops.core.meter_state import ALL, MeterState, config_of, segments_of, version_of
from streamops.core.panes import (
    CONFUSION_MAX,
    DELAY_EDGES_S,
    TENTHS,
    Pane,
    PaneKey,
    add_bins,
    note_evidences,
)
from streamops.core.performance import brier_terms, log_loss_terms
from streamops.core.processor import Record
from streamops.core.profile import bin_of, category_text
from streamops.core.tally import count_label
from streamops.core.times import EPOCH, MICROSECOND, SECOND_US
from streamops.core.workspace import Step
from streamops.events import LabelArrived
from streamops.values import FeatureProfile, ModelVersion, Value

# Below it a run costs more at once than label by label.
RUN_MIN = 16
_DELAY_EDGES = np.array(DELAY_EDGES_S)


class Group(NamedTuple):
    """Where labels of one model, version, pane and segments count."""

    panes: tuple[tuple[PaneKey, bool], ...]
    version: ModelVersion | None
    delay_us: int


class Plain(NamedTuple):
    """One label of a run, with its prediction."""

    record: Record
    label: LabelArrived
    time_us: int
    entry: Pending
    group: Group


class Columns(NamedTuple):
    """What a run's labels count as, a list for each term; predicted and true are class names."""

    predicted: list[str | None]
    true: list[str | None]
    delay: list[int]
    score: list[float | None]
    positive: list[bool]
    log_loss: list[int]
    brier: list[int]


def take_labels(work: Step, records: Iterable[Record]) -> None:
    """Fold labels in their order: plain ones together, others by themselves."""
    now_us, skew_ms = work.state.labels_us, work.skew_max_ms
    pending, matched = work.join.pending, work.join.matched
    groups: dict[tuple[Any, ...], Group] = {}
    run: dict[str, Plain] = {}
    for record in records:
        label: Any = record.event
        id_ = label.prediction_id
        entry = pending.get(id_)
        time_us = (label.time - EPOCH) // MICROSECOND
        if (
            entry is None
            or now_us >= entry.expires_us
            or id_ in matched
            or id_ in run
            or (skew_ms is not None and time_us > (record.append_ms + skew_ms) * 1000)
        ):
            _fold(work, list(run.values()))
            run.clear()
            work.take(record)
            continue
        key: tuple[Any, ...] = (
            entry.model, entry.version, entry.pane_us, entry.config_hash, entry.late,
        )  # fmt: skip
        if entry.segments:
            key += tuple(sorted(entry.segments.items()))
        group = groups.get(key)
        if group is None:
            group = groups[key] = _group(work.state, entry)
        run[id_] = Plain(record, label, time_us, entry, group)
    _fold(work, list(run.values()))


def _group(state: MeterState, entry: Pending) -> Group:
    config = config_of(state, key_of(entry, ALL, 0))
    end_us = entry.pane_us + config.pane_s * SECOND_US
    keys = [key_of(entry, segment, end_us) for segment in segments_of(entry.segments, config)]
    return Group(
        tuple((key, entry.late or key in state.matured) for key in keys),
        version_of(state, entry.model, entry.version),
        config.cohort_delay_s * SECOND_US,
    )


def _fold(work: Step, run: Sequence[Plain]) -> None:
    if len(run) < RUN_MIN:
        for plain in run:
            work.take(plain.record)
        return
    panes: dict[tuple[PaneKey, bool], list[int]] = {}
    for at, plain in enumerate(run):
        for place in plain.group.panes:
            rows = panes.get(place)
            if rows is None:
                panes[place] = [at]
            else:
                rows.append(at)
    columns = _columns(run)
    for (key, after), rows in panes.items():
        _count(work.pane(key, after=after), run, rows, columns)
    now_us = work.state.labels_us
    work.join.match_all([(plain.entry, _match(plain, now_us)) for plain in run])


def _match(plain: Plain, now_us: int) -> Matched:
    record, label, time_us, entry, group = plain
    release_us = entry.time_us + group.delay_us
    return Matched(
        label.id, label.label, time_us, record.offset, label.id, label.label,
        release_us, group.delay_us > 0 and now_us > release_us,
    )  # fmt: skip


def _columns(run: Sequence[Plain]) -> Columns:
    texts: dict[tuple[type, Value], str | None] = {}

    def text(value: Value) -> str | None:
        key = type(value), value
        if key not in texts:
            texts[key] = category_text(value)
        return texts[key]

    true = [text(plain.label.label) for plain in run]
    delays = np.array([max(0, plain.time_us - plain.entry.time_us) for plain in run])
    scores = [plain.entry.score for plain in run]
    score = np.array([0.5 if s is None else s for s in scores], dtype=np.float64)
    is_positive = [
        plain.group.version is not None and label == plain.group.version.positive
        for plain, label in zip(run, true, strict=True)
    ]
    positive = np.array(is_positive, dtype=np.bool_)
    return Columns(
        [text(plain.entry.prediction) for plain in run],
        true,
        np.searchsorted(_DELAY_EDGES, delays / 1_000_000, side="left").tolist(),
        scores,
        is_positive,
        log_loss_terms(score, positive).tolist(),
        brier_terms(score, positive).tolist(),
    )


def _count(pane: Pane, run: Sequence[Plain], rows: Sequence[int], columns: Columns) -> None:
    records = [run[at].record for at in rows]
    note_evidences(pane, "labels", [r.offset for r in records], [r.value for r in records])
    version = run[rows[0]].group.version
    if version is None or version.task == "regression" or not _pairs(pane, rows, columns):
        for at in rows:
            count_label(pane, run[at].entry, run[at].label.label, run[at].time_us, version)
        return
    pane.labelled += len(rows)
    delays = [0] * (len(DELAY_EDGES_S) + 1)
    for at in rows:
        delays[columns.delay[at]] += 1
    add_bins(pane.delay, delays)
    if version.profile.label is not None:
        _count_values(pane, version.profile.label, [run[at].label.label for at in rows])
    if version.task == "binary":
        _count_losses(pane, [at for at in rows if columns.score[at] is not None], columns)


def _pairs(pane: Pane, rows: Sequence[int], columns: Columns) -> bool:
    """Count (prediction, label); False, with nothing counted, where order or a fault matters."""
    pairs = Counter((columns.predicted[at], columns.true[at]) for at in rows)
    if len(pairs.keys() | pane.confusion.keys()) > CONFUSION_MAX:
        return False
    if any(a is None or b is None for a, b in pairs):
        return False
    for pair, count in pairs.items():
        known: Any = pair
        pane.confusion[known] = pane.confusion.get(known, 0) + count
    return True


def _count_values(pane: Pane, profile: FeatureProfile, labels: Sequence[Value]) -> None:
    counts = [0] * len(profile.counts)
    for (_, label), count in Counter((type(label), label) for label in labels).items():
        counts[bin_of(profile, label)[0]] += count
    add_bins(pane.labels, counts)


def _count_losses(pane: Pane, rows: Sequence[int], columns: Columns) -> None:
    if not rows:
        return
    if not pane.calibration:
        pane.calibration = [[0, 0] for _ in range(TENTHS)]
    pane.scored += len(rows)
    for at in rows:
        pane.log_loss += columns.log_loss[at]
        pane.brier += columns.brier[at]
        cell = pane.calibration[min(TENTHS - 1, int((columns.score[at] or 0.0) * TENTHS))]
        cell[0] += 1
        cell[1] += columns.positive[at]
