"""Which drift test each column of a version has: fixed by its reference profile, before any pane.

Rule 1: a number whose reference rows depend on each other is t-SR's, with the reference's panes.
        Any other column's values are e-SR's: numbers whose rows look independent, categories,
        constants, references of fewer than 20 panes. Missing values are e-SR's, for every column.
Rule 2: e-SR divides its evidence by the dispersion that the reference showed, t-SR by what the
        lag-1 correlation of its reference panes makes of it. A profile that never measured its
        rows is taken at its word: rows are counted as independent.
Rule 3: a plan follows from the profile alone; what a producer wrote into it is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np

from streamops.core import alternatives, scores, t_factors
from streamops.core.dependence import lag_1
from streamops.core.numeric import Integers
from streamops.core.pane_rows import panes_of
from streamops.values import FeatureProfile

LAG_FREE = 0.2
LAG_MAX = 0.95
DISPERSION_MAX = 1e6


class Part(NamedTuple):
    """Columns that one test takes, by their number, and what their reference fixes."""

    columns: tuple[int, ...]
    base: alternatives.Baseline


class Places(NamedTuple):
    """Where counts of the columns lie, end to end, in a table [column, bin].

    A column's values are on the left, its missing bin is the table's last.

    at     place of each count in the table; width: of the table
    above  place in its row of a numeric column's bin above high; 0 for any other column
    """

    at: Integers
    width: int
    above: Integers


class Plan(NamedTuple):
    """Tests of a version. A part without columns is None.

    columns   profiles of features, then of the score if it is tested; features: how many are
    by_pane   columns of t-SR; pane_base: their reference
    ordered, words, missing  e-SR: numbers, categories, and whether features have a value
    """

    columns: tuple[FeatureProfile, ...]
    features: int
    by_pane: tuple[int, ...]
    pane_base: t_factors.Baseline | None
    ordered: Part | None
    words: Part | None
    missing: Part | None
    places: Places

    @property
    def streams(self) -> int:
        """How many streams are tested: each has an equal share of the budget."""
        return len(self.columns) + self.features


@lru_cache(maxsize=256)
def plan_of(features: tuple[FeatureProfile, ...], score: FeatureProfile | None) -> Plan:
    """Return the tests of these columns; no score: it isn't tested."""
    columns = features if score is None else (*features, score)
    panes = {at: _panes(column) for at, column in enumerate(columns)}
    by_pane = tuple(at for at, (found, _) in panes.items() if len(found))
    base = None
    if by_pane:
        together = _together([panes[at][0] for at in by_pane])
        lags = [panes[at][1] for at in by_pane]
        base = t_factors.baseline(scores.scale_of(together), together, dispersion=lags)
        by_pane, base = _usable(by_pane, base, together, lags)
    rest = [at for at in panes if at not in by_pane]
    ordered = [at for at in rest if columns[at].kind == "numeric"]
    words = [at for at in rest if columns[at].kind != "numeric"]
    return Plan(
        columns,
        len(features),
        by_pane,
        base,
        _part(columns, ordered, True),
        _part(columns, words, False),
        _missing(columns[: len(features)]),
        _places(columns),
    )


def table_of(plan: Plan, counts: Sequence[Sequence[int]]) -> Integers:
    """Return counts as the plan's table, [column, bin]: one array for all tests."""
    found = np.zeros((len(plan.columns), plan.places.width), dtype=np.int64)
    flat = np.fromiter(chain.from_iterable(counts), dtype=np.int64)
    assert len(flat) == len(plan.places.at), f"{len(flat)} bins of {len(plan.places.at)}"
    found.reshape(-1)[plan.places.at] = flat
    return found


def numeric_table(plan: Plan, table: Integers) -> Integers:
    """Return t-SR's rows of a table as `scores.lay_out` lays them out."""
    base = plan.pane_base
    assert base is not None, "a plan without t-SR"
    columns = np.array(plan.by_pane)
    row, above = np.arange(len(columns)), plan.places.above[columns]
    found = table[columns]
    found[row, above - 1] += found[row, above]
    found[row, above] = 0
    found[:, 1] += found[:, 0]
    laid: Integers = found[:, 1 : base.scale.scores.shape[1] + 1]
    return laid


