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

from streamops.core import esr, scores, tsr
from streamops.core.drift_plan import Part, Plan, padded, presence
from streamops.core.starts import AGE_MAX
from streamops.core.statistics import psi
from streamops.core.times import moment
from streamops.values import Drift, Metric

METRIC, SCORE_METRIC = "drift", "score_drift"
METRICS = (METRIC, SCORE_METRIC)
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
    column: int
    stream: Stream
    test: str
    direction: str
    evidence: float
    is_alarm: bool
    age: int


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
    by_pane, said = _by_pane(plan, state.by_pane, counts, alarm_at)
    parts: list[esr.State | None] = []
    for part, known, stream in (
        (plan.ordered, state.ordered, "values"),
        (plan.words, state.words, "values"),
        (plan.missing, state.missing, "missing"),
    ):
        after, more = _by_row(part, known, counts, alarm_at, stream)  # type: ignore[arg-type]
        parts.append(after)
        said += more
    starts = (*state.starts[-(AGE_MAX - 1) :], start_us)
    chain = hashlib.sha256(state.chain + msgspec.json.encode((start_us, counts))).digest()
    added = DriftState(state.about, starts, state.panes + 1, chain, by_pane, *parts)
    return added, _read(plan, counts, said, starts, alarm_at)


def _by_pane(
    plan: Plan, state: tsr.State | None, counts: Sequence[tuple[int, ...]], alarm_at: float
) -> tuple[tsr.State | None, list[_Said]]:
    base = plan.pane_base
    if base is None or state is None:
        return state, []
    laid = scores.lay_out([counts[at] for at in plan.by_pane])
    state, found = tsr.step(base, state, laid, alarm_at)
    directions = [scores.DIRECTIONS[at] for at in found.direction.tolist()]
    rows = zip(
        plan.by_pane,
        directions,
        found.evidence.tolist(),
        found.is_alarm.tolist(),
        found.age.tolist(),
        strict=True,
    )
    return state, [_Said(at, "values", "t-SR", way, *rest) for at, way, *rest in rows]


def _by_row(
    part: Part | None,
    state: esr.State | None,
    counts: Sequence[tuple[int, ...]],
    alarm_at: float,
    stream: Stream,
) -> tuple[esr.State | None, list[_Said]]:
    if part is None or state is None:
        return state, []
    given = [counts[at] for at in part.columns]
    rows = [presence(row) if stream == "missing" else row[:-1] for row in given]
    state, found = esr.step(part.base, state, padded(rows, part.base.prior.shape[1]), alarm_at)
    columns = zip(
        part.columns,
        found.evidence.tolist(),
        found.is_alarm.tolist(),
        found.age.tolist(),
        strict=True,
    )
    return state, [_Said(at, stream, "e-SR", "", *rest) for at, *rest in columns]


def _read(
    plan: Plan,
    counts: Sequence[tuple[int, ...]],
    said: list[_Said],
    starts: tuple[int, ...],
    alarm_at: float,
) -> Read:
    metrics, alarms = [], []
    by_column: dict[int, list[_Said]] = {}
    for one in said:
        by_column.setdefault(one.column, []).append(one)
    for column, profile in enumerate(plan.columns):
        mine = by_column.get(column, [])
        n = presence(counts[column])[0] + counts[column][-1]
        most = max((s.evidence for s in mine), default=0.0)
        # No test saw a pane whose evidence is 0: it was too thin, or empty.
        name, feature = name_of(plan, column)
        metrics.append(Metric(name, feature, most if most > 0.0 else None, None, n))
        for one in mine:
            if one.is_alarm:
                size = _size(profile.counts, counts[column], one, _dispersion(plan, one))
                since = moment(starts[max(0, len(starts) - one.age)])
                alarms.append(
                    Drift(
                        name, feature, one.stream, one.test,  # type: ignore[arg-type]
                        one.direction, one.evidence, alarm_at, one.age, since, *size,
                    )
                )  # fmt: skip
    return Read(tuple(metrics), tuple(alarms))


def name_of(plan: Plan, column: int) -> tuple[str, str]:
    """Return the metric that carries a column's evidence, and its feature."""
    return (METRIC, plan.columns[column].name) if column < plan.features else (SCORE_METRIC, "")


def _dispersion(plan: Plan, said: _Said) -> float:
    rows = plan.columns[said.column].rows
    if rows is None:
        return 1.0
    return max(1.0, rows.missing_dispersion if said.stream == "missing" else rows.dispersion)


def _size(
    reference: Sequence[int], counts: Sequence[int], said: _Said, dispersion: float
) -> tuple[float, float]:
    """Return `debiased_psi` of the stream that alarmed."""
    if said.stream == "missing":
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
