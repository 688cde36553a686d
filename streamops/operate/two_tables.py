"""Drift between two tables: the tests of a running service, on files.

The reference is profiled as a trainer profiles it, in the order of its rows; the other table is cut
into consecutive panes and put to the same tests. What they promise is the same: the chance of any
false alarm in the whole comparison is at most the one that was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from msgspec.structs import replace

from streamops.config import Rule
from streamops.core import drift
from streamops.core.budget import alarm_at
from streamops.core.drift_plan import Plan, plan_of
from streamops.core.numeric import Integers
from streamops.core.pane_rows import measure_rows
from streamops.core.sight import Sight, sight_of
from streamops.core.statistics import js, missing_rate, psi
from streamops.core.times import micros, moment
from streamops.errors import ConfigError
from streamops.operate.columns import Columns
from streamops.operate.table import check_excluded
from streamops.operate.table_columns import bins_of, column_of, profile_of
from streamops.operate.time_panes import cut, in_order
from streamops.values import Drift, FeatureProfile, Severity
from streamops.web.reads.bins import labels_of

PANE_ROWS = 200
PANES_MAX = 64
THREADS_MAX = 8
MODERATE, MAJOR = 0.1, 0.25
RESOLVE_AFTER = Rule(name="", kind="data_drift", metric="drift").resolve_after

Progress = Callable[[int, int], None]


class BinCount(msgspec.Struct, frozen=True, array_like=True):
    """A bin: what falls into it, and how many rows of the reference and of the current table do."""

    label: str
    reference: int
    current: int


class PaneAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm of a column's tests, and those after it that are the same alert in a service.

    pane    number of the pane of the first one, from 1; until: of the last one; alarms: how many
    start, since  of the pane, and of the first one that is changed, by the time column; none
            without one; since_row: that one's first row
    """

    pane: int
    start: datetime | None
    test: str
    stream: str
    direction: str
    evidence: float
    since: datetime | None
    since_row: int
    until: int
    alarms: int = 1


class ColumnDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One column.

    drifted     one of its tests alarmed
    test        t-SR or e-SR, of its values; dispersion: what e-SR divides its evidence by
    evidence    the largest of any pane; stream, direction, first_row of its first alarm (row of the
                current table, from 0, where the change is put), empty and none without
    psi, js     of the whole current table; psi_beyond, psi_least: less its mean without drift, and
                the lower 95% bound of that, from which severity follows
    alarms      all of them; since: where the first puts the change
    sight       what the reference lets the test of its values see
    bins        rows of both tables in the bins of the reference; pane_evidence: pane by pane
    """

    name: str
    kind: str
    drifted: bool
    severity: Severity | None
    test: str
    dispersion: float
    evidence: float
    stream: str
    direction: str
    first_row: int | None
    psi: float | None
    psi_beyond: float
    psi_least: float
    js: float | None
    missing_reference: float | None
    missing_current: float | None
    sight: Sight
    bins: tuple[BinCount, ...]
    pane_evidence: tuple[float, ...]
    alarms: tuple[PaneAlarm, ...] = ()
    since: datetime | None = None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two tables. `false_alarms`: expected at most, over all columns; `alarm_at`: what it takes.

    gone, new  columns that only the reference, or only the current table, has
    time, pane_s  column and length by which panes were cut, seconds; empty and 0: equal in rows
    pane_starts   of each pane that has rows; untimed_rows: of the current table, in no pane
    """

    reference_rows: int
    current_rows: int
    panes: int
    false_alarms: float
    alarm_at: float
    gone: tuple[str, ...]
    new: tuple[str, ...]
    columns: tuple[ColumnDrift, ...]
    time: str = ""
    pane_s: int = 0
    pane_starts: tuple[datetime, ...] = ()
    untimed_rows: int = 0


class _Panes(NamedTuple):
    """The current table's panes: their first rows and the end's, and where each starts.

    starts_us  by the time column; without one a pane's first row stands for its time
    """

    bounds: list[int]
    starts_us: list[int]
    length_s: int = 0

    @property
    def number(self) -> int:
        return len(self.starts_us)


class _Side(NamedTuple):
    """A table: its columns, the places of its rows in order, if not as they stand, and how many."""

    columns: Columns
    order: pa.Array | None
    rows: int

    def column(self, name: str) -> pa.ChunkedArray:
        found = self.columns.column(name)
        return found if self.order is None else found.take(self.order)


class _Sides(NamedTuple):
    """Both tables and the current one's panes; known_us: times of the reference, if it has any."""

    old: _Side
    new: _Side
    panes: _Panes
    known_us: Integers | None


