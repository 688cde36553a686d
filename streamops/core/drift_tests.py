"""Drift tests of many panes in one call: what a service of many models pays is the call's cost.

Rule 1: a pane's conclusions are those it has alone, to the last byte: streams lie side by side.
Rule 2: a call holds no two panes of one state: whoever calls brings the second with the next call.
Rule 3: tests of numbers by row lie side by side where they have as many bins, those by pane where
        they have one season too: nothing is padded for a neighbour's sake.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from streamops.core import alternatives, esr, t_factors, tsr
from streamops.core.drift_plan import Part, Plan, phases_at
from streamops.core.esr_state import State as RowState
from streamops.core.numeric import Integers
from streamops.core.pane_table import laid_out

# More columns in a call cost more each: what it works on leaves the processor's cache.
COLUMNS_MAX = 960
# Baselines side by side that are kept: one a group of panes that closes together again and again.
_TOGETHER_MAX = 64

Stream = Literal["values", "missing"]


class Job(NamedTuple):
    """A pane to be tested: its counts as the plan's table, and the states of its plan's tests.

    by_row  of the plan's parts, in their order; None where there is none
    """

    plan: Plan
    by_pane: tsr.State | None
    by_row: Sequence[RowState | None]
    table: Integers
    start_us: int
    alarm_at: float


class Said(NamedTuple):
    """What one test said of some columns' streams; arrays over them."""

    columns: Sequence[int]
    stream: Stream
    found: esr.Findings | tsr.Findings


class Tested(NamedTuple):
    """A pane's states afterwards, `by_pane` of at most one, and what was said, values first."""

    by_pane: list[tsr.State]
    by_row: list[RowState | None]
    said: list[Said]


class _Row(NamedTuple):
    """A part of a job, and its counts."""

    key: tuple[int, int]
    number: int
    part: Part
    state: RowState
    counts: Integers


def initial(plan: Plan) -> tuple[tsr.State | None, list[RowState | None]]:
    """Return the states before the first pane."""
    by_pane = None if plan.pane_base is None else tsr.initial(plan.pane_base)
    return by_pane, [None if part is None else esr.initial(part.base) for part in parts_of(plan)]


def parts_of(plan: Plan) -> tuple[Part | None, Part | None, Part | None]:
    """Return what e-SR takes: numbers, categories, missing values."""
    return plan.ordered, plan.words, plan.missing


def run(jobs: Sequence[Job]) -> list[Tested]:
    """Test panes of different states, COLUMNS_MAX or one pane's at a time."""
    found, some, columns = list[Tested](), list[Job](), 0
    for job in jobs:
        width = len(job.plan.columns)
        if some and columns + width > COLUMNS_MAX:
            found += _together(some)
            some, columns = [], 0
        some.append(job)
        columns += width
    return found + _together(some)


def _together(jobs: Sequence[Job]) -> list[Tested]:
    tested = [Tested([], [None, None, None], []) for _ in jobs]
    _by_pane(jobs, tested)
    _by_row(jobs, tested)
    return tested


def _by_pane(jobs: Sequence[Job], tested: Sequence[Tested]) -> None:
    groups: dict[tuple[int, int], list[tuple[int, t_factors.Baseline, tsr.State]]] = {}
    for number, job in enumerate(jobs):
        if job.plan.pane_base is not None and job.by_pane is not None:
            base = job.plan.pane_base
            key = id(base.season), base.scale.scores.shape[1]
            groups.setdefault(key, []).append((number, base, job.by_pane))
    for group in groups.values():
        numbers = [number for number, _, _ in group]
        own = [jobs[number] for number in numbers]
        found = tsr.step_all(
            _panes_together(tuple(base for _, base, _ in group)),
            [state for _, _, state in group],
            _joined([laid_out(job.plan.laid, job.table) for job in own]),
            [job.alarm_at for job in own],
            _joined([phases_at(job.plan, job.start_us) for job in own]),
        )
        for number, (after, findings) in zip(numbers, found, strict=True):
            tested[number].by_pane.append(after)
            tested[number].said.append(Said(jobs[number].plan.by_pane, "values", findings))


def _by_row(jobs: Sequence[Job], tested: Sequence[Tested]) -> None:
    rows = sorted((row for at, job in enumerate(jobs) for row in _rows(at, job)), key=_key)
    if not rows:
        return
    found = esr.step_all(
        _rows_together(tuple(row.part.base for row in rows)),
        [row.state for row in rows],
        [row.counts for row in rows],
        [jobs[row.number].alarm_at for row in rows],
    )
    for row, (after, findings) in zip(rows, found, strict=True):
        at, result = row.key[0], tested[row.number]
        result.by_row[at] = after
        result.said.append(Said(row.part.columns, "values" if at < 2 else "missing", findings))


def _key(row: _Row) -> tuple[int, int]:
    return row.key


def _rows(number: int, job: Job) -> list[_Row]:
    found = []
    for at, (part, state) in enumerate(zip(parts_of(job.plan), job.by_row, strict=True)):
        if part is not None and state is not None:
            counts = _presences(part, job.table) if at == 2 else _values(part, job.table)
            found.append(_Row((at, part.bins), number, part, state, counts))
    return found


def _values(part: Part, table: Integers) -> Integers:
    found: Integers = table.take(part.columns, axis=0)[:, : part.bins]
    return found


def _presences(part: Part, table: Integers) -> Integers:
    own = table[: len(part.columns)]
    found = np.empty((len(own), 2), dtype=np.int64)
    np.add.reduce(own[:, :-1], axis=1, out=found[:, 0])
    found[:, 1] = own[:, -1]
    return found


def _joined(parts: Sequence[Integers]) -> Integers:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


@lru_cache(maxsize=_TOGETHER_MAX)
def _panes_together(parts: tuple[t_factors.Baseline, ...]) -> t_factors.Baseline:
    return t_factors.together(parts)


@lru_cache(maxsize=_TOGETHER_MAX)
def _rows_together(parts: tuple[alternatives.Baseline, ...]) -> alternatives.Baseline:
    return alternatives.together(parts)
