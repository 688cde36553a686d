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

from streamops.core.columns import Indices, groups_of, joined, numbered
from streamops.core.join import JoinTable
from streamops.core.join_rows import Matched, Pending
from streamops.core.label_counts import count_labels
from streamops.core.meter_state import MeterState, config_of, segments_of, version_of
from streamops.core.moments import micros_all
from streamops.core.panes import PaneKey
from streamops.core.rows import Rows
from streamops.core.times import SECOND_US, SPAN_MAX_S
from streamops.core.workspace import Step
from streamops.events import LabelArrived
from streamops.values import ModelVersion

# Below it a run costs more at once than label by label.
RUN_MIN = 16
_EXPIRES, _PREDICTION = attrgetter("expires_us"), attrgetter("prediction_id")
_TIME = attrgetter("time")
_LABEL = LabelArrived.__struct_fields__
_PENDING = Pending.__struct_fields__


class Group(NamedTuple):
    """Where labels of one model, version, pane and segments count."""

    panes: tuple[tuple[PaneKey, bool], ...]
    version: ModelVersion | None
    delay_us: int
    is_long: bool


class Run:
    """Labels in log order with their predictions: a column for each of what they bring.

    codes  the group of each
    """

    def __init__(self, records: Rows, entries: Sequence[Pending]) -> None:
        self.offsets, _, _, self.values, labels = records.columns
        columns: Any = zip(*map(astuple, labels), strict=True)  # type: ignore[arg-type]
        self.label: dict[str, Sequence[Any]] = dict(zip(_LABEL, columns, strict=True))
        columns = zip(*map(astuple, entries), strict=True)
        self.made: dict[str, Sequence[Any]] = dict(zip(_PENDING, columns, strict=True))
        self.entries = entries
        self.time_us = micros_all(self.label["time"])
        self.made_us = np.array(self.made["time_us"], dtype=np.int64)
        self.codes = np.zeros(0, dtype=np.int64)
        self.groups: list[Group] = []


def take_labels(work: Step, records: Rows) -> None:
    """Fold labels in their order: plain ones together, others by themselves."""
    if len(records) < RUN_MIN:
        for record in records:
            work.take(record)
        return
    ids: list[str] = list(map(_PREDICTION, records.columns.events))
    entries = list(map(work.join.pending.get, ids))
    first = 0
    for odd in _odd(work, records, ids, entries):
        _fold(work, records[first:odd], entries[first:odd])
        work.take(records[odd])
        first = odd + 1
    _fold(work, records[first:], entries[first:])


def _odd(
    work: Step, records: Rows, ids: Sequence[str], entries: Sequence[Pending | None]
) -> list[int]:
    """Return the rows that aren't plain."""
    matched, skew_ms, now_us = work.join.matched, work.skew_max_ms, work.state.labels_us
    ahead = np.zeros(len(ids), dtype=np.bool_)
    if skew_ms is not None:
        moments: Any = list(map(_TIME, records.columns.events))
        limits_ms = np.array(records.columns.append_ms) + skew_ms
        ahead = -(-micros_all(moments) // 1000) > limits_ms
    sure = all(entries) and len(set(ids)) == len(ids) and matched.keys().isdisjoint(ids)
    if sure and min(map(_EXPIRES, entries)) > now_us:
        return np.flatnonzero(ahead).tolist()
    seen, found = set[str](), list[int]()
    for at, (id_, entry) in enumerate(zip(ids, entries, strict=True)):
        known = entry is not None and now_us < entry.expires_us
        if not known or id_ in matched or id_ in seen or ahead[at]:
            found.append(at)
        seen.add(id_)
    return found


def _fold(work: Step, records: Rows, entries: Sequence[Any]) -> None:
    if len(records) < RUN_MIN:
        for record in records:
            work.take(record)
        return
    run = Run(records, entries)
    _group_all(work.state, run)
    if any(group.is_long for group in run.groups):
        for record in records:
            work.take(record)
        return
    panes: dict[tuple[PaneKey, bool], list[Indices]] = {}
    owners: dict[tuple[PaneKey, bool], Group] = {}
    for code, rows in groups_of(run.codes):
        group = run.groups[code]
        for place in group.panes:
            panes.setdefault(place, []).append(rows)
            owners.setdefault(place, group)
    places = [
        (work.pane(key, after=after), joined(parts), owners[key, after].version)
        for (key, after), parts in panes.items()
    ]
    count_labels(run, places)
    _match(work.join, run, work.state.labels_us)


def _group_all(state: MeterState, run: Run) -> None:
    made = run.made
    keys: Any = list(
        zip(
            made["model"], made["version"], made["pane_us"], made["config_hash"], made["late"],
            strict=True,
        )
    )  # fmt: skip
    if any(made["segments"]):
        some = zip(keys, made["segments"], strict=True)
        keys = [(*key, *sorted(segments.items())) for key, segments in some]
    distinct, run.codes = numbered(keys)
    run.groups = [_group(state, key) for key in distinct]


def _group(state: MeterState, key: tuple[Any, ...]) -> Group:
    model, name, pane_us, hash_, late, *segments = key
    config = config_of(state, PaneKey(model, name, "", 0, 0, hash_))
    end_us = pane_us + config.pane_s * SECOND_US
    keys = [
        PaneKey(model, name, segment, pane_us, end_us, hash_)
        for segment in segments_of(dict(segments), config)
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
    ids, labels = run.label["id"], run.label["label"]
    matches = list(
        map(
            Matched, ids, labels, run.time_us.tolist(), run.offsets, ids, labels,
            release_us.tolist(), after.tolist(),
        )
    )  # fmt: skip
    forgotten_us = np.array(run.made["expires_us"], dtype=np.int64) - 1
    join.match_all(run.entries, matches, np.minimum(release_us, forgotten_us))
