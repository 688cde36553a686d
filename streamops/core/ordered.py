"""Sums of arrays along their last axis, first to last, in one order on every machine.

Rule 1: the order is that of `numeric.ordered_sum`; how the others axes are walked can't change it.
"""

from __future__ import annotations

import numpy as np

from streamops.core.numeric import Floats

_MANY = 64


def sum_last(x: Floats) -> Floats:
    """Sum over the last axis, which must not be empty."""
    length = x.shape[-1]
    if x.size < length * _MANY:
        few: Floats = np.add.accumulate(x, axis=-1)[..., -1]
        return few
    # The same additions in the same order, but many sums side by side.
    total: Floats = x[..., 0].copy()
    for k in range(1, length):
        total += x[..., k]
    return total


def dot_last(a: Floats, b: Floats) -> Floats:
    """Sum of a * b over the last axis, after broadcasting."""
    return sum_last(a * b)
