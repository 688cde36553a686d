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

METRIC = "drift"
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
    return DriftState(
        about,
        by_pane=None if plan.pane_base is None else tsr.initial(plan.pane_base),
        ordered=_initial(plan.ordered),
        words=_initial(plan.words),
        missing=_initial(plan.missing),
    )


def _initial(part: Part | None) -> esr.State | None:
    return None if part is None else esr.initial(part.base)


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
    values, missing = table[:, :-1], table[:, -1]
    there: Integers = np.add.reduce(values, axis=1)
    known, said = state.by_pane, list[_Said]()
    if plan.pane_base is not None and known is not None:
        base, phases = plan.pane_base, phases_at(plan, start_us)
        rows = laid_out(plan.places, table, plan.by_pane, base.scale.scores.shape[1])
        known, found = tsr.step(base, known, rows, alarm_at, phases)
        said.append(_Said(plan.by_pane, "values", found))
    has_value = np.stack([there, missing], axis=1)
    ordered = _by_row(plan.ordered, state.ordered, values, alarm_at, "values", said)
    words = _by_row(plan.words, state.words, values, alarm_at, "values", said)
    absent = _by_row(plan.missing, state.missing, has_value, alarm_at, "missing", said)
    starts = (*state.starts[-(AGE_MAX - 1) :], start_us)
    chain = hashlib.sha256(state.chain + msgspec.json.encode((start_us, counts))).digest()
    added = DriftState(state.about, starts, state.panes + 1, chain, known, ordered, words, absent)
    metrics = _metrics(plan, said, (there + missing).tolist())
    alarms = _alarms(plan, counts, said, starts, alarm_at)
    return added, Read(metrics, alarms)


def _by_row(
    part: Part | None,
    state: esr.State | None,
    table: Integers,
    alarm_at: float,
    stream: Stream,
    said: list[_Said],
) -> esr.State | None:
    """Put a part's rows of a table to e-SR; adds what it said."""
    if part is None or state is None:
        return state
    rows = table.take(part.columns, axis=0)[:, : part.base.shape[1]]
    state, found = esr.step(part.base, state, rows, alarm_at)
    said.append(_Said(part.columns, stream, found))
    return state


def _metrics(plan: Plan, said: Sequence[_Said], rows: Sequence[int]) -> tuple[Metric, ...]:
    """Return each column's evidence, the largest of its streams."""
    most = np.zeros(len(plan.columns))
    for one in said:
        at = list(one.columns)
        most[at] = np.maximum(most[at], one.found.evidence)
    # No test saw a pane whose evidence is 0: it was too thin, or empty.
    return tuple(
        Metric(*name_of(plan, column), value if value > 0.0 else None, None, n)
        for column, (value, n) in enumerate(zip(most.tolist(), rows, strict=True))
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
        for at in np.flatnonzero(one.found.is_alarm).tolist():
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
    name, feature = name_of(plan, column)
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


def name_of(plan: Plan, column: int) -> tuple[str, str]:
    """Return the metric that carries a column's evidence, and its feature."""
    return (METRIC, plan.columns[column].name) if column < plan.features else (plan.alone, "")


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
