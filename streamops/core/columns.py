"""Columns of many records: what is done to a whole list at once instead of record by record.

Rule 1: an order that matters is the list's: rows of a group stay as they came, groups stand in the
        order in which their first rows came.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from operator import itemgetter
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


def numbered(keys: Sequence[K]) -> tuple[list[K], Indices]:
    """Return the distinct keys in order of appearance, and each row's place among them."""
    distinct = list(dict.fromkeys(keys))
    if len(distinct) == 1:
        return distinct, np.zeros(len(keys), dtype=np.int64)
    places = dict(zip(distinct, range(len(distinct)), strict=True))
    return distinct, np.fromiter(map(places.__getitem__, keys), np.int64, len(keys))


def groups_of(codes: Indices) -> Iterable[tuple[int, Indices]]:
    """Return each code that occurs with its rows, in order of appearance."""
    if not len(codes):
        return []
    if np.all(codes == codes[0]):
        return [(int(codes[0]), np.arange(len(codes)))]
    order = np.argsort(codes, kind="stable")
    of = codes[order]
    cuts = np.flatnonzero(np.diff(of)) + 1
    rows = np.split(order, cuts)
    return sorted(zip(of[np.concatenate(([0], cuts))].tolist(), rows, strict=True), key=_first_row)


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


def _first_row(group: tuple[int, Indices]) -> int:
    return int(group[1][0])