def _places(columns: Sequence[FeatureProfile]) -> Places:
    width = max((len(column.counts) for column in columns), default=1)
    rows = [
        [*range(row * width, row * width + len(column.counts) - 1), (row + 1) * width - 1]
        for row, column in enumerate(columns)
    ]
    above = [len(c.counts) - 2 if c.kind == "numeric" else 0 for c in columns]
    at = np.array([place for row in rows for place in row], dtype=np.int64)
    return Places(at, width, np.array(above, dtype=np.int64))


def _usable(
    by_pane: tuple[int, ...], base: t_factors.Baseline, together: Integers, lags: list[float]
) -> tuple[tuple[int, ...], t_factors.Baseline | None]:
    """Leave out columns that can't be scored: too few panes or bins."""
    keep = np.flatnonzero(base.scale.usable).tolist()
    if len(keep) == len(by_pane):
        return by_pane, base
    if not keep:
        return (), None
    fewer = together[:, keep]
    again = t_factors.baseline(scores.scale_of(fewer), fewer, dispersion=[lags[at] for at in keep])
    return tuple(by_pane[at] for at in keep), again


def _panes(column: FeatureProfile) -> tuple[Integers, float]:
    """A column's panes as t-SR reads them, [pane, bin], and c; none for a column of e-SR's.

    Panes that remember each other are merged in pairs where that lowers c.
    """
    if column.kind != "numeric" or (column.rows is not None and column.rows.is_independent):
        return np.zeros((0, 1), dtype=np.int64), 1.0
    kept = panes_of(column)
    if len(kept) < scores.REFERENCE_PANES_MIN:
        return kept[:0], 1.0
    panes = scores.lay_out(kept.tolist())
    c = lag_dispersion(panes)
    if c > 1.0 and len(panes) >= 2 * scores.REFERENCE_PANES_MIN:
        odd = len(panes) % 2
        longer = panes[odd::2] + panes[odd + 1 :: 2]
        fewer = lag_dispersion(longer)
        if fewer < c:
            return longer, fewer
    return panes, c


def lag_dispersion(panes: Integers) -> float:
    """Return c = (1 + lag) / (1 - lag) of consecutive panes, [pane, bin]; 1 up to a lag of .2.

    An estimate over M panes is low by about (1 + 3 lag) / M (Marriott, Pope 1954): that is added.
    """
    lag = float(lag_1(panes[:, np.newaxis])[0])
    if lag <= LAG_FREE:
        return 1.0
    lag = min(lag + (1.0 + 3.0 * lag) / len(panes), LAG_MAX)
    return (1.0 + lag) / (1.0 - lag)


def _together(panes: Sequence[Integers]) -> Integers:
    """[pane, column, bin], padded with empty panes and bins."""
    most, width = max(len(p) for p in panes), max(p.shape[1] for p in panes)
    found = np.zeros((most, len(panes), width), dtype=np.int64)
    for at, some in enumerate(panes):
        found[: len(some), at, : some.shape[1]] = some
    return found


def _part(columns: Sequence[FeatureProfile], chosen: list[int], is_ordered: bool) -> Part | None:
    if not chosen:
        return None
    reference = [columns[at].counts[:-1] for at in chosen]
    c = [_bounded(1.0 if (r := columns[at].rows) is None else r.dispersion) for at in chosen]
    return Part(tuple(chosen), alternatives.baseline(reference, [is_ordered] * len(chosen), c))


def _missing(features: Sequence[FeatureProfile]) -> Part | None:
    if not features:
        return None
    reference = [presence(feature.counts) for feature in features]
    c = [_bounded(1.0 if (r := f.rows) is None else r.missing_dispersion) for f in features]
    base = alternatives.baseline(reference, [False] * len(features), c)
    return Part(tuple(range(len(features))), base)


def presence(counts: Sequence[int]) -> tuple[int, int]:
    """Return how many rows have a value, and how many have none."""
    there = 0
    for count in counts[:-1]:
        there += count
    return there, counts[-1]


def _bounded(dispersion: float) -> float:
    return min(max(dispersion, 1.0), DISPERSION_MAX)


def padded(rows: Sequence[Sequence[int]], width: int) -> Integers:
    """Return counts of different lengths as [stream, bin], zeros on the right."""
    found = np.zeros((len(rows), width), dtype=np.int64)
    for at, row in enumerate(rows):
        found[at, : len(row)] = row
    return found