class _Told(NamedTuple):
    """An alert, its first alarm, and panes without another one after which it would be over."""

    first: Drift
    alert: PaneAlarm
    wait: int


def compare(
    reference: Path,
    current: Path,
    *,
    exclude: Sequence[str] = (),
    false_alarms: float = 0.05,
    time: str = "",
    pane_s: int = 0,
    on_progress: Progress | None = None,
) -> Comparison:
    """Compare two Parquet or CSV files, column by column, those that drifted first.

    time    column by which the current table is cut into panes, and the reference ordered if it has
            it; empty: rows as they stand, in panes of equal rows
    pane_s  length of such panes, seconds; 0: as suits the table
    Raises ConfigError for a missing or empty file, no column in common, or no times.
    """
    if not 0 < false_alarms <= 1:
        raise ConfigError(f"--false-alarms is {false_alarms}; use a number above 0, at most 1")
    with Columns(reference) as old, Columns(current) as new:
        names = _names({reference: old, current: new}, exclude, time)
        sides = _in_panes((reference, old), (current, new), time, pane_s)
        profiles, counts = _read_all(names, sides, on_progress)
    panes = sides.panes
    plan = plan_of(tuple(profiles), None, panes.length_s)
    limit = alarm_at(plan.streams, panes.number, false_alarms)
    found = _tested(plan, counts, panes, limit)
    return Comparison(
        reference_rows=sides.old.rows,
        current_rows=sides.new.rows,
        panes=panes.number,
        false_alarms=false_alarms,
        alarm_at=limit,
        gone=tuple(n for n in old.names if n not in new.names),
        new=tuple(n for n in new.names if n not in old.names),
        columns=tuple(sorted(found, key=lambda c: (not c.drifted, -c.psi_least, -c.evidence))),
        time=time,
        pane_s=panes.length_s,
        pane_starts=tuple(map(moment, panes.starts_us)) if panes.length_s else (),
        untimed_rows=new.rows - sides.new.rows,
    )


def _names(tables: dict[Path, Columns], exclude: Sequence[str], time: str) -> list[str]:
    """Return the columns to compare; raises ConfigError where there are none, or no rows."""
    check_excluded(exclude, {file: columns.names for file, columns in tables.items()})
    for file, columns in tables.items():
        if not columns.rows:
            raise ConfigError(f"{file} has no rows; give a table with at least one")
    old, new = tables.values()
    names = [n for n in old.names if n in new.names and n not in {time, *exclude}]
    if not names:
        raise ConfigError(f"{' and '.join(map(str, tables))} have no column in common to compare")
    return names


