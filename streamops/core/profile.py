"""Reference profiles and the bins every pane is counted in.

Rule 1: edges are frozen with the version; a value's bin depends on the profile alone.
Rule 2: counts and sums are integers; a sum is in quanta, rounded half to even, clamped, so merging
        is exact. State a pane: bins of each feature, whatever the rows.
Rule 3: layout. numeric: [below low, bins by interior edges, above high, missing];
        category: [each listed, other, missing]. A boolean is a category of false and true.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from streamops.core.numeric import Floats
from streamops.core.quality import fault
from streamops.values import FeatureProfile

BINS = 20
CATEGORIES_MAX = 20
QUANTA = 1 << 20
EXPONENT_MAX = 1023
CLAMP = 1 << 50
CATEGORY_CHARS_MAX = 256

Kind = Literal["numeric", "boolean", "category"]


def bins_of(feature: FeatureProfile) -> int:
    """Return how many bins the feature's counts have."""
    return len(feature.counts)


def bin_of(feature: FeatureProfile, value: Any) -> tuple[int, int, bool]:
    """Return a decoded value's bin, its fixed-point amount, and whether its kind was wrong.

    A value of a wrong kind is a fault and counts as missing. Only numeric features have amounts.
    """
    missing = len(feature.counts) - 1
    if value is None:
        return missing, 0, False
    if fault(feature.kind, value) is not None:
        return missing, 0, True
    if feature.kind == "numeric":
        return numeric_bin(feature, float(value)), to_quanta(float(value), feature.quantum), False
    text = category_text(value)
    try:
        return feature.categories.index(text or ""), 0, False
    except ValueError:
        return missing - 1, 0, False


def numeric_bin(feature: FeatureProfile, value: float) -> int:
    """Return the bin of a finite number: below low, an inner bin, or above high."""
    if value < feature.low:
        return 0
    if value > feature.high:
        return len(feature.counts) - 2
    return 1 + bisect_right(feature.edges, value)


def to_quanta(value: float, quantum: float) -> int:
    """Return value / quantum rounded half to even, clamped to +-2^50."""
    scaled = value / quantum
    if not -CLAMP < scaled < CLAMP:
        return CLAMP if scaled > 0 else -CLAMP
    return round(scaled)


def category_text(value: Any) -> str | None:
    """Return the text under which a category or class is counted; None if it can't be one."""
    if isinstance(value, str):
        return value if len(value) <= CATEGORY_CHARS_MAX else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return str(int(value))
    return None


def numeric_profile(
    name: str, values: Sequence[float | None] | Floats, bins: int = BINS
) -> FeatureProfile:
    """Return the profile of a numeric column: interior quantile edges, range, counts.

    None and what is not finite are missing.

    Edges are order statistics (no interpolation), distinct; a constant column has one bin.
    """
    numbers = values if isinstance(values, np.ndarray) else _numbers(values)
    present = numbers[np.isfinite(numbers)]
    present.sort()
    n = len(present)
    if n == 0:
        counts = (0, 0, 0, len(values))
        return FeatureProfile(name=name, kind="numeric", counts=counts)
    low, high = float(present[0]), float(present[-1])
    cuts = {float(present[n * k // bins]) for k in range(1, bins)}
    edges = tuple(sorted(c for c in cuts if low < c <= high))
    reached = np.searchsorted(present, np.array(edges), side="left")
    inner = np.diff(reached, prepend=0, append=n).tolist()
    return FeatureProfile(
        name=name,
        kind="numeric",
        counts=(0, *inner, 0, len(values) - n),
        edges=edges,
        low=low,
        high=high,
        quantum=_quantum(low, high),
    )


def _numbers(values: Sequence[float | None]) -> Floats:
    return np.array([math.nan if v is None else v for v in values], dtype=np.float64)


def _quantum(low: float, high: float) -> float:
    span = max(high - low, abs(low), abs(high))
    if span == 0:
        return 1.0 / QUANTA
    exponent = min(math.frexp(span)[1], EXPONENT_MAX) if math.isfinite(span) else EXPONENT_MAX
    return max(math.ldexp(1.0, exponent) / QUANTA, math.ulp(0.0))


def category_profile(
    name: str, values: Sequence[Any], kind: Literal["boolean", "category"] = "category"
) -> FeatureProfile:
    """Return the profile of a category column: the most frequent values, other, missing."""
    texts = [None if v is None else category_text(v) for v in values]
    seen = Counter(t for t in texts if t is not None)
    return counted_profile(name, seen, len(texts) - seen.total(), kind)


def counted_profile(
    name: str,
    seen: Mapping[str, int],
    missing: int,
    kind: Literal["boolean", "category"] = "category",
) -> FeatureProfile:
    """Return `category_profile` from how often each text was seen."""
    listed = sorted(sorted(seen), key=lambda t: -seen[t])[:CATEGORIES_MAX]
    categories = ("false", "true") if kind == "boolean" else tuple(sorted(listed))
    known = [seen.get(c, 0) for c in categories]
    other = sum(seen.values()) - sum(known)
    return FeatureProfile(
        name=name, kind=kind, counts=(*known, other, missing), categories=categories
    )
