"""A run of plain labels, counted at once (meter_batch, rules 1 and 2).

Rule 1: a label is plain if its prediction is pending, hasn't one yet, and its horizon isn't past. A
        label that isn't can't make a later one odd that was taken for plain.
Rule 2: losses are the terms of `performance`, by the array form of the same kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import astuple

from streamops.core.columns import Flags, Indices, groups_of, joined, numbered
from streamops.core.join import JoinTable
from streamops.core.join_rows import Pending
from streamops.core.label_counts import count_labels
from streamops.core.meter_state import MeterState, config_of, segments_of, version_of
from streamops.core.moments import micros_all
from streamops.core.panes import PaneKey
from streamops.core.pending_block import GroupKey, Labels
from streamops.core.pending_index import NO_ROW
from streamops.core.rows import Rows
from streamops.core.times import SECOND_US, SPAN_MAX_S
from streamops.core.workspace import Step
from streamops.events import LabelArrived
from streamops.values import ModelVersion

# Below it a run costs more at once than label by label.
RUN_MIN = 16
_PREDICTION, _TIME = attrgetter("prediction_id"), attrgetter("time")
_LABEL = LabelArrived.__struct_fields__


class Group(NamedTuple):
    """Where labels of one model, version, pane and segments count."""

    panes: tuple[tuple[PaneKey, bool], ...]
    version: ModelVersion | None
    delay_us: int
    is_long: bool


class Run:
    """Labels in log order with their predictions: a column for each of what they bring.

    rows   their predictions
    codes  the group of each
    """

    def __init__(self, records: Rows, rows: Indices, join: JoinTable) -> None:
        self.offsets, _, _, self.values, labels = records.columns
        columns: Any = zip(*map(astuple, labels), strict=True)  # type: ignore[arg-type]
        self.label: dict[str, Sequence[Any]] = dict(zip(_LABEL, columns, strict=True))
        self.rows, self._join = rows, join
        self.time_us = micros_all(self.label["time"])
        found = join.pending.gather(rows, "time_us", "score", "group", "prediction", "segments")
        self.made_us, self.scores, self.shared, predictions, segments = found
        self.predictions: list[Any] = predictions.tolist()
        self.segments: list[dict[str, str] | None] = segments.tolist()
        self.codes = np.zeros(0, dtype=np.int64)
        self.groups: list[Group] = []

    def entry(self, at: int) -> Pending:
        """Return one prediction."""
        return self._join.pending.entry(int(self.rows[at]))


def take_labels(work: Step, records: Rows) -> None:
    """Fold labels in their order: plain ones together, others by themselves."""
    if len(records) < RUN_MIN:
        for record in records:
            work.take(record)
        return
    ids: list[str] = list(map(_PREDICTION, records.columns.events))
    rows = work.join.pending.index.get_all(ids)
    first = 0
    for odd in _odd(work, records, ids, rows):
        _fold(work, records[first:odd], rows[first:odd])
        work.take(records[odd])
        first = odd + 1
    _fold(work, records[first:], rows[first:])


def _odd(work: Step, records: Rows, ids: Sequence[str], rows: Indices) -> list[int]:
    """Return the rows that aren't plain."""
    plain = rows != NO_ROW
    if some := len(rows[plain]):
        (expires_us,) = work.join.pending.gather(rows[plain], "expires_us")
        in_time: Flags = (expires_us > work.state.labels_us) & ~work.join.matched.have(rows[plain])
        plain[plain if some < len(rows) else slice(None)] = in_time
    if (skew_ms := work.skew_max_ms) is not None:
        moments: Any = list(map(_TIME, records.columns.events))
        limits_ms = np.array(records.columns.append_ms) + skew_ms
        plain &= -(-micros_all(moments) // 1000) <= limits_ms
    if len(set(ids)) < len(ids):
        seen = set[str]()
        for at, id_ in enumerate(ids):
            plain[at] &= id_ not in seen
            seen.add(id_)
    odd: list[int] = (~plain).nonzero()[0].tolist()
    return odd


def _fold(work: Step, records: Rows, rows: Indices) -> None:
    if len(records) < RUN_MIN:
        for record in records:
            work.take(record)
        return
    run = Run(records, rows, work.join)
    _group_all(work.state, work.join, run)
    if any(group.is_long for group in run.groups):
        for record in records:
            work.take(record)
        return
    panes: dict[tuple[PaneKey, bool], list[Indices]] = {}
    owners: dict[tuple[PaneKey, bool], Group] = {}
    for code, some in groups_of(run.codes):
        group = run.groups[code]
        for place in group.panes:
            panes.setdefault(place, []).append(some)
            owners.setdefault(place, group)
    places = [
        (work.pane(key, after=after), joined(parts), owners[key, after].version)
        for (key, after), parts in panes.items()
    ]
    count_labels(run, places)
    _match(work.join, run, work.state.labels_us)


def _group_all(state: MeterState, join: JoinTable, run: Run) -> None:
    shared: Any = run.shared.tolist()
    if any(run.segments):
        some = zip(shared, run.segments, strict=True)
        shared = [(code, *sorted((segments or {}).items())) for code, segments in some]
    distinct, run.codes = numbered(shared)
    for key in distinct:
        code, *segments = key if isinstance(key, tuple) else (key,)
        run.groups.append(_group(state, join.pending.key_of(code), dict(segments)))


def _group(state: MeterState, key: GroupKey, segments: dict[str, str]) -> Group:
    model, name, pane_us, hash_, late = key
    config = config_of(state, PaneKey(model, name, "", 0, 0, hash_))
    end_us = pane_us + config.pane_s * SECOND_US
    keys = [
        PaneKey(model, name, segment, pane_us, end_us, hash_)
        for segment in segments_of(segments, config)
    ]
    return Group(
        tuple((each, late or each in state.matured) for each in keys),
        version_of(state, model, name),
        config.cohort_delay_s * SECOND_US,
        config.horizon_s > SPAN_MAX_S,
    )


def _match(join: JoinTable, run: Run, now_us: int) -> None:
    delay_us = np.array([group.delay_us for group in run.groups], dtype=np.int64)[run.codes]
    release_us = run.made_us + delay_us
    after = (delay_us > 0) & (now_us > release_us)
    labels = Labels(
        run.label["id"], run.label["label"], run.time_us, run.offsets, release_us, after
    )
    join.match_all(run.rows, labels)