def _in_panes(
    old: tuple[Path, Columns], new: tuple[Path, Columns], time: str, pane_s: int
) -> _Sides:
    """Put both tables in order, the reference if it has times, and cut the current one."""
    before, after = _Side(old[1], None, old[1].rows), _Side(new[1], None, new[1].rows)
    if not time:
        if pane_s:
            raise ConfigError(f"--pane is {pane_s}, without --time; name the time column too")
        number = min(PANES_MAX, max(1, after.rows // PANE_ROWS))
        bounds = np.linspace(0, after.rows, number + 1).astype(int).tolist()
        return _Sides(before, after, _Panes(bounds, bounds[:-1]), None)
    if time not in new[1].names:
        raise ConfigError(f"--time is {time!r}, no column of {new[0]}: {new[1].names}")
    if pane_s < 0:
        raise ConfigError(f"--pane is {pane_s}; use a number of seconds above 0")
    order, times_us = in_order(new[0], time, new[1].column(time))
    length_s, starts_us, bounds = cut(times_us, pane_s, PANES_MAX)
    after, panes = _Side(new[1], order, len(times_us)), _Panes(bounds, starts_us, length_s)
    if time not in old[1].names:
        return _Sides(before, after, panes, None)
    order, known_us = in_order(old[0], time, old[1].column(time))
    return _Sides(_Side(old[1], order, len(known_us)), after, panes, known_us)


def _read_all(
    names: Sequence[str], sides: _Sides, on_progress: Progress | None
) -> tuple[list[FeatureProfile], list[list[tuple[int, ...]]]]:
    """Profile all columns, and count their current rows in panes, side by side.

    Sorting, comparing and counting let go of Python's lock.
    """
    profiles, counts = [], []
    with ThreadPoolExecutor(min(THREADS_MAX, os.cpu_count() or 1)) as pool:
        read = pool.map(lambda name: _read(name, sides, len(names)), names)
        for done, (profile, counted) in enumerate(read, 1):
            profiles.append(profile)
            counts.append(counted)
            if on_progress is not None:
                on_progress(done, len(names))
    return profiles, counts


def _read(name: str, sides: _Sides, columns: int) -> tuple[FeatureProfile, list[tuple[int, ...]]]:
    """Profile a column, and count its current rows in consecutive panes."""
    known = column_of(sides.old.column(name))
    plain = profile_of(name, known)
    rows = measure_rows(plain, bins_of(plain, known), columns, sides.known_us)
    profile = replace(plain, rows=rows)
    bins = bins_of(profile, column_of(sides.new.column(name)))
    parts, width = np.split(bins, sides.panes.bounds[1:-1]), len(profile.counts)
    return profile, [tuple(np.bincount(part, minlength=width).tolist()) for part in parts]


def _tested(
    plan: Plan, counts: list[list[tuple[int, ...]]], panes: _Panes, limit: float
) -> list[ColumnDrift]:
    state = drift.initial(plan, "two tables")
    seen: list[list[float]] = [[] for _ in counts]
    found: dict[str, list[_Told]] = {c.name: [] for c in plan.columns}
    for pane, start_us in enumerate(panes.starts_us):
        # A pane's start may be its first row: alarms then say in which row the change is put.
        state, read = drift.step(plan, state, [c[pane] for c in counts], start_us, limit)
        for at, metric in enumerate(read.metrics):
            seen[at].append(metric.value or 0.0)
        for alarm in read.alarms:
            _tell(found[alarm.feature], alarm, pane, panes)
    return [
        _column(plan, at, counts[at], seen[at], found[profile.name])
        for at, profile in enumerate(plan.columns)
    ]


def _tell(known: list[_Told], alarm: Drift, pane: int, panes: _Panes) -> None:
    """Add an alarm: a new one, or one more of the last, as CONTROLLER has it (`core/alarms`)."""
    wait = max(RESOLVE_AFTER, 2 * alarm.age)
    if known and pane + 1 - known[-1].alert.until <= known[-1].wait:
        alert = known[-1].alert
        more = replace(alert, until=pane + 1, alarms=alert.alarms + 1)
        known[-1] = known[-1]._replace(alert=more, wait=wait)
    else:
        known.append(_Told(alarm, _alarm(alarm, pane, panes), wait))


def _alarm(alarm: Drift, pane: int, panes: _Panes) -> PaneAlarm:
    since = panes.starts_us.index(micros(alarm.since))
    return PaneAlarm(
        pane=pane + 1,
        start=moment(panes.starts_us[pane]) if panes.length_s else None,
        test=alarm.test,
        stream=alarm.stream,
        direction=alarm.direction,
        evidence=alarm.evidence,
        since=alarm.since if panes.length_s else None,
        since_row=panes.bounds[since],
        until=pane + 1,
    )


def _column(
    plan: Plan,
    at: int,
    panes: list[tuple[int, ...]],
    evidence: list[float],
    alarms: list[_Told],
) -> ColumnDrift:
    profile = plan.columns[at]
    alarm, first = (alarms[0].first, alarms[0].alert) if alarms else (None, None)
    total = tuple(np.add.reduce(np.array(panes, dtype=np.int64), axis=0).tolist())
    c = 1.0 if profile.rows is None else profile.rows.dispersion
    beyond, least = drift.debiased_psi(total[:-1], profile.counts[:-1], c)
    return ColumnDrift(
        name=profile.name,
        kind=profile.kind,
        drifted=alarm is not None,
        severity=None if alarm is None else _severity(max(least, alarm.psi_least)),
        test="t-SR" if at in plan.by_pane else "e-SR",
        dispersion=c,
        evidence=max(evidence, default=0.0),
        stream="" if alarm is None else alarm.stream,
        direction="" if alarm is None else alarm.direction,
        first_row=None if first is None else first.since_row,
        psi=psi(total, profile.counts),
        psi_beyond=beyond,
        psi_least=least,
        js=js(total, profile.counts),
        missing_reference=missing_rate(profile.counts[-1], sum(profile.counts)),
        missing_current=missing_rate(total[-1], sum(total)),
        sight=sight_of(profile),
        bins=tuple(map(BinCount, labels_of(profile), profile.counts, total)),
        pane_evidence=tuple(evidence),
        alarms=tuple(told.alert for told in alarms),
        since=None if first is None else first.since,
    )


def _severity(least: float) -> Severity:
    return "major" if least >= MAJOR else "moderate" if least >= MODERATE else "minor"
