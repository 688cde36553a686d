"""Rows of features to a matrix of numbers, the same way in training and scoring.

Rule 1: a version's profile decides: numeric is a float, boolean 0 or 1, a category its place in the
        profile's list. Missing, of a wrong kind, and not listed are NaN.
Rule 2: a row is a dictionary column -> value; columns that the profile doesn't name are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from streamops.core.pane_rows import measure_rows, numeric_bins, other_bins
from streamops.core.profile import Kind, category_profile, category_text, numeric_profile
from streamops.errors import InputError
from streamops.values import FeatureProfile, ReferenceProfile, Value

Row = Mapping[str, Any]
Matrix = NDArray[np.float64]
Columns = tuple[tuple[str, Kind], ...]

INTEGER_MAX = 1 << 53
_PLAIN_NUMBERS = frozenset({int, float, type(None)})


def infer_columns(rows: Sequence[Row]) -> Columns:
    """Return each column with its kind, in order of first appearance.

    All booleans: boolean; all numbers: numeric; else category. A column without a value is numeric.
    """
    kinds: dict[str, set[type]] = {}
    for row in rows:
        for name, value in row.items():
            seen = kinds.setdefault(name, set())
            if value is not None:
                seen.add(type(value))
    return tuple((name, _kind(seen)) for name, seen in kinds.items())


def _kind(seen: set[type]) -> Kind:
    if seen == {bool}:
        return "boolean"
    return "numeric" if seen <= {int, float} else "category"


def column_profiles(rows: Sequence[Row], columns: Columns) -> tuple[FeatureProfile, ...]:
    """Return the profile of each column over the rows, in the columns' order."""
    return tuple(_profile(name, kind, [row.get(name) for row in rows]) for name, kind in columns)


def _profile(name: str, kind: Kind, values: list[Any]) -> FeatureProfile:
    if kind == "numeric":
        return numeric_profile(name, [None if math.isnan(v) else v for v in to_floats(values)])
    return category_profile(name, values, kind)


def profile_rows(
    rows: Sequence[Row],
    labels: Sequence[Value],
    scores: Sequence[float],
    task: str,
    columns: Columns,
    performance: Mapping[str, float] | None = None,
    profiles: tuple[FeatureProfile, ...] = (),
    times_us: Sequence[int] = (),
) -> ReferenceProfile:
    """Return the reference profile of the rows a version is accepted on.

    rows      oldest first: how far they depend on each other is measured on their order
    scores    scores (classification) or predictions (regression) on held-out rows; may be empty
    profiles  `column_profiles` of these rows and columns, where they are known; else they are made
    times_us  event time of each row, in microseconds: a season is looked for; none: it isn't
    """
    return ReferenceProfile(
        rows=len(rows),
        features=_measured(rows, profiles or column_profiles(rows, columns), times_us),
        score=_measured_score(scores) if scores else None,
        label=_measured_label(labels, task, times_us),
        performance=dict(performance or {}),
    )


def _measured(
    rows: Sequence[Row], features: tuple[FeatureProfile, ...], times_us: Sequence[int]
) -> tuple[FeatureProfile, ...]:
    """Add to each profile how its rows depend on each other."""
    assert len(times_us) in (0, len(rows)), f"{len(times_us)} times of {len(rows)} rows"
    times = np.array(times_us, dtype=np.int64) if len(times_us) else None
    found = []
    for feature in features:
        values = [row.get(feature.name) for row in rows]
        if feature.kind == "numeric":
            bins = numeric_bins(feature, to_floats(values))
        else:
            bins = other_bins(feature, values)
        found.append(replace(feature, rows=measure_rows(feature, bins, len(features), times)))
    return tuple(found)


def _measured_score(scores: Sequence[float]) -> FeatureProfile:
    feature = numeric_profile("score", list(scores))
    return replace(feature, rows=measure_rows(feature, numeric_bins(feature, np.array(scores))))


def _measured_label(labels: Sequence[Value], task: str, times_us: Sequence[int]) -> FeatureProfile:
    times = np.array(times_us, dtype=np.int64) if len(times_us) else None
    if task == "regression":
        numbers = [float(value) for value in labels]
        feature = numeric_profile("label", numbers)
        bins = numeric_bins(feature, np.array(numbers))
    else:
        feature = category_profile("label", labels)
        bins = other_bins(feature, labels)
    return replace(feature, rows=measure_rows(feature, bins, times_us=times))


def to_matrix(rows: Sequence[Row], features: Sequence[FeatureProfile]) -> Matrix:
    """Return rows x columns as float64, NaN where a value is missing, wrong or not listed."""
    matrix = np.empty((len(rows), len(features)), dtype=np.float64)
    for at, feature in enumerate(features):
        values = [row.get(feature.name) for row in rows]
        matrix[:, at] = to_floats(values) if feature.kind == "numeric" else _codes(feature, values)
    return matrix


def to_floats(values: list[Any]) -> Matrix:
    """Return values as numbers, NaN where one is missing or no number."""
    if _PLAIN_NUMBERS.issuperset(map(type, values)):
        try:
            found = np.array(values, dtype=np.float64)
        except OverflowError:
            found = None
        if found is not None and not np.any(np.abs(found) >= INTEGER_MAX):
            return found
    return np.array([_float(value) for value in values], dtype=np.float64)


def _float(value: Any) -> float:
    if type(value) is bool or not isinstance(value, int | float):
        return math.nan
    if isinstance(value, int) and abs(value) > INTEGER_MAX:
        return math.nan
    return float(value) if math.isfinite(value) else math.nan


def _codes(feature: FeatureProfile, values: list[Any]) -> Matrix:
    places = {text: float(at) for at, text in enumerate(feature.categories)}
    texts = (None if value is None else category_text(value) for value in values)
    return np.array(
        [math.nan if text is None else places.get(text, math.nan) for text in texts],
        dtype=np.float64,
    )


def to_named(row: Row, features: Sequence[FeatureProfile]) -> dict[str, float | str]:
    """Return a row as river reads it: floats, text of listed categories, missing left out."""
    named: dict[str, float | str] = {}
    for feature in features:
        value = row.get(feature.name)
        if feature.kind == "numeric":
            number = _float(value)
            if not math.isnan(number):
                named[feature.name] = number
        elif value is not None:
            text = category_text(value)
            if text is not None:
                named[feature.name] = text if text in feature.categories else "~other"
    return named


def is_label(value: Value, task: str) -> bool:
    """Tell whether a value is a label of the task; METER counts one that isn't as a fault."""
    if task == "regression":
        return not isinstance(value, str)
    return category_text(value) is not None


def to_label(value: Value, task: str) -> float | str:
    """Return a label as a number (regression) or a class's text; raises InputError."""
    if task == "regression":
        if isinstance(value, str) or not math.isfinite(value):
            raise InputError(f"label is {value!r}; a regression's label is a finite number")
        return float(value)
    text = category_text(value)
    if text is None:
        raise InputError(f"label is {value!r}; a class is text, an integer or a boolean")
    return text
