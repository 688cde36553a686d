"""Columns of many records: what is done to a whole list at once instead of record by record.

Rule 1: an order that matters is the list's: rows of a group stay as they came, groups stand in the
        order in which their first rows came.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise
from operator import add, itemgetter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]
Column = NDArray[Any]
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


def numbered(keys: Sequence[K]) -> tuple[list[K], Indices]:
    """Return the distinct keys in order of appearance, and each row's place among them."""
    distinct = list(dict.fromkeys(keys))
    if len(distinct) == 1:
        return distinct, np.zeros(len(keys), dtype=np.int64)
    places = dict(zip(distinct, range(len(distinct)), strict=True))
    return distinct, np.fromiter(map(places.__getitem__, keys), np.int64, len(keys))


def renumbered(codes: Indices, size: int) -> tuple[list[int], Indices]:
    """Return `numbered` of codes below `size`."""
    distinct = list(dict.fromkeys(codes.tolist()))
    places = np.zeros(size, dtype=np.int64)
    places[distinct] = np.arange(len(distinct))
    return distinct, places[codes]


def groups_of(codes: Indices) -> Sequence[tuple[int, Indices]]:
    """Return each code that occurs with its rows, in order of appearance."""
    if not len(codes):
        return []
    if (codes == codes[0]).all():
        return [(int(codes[0]), np.arange(len(codes)))]
    order = codes.argsort(kind="stable")
    of = codes[order]
    cuts = [0, *((of[1:] != of[:-1]).nonzero()[0] + 1).tolist(), len(of)]
    rows = [order[first:last] for first, last in pairwise(cuts)]
    return sorted(zip(of[cuts[:-1]].tolist(), rows, strict=True), key=_first_row)


def joined(parts: Sequence[Indices]) -> Indices:
    """Return the rows of some groups in their order."""
    return parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts))


def pick(column: Sequence[T], rows: Indices) -> Sequence[T]:
    """Return the values of some rows, ascending."""
    if len(rows) == len(column):
        return column
    if len(rows) == 1:
        return (column[int(rows[0])],)
    found: Sequence[T] = itemgetter(*rows.tolist())(column) if len(rows) else ()
    return found


def objects(values: Sequence[Any]) -> Column:
    """Return values as an array of objects, whatever they are."""
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _first_row(group: tuple[int, Indices]) -> int:
    return int(group[1][0])


class Groups:
    """Rows of several groups, one behind the other; a row may be in more than one.

    rows    of all groups
    of_row  the group of each
    """

    def __init__(self, groups: Sequence[Indices]) -> None:
        self.size = len(groups)
        self.rows = np.concatenate(groups) if groups else np.zeros(0, dtype=np.int64)
        self.of_row = np.repeat(np.arange(self.size), list(map(len, groups)))

    def where(self, flags: Flags) -> Groups:
        """Return the same groups with those rows only that are flagged."""
        kept, some = flags[self.rows], Groups(())
        some.size, some.rows, some.of_row = self.size, self.rows[kept], self.of_row[kept]
        return some

    @property
    def starts(self) -> Indices:
        """Where each group's rows begin."""
        return self.of_row.searchsorted(np.arange(self.size))

    def pick(self, column: Sequence[T]) -> Sequence[T]:
        """Return the values of the rows of all groups."""
        if self.size == 1:
            return pick(column, self.rows)
        return list(map(column.__getitem__, self.rows.tolist()))

    def parts(self, column: Sequence[T]) -> list[Sequence[T]]:
        """Return the values of each group's rows."""
        some = self.pick(column)
        return [some[first:last] for first, last in pairwise([*self.starts.tolist(), len(some)])]

    def sizes(self) -> list[int]:
        """Return how many rows each group has."""
        found: list[int] = np.bincount(self.of_row, minlength=self.size).tolist()
        return found

    def counts(self, codes: Indices, width: int) -> Indices:
        """Return for each group how often it has each of the codes below `width`."""
        at = self.of_row * width + codes[self.rows]
        return np.bincount(at, minlength=self.size * width).reshape(self.size, width)

    def histograms(self, codes: Indices, width: int) -> list[list[int]]:
        """Return `counts` as lists."""
        found: list[list[int]] = self.counts(codes, width).tolist()
        return found

    def totals(self, terms: Indices, rows_max: int) -> list[int]:
        """Return each group's sum; `rows_max` terms add up in 64 bits."""
        found = [0] * self.size
        for first in range(0, len(self.rows), rows_max):
            some = slice(first, first + rows_max)
            block = np.zeros(self.size, dtype=np.int64)
            np.add.at(block, self.of_row[some], terms[self.rows[some]])
            found = list(map(add, found, block.tolist()))
        return found
