"""Quality of inputs: what is wrong with one feature value of a prediction, and how often.

Rule 1: a value is as its decoder gave it (JSON or MessagePack); nothing is converted to fit.
Rule 2: a missing value (null) is no fault; it has a bin and a rate of its own.
Rule 3: a fault is counted in the pane and never refuses the prediction.
Rule 4: `profile.bin_of` and `fault` agree on which values are faults.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from streamops.core.profile import CATEGORY_CHARS_MAX, category_text

Kind = Literal["numeric", "boolean", "category"]
Fault = Literal["wrong_type", "not_finite", "too_large", "too_long"]

INTEGER_MAX = 1 << 53


def fault(kind: Kind, value: object) -> Fault | None:
    """What keeps `value` from being a value of this kind; None for a sound or a missing one.

    wrong_type  a numeric that is no number (a boolean is none), a boolean that is not true or
                false, a category that is neither text, boolean nor whole number
    not_finite  a numeric that is NaN or infinite
    too_large   an integer numeric beyond 2^53, which a double can't hold exactly
    too_long    a category of more than 256 characters
    """
    if value is None:
        return None
    if kind == "numeric":
        return _numeric_fault(value)
    if kind == "boolean":
        return None if category_text(value) in ("false", "true") else "wrong_type"
    if isinstance(value, str) and len(value) > CATEGORY_CHARS_MAX:
        return "too_long"
    return "wrong_type" if category_text(value) is None else None


def _numeric_fault(value: object) -> Fault | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "wrong_type"
    if isinstance(value, int):
        return None if abs(value) <= INTEGER_MAX else "too_large"
    return None if math.isfinite(value) else "not_finite"


def fault_rates(faults: Mapping[Fault, int], n: int) -> dict[Fault, float] | None:
    """Share of `n` values that each fault spoiled, 0..1, sorted by name; None for no values."""
    assert all(0 <= count <= n for count in faults.values()), f"{dict(faults)} of {n} values"
    return {name: faults[name] / n for name in sorted(faults)} if n else None
