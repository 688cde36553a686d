"""Drift between two tables: the tests of a running service, on files.

The reference is profiled as a trainer profiles it, in the order of its rows; the other table is cut
into consecutive panes and put to the same tests. What they promise is the same: the chance of any
false alarm in the whole comparison is at most the one that was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
from msgspec.structs import replace

from streamops.core import drift
from streamops.core.budget import alarm_at
from streamops.core.drift_plan import Plan, plan_of
from streamops.core.pane_rows import measure_rows
from streamops.core.sight import Sight, sight_of
from streamops.core.statistics import js, missing_rate, psi
from streamops.errors import ConfigError
from streamops.operate.columns import Columns
from streamops.operate.table import check_excluded
from streamops.operate.table_columns import bins_of, column_of, profile_of
from streamops.values import Drift, FeatureProfile, Severity
from streamops.web.reads.bins import labels_of

PANE_ROWS = 200
PANES_MAX = 64
THREADS_MAX = 8
MODERATE, MAJOR = 0.1, 0.25

Progress = Callable[[int, int], None]


class BinCount(msgspec.Struct, frozen=True, array_like=True):
    """A bin: what falls into it, and how many rows of the reference and of the current table do."""

    label: str
    reference: int
    current: int


class ColumnDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One column.

    drifted     one of its tests alarmed
    test        t-SR or e-SR, of its values; dispersion: what e-SR divides its evidence by
    evidence    the largest of any pane; stream, direction, first_row of its first alarm (row of the
                current table, from 0, where the change is put), empty and none without
    psi, js     of the whole current table; psi_beyond, psi_least: less its mean without drift, and
                the lower 95% bound of that, from which severity follows
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


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two tables. `false_alarms`: expected at most, over all columns; `alarm_at`: what it takes.

    gone, new  columns that only the reference, or only the current table, has
    """

    reference_rows: int
    current_rows: int
    panes: int
    false_alarms: float
    alarm_at: float
    gone: tuple[str, ...]
    new: tuple[str, ...]
    columns: tuple[ColumnDrift, ...]


def compare(
    reference: Path,
    current: Path,
    *,
    exclude: Sequence[str] = (),
    false_alarms: float = 0.05,
    on_progress: Progress | None = None,
) -> Comparison:
    """Compare two Parquet or CSV files, column by column, those that drifted first.

    Raises ConfigError for a missing or empty file, or no column in common.
    """
    if not 0 < false_alarms <= 1:
        raise ConfigError(f"--false-alarms is {false_alarms}; use a number above 0, at most 1")
    with Columns(reference) as old, Columns(current) as new:
        check_excluded(exclude, {reference: old.names, current: new.names})
        names = [n for n in old.names if n in new.names and n not in exclude]
        for file, columns in ((reference, old), (current, new)):
            if not columns.rows:
                raise ConfigError(f"{file} has no rows; give a table with at least one")
        if not names:
            raise ConfigError(f"{reference} and {current} have no column in common to compare")
        panes = min(PANES_MAX, max(1, new.rows // PANE_ROWS))
        profiles, counts = _read_all(names, old, new, panes, on_progress)
    plan = plan_of(tuple(profiles), None)
    limit = alarm_at(plan.streams, panes, false_alarms)
    starts = np.linspace(0, new.rows, panes + 1).astype(int).tolist()
    found = _tested(plan, counts, starts, limit)
    return Comparison(
        reference_rows=old.rows,
        current_rows=new.rows,
        panes=panes,
        false_alarms=false_alarms,
        alarm_at=limit,
        gone=tuple(n for n in old.names if n not in new.names),
        new=tuple(n for n in new.names if n not in old.names),
        columns=tuple(sorted(found, key=lambda c: (not c.drifted, -c.psi_least, -c.evidence))),
    )


def _read_all(
    names: Sequence[str],
    old: Columns,
    new: Columns,
    panes: int,
    on_progress: Progress | None,
) -> tuple[list[FeatureProfile], list[list[tuple[int, ...]]]]:
    """Profile all columns, and count their current rows in panes, side by side.

    Sorting, comparing and counting let go of Python's lock.
    """
    profiles, counts = [], []
    with ThreadPoolExecutor(min(THREADS_MAX, os.cpu_count() or 1)) as pool:
        read = pool.map(
            lambda name: _read(name, old.column(name), new.column(name), len(names), panes), names
        )
        for done, (profile, counted) in enumerate(read, 1):
            profiles.append(profile)
            counts.append(counted)
            if on_progress is not None:
                on_progress(done, len(names))
    return profiles, counts


def _read(
    name: str, old: pa.ChunkedArray, new: pa.ChunkedArray, columns: int, panes: int
) -> tuple[FeatureProfile, list[tuple[int, ...]]]:
    """Profile a column, and count its current rows in consecutive panes."""
    known = column_of(old)
    plain = profile_of(name, known)
    profile = replace(plain, rows=measure_rows(plain, bins_of(plain, known), columns))
    parts = np.array_split(bins_of(profile, column_of(new)), panes)
    width = len(profile.counts)
    return profile, [tuple(np.bincount(part, minlength=width).tolist()) for part in parts]


def _tested(
    plan: Plan, counts: list[list[tuple[int, ...]]], starts: list[int], limit: float
) -> list[ColumnDrift]:
    state = drift.initial(plan, "two tables")
    seen: list[list[float]] = [[] for _ in counts]
    first = dict[str, Drift]()
    for pane in range(len(starts) - 1):
        # A pane's start is its first row: alarms then say in which row the change is put.
        state, read = drift.step(plan, state, [c[pane] for c in counts], starts[pane], limit)
        for at, metric in enumerate(read.metrics):
            seen[at].append(metric.value or 0.0)
        for alarm in read.alarms:
            first.setdefault(alarm.feature, alarm)
    return [
        _column(plan, at, counts[at], seen[at], first.get(profile.name))
        for at, profile in enumerate(plan.columns)
    ]


def _column(
    plan: Plan, at: int, panes: list[tuple[int, ...]], evidence: list[float], alarm: Drift | None
) -> ColumnDrift:
    profile = plan.columns[at]
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
        first_row=None if alarm is None else round(alarm.since.timestamp() * 1_000_000),
        psi=psi(total, profile.counts),
        psi_beyond=beyond,
        psi_least=least,
        js=js(total, profile.counts),
        missing_reference=missing_rate(profile.counts[-1], sum(profile.counts)),
        missing_current=missing_rate(total[-1], sum(total)),
        sight=sight_of(profile),
        bins=tuple(map(BinCount, labels_of(profile), profile.counts, total)),
        pane_evidence=tuple(evidence),
    )


def _severity(least: float) -> Severity:
    return "major" if least >= MAJOR else "moderate" if least >= MODERATE else "minor"
