"""Drift of one version's inputs in service: its closed panes in order in, alarms of its tests out.

Rule 1: a pane is merged over all source partitions before it comes here, and its counts are all
        that enters: what order its rows or its partitions had can't matter.
Rule 2: panes come in the order of their starts; one that isn't later than the last is passed over.
Rule 3: an alarm is a conclusion, and the stream that alarmed begins anew against the reference.
Rule 4: another pane length, or another plan, is another test: the state begins anew.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from streamops.core import drift_tests, scores, tsr
from streamops.core.drift_plan import Plan, presence
from streamops.core.drift_tests import Job, Said, Stream, Tested
from streamops.core.esr_state import State as RowState
from streamops.core.numeric import Integers
from streamops.core.pane_table import table_of
from streamops.core.starts import AGE_MAX
from streamops.core.statistics import psi
from streamops.core.times import moment
from streamops.values import Drift, Metric

_NORMAL_95 = 1.6448536269514722


class DriftState(msgspec.Struct, frozen=True, array_like=True):
    """Tests of one version.

    about   what the state belongs to: profile hash, pane length, streams
    starts  starts of the last panes read, microseconds, oldest first, at most 64
    panes   panes read; chain: SHA-256 chain over their counts
    """

    about: str
    starts: tuple[int, ...] = ()
    panes: int = 0
    chain: bytes = b""
    by_pane: tsr.State | None = None
    ordered: RowState | None = None
    words: RowState | None = None
    missing: RowState | None = None


class Read(NamedTuple):
    """What a pane's tests said: a metric a column, and the alarms among them."""

    metrics: tuple[Metric, ...]
    alarms: tuple[Drift, ...]


class Asked(NamedTuple):
    """A pane to be tested: its counts, a row a column of the plan, laid out as its profile."""

    plan: Plan
    state: DriftState
    counts: Sequence[tuple[int, ...]]
    start_us: int
    alarm_at: float


def initial(plan: Plan, about: str) -> DriftState:
    """Return the state before a version's first pane."""
    by_pane, by_row = drift_tests.initial(plan)
    return DriftState(about, (), 0, b"", by_pane, *by_row)


def step(
    plan: Plan,
    state: DriftState,
    counts: Sequence[tuple[int, ...]],
    start_us: int,
    alarm_at: float,
) -> tuple[DriftState, Read]:
    """Take one pane."""
    (found,) = step_all([Asked(plan, state, counts, start_us, alarm_at)])
    return found


def step_all(panes: Sequence[Asked]) -> list[tuple[DriftState, Read]]:
    """Take panes of different states in one call: each is concluded as if it were alone."""
    jobs, tables = list[Job](), list[Integers | None]()
    for asked in panes:
        plan, state, counts = asked.plan, asked.state, asked.counts
        assert len(counts) == len(plan.columns), f"{len(counts)} columns of {len(plan.columns)}"
        if state.starts and asked.start_us <= state.starts[-1]:
            tables.append(None)
            continue
        table = table_of(plan.places, counts)
        tables.append(table)
        by_row = state.ordered, state.words, state.missing
        jobs.append(Job(plan, state.by_pane, by_row, table, asked.start_us, asked.alarm_at))
    tested = iter(drift_tests.run(jobs))
    return [
        (asked.state, Read((), ())) if table is None else _concluded(asked, table, next(tested))
        for asked, table in zip(panes, tables, strict=True)
    ]


def _concluded(asked: Asked, table: Integers, tested: Tested) -> tuple[DriftState, Read]:
    plan, state, counts = asked.plan, asked.state, asked.counts
    starts = (*state.starts[-(AGE_MAX - 1) :], asked.start_us)
    packed = msgspec.json.encode((asked.start_us, counts))
    chain = hashlib.sha256(state.chain + packed).digest()
    by_pane = tested.by_pane[0] if tested.by_pane else state.by_pane
    after = DriftState(state.about, starts, state.panes + 1, chain, by_pane, *tested.by_row)
    rows: Integers = np.add.reduce(table, axis=1)
    metrics = _metrics(plan, tested.said, rows.tolist())
    return after, Read(metrics, _alarms(plan, counts, tested.said, starts, asked.alarm_at))


