"""A column's reference as rows in their order: how they depend on each other, and its panes.

Rule 1: rows come oldest first. Rows that were shuffled look independent whatever they are.
Rule 2: dependence is measured on panes of SHORT_ROWS rows, as `dependence` does it; the panes kept
        for `tsr` are made of them, equal in rows. Rows that fill no pane are the oldest.
Rule 3: panes are kept only where `tsr` needs them: a number whose rows depend on each other. So a
        profile grows by at most PANES bytes a bin (of up to 255 rows a pane) of such a column.
Rule 4: where rows have times and a season explains how panes differ, panes are the season's (an
        hour, a day, a month each), with their phases; else they are equal in rows.
Rule 5: whether a value is missing is measured beside the values, as a stream of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamops.core import seasons
from streamops.core.dependence import PANES_MIN, SURE, Dependence, measure
from streamops.core.numeric import Floats, Integers
from streamops.core.profile import bin_of
from streamops.values import FeatureProfile, PaneRows, SeasonName
from streamops.versions import has_phases

Bins = NDArray[np.integer[Any]]

SHORT_ROWS = 20
SHORT_PANES_MAX = 2000
PANES = 50
PANES_OF_MANY = 25
MANY_COLUMNS = 300
# Below low, one inner bin, above high, missing.
BINS_MIN = 4
_SURE_OF = 1.25
_BYTE_MAX = 255
_TOGETHER = 128
_TYPES = {1: "<u1", 2: "<u2", 4: "<u4"}


def numeric_bins(feature: FeatureProfile, values: Floats) -> Integers:
    """Return each value's bin in a numeric profile; NaN is missing."""
    return small_bins(feature, values).astype(np.int64)


def small_bins(feature: FeatureProfile, values: Floats) -> Bins:
    """`numeric_bins` in bytes, if there are few enough: memory is what many rows cost."""
    width = len(feature.counts)
    at: Any
    if width > _BYTE_MAX:
        at = np.searchsorted(np.array(feature.edges), values, side="right") + 1
    else:
        # To compare all values with one edge after another takes a tenth of searching for each.
        at, flag = np.ones(len(values), dtype=np.uint8), np.empty(len(values), dtype=np.bool_)
        for edge in feature.edges:
            at += np.greater_equal(values, edge, out=flag).view(np.uint8)
    at[values < feature.low] = 0
    at[values > feature.high] = width - 2
    at[np.isnan(values)] = width - 1
    found: Bins = at
    return found


def other_bins(feature: FeatureProfile, values: Sequence[Any]) -> Integers:
    """Return each value's bin in the profile of a category or boolean."""
    known: dict[tuple[type, Any], int] = {}
    found = np.empty(len(values), dtype=np.int64)
    for row, value in enumerate(values):
        # No category, as the fold counts it; and no key of a table.
        if isinstance(value, list | dict):
            found[row] = len(feature.counts) - 1
            continue
        key = type(value), value
        at = known.get(key)
        if at is None:
            at = known[key] = bin_of(feature, value)[0]
        found[row] = at
    return found


