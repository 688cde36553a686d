"""A table in the order of its time column, cut into panes of event time.

Rule 1: panes are those of a service: of one length, from 1970 on, UTC; one without rows is none.
Rule 2: rows without a time lie in no pane.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from streamops.core.numeric import Integers
from streamops.core.times import SECOND_US
from streamops.errors import ConfigError
from streamops.operate.rows import is_time, micros_of
from streamops.operate.table import END_US, FIRST_US, YEAR_FIRST, YEAR_LAST

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
LENGTHS_S = (1, MINUTE_S, 5 * MINUTE_S, 15 * MINUTE_S, HOUR_S, 6 * HOUR_S, DAY_S, 7 * DAY_S,
             30 * DAY_S)  # fmt: skip
PANES_MAX = 10_000


class Timed(NamedTuple):
    """Places of the rows that have a time, oldest first, none if they stand so; and those times."""

    order: pa.Array | None
    times_us: Integers


class TimePanes(NamedTuple):
    """Panes that have rows: where each starts, and the number of its first row, with the end's."""

    length_s: int
    starts_us: list[int]
    bounds: list[int]


def in_order(file: Path, name: str, column: pa.ChunkedArray) -> Timed:
    """Return the order of a table by its time column; ConfigError where that has no times."""
    kind = column.type
    if not is_time(kind):
        raise ConfigError(
            f"--time is {name!r}, which is {kind} in {file}; name a column of timestamps or dates"
        )
    try:
        stands = micros_of(column)
    except pa.ArrowException as error:
        raise ConfigError(f"--time is {name!r}, not readable in {file}: {error}") from None
    known = np.array([at for at, time in enumerate(stands) if time is not None], dtype=np.int64)
    times = np.array([time for time in stands if time is not None], dtype=np.int64)
    if not len(times):
        raise ConfigError(f"--time is {name!r}, which is empty in {file}; name another column")
    if not FIRST_US <= int(times.min()) <= int(times.max()) < END_US:
        raise ConfigError(
            f"--time is {name!r}, in {file} with a year outside {YEAR_FIRST} to {YEAR_LAST}; mend "
            "the rows"
        )
    order = np.argsort(times, kind="stable")
    if len(known) == len(stands) and bool(np.all(order[1:] > order[:-1])):
        return Timed(None, times)
    return Timed(pa.array(known[order]), times[order])


def cut(times_us: Integers, pane_s: int, panes: int) -> TimePanes:
    """Cut rows into panes.

    pane_s  their length; 0: the shortest usual one that makes at most `panes`
    Raises ConfigError for a length that makes more than PANES_MAX.
    """
    span_us = int(times_us[-1] - times_us[0])
    if not pane_s:
        fits = (s for s in LENGTHS_S if span_us <= (panes - 1) * s * SECOND_US)
        pane_s = next(fits, math.ceil(span_us / ((panes - 1) * DAY_S * SECOND_US)) * DAY_S)
    numbers = times_us // (pane_s * SECOND_US)
    first = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1]))
    if len(first) > PANES_MAX:
        least = math.ceil(span_us / (PANES_MAX * SECOND_US)) + 1
        raise ConfigError(
            f"--pane is {pane_s}, which makes {len(first):,} panes; use {least:,} or more"
        )
    starts = (numbers[first] * (pane_s * SECOND_US)).tolist()
    return TimePanes(pane_s, starts, [*first.tolist(), len(times_us)])
