"""Phases of the calendar: which regressor a pane has, by its event time alone, in UTC.

Rule 1: a season names how long its panes may be at most (a bucket of time) and how many phases it
        has; a longer pane mixes phases, and has no season.
Rule 2: times are whole microseconds; days and months are counted in integers.

    hour_weekend  hour of the day, apart on Saturdays and Sundays: 48 phases
    hour          hour of the day: 24
    weekday       day of the week, Monday first: 7
    month         month of the year: 12
"""

from __future__ import annotations

import numpy as np

from streamops.core.numeric import Integers
from streamops.core.times import SECOND_US
from streamops.values import SeasonName

_HOUR_US = 3600 * SECOND_US
_DAY_US = 24 * _HOUR_US
# The first of January 1970 was a Thursday.
_MONDAY = 3
_BUCKETS_S = {"hour_weekend": 3600, "hour": 3600, "weekday": 86_400, "month": 31 * 86_400}


def fits(season: SeasonName, pane_s: float) -> bool:
    """Tell whether a pane of this length lies within one phase."""
    return 0 < pane_s <= _BUCKETS_S[season]


def phases(season: SeasonName, times_us: Integers) -> Integers:
    """Return the phase of each time."""
    day = np.floor_divide(times_us, _DAY_US)
    weekday: Integers = (day + _MONDAY) % 7
    if season == "weekday":
        return weekday
    if season == "month":
        return _months(times_us) % 12
    hour: Integers = np.floor_divide(times_us, _HOUR_US) % 24
    return hour if season == "hour" else hour + 24 * (weekday >= 5)


def buckets(season: SeasonName, times_us: Integers) -> Integers:
    """Return the number of the hour, day or month that each time lies in: a pane of the season."""
    if season == "month":
        return _months(times_us)
    length = _DAY_US if season == "weekday" else _HOUR_US
    found: Integers = np.floor_divide(times_us, length)
    return found


def _months(times_us: Integers) -> Integers:
    months: Integers = times_us.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    return months
