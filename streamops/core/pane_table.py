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


class Laid(NamedTuple):
    """Where numeric columns lie in a table, to be laid out as `scores.lay_out` does.

    inner         [column, bin] place of an inner bin; is_bin: all bits set where there is one
    below, above  place of the bin below low and above high; last: place of a column's last bin
    """

    inner: Integers
    is_bin: Integers
    below: Integers
    above: Integers
    last: Integers


def laid_of(places: Places, columns: Sequence[int], bins: int) -> Laid:
    """Return where these numeric columns lie, `bins` wide."""
    chosen, inner = np.array(columns, dtype=np.int64), np.arange(1, bins + 1)
    below, above = chosen * places.shape[1], places.above[chosen]
    return Laid(
        below[:, np.newaxis] + np.minimum(inner, places.shape[1] - 1),
        -(inner < above[:, np.newaxis]).astype(np.int64),
        below,
        below + above,
        np.arange(len(chosen)) * bins + above - 2,
    )


def laid_out(laid: Laid, table: Integers) -> Integers:
    """Return numeric columns of a table, their outer bins joined to their neighbours."""
    flat = table.reshape(-1)
    found: Integers = flat.take(laid.inner) & laid.is_bin
    found.reshape(-1)[laid.last] += flat.take(laid.above)
    found[:, 0] += flat.take(laid.below)
    return found
