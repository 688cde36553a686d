"""The bins of many rows of features at once, whatever their models.

Rule 1: `profile.bin_of`, value by value, is the definition; this gives the same bins and amounts.
Rule 2: rows of all models are binned together: the bins of panes and features lie end to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from operator import add
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import astuple

from streamops.core.columns import Indices
from streamops.core.edges import Binned, Column, Values, bin_numbers, table_of, tables_of
from streamops.core.feature_reader import Reader
from streamops.core.panes import Pane, add_bins
from streamops.values import FeatureProfile

# An amount is at most 2^50 quanta: so many add up below 2^63.
ROWS_MAX = 4096
HALF_BITS = 25


def count_rows(
    panes: Sequence[Pane],
    readers: Sequence[Reader],
    places: Indices,
    rows: Sequence[Any],
    scores: Sequence[float | None],
) -> None:
    """Count features, and the scores of readers that count those too, in their panes.

    readers  one a pane
    places   the pane of each row
    rows     features, as the reader of the row's pane decoded them
    """
    bases = np.array(list(accumulate((r.width for r in readers), initial=0)), dtype=np.int64)
    # In one order whatever order they came in, so that their tables together are known.
    kinds = sorted(set(readers), key=id)
    places_of = {reader: at for at, reader in enumerate(kinds)}
    of_pane = np.array([places_of[reader] for reader in readers], dtype=np.int64)
    faults = np.zeros(len(panes), dtype=np.int64)
    keys, amounts = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    if any(reader.numeric for reader in kinds):
        of_row = of_pane[places]
        tables = tables_of(kinds)
        values = Values(kinds, of_row, rows, scores)
        binned = bin_numbers(tables, of_row, values)
        found = bases[places][:, None] + binned.at
        if len(kinds) == 1:
            keys.append((found + tables.starts).ravel())
            amounts.append(binned.amounts.ravel())
        else:
            starts = tables.starts[of_row]
            real = starts >= 0
            keys.append((found + starts)[real])
            amounts.append(binned.amounts[real])
        if binned.faults.any():
            np.add.at(faults, places, np.count_nonzero(binned.faults, axis=1))
    if any(reader.other for reader in kinds):
        others = _categories(readers, bases.tolist(), places.tolist(), rows, faults)
        keys.append(np.array(others, dtype=np.int64))
        amounts.append(np.zeros(len(others), dtype=np.int64))
    largest = int(np.max(np.bincount(places)))
    _add(panes, readers, bases, np.concatenate(keys), _Amounts(np.concatenate(amounts), largest))
    for at in faults.nonzero()[0].tolist():
        panes[at].faults += int(faults[at])


def bin_column(profile: FeatureProfile, values: Sequence[int | float | None]) -> Binned:
    """Return the places of one numeric feature's values."""
    of_row = np.zeros(len(values), dtype=np.int64)
    binned = bin_numbers(table_of([profile], [0]), of_row, Column(values))
    return Binned(binned.at[:, 0], binned.amounts[:, 0], binned.faults[:, 0])


def _categories(
    readers: Sequence[Reader],
    bases: Sequence[int],
    places: Sequence[int],
    rows: Sequence[Any],
    faults: Indices,
) -> list[int]:
    keys = list[int]()
    for place, row in zip(places, rows, strict=True):
        reader, values = readers[place], astuple(row)
        for at in reader.other:
            bin_, fault = reader.category(at, values[at])
            keys.append(bases[place] + reader.starts[at] + bin_)
            if fault:
                faults[place] += 1
    return keys


def _add(
    panes: Sequence[Pane],
    readers: Sequence[Reader],
    bases: Indices,
    keys: Indices,
    amounts: _Amounts,
) -> None:
    width = int(bases[-1])
    counts = np.bincount(keys, minlength=width).tolist()
    sums = amounts.totals(keys, width)
    for pane, reader, (first, last) in zip(panes, readers, pairwise(bases.tolist()), strict=True):
        some, more = counts[first:last], sums[first:last]
        blocks = reader.blocks
        if reader.scored:
            add_bins(pane.score, some[blocks[-1]])
            add_bins(pane.score_sums, more[blocks[-1]])
            blocks = blocks[:-1]
        if not pane.counts:
            pane.counts = [some[block] for block in blocks]
            pane.sums = [more[block] for block in blocks]
            continue
        for at, block in enumerate(blocks):
            pane.counts[at] = list(map(add, pane.counts[at], some[block]))
            pane.sums[at] = list(map(add, pane.sums[at], more[block]))


class _Amounts(NamedTuple):
    """Amounts to add up, of which no pane has more than `largest` rows."""

    values: Indices
    largest: int

    def totals(self, keys: Indices, width: int) -> list[int]:
        """Return the sum under each key."""
        if self.largest <= ROWS_MAX:
            return _totals(keys, self.values, width)
        # Above it 64 bits could overflow: the high and the low half of each amount don't.
        high = _totals(keys, self.values >> HALF_BITS, width)
        low = _totals(keys, self.values & ((1 << HALF_BITS) - 1), width)
        return [(one << HALF_BITS) + other for one, other in zip(high, low, strict=True)]


def _totals(keys: Indices, amounts: Indices, width: int) -> list[int]:
    totals = np.zeros(width, dtype=np.int64)
    np.add.at(totals, keys, amounts)
    found: list[int] = totals.tolist()
    return found
