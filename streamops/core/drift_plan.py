"""Which drift test each column of a version has: fixed by its reference profile, before any pane.

Rule 1: a number whose reference rows depend on each other is t-SR's, with the reference's panes.
        Any other column's values are e-SR's: numbers whose rows look independent, categories,
        constants, references of fewer than 20 panes. Missing values are e-SR's, for every column.
Rule 2: e-SR divides its evidence by the dispersion that the reference showed, t-SR by what the
        lag-1 correlation of its reference panes makes of it. A profile that never measured its
        rows is taken at its word: rows are counted as independent.
Rule 3: a column with a season is held against the panes of its phase, if live panes are no longer
        than the season's; else against all of them.
Rule 4: a plan follows from the profile alone; what a producer wrote into it is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from streamops.core import alternatives, scores, t_factors
from streamops.core import calendar_phases as calendar
from streamops.core.dependence import lag_1, mean_scores
from streamops.core.numeric import Integers
from streamops.core.pane_rows import panes_of, phases_of, season_of
from streamops.core.pane_table import Laid, Places, laid_of, places_of
from streamops.core.season import NO_SEASON
from streamops.core.season import phases as seasons_of
from streamops.core.seasons import residuals
from streamops.values import PHASES, FeatureProfile, SeasonName

LAG_FREE = 0.2
LAG_MAX = 0.95
DISPERSION_MAX = 1e6
_FEATURE_METRIC, _SCORE_METRIC = "drift", "score_drift"


class Part(NamedTuple):
    """Columns that e-SR takes side by side, by their number, what their references fix, and of how
    many bins each is."""

    columns: tuple[int, ...]
    bins: int
    base: alternatives.Baseline


class Plan(NamedTuple):
    """Tests of a version. A part without columns is None.

    columns   profiles of features, then of a column that is none, if one is tested; features: how
              many are
    by_pane   columns of t-SR; pane_base: their reference; seasons: of each, if it has one
    ordered, words, missing  e-SR: numbers, categories, and whether features have a value
    places    where a pane's counts lie in its table; laid: where t-SR's columns do
    names     metric and feature of each column's evidence
    """

    columns: tuple[FeatureProfile, ...]
    features: int
    by_pane: tuple[int, ...]
    pane_base: t_factors.Baseline | None
    ordered: Part | None
    words: Part | None
    missing: Part | None
    places: Places
    laid: Laid
    seasons: tuple[SeasonName | None, ...]
    names: tuple[tuple[str, str], ...]

    @property
    def streams(self) -> int:
        """How many streams are tested: each has an equal share of the budget."""
        return len(self.columns) + self.features


@lru_cache(maxsize=2048)
def plan_of(
    features: tuple[FeatureProfile, ...],
    score: FeatureProfile | None,
    pane_s: float = 0.0,
    alone: str = _SCORE_METRIC,
) -> Plan:
    """Return the tests of these columns; no score: it isn't tested.

    score   the column that is no feature: the score, or the label; alone: its metric
    pane_s  length of live panes: a season is used if such a pane lies within a phase; 0: none is
    """
    columns = features if score is None else (*features, score)
    panes = {at: _panes(column, pane_s) for at, column in enumerate(columns)}
    by_pane = [at for at, found in panes.items() if len(found.panes)]
    base = _base([panes[at] for at in by_pane])
    if base is not None and not base.scale.usable.all():
        # Columns that can't be scored have too few panes or bins.
        by_pane = [by_pane[at] for at in np.flatnonzero(base.scale.usable).tolist()]
        base = _base([panes[at] for at in by_pane])
    rest = [at for at in panes if at not in by_pane]
    ordered = [at for at in rest if columns[at].kind == "numeric"]
    words = [at for at in rest if columns[at].kind != "numeric"]
    places = places_of(columns)
    return Plan(
        columns,
        len(features),
        tuple(by_pane),
        base,
        _part(columns, ordered, True),
        _part(columns, words, False),
        _missing(columns[: len(features)]),
        places,
        laid_of(places, by_pane, 1 if base is None else base.scale.scores.shape[1]),
        tuple(panes[at].season for at in by_pane),
        tuple((_FEATURE_METRIC, f.name) for f in features) + ((alone, ""),) * (score is not None),
    )


def phases_at(plan: Plan, start_us: int) -> Integers:
    """Return the phase of each of t-SR's columns in a pane that starts then."""
    if not any(plan.seasons):
        return np.zeros(len(plan.seasons), dtype=np.int64)
    time = np.array([start_us], dtype=np.int64)
    found = {s: int(calendar.phases(s, time)[0]) for s in plan.seasons if s is not None}
    return np.array([0 if s is None else found[s] for s in plan.seasons], dtype=np.int64)


def _base(columns: Sequence[_Panes]) -> t_factors.Baseline | None:
    if not columns:
        return None
    together = _together([column.panes for column in columns])
    phases = np.zeros(together.shape[:2], dtype=np.int64)
    for at, column in enumerate(columns):
        phases[: len(column.phases), at] = column.phases
    count = max(1 if c.season is None else PHASES[c.season] for c in columns)
    return t_factors.baseline(
        scores.scale_of(together),
        together,
        phases,
        seasons_of(count) if count > 1 else NO_SEASON,
        [column.dispersion for column in columns],
    )


class _Panes(NamedTuple):
    """A column's panes as t-SR reads them, [pane, bin], none for a column of e-SR's."""

    panes: Integers
    dispersion: float
    phases: Integers
    season: SeasonName | None = None


def _panes(column: FeatureProfile, pane_s: float) -> _Panes:
    """Return a column's panes; those that remember each other merged in pairs if that lowers c."""
    kept = panes_of(column)
    none = np.zeros(0, dtype=np.int64)
    is_free = column.kind != "numeric" or (column.rows is not None and column.rows.is_independent)
    if is_free or len(kept) < scores.REFERENCE_PANES_MIN:
        return _Panes(kept[:0], 1.0, none)
    panes, season = scores.lay_out(kept.tolist()), season_of(column)
    if season is not None and calendar.fits(season, pane_s):
        phases = phases_of(column)
        return _Panes(panes, lag_dispersion(panes, phases), phases, season)
    c = lag_dispersion(panes)
    if c > 1.0 and len(panes) >= 2 * scores.REFERENCE_PANES_MIN:
        odd = len(panes) % 2
        longer = panes[odd::2] + panes[odd + 1 :: 2]
        fewer = lag_dispersion(longer)
        if fewer < c:
            return _Panes(longer, fewer, none)
    return _Panes(panes, c, none)


def lag_dispersion(panes: Integers, phases: Integers | None = None) -> float:
    """Return c = (1 + lag) / (1 - lag) of consecutive panes, [pane, bin]; 1 up to a lag of .2.

    phases  of the panes: what their season explains is no memory

    An estimate over M panes is low by about (1 + 3 lag) / M (Marriott, Pope 1954): that is added.
    """
    means = mean_scores(panes[:, np.newaxis])
    if phases is not None:
        means = residuals(means[:, 0], phases)[:, np.newaxis]
    lag = float(lag_1(means)[0])
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
    base = alternatives.baseline(reference, [is_ordered] * len(chosen), c)
    return Part(tuple(chosen), max(map(len, reference)), base)


def _missing(features: Sequence[FeatureProfile]) -> Part | None:
    if not features:
        return None
    reference = [presence(feature.counts) for feature in features]
    c = [_bounded(1.0 if (r := f.rows) is None else r.missing_dispersion) for f in features]
    base = alternatives.baseline(reference, [False] * len(features), c)
    return Part(tuple(range(len(features))), 2, base)


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
