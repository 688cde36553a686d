"""A pane's counts as one table for all tests of a version: a row a column, made in one go.

Rule 1: a column's values are on the left of its row, its missing bin is the row's last.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from streamops.core.numeric import Integers
from streamops.values import FeatureProfile


class Places(NamedTuple):
    """Where counts of the columns, end to end, lie in the table.

    shape  columns and bins of the table; at: place of each count in it
    above  place in its row of a numeric column's bin above high; 0 for any other column
    """

    shape: tuple[int, int]
    at: Integers
    above: Integers


def places_of(columns: Sequence[FeatureProfile]) -> Places:
    """Return where counts laid out as these profiles lie."""
    width = max((len(column.counts) for column in columns), default=1)
    rows = [
        [*range(row * width, row * width + len(column.counts) - 1), (row + 1) * width - 1]
        for row, column in enumerate(columns)
    ]
    above = [len(c.counts) - 2 if c.kind == "numeric" else 0 for c in columns]
    at = np.array([place for row in rows for place in row], dtype=np.int64)
    return Places((len(columns), width), at, np.array(above, dtype=np.int64))


def table_of(places: Places, counts: Sequence[Sequence[int]]) -> Integers:
    """Return counts as a table, [column, bin]."""
    flat = np.fromiter(chain.from_iterable(counts), dtype=np.int64)
    assert len(flat) == len(places.at), f"{len(flat)} bins of {len(places.at)}"
    found = np.zeros(places.shape, dtype=np.int64)
    found.reshape(-1)[places.at] = flat
    return found


def laid_out(places: Places, table: Integers, columns: Sequence[int], bins: int) -> Integers:
    """Return numeric columns of a table as `scores.lay_out` lays them out, `bins` wide."""
    chosen = np.array(columns)
    row, above = np.arange(len(chosen)), places.above[chosen]
    found = table[chosen]
    found[row, above - 1] += found[row, above]
    found[row, above] = 0
    found[:, 1] += found[:, 0]
    laid: Integers = found[:, 1 : bins + 1]
    return laid