def measure_rows(
    feature: FeatureProfile,
    bins: Bins,
    columns: int = 1,
    times_us: Integers | None = None,
) -> PaneRows | None:
    """Measure a reference column given as each row's bin, oldest first.

    columns   how many the profile has: of many, fewer panes each are kept
    times_us  event time of each row, microseconds; without them no season is looked for

    None for fewer than 20 panes of 20 rows: too few to say anything.
    """
    if len(bins) < PANES_MIN * SHORT_ROWS:
        return None
    short = _panes(bins, max(SHORT_ROWS, len(bins) // SHORT_PANES_MAX), len(feature.counts))
    is_numeric = feature.kind == "numeric"
    values = measure(short[:, np.newaxis, :-1], np.array([is_numeric]))
    missing = _presence(short)
    is_independent = bool(values.is_independent[0])
    kept = PANES if columns <= MANY_COLUMNS else PANES_OF_MANY
    panes = _longer(short, kept) if is_numeric and not is_independent else short[:0]
    seasonal = None
    if len(panes) and times_us is not None:
        most = seasons.panes_max(columns, len(feature.counts))
        seasonal = seasons.find(bins.astype(np.int64), len(feature.counts), times_us, most)
    if seasonal is not None:
        panes = seasonal.panes
    width, kept_panes = packed_panes(panes)
    return PaneRows(
        is_independent=is_independent,
        dispersion=_divisor(values, len(short)),
        missing_dispersion=_divisor(missing, len(short)),
        panes=len(panes),
        width=width,
        counts=kept_panes,
        season=None if seasonal is None else seasonal.season,
        phases=b"" if seasonal is None else seasonal.phases.astype(np.uint8).tobytes(),
    )


def packed_panes(panes: Integers) -> tuple[int, bytes]:
    """Return bytes a count, and the counts pane by pane."""
    width = next(w for w in _TYPES if int(panes.max(initial=0)) < 1 << (8 * w))
    return width, panes.astype(_TYPES[width]).tobytes()


def panes_of(feature: FeatureProfile) -> Integers:
    """Return the reference panes that a profile keeps, [pane, bin]; none is an empty array."""
    rows, bins = feature.rows, len(feature.counts)
    if rows is None or not is_sound(rows, bins):
        return np.zeros((0, bins), dtype=np.int64)
    flat = np.frombuffer(rows.counts, dtype=_TYPES[rows.width]).astype(np.int64)
    return flat.reshape(rows.panes, bins)


def season_of(feature: FeatureProfile) -> SeasonName | None:
    """Return the season that the kept panes were cut by, if they were."""
    rows = feature.rows
    return rows.season if rows is not None and has_phases(rows) else None


def phases_of(feature: FeatureProfile) -> Integers:
    """Return the phase of each kept pane of a column with a season."""
    phases = b"" if feature.rows is None else feature.rows.phases
    return np.frombuffer(phases, dtype=np.uint8).astype(np.int64)


def is_sound(rows: PaneRows, bins: int) -> bool:
    """Tell whether what a producer sent can be read as panes of this many bins."""
    fits = rows.width in _TYPES and len(rows.counts) == rows.panes * bins * rows.width
    return fits and bins >= BINS_MIN


def _presence(short: Integers) -> Dependence:
    """Judge whether rows have a value."""
    gone = short[:, -1]
    if not gone.any():
        return _never_missing(len(short), int(np.add.reduce(short[0])))
    there: Integers = np.add.reduce(short[:, :-1], axis=1)
    return measure(np.stack([there, gone], axis=1)[:, np.newaxis], np.array([False]))


@lru_cache(maxsize=64)
def _never_missing(panes: int, rows: int) -> Dependence:
    presence = np.tile(np.array([rows, 0], dtype=np.int64), (panes, 1, 1))
    return measure(presence, np.array([False]))


def _panes(bins: Bins, rows: int, width: int) -> Integers:
    """Count consecutive rows in panes, [pane, bin]."""
    panes = len(bins) // rows
    kept = bins[len(bins) - panes * rows :].reshape(panes, rows)
    found = np.empty((panes, width), dtype=np.int64)
    first = np.arange(0, _TOGETHER * width, width, dtype=np.int64)[:, np.newaxis]
    # By parts that stay in the processor's cache.
    for at in range(0, panes, _TOGETHER):
        part = kept[at : at + _TOGETHER]
        places = (part + first[: len(part)]).ravel()
        counts = np.bincount(places, minlength=len(part) * width)
        found[at : at + len(part)] = counts.reshape(len(part), width)
    return found


def _longer(short: Integers, panes: int) -> Integers:
    """Add up short panes to at most so many of equal length."""
    panes = min(panes, len(short))
    each = len(short) // panes
    kept = short[len(short) - panes * each :]
    found: Integers = np.add.reduce(kept.reshape(panes, each, short.shape[1]), axis=1)
    return found


def _divisor(found: Dependence, panes: int) -> float:
    """1 for independent rows, many enough to tell, else the dispersion's upper end."""
    limit = 1.0 + SURE * math.sqrt(2.0 / (panes - 1))
    if found.is_independent[0] and limit <= _SURE_OF:
        return 1.0
    return float(found.upper[0])
