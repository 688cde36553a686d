"""A table's column as drift tests read it: its profile, and each row's bin.

Rule 1: numbers and texts are read as arrays: a value at a time would take twenty times as long.
        Any other column goes the way of rows, value by value; all come to the same.
Rule 2: a column's own values decide what it is, as `training.frames` has it for rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamops.core.numeric import Floats, Integers
from streamops.core.pane_rows import Bins, other_bins, small_bins
from streamops.core.profile import bin_of, category_text, counted_profile, numeric_profile
from streamops.operate.rows import values_of
from streamops.training.frames import INTEGER_MAX, column_profiles, infer_columns, to_floats
from streamops.values import FeatureProfile


class Texts(NamedTuple):
    """A column of texts: each row's place in a list that holds them; behind its end, none.

    counts  rows of each place; a text may have none
    """

    texts: list[str | None]
    places: Integers
    counts: list[int]


class Column(NamedTuple):
    """A column as Arrow has it, and as numbers or texts if it is of such."""

    raw: pa.ChunkedArray
    numbers: Floats | None
    texts: Texts | None


def column_of(raw: pa.ChunkedArray) -> Column:
    """Read a column's values once."""
    numbers = _numbers(raw)
    return Column(raw, numbers, _texts(raw) if numbers is None else None)


def profile_of(name: str, column: Column) -> FeatureProfile:
    """Return a column's profile, its dependence of rows not measured."""
    if column.numbers is not None:
        return numeric_profile(name, column.numbers)
    if column.texts is not None:
        texts, places, counts = column.texts
        found = {t: n for t, n in zip(texts, counts, strict=False) if n and t is not None}
        # A column without a value has no kind of its own: it counts as numbers.
        if found:
            seen = {text: n for text, n in found.items() if category_text(text) is not None}
            return counted_profile(name, seen, len(places) - sum(seen.values()))
    rows = [{name: value} for value in _values(name, column.raw)]
    return column_profiles(rows, infer_columns(rows))[0]


def bins_of(profile: FeatureProfile, column: Column) -> Bins:
    """Return each row's bin in a profile, which may be another table's."""
    if profile.kind == "numeric":
        numbers = column.numbers
        if numbers is None:
            numbers = to_floats(_values(profile.name, column.raw))
        return small_bins(profile, numbers)
    if column.texts is None:
        return other_bins(profile, _values(profile.name, column.raw))
    bins = [bin_of(profile, text)[0] for text in column.texts.texts]
    # Categories are few.
    places = np.array([*bins, len(profile.counts) - 1], dtype=np.uint8)
    found: Bins = places.take(column.texts.places)
    return found


def _values(name: str, column: pa.ChunkedArray) -> list[Any]:
    return values_of(pa.table({name: column}), name)


def _texts(column: pa.ChunkedArray) -> Texts | None:
    kind: Any = column.type
    if pa.types.is_dictionary(kind):
        kind, column = kind.value_type, column.unify_dictionaries()
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return None
    coded: Any = column.combine_chunks()
    if not pa.types.is_dictionary(coded.type):
        coded = pc.dictionary_encode(coded)
    texts: list[str | None] = coded.dictionary.to_pylist()
    places: Integers = _held([coded.indices.cast(pa.int64())], np.int64, len(texts))
    counts: list[int] = np.bincount(places, minlength=len(texts) + 1).tolist()
    return Texts(texts, places, counts)


def _numbers(column: pa.ChunkedArray) -> Floats | None:
    """Numbers, NaN where one is missing, not finite, or too large to be exact; None for no number.

    `frames.to_floats` says the same of values.
    """
    kind: Any = column.type
    # What a signed limit can't be compared with goes the way of rows.
    if pa.types.is_uint64(kind) or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    if pa.types.is_integer(kind):
        whole: Integers = _held(column.cast(pa.int64()).chunks, np.int64, INTEGER_MAX + 1)
        found: Floats = whole.astype(np.float64)
        found[(whole > INTEGER_MAX) | (whole < -INTEGER_MAX)] = np.nan
        return found
    if not pa.types.is_float64(kind):
        column = column.cast(pa.float64())
    found = _held(column.chunks, np.float64, np.nan)
    infinite = np.isinf(found)
    return np.where(infinite, np.nan, found) if infinite.any() else found


def _held(chunks: Sequence[Any], kind: type[np.generic], nothing: float) -> Any:
    """Return what chunks of this type hold, and `nothing` where a value is missing.

    Not by `to_numpy` or `fill_null`, which import pandas: half a second of CPU time.
    """
    found = [np.zeros(0, dtype=kind)]
    for chunk in chunks:
        data, size = chunk.buffers()[1], np.dtype(kind).itemsize
        if data is None or not len(chunk):
            found.append(np.full(len(chunk), nothing, dtype=kind))
            continue
        values = np.frombuffer(data, dtype=kind, count=len(chunk), offset=size * chunk.offset)
        if chunk.null_count:
            gone = chunk.is_null().cast(pa.int8())
            mask = np.frombuffer(
                gone.buffers()[1], dtype=np.bool_, count=len(chunk), offset=gone.offset
            )
            values = np.where(mask, np.array(nothing, dtype=kind), values)
        found.append(values)
    return found[1] if len(found) == 2 else np.concatenate(found)
