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
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from streamops.core import esr, scores, tsr
from streamops.core.drift_plan import Part, Plan, phases_at, presence
from streamops.core.numeric import Integers
from streamops.core.pane_table import laid_out, table_of
from streamops.core.starts import AGE_MAX
from streamops.core.statistics import psi
from streamops.core.times import moment
from streamops.values import Drift, Metric

_NORMAL_95 = 1.6448536269514722

Stream = Literal["values", "missing"]


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
    ordered: esr.State | None = None
    words: esr.State | None = None
    missing: esr.State | None = None


class Read(NamedTuple):
    """What a pane's tests said: a metric a column, and the alarms among them."""

    metrics: tuple[Metric, ...]
    alarms: tuple[Drift, ...]


class _Said(NamedTuple):
    """What one test said of some columns' streams; arrays over them."""

    columns: Sequence[int]
    stream: Stream
    found: esr.Findings | tsr.Findings


def initial(plan: Plan, about: str) -> DriftState:
    """Return the state before a version's first pane."""
    fresh = iter([] if plan.by_row is None else esr.initial_all(plan.by_row))
    ordered, words, missing = (None if part is None else next(fresh) for part in _parts(plan))
    by_pane = None if plan.pane_base is None else tsr.initial(plan.pane_base)
    return DriftState(about, by_pane=by_pane, ordered=ordered, words=words, missing=missing)


def _parts(plan: Plan) -> tuple[Part | None, Part | None, Part | None]:
    return plan.ordered, plan.words, plan.missing


def step(
    plan: Plan,
    state: DriftState,
    counts: Sequence[tuple[int, ...]],
    start_us: int,
    alarm_at: float,
) -> tuple[DriftState, Read]:
    """Take a pane's counts, a row a column of the plan, laid out as its profile."""
    assert len(counts) == len(plan.columns), f"{len(counts)} columns of {len(plan.columns)}"
    if state.starts and start_us <= state.starts[-1]:
        return state, Read((), ())
    table = table_of(plan.places, counts)
    known, said = state.by_pane, list[_Said]()
    if plan.pane_base is not None and known is not None:
        rows = laid_out(plan.laid, table)
        known, found = tsr.step(plan.pane_base, known, rows, alarm_at, phases_at(plan, start_us))
        said.append(_Said(plan.by_pane, "values", found))
    values, missing = table[:, :-1], table[:, -1]
    there: Integers = np.add.reduce(values, axis=1)
    presences = np.empty((len(table), 2), dtype=np.int64)
    presences[:, 0], presences[:, 1] = there, missing
    by_row = _by_row(plan, state, values, presences, alarm_at, said)
    starts = (*state.starts[-(AGE_MAX - 1) :], start_us)
    chain = hashlib.sha256(state.chain + msgspec.json.encode((start_us, counts))).digest()
    added = DriftState(state.about, starts, state.panes + 1, chain, known, *by_row)
    metrics = _metrics(plan, said, (there + missing).tolist())
    alarms = _alarms(plan, counts, said, starts, alarm_at)
    return added, Read(metrics, alarms)


def _by_row(
    plan: Plan,
    state: DriftState,
    values: Integers,
    presences: Integers,
    alarm_at: float,
    said: list[_Said],
) -> list[esr.State | None]:
    """Put a table's rows to e-SR: the states of its parts; adds what it said."""
    states: list[esr.State | None] = [state.ordered, state.words, state.missing]
    if plan.by_row is None:
        return states
    tables = (values, values, presences)
    parts = [(at, part) for at, part in enumerate(_parts(plan)) if part is not None]
    rows = [tables[at].take(part.columns, axis=0)[:, : part.bins] for at, part in parts]
    known = [one for one in states if one is not None]
    found = esr.step_all(plan.by_row, known, rows, alarm_at)
    for (at, part), (after, findings) in zip(parts, found, strict=True):
        states[at] = after
        said.append(_Said(part.columns, "values" if at < 2 else "missing", findings))
    return states


def _metrics(plan: Plan, said: Sequence[_Said], rows: Sequence[int]) -> tuple[Metric, ...]:
    """Return each column's evidence, the largest of its streams."""
    most = [0.0] * len(plan.columns)
    for one in said:
        for column, evidence in zip(one.columns, one.found.evidence.tolist(), strict=True):
            if evidence > most[column]:
                most[column] = evidence
    # No test saw a pane whose evidence is 0: it was too thin, or empty.
    return tuple(
        Metric(metric, feature, value or None, None, n)
        for (metric, feature), value, n in zip(plan.names, most, rows, strict=True)
    )


def _alarms(
    plan: Plan,
    counts: Sequence[tuple[int, ...]],
    said: Sequence[_Said],
    starts: tuple[int, ...],
    alarm_at: float,
) -> tuple[Drift, ...]:
    """Return the alarms by column, of its values before its missing ones."""
    found = []
    for one in said:
        for at, is_alarm in enumerate(one.found.is_alarm.tolist()):
            if is_alarm:
                alarm = _alarm(plan, counts, one, at, starts, alarm_at)
                found.append((one.columns[at], alarm))
    return tuple(alarm for _, alarm in sorted(found, key=lambda pair: pair[0]))


def _alarm(
    plan: Plan,
    counts: Sequence[tuple[int, ...]],
    said: _Said,
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
