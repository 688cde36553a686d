"""Quality of inputs: what is wrong with one feature value of a prediction, and how often.

Rule 1: a value is as its decoder gave it (JSON or MessagePack); nothing is converted to fit.
Rule 2: a missing value (null) is no fault; it has a bin and a rate of its own.
Rule 3: a fault is counted in the pane and never refuses the prediction.
Rule 4: `fault` alone decides which values are faults; `profile.bin_of` asks it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

Kind = Literal["numeric", "boolean", "category"]
Fault = Literal["wrong_type", "not_finite", "too_large", "too_long"]

CATEGORY_CHARS_MAX = 256
INTEGER_MAX = 1 << 53


def fault(kind: Kind, value: object) -> Fault | None:
    """What keeps `value` from being a value of this kind; None for a sound or a missing one.

    wrong_type  a numeric that is no number (a boolean is none), a boolean that is neither true nor
                false nor one of these words, a category that is neither text, boolean nor whole
                number
    not_finite  a numeric that is NaN or infinite
    too_large   an integer numeric beyond 2^53, which a double can't hold exactly
    too_long    a category of more than 256 characters
    """
    if value is None:
        return None
    if kind == "numeric":
        return _numeric_fault(value)
    if kind == "boolean":
        sound = isinstance(value, bool) or (isinstance(value, str) and value in ("false", "true"))
        return None if sound else "wrong_type"
    return _category_fault(value)


def _numeric_fault(value: object) -> Fault | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "wrong_type"
    if isinstance(value, int):
        return None if abs(value) <= INTEGER_MAX else "too_large"
    return None if math.isfinite(value) else "not_finite"


def _category_fault(value: object) -> Fault | None:
    if isinstance(value, str):
        return None if len(value) <= CATEGORY_CHARS_MAX else "too_long"
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < INTEGER_MAX
        return None if whole else "wrong_type"
    return None if isinstance(value, int) else "wrong_type"


def fault_rates(faults: Mapping[Fault, int], n: int) -> dict[Fault, float] | None:
    """Share of `n` values that each fault spoiled, 0..1, sorted by name; None for no values."""
    assert all(0 <= count <= n for count in faults.values()), f"{dict(faults)} of {n} values"
    return {name: faults[name] / n for name in sorted(faults)} if n else None
