"""The bins of many rows of features at once, whatever their models.

Rule 1: `profile.bin_of`, value by value, is the definition; this gives the same bins and amounts.
Rule 2: rows of all models are binned together: the bins of panes and features lie end to end.
Rule 3: only comparisons, one division and one rounding a value, as in `profile` (numeric, Rule 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamops.core.feature_reader import Reader, Row
from streamops.core.panes import Pane, add_bins
from streamops.core.profile import CLAMP
from streamops.core.quality import INTEGER_MAX
from streamops.values import FeatureProfile

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]

# An amount is at most 2^50 quanta: so many add up below 2^63.
ROWS_MAX = 4096
FLOAT_MAX = float.fromhex("0x1.fffffffffffffp+1023")


class Binned(NamedTuple):
    """A value's place: bin within its feature, amount in quanta, whether it was a fault."""

    at: Indices
    amounts: Indices
    faults: NDArray[np.bool_]


class Tables(NamedTuple):
    """Numeric features of some readers, padded to the same number: reader x feature.

    edges  one array a rank of edge, from the lowest; infinity where a feature has fewer
    """

    edges: list[Numbers]
    low: Numbers
    high: Numbers
    quantum: Numbers
    missing: Indices
    starts: Indices


def count_rows(
    panes: Sequence[Pane], readers: Sequence[Reader], places: Sequence[int], rows: Sequence[Row]
) -> None:
    """Count features in their panes.

    readers  one a pane
    places   the pane of each row
    """
    for first in range(0, len(rows), ROWS_MAX):
        last = first + ROWS_MAX
        _count_some(panes, readers, places[first:last], rows[first:last])


def _count_some(
    panes: Sequence[Pane], readers: Sequence[Reader], places: Sequence[int], rows: Sequence[Row]
) -> None:
    kinds = list(dict.fromkeys(readers))
    bases = np.array(list(accumulate((r.width for r in readers), initial=0)), dtype=np.int64)
    place = np.array(places, dtype=np.int64)
    faults = np.zeros(len(panes), dtype=np.int64)
    keys, amounts = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    if any(reader.numeric for reader in kinds):
        number = {reader: n for n, reader in enumerate(kinds)}
        of_row = np.array([number[reader] for reader in readers], dtype=np.int64)[place]
        tables = _tables(kinds)
        binned = _bin_numbers(tables, of_row, _numeric(kinds, of_row, rows))
        starts = tables.starts[of_row]
        real = starts >= 0
        keys.append((bases[place][:, None] + starts + binned.at)[real])
        amounts.append(binned.amounts[real])
        np.add.at(faults, place, np.count_nonzero(binned.faults, axis=1))
    if any(reader.other for reader in kinds):
        found = _categories(readers, bases.tolist(), places, rows, faults)
        keys.append(np.array(found, dtype=np.int64))
        amounts.append(np.zeros(len(found), dtype=np.int64))
    _add(panes, readers, bases, np.concatenate(keys), np.concatenate(amounts))
    for pane, fault in zip(panes, faults.tolist(), strict=True):
        pane.faults += fault


def bin_column(profile: FeatureProfile, values: Sequence[int | float | None]) -> Binned:
    """Return the places of one numeric feature's values."""
    rows = [(value,) for value in values]
    tables = _tables_of([[profile]], [[0]])
    of_row = np.zeros(len(rows), dtype=np.int64)
    binned = _bin_numbers(tables, of_row, rows)
    return Binned(binned.at[:, 0], binned.amounts[:, 0], binned.faults[:, 0])


def _categories(
    readers: Sequence[Reader],
    bases: Sequence[int],
    places: Sequence[int],
    rows: Sequence[Row],
    faults: Indices,
) -> list[int]:
    keys = list[int]()
    for place, row in zip(places, rows, strict=True):
        reader = readers[place]
        for at in reader.other:
            bin_, fault = reader.category(at, row[at])
            keys.append(bases[place] + reader.starts[at] + bin_)
            if fault:
                faults[place] += 1
    return keys


