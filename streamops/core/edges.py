"""Numeric values of many rows to bins and amounts.

Rule 1: `profile.bin_of`, value by value, is the definition; this gives the same bins and amounts.
Rule 2: only comparisons, one division and one rounding a value, as in `profile` (numeric, Rule 1).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from streamops.core.columns import Indices, groups_of, numbered, pick
from streamops.core.feature_reader import Reader, reader_of
from streamops.core.profile import CLAMP
from streamops.core.quality import INTEGER_MAX
from streamops.values import FeatureProfile, ModelVersion

Numbers = NDArray[np.float64]
FLOAT_MAX = float.fromhex("0x1.fffffffffffffp+1023")


class Binned(NamedTuple):
    """A value's place: bin within its feature, amount in quanta, whether it was a fault."""

    at: Indices
    amounts: Indices
    faults: NDArray[np.bool_]


class Tables(NamedTuple):
    """Numeric features of some readers, padded to the same number: reader x feature.

    edges   with a last axis for the edges, one less than a power of two; infinity behind the last
    starts  where a feature's bins begin; -1 for what only pads
    """

    edges: Numbers
    low: Numbers
    high: Numbers
    quantum: Numbers
    missing: Indices
    starts: Indices


class Source(Protocol):
    """`matrix` is row x feature, not a number where one is missing; `value` one as it was sent."""

    @property
    def matrix(self) -> Numbers: ...

    def value(self, row: int, feature: int) -> int | float | None: ...


class Column:
    """One feature's values."""

    def __init__(self, values: Sequence[int | float | None]) -> None:
        self._values = values

    @property
    def matrix(self) -> Numbers:
        """All rows."""
        return _numbers(self._values, len(self._values)).reshape(-1, 1)

    def value(self, row: int, feature: int) -> int | float | None:
        """Return one as it was sent."""
        assert feature == 0, "a column has one feature"
        return self._values[row]


class Values:
    """The numbers of rows that several readers decoded, with their scores where those count."""

    def __init__(
        self,
        kinds: Sequence[Reader],
        of_row: Indices,
        rows: Sequence[Any],
        scores: Sequence[float | None],
    ) -> None:
        self._kinds, self._of_row, self._rows, self._scores = kinds, of_row, rows, scores

    @cached_property
    def matrix(self) -> Numbers:
        """All rows, padded to the same number of features."""
        shapes, of_kind = numbered([reader.shape for reader in self._kinds])
        if len(shapes) == 1:
            return self._block(shapes[0], self._rows, self._scores)
        width = max(len(reader.numeric) for reader in self._kinds)
        x = np.full((len(self._rows), width), math.nan)
        for at, rows in groups_of(of_kind[self._of_row]):
            block = self._block(shapes[at], pick(self._rows, rows), pick(self._scores, rows))
            x[rows, : block.shape[1]] = block
        return x

    def value(self, row: int, feature: int) -> int | float | None:
        """Return one as it was sent."""
        reader = self._kinds[int(self._of_row[row])]
        if feature >= len(reader.plain):
            return self._scores[row]
        found: int | float | None = astuple(self._rows[row])[reader.plain[feature]]
        return found

    @staticmethod
    def _block(
        shape: tuple[int, tuple[int, ...], bool],
        rows: Sequence[Any],
        scores: Sequence[float | None],
    ) -> Numbers:
        features, plain, scored = shape
        block = np.empty((len(rows), len(plain) + scored))
        values: Any = map(astuple, rows) if plain else ()
        if len(plain) == 1:
            values = map(itemgetter(plain[0]), values)
        elif len(plain) < features:
            values = chain.from_iterable(map(itemgetter(*plain), values)) if plain else ()
        else:
            values = chain.from_iterable(values)
        size = len(rows) * len(plain)
        block[:, : len(plain)] = _numbers(list(values), size).reshape(len(rows), -1)
        if scored:
            block[:, -1] = _numbers(scores, len(rows))
        return block


def bin_numbers(tables: Tables, of_row: Indices, values: Source) -> Binned:
    """Return the places of all values of some rows; `of_row`: the reader of each."""
    x = values.matrix
    too_large = _too_large(x, values)
    missing = np.isnan(x) | too_large
    x = np.where(missing, 0.0, x)
    # One reader's tables need no row for each row of values.
    rows: Any = of_row if len(tables.low) > 1 else slice(0, 1)
    last = tables.missing[rows]
    at = _ranks(tables.edges, of_row, x) + 1
    at = np.where(x < tables.low[rows], 0, np.where(x > tables.high[rows], last - 1, at))
    with np.errstate(over="ignore"):
        quanta = np.rint(x / tables.quantum[rows])
    amounts = np.minimum(np.maximum(quanta, -CLAMP), CLAMP).astype(np.int64)
    return Binned(np.where(missing, last, at), np.where(missing, 0, amounts), too_large)