def _metrics(plan: Plan, said: Sequence[Said], rows: Sequence[int]) -> tuple[Metric, ...]:
    """Return each column's evidence, the largest of its streams."""
    most = [0.0] * len(plan.columns)
    for one in said:
        for column, evidence in zip(one.columns, one.found.evidence.tolist(), strict=True):
            if evidence > most[column]:
                most[column] = evidence
    # No test saw a pane whose evidence is 0: it was too thin, or empty.
    named = zip(plan.names, most, rows, strict=True)
    return tuple(
        [Metric(name, feature, seen or None, None, n) for (name, feature), seen, n in named]
    )


def _alarms(
    plan: Plan,
    counts: Sequence[tuple[int, ...]],
    said: Sequence[Said],
    starts: tuple[int, ...],
    alarm_at: float,
) -> tuple[Drift, ...]:
    """Return the alarms by column, of its values before its missing ones."""
    found = []
    for one in said:
        for at in np.flatnonzero(one.found.is_alarm).tolist():
            alarm = _alarm(plan, counts, one, at, starts, alarm_at)
            found.append((one.columns[at], alarm))
    return tuple(alarm for _, alarm in sorted(found, key=lambda pair: pair[0]))


def _alarm(
    plan: Plan,
    counts: Sequence[tuple[int, ...]],
    said: Said,
    at: int,
    starts: tuple[int, ...],
    alarm_at: float,
) -> Drift:
    column, found = said.columns[at], said.found
    direction = scores.DIRECTIONS[found.direction[at]] if isinstance(found, tsr.Findings) else ""
    name, feature = plan.names[column]
    age = int(found.age[at])
    reference, dispersion = plan.columns[column].counts, _dispersion(plan, column, said.stream)
    size = _size(reference, counts[column], said.stream, dispersion)
    return Drift(
        name,
        feature,
        said.stream,
        "t-SR" if direction else "e-SR",
        direction,
        float(found.evidence[at]),
        alarm_at,
        age,
        moment(starts[max(0, len(starts) - age)]),
        *size,
    )


def _dispersion(plan: Plan, column: int, stream: Stream) -> float:
    rows = plan.columns[column].rows
    if rows is None:
        return 1.0
    return max(1.0, rows.missing_dispersion if stream == "missing" else rows.dispersion)


def _size(
    reference: Sequence[int], counts: Sequence[int], stream: Stream, dispersion: float
) -> tuple[float, float]:
    """Return `debiased_psi` of the stream that alarmed."""
    if stream == "missing":
        return debiased_psi(presence(counts), presence(reference), dispersion)
    return debiased_psi(counts[:-1], reference[:-1], dispersion)


def debiased_psi(
    counts: Sequence[int], reference: Sequence[int], dispersion: float = 1.0
) -> tuple[float, float]:
    """Return PSI less what it is without drift, and its lower 95% bound, nats, at least 0.

    Times n m / ((n + m) c) PSI is nearly a noncentral chi-squared of B - 1 degrees of freedom, B
    the filled bins: of mean B - 1 + l and variance 2 (B - 1) + 4 l. l is read off its mean, and its
    bound by 1.645 of its standard deviations (Yurdakul 2018 has the central case).
    """
    value = psi(counts, reference)
    n, m = presence((*counts, 0))[0], presence((*reference, 0))[0]
    if value is None or not n or not m:
        return 0.0, 0.0
    filled = len([1 for p, q in zip(counts, reference, strict=True) if p or q])
    scale, degrees = n * m / ((n + m) * dispersion), max(filled - 1, 1)
    excess = max(value * scale - degrees, 0.0)
    least = max(excess - _NORMAL_95 * math.sqrt(2.0 * degrees + 4.0 * excess), 0.0)
    return excess / scale, least / scale


def columns_of(plan: Plan, features: Iterator[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return counts in the plan's order, zeros for the columns that a pane doesn't have."""
    found = list(features)
    rest = plan.columns[len(found) :]
    return [*found, *((0,) * len(column.counts) for column in rest)]
