"""A table's column as drift tests read it: its profile, and each row's bin.

Rule 1: numbers and texts are read as arrays: a value at a time would take twenty times as long.
        Any other column goes the way of rows, value by value; all come to the same.
Rule 2: a column's own values decide what it is, as `training.frames` has it for rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamops.core.numeric import Floats, Integers
from streamops.core.pane_rows import numeric_bins, other_bins
from streamops.core.profile import bin_of, category_text, counted_profile, numeric_profile
from streamops.operate.rows import values_of
from streamops.training.frames import INTEGER_MAX, column_profiles, infer_columns, to_floats
from streamops.values import FeatureProfile


def profile_of(name: str, column: pa.ChunkedArray) -> FeatureProfile:
    """Return a column's profile, its dependence of rows not measured."""
    numbers = _numbers(column)
    if numbers is not None:
        return numeric_profile(name, numbers)
    if _is_text(column.type):
        found = [(one["values"], one["counts"]) for one in pc.value_counts(column).to_pylist()]
        seen = {text: n for text, n in found if category_text(text) is not None}
        # A column without a value has no kind of its own: it counts as numbers.
        if any(text is not None for text, _ in found):
            return counted_profile(name, seen, len(column) - sum(seen.values()))
    rows = [{name: value} for value in _values(name, column)]
    return column_profiles(rows, infer_columns(rows))[0]


def bins_of(profile: FeatureProfile, column: pa.ChunkedArray) -> Integers:
    """Return each row's bin in a profile, which may be another table's."""
    if profile.kind == "numeric":
        numbers = _numbers(column)
        return numeric_bins(
            profile, to_floats(_values(profile.name, column)) if numbers is None else numbers
        )
    if not _is_text(column.type):
        return other_bins(profile, _values(profile.name, column))
    coded = pc.dictionary_encode(column.combine_chunks())
    places = np.array([bin_of(profile, v)[0] for v in coded.dictionary.to_pylist()], dtype=np.int64)
    missing = len(profile.counts) - 1
    codes = pc.fill_null(coded.indices, len(places)).to_numpy(zero_copy_only=False)
    found: Integers = np.append(places, missing)[codes]
    return found


def _values(name: str, column: pa.ChunkedArray) -> list[Any]:
    return values_of(pa.table({name: column}), name)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _numbers(column: pa.ChunkedArray) -> Floats | None:
    """Numbers, NaN where one is missing, not finite, or too large to be exact; None for no number.

    `frames.to_floats` says the same of values.
    """
    kind: Any = column.type
    # What Arrow can't compare with a signed limit goes the way of rows.
    if pa.types.is_uint64(kind) or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    if pa.types.is_int64(kind):
        is_large = pc.or_(pc.greater(column, INTEGER_MAX), pc.less(column, -INTEGER_MAX))
        column = pc.if_else(is_large, None, column)
    found = np.array(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    found[np.isinf(found)] = np.nan
    return found