def _ranks(edges: Numbers, of_row: Indices, x: Numbers) -> Indices:
    """Return how many edges of its feature are at or below each value."""
    ranks = np.zeros(x.shape, dtype=np.int64)
    kinds, features, depth = edges.shape
    if kinds == 1:
        for feature in range(features):
            ranks[:, feature] = edges[0, feature].searchsorted(x[:, feature], "right")
        return ranks
    # A binary search of all at once; infinity behind a feature's edges keeps it within its own.
    flat, base = edges.reshape(-1), (of_row[:, None] * features + np.arange(features)) * depth - 1
    step = (depth + 1) >> 1
    while step:
        ranks += (flat.take(base + (ranks + step)) <= x) * step
        step >>= 1
    return ranks


def _numbers(values: Iterable[int | float | None], size: int) -> Numbers:
    """Return values as doubles; not a number where missing."""
    values = values if isinstance(values, Sequence) else list(values)
    try:
        return np.fromiter(values, dtype=np.float64, count=size)
    except (TypeError, OverflowError):
        return np.fromiter(map(_held, values), dtype=np.float64, count=size)


def _held(value: int | float | None) -> float:
    """What a double can hold: a larger integer only has to stay beyond 2^53."""
    if value is None:
        return math.nan
    return float(value) if abs(value) <= FLOAT_MAX else (FLOAT_MAX if value > 0 else -FLOAT_MAX)


def _too_large(x: Numbers, values: Source) -> NDArray[np.bool_]:
    found = np.abs(x) >= INTEGER_MAX
    if found.any():
        for at, feature in np.argwhere(found).tolist():
            value = values.value(at, feature)
            found[at, feature] = isinstance(value, int) and abs(value) > INTEGER_MAX
    return found


def table_of(features: Sequence[FeatureProfile], starts: Sequence[int]) -> Tables:
    """Return the table of one reader's numeric features."""
    most = max((len(feature.edges) for feature in features), default=0)
    edges = np.full((1, len(features), (1 << most.bit_length()) - 1), np.inf)
    for at, feature in enumerate(features):
        edges[0, at, : len(feature.edges)] = feature.edges

    def row(values: Iterable[float]) -> Numbers:
        return np.array([list(values)], dtype=np.float64)

    low, high = row(f.low for f in features), row(f.high for f in features)
    missing = row(len(f.counts) - 1 for f in features).astype(np.int64)
    quantum, first = row(f.quantum for f in features), np.array([list(starts)], dtype=np.int64)
    return Tables(edges, low, high, quantum, missing, first)


def tables_of(kinds: Sequence[Reader]) -> Tables:
    """Return the tables of some readers together."""
    return _known(kinds[0]) if len(kinds) == 1 else _together(tuple(kinds))


# Epochs have the same readers again and again.
@lru_cache(maxsize=16)
def _together(kinds: tuple[Reader, ...]) -> Tables:
    found = [_known(reader) for reader in kinds]
    if len({table.edges.shape for table in found}) == 1:
        return Tables(*map(np.concatenate, zip(*found, strict=True)))
    width = max(table.low.shape[1] for table in found)
    depth = max(table.edges.shape[2] for table in found)
    fills: tuple[Any, ...] = (np.inf, 0.0, 0.0, 1.0, 0, -1)
    shapes = [(len(found), width, depth), *[(len(found), width)] * 5]
    pads: list[Any] = []
    for field, (fill, shape) in enumerate(zip(fills, shapes, strict=True)):
        pad = np.full(shape, fill, dtype=found[0][field].dtype)
        for n, table in enumerate(found):
            has: Any = table[field]
            where: Any = (n, *(slice(size) for size in has.shape[1:]))
            pad[where] = has[0]
        pads.append(pad)
    return Tables(*pads)


def prepare(version: ModelVersion) -> None:
    """Make what reads and bins a version's features ahead of its first prediction."""
    if (reader := reader_of(version)) is not None:
        _known(reader)


def _known(reader: Reader) -> Tables:
    if reader.tables is None:
        reader.tables = table_of(
            [reader.features[at] for at in reader.numeric],
            [reader.starts[at] for at in reader.numeric],
        )
    tables: Tables = reader.tables
    return tables
