"""What a reference lets its tests see: the season it showed, how its rows hang together, and the
smallest shift of a mean that can be found at all.

Rule 1: for people. No conclusion of the fold rests on anything here.
Rule 2: all of it follows from the profile alone, as the tests' plan does.

Detection of a shift of d standard deviations needs about 1 / n_ref + 1 / n_live <= d^2 / (30 c), c
the rows that stand for one independent row: a fit to t-SR (docs/explanation/detection.md), good to
a factor of two either way.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import msgspec
import numpy as np

from streamops.core import scores
from streamops.core.dependence import detectable_shift, lag_1, mean_scores, score_variance
from streamops.core.evaluate import sum_of
from streamops.core.numeric import Floats, Integers
from streamops.core.pane_rows import panes_of, phases_of, season_of
from streamops.core.seasons import residuals
from streamops.values import FeatureProfile, SeasonName

SHIFT = 0.3
_DETECTABLE = 30.0

Role = Literal["feature", "score", "label"]


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a reference.

    rows          of the reference that have a value
    is_measured   its trainer measured how its rows depend on each other
    test          that its values get, on live panes no longer than its season's, if it has one
    season        the season that the reference showed; panes: how many are kept of it for the test
    lag_1         correlation of a kept pane's mean with the next one's, its season taken out
    rows_per_independent  c: so many rows say as much as one independent row
    least_shift   standard deviations; a smaller shift of the mean is never found
    rows_to_shift rows until a shift of .3 is found, about; none where it never is
    """

    name: str
    role: Role
    kind: str
    rows: int
    is_measured: bool
    test: Literal["t-SR", "e-SR"]
    season: SeasonName | None
    panes: int
    lag_1: float | None
    rows_per_independent: float
    least_shift: float | None
    rows_to_shift: int | None


@lru_cache(maxsize=1024)
def sight_of(column: FeatureProfile, role: Role = "feature") -> Sight:
    """Return what a column's reference lets its test see."""
    kept, season = panes_of(column), season_of(column)
    is_numeric = column.kind == "numeric"
    by_pane = is_numeric and len(kept) >= scores.REFERENCE_PANES_MIN
    by_pane = by_pane and not (column.rows is not None and column.rows.is_independent)
    c, lag = 1.0 if column.rows is None else max(column.rows.dispersion, 1.0), None
    if by_pane:
        c, lag = _of_panes(kept, phases_of(column) if season is not None else None)
    rows = sum_of(column.counts[:-1])
    has_mean = is_numeric and rows > 0 and len(column.edges) > 0
    least = detectable_shift(rows, c) if has_mean else None
    return Sight(
        name=column.name,
        role=role,
        kind=column.kind,
        rows=rows,
        is_measured=column.rows is not None,
        test="t-SR" if by_pane else "e-SR",
        season=season,
        panes=len(kept),
        lag_1=lag,
        rows_per_independent=c,
        least_shift=least,
        rows_to_shift=None if least is None else _rows_to(SHIFT, rows, c),
    )


def _of_panes(kept: Integers, phases: Integers | None) -> tuple[float, float]:
    """Return c of the panes' means, at least 1, and their lag-1 correlation."""
    panes = scores.lay_out(kept.tolist())[:, np.newaxis]
    means = mean_scores(panes)
    freedom = max(len(kept) - 1, 1)
    if phases is not None:
        means = residuals(means[:, 0], phases)[:, np.newaxis]
        freedom = max(len(kept) - len(np.unique(phases)), 1)
    centred: Floats = means - np.add.accumulate(means, axis=0)[-1] / len(means)
    n: Integers = np.add.reduce(panes, axis=2)
    spread = float(np.add.accumulate(centred * centred * n, axis=0)[-1, 0])
    variance = float(score_variance(panes)[0])
    c = spread / (freedom * variance) if variance > 0.0 else 1.0
    return max(c, 1.0), float(lag_1(means)[0])


def _rows_to(shift: float, rows: int, c: float) -> int | None:
    left = shift * shift / (_DETECTABLE * c) - 1.0 / rows
    return round(1.0 / left) if left > 0.0 else None


def words(sight: Sight) -> str:
    """Return in a sentence what it means for a user."""
    if sight.least_shift is None:
        return "a column without a mean: shares of its values are compared"
    if sight.rows_to_shift is None:
        return (
            f"a shift of the mean below {sight.least_shift:.2g} sd is never found: give a longer "
            "reference"
        )
    return (
        f"a shift of the mean by {SHIFT:g} sd is found in about {sight.rows_to_shift:,} rows, one "
        f"below {sight.least_shift:.2g} sd never"
    )
