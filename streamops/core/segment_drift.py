"""Drift of one segment of a version in service: its first panes are its reference.

Rule 1: a segment has no rows of its own in the version's profile, and another law than all rows
        together: what is usual in it is learned from its first LEARNED panes of ROWS_MIN rows or
        more. Until then nothing is tested there; all rows are, meanwhile.
Rule 2: then its tests are those of a version (`drift_plan`) whose profile had counted these panes:
        e-SR against their sum, t-SR where panes differ by more than independent rows would, or
        where the version's profile says that rows depend on each other.
Rule 3: the chain and the count of panes go on from the learned ones: a proof names them all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace

from streamops.core import drift
from streamops.core.dependence import Dependence, measure
from streamops.core.drift import DriftState, Read
from streamops.core.drift_plan import Plan, plan_of, presence
from streamops.core.numeric import Integers
from streamops.core.pane_rows import packed_panes
from streamops.core.tested_pane import Asked
from streamops.values import FeatureProfile, PaneRows

LEARNED = 50
ROWS_MIN = 20

Counts = tuple[tuple[int, ...], ...]


class SegmentState(msgspec.Struct, frozen=True, array_like=True):
    """Tests of one segment.

    about    what the state belongs to, as in `DriftState`
    last_us  start of the last pane taken
    panes, chain  panes taken, and the SHA-256 chain over their counts
    learned  counts of the first panes, until there are enough
    columns  profiles that were made of them; tests: what runs against these
    """

    about: str
    last_us: int = -(1 << 62)
    panes: int = 0
    chain: bytes = b""
    learned: tuple[Counts, ...] = ()
    columns: tuple[FeatureProfile, ...] = ()
    tests: DriftState | None = None


class Part(NamedTuple):
    """A segment's pane to be tested, and the state of its tests."""

    asked: Asked
    state: SegmentState
    start_us: int
    pane_s: float
    limit: float


def step_all(parts: Sequence[Part]) -> list[tuple[SegmentState, Read]]:
    """Take panes of different segments; nothing is said while a reference is learned."""
    tested = [part for part in parts if _is_taken(part) and part.state.tests is not None]
    said = iter(drift.step_all([_asked(part) for part in tested]))
    found, nothing = [], Read((), ())
    for part in parts:
        if not _is_taken(part):
            found.append((part.state, nothing))
        elif part.state.tests is None:
            found.append((_learn(part.asked, part.state, part.start_us, part.pane_s), nothing))
        else:
            tests, read = next(said)
            known = {"panes": tests.panes, "chain": tests.chain, "tests": tests}
            found.append((replace(part.state, last_us=part.start_us, **known), read))
    return found


def _is_taken(part: Part) -> bool:
    return part.start_us > part.state.last_us and _has_rows(part.asked.counts)


def _asked(part: Part) -> drift.Asked:
    tests = part.state.tests
    assert tests is not None, "a segment that learns isn't tested"
    plan = _plan(part.asked, part.state.columns, part.pane_s)
    return drift.Asked(plan, tests, part.asked.counts, part.start_us, part.limit)


def forget(tests: dict[str, SegmentState], model: str, versions: int) -> None:
    """Keep the tests of so many versions of a model, those whose panes are the last."""
    last: dict[str, int] = {}
    for name, state in tests.items():
        version = name.split("\t")[1]
        if name.startswith(f"{model}\t"):
            last[version] = max(state.last_us, last.get(version, state.last_us))
    gone = sorted(last, key=lambda version: (last[version], version))[:-versions]
    for name in [n for n in tests if n.startswith(tuple(f"{model}\t{v}\t" for v in gone))]:
        del tests[name]


def _has_rows(counts: Sequence[tuple[int, ...]]) -> bool:
    there, missing = presence(counts[0])
    return there + missing >= ROWS_MIN


def _learn(asked: Asked, state: SegmentState, start_us: int, pane_s: float) -> SegmentState:
    counts = tuple(asked.counts)
    chain = hashlib.sha256(state.chain + msgspec.json.encode((start_us, counts))).digest()
    learned = (*state.learned, counts)
    more = replace(state, last_us=start_us, panes=state.panes + 1, chain=chain, learned=learned)
    if len(learned) < LEARNED:
        return more
    columns = tuple(
        _profile(column, np.array([pane[at] for pane in learned], dtype=np.int64))
        for at, column in enumerate(asked.columns)
    )
    tests = drift.initial(_plan(asked, columns, pane_s), state.about)
    tests = replace(tests, panes=more.panes, chain=chain)
    return replace(more, learned=(), columns=columns, tests=tests)


def _plan(asked: Asked, columns: tuple[FeatureProfile, ...], pane_s: float) -> Plan:
    alone = None if asked.alone is None else columns[-1]
    return plan_of(columns[: len(asked.features)], alone, pane_s, asked.metric)


def _profile(column: FeatureProfile, panes: Integers) -> FeatureProfile:
    """Return a column's profile as these panes, [pane, bin], make it."""
    total: Integers = np.add.reduce(panes, axis=0)
    is_numeric = column.kind == "numeric"
    values = measure(panes[:, np.newaxis, :-1], np.array([is_numeric]))
    there: Integers = np.add.reduce(panes[:, :-1], axis=1)
    both = np.stack([there, panes[:, -1]], axis=1)
    missing = measure(both[:, np.newaxis], np.array([False]))
    known = column.rows or PaneRows(is_independent=True)
    is_independent = known.is_independent and bool(values.is_independent[0])
    width, kept = packed_panes(panes[:0] if is_independent or not is_numeric else panes)
    rows = PaneRows(
        is_independent=is_independent,
        dispersion=_divisor(known.dispersion, values),
        missing_dispersion=_divisor(known.missing_dispersion, missing),
        panes=len(kept) // (width * panes.shape[1]),
        width=width,
        counts=kept,
    )
    return replace(column, counts=tuple(total.tolist()), rows=rows)


def _divisor(known: float, found: Dependence) -> float:
    return known if found.is_independent[0] else max(known, float(found.upper[0]))