def _bin_numbers(tables: Tables, of_row: Indices, rows: Sequence[Row]) -> Binned:
    x = _matrix(rows)
    too_large = _too_large(x, rows)
    missing = np.isnan(x) | too_large
    x[missing] = 0.0

    def pick(table: NDArray[Any]) -> NDArray[Any]:
        return table if len(table) == 1 else table[of_row]

    at = np.ones(x.shape, dtype=np.int64)
    for edges in tables.edges:
        at += x >= pick(edges)
    last = pick(tables.missing)
    at = np.where(x < pick(tables.low), 0, np.where(x > pick(tables.high), last - 1, at))
    with np.errstate(over="ignore"):
        quanta = np.rint(x / pick(tables.quantum))
    amounts = np.minimum(np.maximum(quanta, -CLAMP), CLAMP).astype(np.int64)
    return Binned(np.where(missing, last, at), np.where(missing, 0, amounts), too_large)


def _numeric(kinds: Sequence[Reader], of_row: Indices, rows: Sequence[Row]) -> Sequence[Row]:
    """Return each row's numeric values, padded with missing ones to the same number."""
    width = max(len(reader.numeric) for reader in kinds)
    if all(len(reader.numeric) == width and not reader.other for reader in kinds):
        return rows
    pads = [(None,) * (width - len(reader.numeric)) for reader in kinds]
    return [
        (*(row[at] for at in kinds[kind].numeric), *pads[kind])
        for kind, row in zip(of_row.tolist(), rows, strict=True)
    ]


def _matrix(rows: Sequence[Row]) -> Numbers:
    """Return the values, row x feature; not a number where missing."""
    size = len(rows) * len(rows[0])
    try:
        x = np.fromiter(chain.from_iterable(rows), dtype=np.float64, count=size)
    except (TypeError, OverflowError):
        values = map(_held, chain.from_iterable(rows))
        x = np.fromiter(values, dtype=np.float64, count=size)
    return x.reshape(len(rows), -1)


def _held(value: int | float | None) -> float:
    """What a double can hold: a larger integer only has to stay beyond 2^53."""
    if value is None:
        return math.nan
    return float(value) if abs(value) <= FLOAT_MAX else (FLOAT_MAX if value > 0 else -FLOAT_MAX)


def _too_large(x: Numbers, rows: Sequence[Row]) -> NDArray[np.bool_]:
    found = np.abs(x) >= INTEGER_MAX
    for at, feature in np.argwhere(found).tolist():
        value = rows[at][feature]
        found[at, feature] = isinstance(value, int) and abs(value) > INTEGER_MAX
    return found


def _tables(kinds: Sequence[Reader]) -> Tables:
    return _tables_of(
        [[reader.features[at] for at in reader.numeric] for reader in kinds],
        [[reader.starts[at] for at in reader.numeric] for reader in kinds],
    )


def _tables_of(
    kinds: Sequence[Sequence[FeatureProfile]], starts: Sequence[Sequence[int]]
) -> Tables:
    shape = len(kinds), max(len(features) for features in kinds)
    deepest = max((len(f.edges) for features in kinds for f in features), default=0)
    edges = np.full((deepest, *shape), np.inf)
    low, high, quantum = np.zeros(shape), np.zeros(shape), np.ones(shape)
    missing, start = np.zeros(shape, dtype=np.int64), np.full(shape, -1, dtype=np.int64)
    for n, features in enumerate(kinds):
        for at, feature in enumerate(features):
            edges[: len(feature.edges), n, at] = feature.edges
            low[n, at], high[n, at], quantum[n, at] = feature.low, feature.high, feature.quantum
            missing[n, at], start[n, at] = len(feature.counts) - 1, starts[n][at]
    return Tables(list(edges), low, high, quantum, missing, start)


def _add(
    panes: Sequence[Pane],
    readers: Sequence[Reader],
    bases: Indices,
    keys: Indices,
    amounts: Indices,
) -> None:
    width = int(bases[-1])
    counts = np.bincount(keys, minlength=width).tolist()
    totals = np.zeros(width, dtype=np.int64)
    np.add.at(totals, keys, amounts)
    sums = totals.tolist()
    for pane, reader, base in zip(panes, readers, bases[:-1].tolist(), strict=True):
        ends = [base + start for start in (*reader.starts, reader.width)]
        blocks = [slice(*ends[at : at + 2]) for at in range(len(reader.starts))]
        if reader.scored:
            score = blocks.pop()
            add_bins(pane.score, counts[score])
            add_bins(pane.score_sums, sums[score])
        if not pane.counts:
            pane.counts = [[] for _ in blocks]
            pane.sums = [[] for _ in blocks]
        for at, block in enumerate(blocks):
            add_bins(pane.counts[at], counts[block])
            add_bins(pane.sums[at], sums[block])
