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
from streamops.values import ModelVersion, Value

# Below these numbers it costs more at once than one by one.
RUN_MIN = 16
PANE_MIN = 32
# Fixed-point terms are below 2^46: so many add up below 2^63.
ROWS_MAX = 65536
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
    panes: dict[tuple[PaneKey, bool], list[Plain]] = {}
    for plain in run:
        for place in plain.group.panes:
            some = panes.get(place)
            if some is None:
                panes[place] = [plain]
            else:
                some.append(plain)
    for (key, after), some in panes.items():
        _count(work.pane(key, after=after), some)
    now_us = work.state.labels_us
    work.join.match_all([(plain.entry, _match(plain, now_us)) for plain in run])


def _match(plain: Plain, now_us: int) -> Matched:
    record, label, time_us, entry, group = plain
    release_us = entry.time_us + group.delay_us
    return Matched(
        label.id, label.label, time_us, record.offset, label.id, label.label,
        release_us, group.delay_us > 0 and now_us > release_us,
    )  # fmt: skip


def _count(pane: Pane, some: Sequence[Plain]) -> None:
    records = [plain.record for plain in some]
    note_evidences(pane, "labels", [r.offset for r in records], [r.value for r in records])
    version = some[0].group.version
    at_once = len(some) >= PANE_MIN and version is not None and version.task != "regression"
    if not at_once or version is None or not _count_classes(pane, some, version):
        for plain in some:
            count_label(pane, plain.entry, plain.label.label, plain.time_us, version)


def _count_classes(pane: Pane, some: Sequence[Plain], version: ModelVersion) -> bool:
    """Count class labels; False, with nothing counted, where order or a fault matters."""
    values = [(plain.entry.prediction, plain.label.label) for plain in some]
    pairs = Counter((type(a), a, type(b), b) for a, b in values)
    texts = {pair: (category_text(pair[1]), category_text(pair[3])) for pair in pairs}
    known = set(texts.values()) | pane.confusion.keys()
    if len(known) > CONFUSION_MAX or any(a is None or b is None for a, b in texts.values()):
        return False
    for pair, count in pairs.items():
        text: Any = texts[pair]
        pane.confusion[text] = pane.confusion.get(text, 0) + count
    pane.labelled += len(some)
    _count_delays(pane, some)
    if version.profile.label is not None:
        _count_values(pane, version, pairs)
    if version.task == "binary":
        positive = [texts[(type(a), a, type(b), b)][1] == version.positive for a, b in values]
        _count_losses(pane, [plain.entry.score for plain in some], positive)
    return True


def _count_delays(pane: Pane, some: Sequence[Plain]) -> None:
    delays = np.array([max(0, plain.time_us - plain.entry.time_us) for plain in some])
    at = np.searchsorted(_DELAY_EDGES, delays / 1_000_000, side="left")
    add_bins(pane.delay, np.bincount(at, minlength=len(DELAY_EDGES_S) + 1).tolist())


def _count_values(
    pane: Pane, version: ModelVersion, pairs: Counter[tuple[type, Value, type, Value]]
) -> None:
    profile = version.profile.label
    assert profile is not None, "asked by the caller"
    counts = [0] * len(profile.counts)
    for (_, _, _, label), count in pairs.items():
        counts[bin_of(profile, label)[0]] += count
    add_bins(pane.labels, counts)


def _count_losses(pane: Pane, scores: Sequence[float | None], positive: Sequence[bool]) -> None:
    known = [(s, p) for s, p in zip(scores, positive, strict=True) if s is not None]
    for first in range(0, len(known), ROWS_MAX):
        part = known[first : first + ROWS_MAX]
        score = np.array([s for s, _ in part], dtype=np.float64)
        true = np.array([p for _, p in part], dtype=np.bool_)
        pane.scored += len(part)
        pane.log_loss += int(log_loss_terms(score, true).sum())
        pane.brier += int(brier_terms(score, true).sum())
        tenths = np.minimum(TENTHS - 1, (score * TENTHS).astype(np.int64))
        cells = np.bincount(tenths * 2 + true, minlength=2 * TENTHS).tolist()
        if not pane.calibration:
            pane.calibration = [[0, 0] for _ in range(TENTHS)]
        for at, cell in enumerate(pane.calibration):
            cell[0] += cells[2 * at] + cells[2 * at + 1]
            cell[1] += cells[2 * at + 1]
