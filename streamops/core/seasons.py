"""Which season a reference column has: measured on its own rows and their times.

Rule 1: a season is offered only what the reference has seen: every phase in at least three panes
        of at least 20 rows, and no more panes than a profile may keep.
Rule 2: it is taken only if phases explain what panes differ by: for the panes' mean or spread,

    M log(rss / rss of phases) > (phases - 1) log M

        which is Schwarz's criterion (1978) for normal scores of M panes; half of the M is taken off
        where the panes that are left remember each other, as they are fewer than they look.
Rule 3: the finest season that is taken wins: a day that hours explain isn't explained by weekdays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamops.core import calendar_phases as calendar
from streamops.core.numeric import Floats, Integers, log_scalar, ordered_sum
from streamops.core.scores import PANE_ROWS_MIN, REFERENCE_PANES_MIN, lay_out, scale_of, score
from streamops.values import PHASES, SeasonName

PHASE_PANES_MIN = 3
PANES_MAX = 600
BYTES_MAX = 400_000
_JUDGED = (0, 1)
_LAG_MAX = 0.2


class Seasonal(NamedTuple):
    """A season, the panes of its buckets, [pane, bin], oldest first, and their phases."""

    season: SeasonName
    panes: Integers
    phases: Integers


def panes_max(columns: int, bins: int) -> int:
    """Return how many panes a column of so many may keep: a profile is broadcast whole."""
    return min(PANES_MAX, BYTES_MAX // max(1, columns * bins))


def find(bins: Integers, width: int, times_us: Integers, panes: int) -> Seasonal | None:
    """Return the season of a numeric column, given as each row's bin and time; None has none.

    panes  how many may be kept: of more, the newest
    """
    order = np.argsort(times_us, kind="stable")
    bins, times_us = bins[order], times_us[order]
    for season in PHASES:
        found = _cut(season, bins, width, times_us, panes)
        if found is not None and _explains(found):
            return found
    return None


def _cut(
    season: SeasonName, bins: Integers, width: int, times_us: Integers, most: int
) -> Seasonal | None:
    """Cut rows where their bucket changes; None where a phase was seen too seldom."""
    place = calendar.buckets(season, times_us)
    begins = np.flatnonzero(np.diff(place, prepend=place[0] - 1))
    rows = np.diff(begins, append=len(bins))
    pane = np.repeat(np.arange(len(begins)), rows)
    counts = np.bincount(pane * width + bins, minlength=len(begins) * width)
    counts = counts.astype(np.int64).reshape(len(begins), width)
    enough = np.flatnonzero(np.add.reduce(counts[:, :-1], axis=1) >= PANE_ROWS_MIN)[-most:]
    phases = calendar.phases(season, times_us[begins])[enough]
    seen = np.bincount(phases, minlength=PHASES[season])
    if len(enough) < REFERENCE_PANES_MIN or int(seen.min()) < PHASE_PANES_MIN:
        return None
    return Seasonal(season, counts[enough], phases)


def _explains(found: Seasonal) -> bool:
    laid = lay_out(found.panes.tolist())[:, np.newaxis]
    scale = scale_of(laid)
    if not scale.usable[0]:
        return False
    z = score(scale, laid, inside=True)[:, 0]
    return any(_gain(z[:, at], found.phases, PHASES[found.season]) > 0.0 for at in _JUDGED)


def _gain(z: Floats, phases: Integers, count: int) -> float:
    """By how much phases explain one score better than they cost, in nats."""
    whole = z - ordered_sum(z) / len(z)
    left = residuals(z, phases)
    rss, rest = ordered_sum(whole * whole), ordered_sum(left * left)
    if not rss > 0.0 or not rest > 0.0:
        return 0.0
    lag = ordered_sum(left[:-1] * left[1:]) / rest
    panes = len(z) * (0.5 if lag > _LAG_MAX else 1.0)
    return panes * log_scalar(rss / rest) - (count - 1) * log_scalar(float(len(z)))


def residuals(z: Floats, phases: Integers) -> Floats:
    """Return scores less the mean of their phase, in order."""
    found = z.copy()
    for phase in range(int(phases.max(initial=0)) + 1):
        at = np.flatnonzero(phases == phase)
        if len(at):
            found[at] = z[at] - ordered_sum(z[at]) / len(at)
    return found
