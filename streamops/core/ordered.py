"""Sums of arrays along one axis, first to last, in one order on every machine.

Rule 1: the order is that of `numeric.ordered_sum`; how the others axes are walked can't change it.
Rule 2: few sums are made one after the other, many side by side: the same additions.
"""

from __future__ import annotations

import numpy as np

from streamops.core.numeric import Floats, Integers

_MANY = 192


def sum_last(x: Floats) -> Floats:
    """Sum over the last axis, which must not be empty."""
    length = x.shape[-1]
    if length == 1:
        only: Floats = x[..., 0]
        return only
    if x.size < length * _MANY:
        few: Floats = np.add.accumulate(x, axis=-1)[..., -1]
        return few
    total: Floats = x[..., 0].copy()
    for k in range(1, length):
        total += x[..., k]
    return total


def sum_first(x: Floats) -> Floats:
    """Sum over the first axis, which must not be empty."""
    if x.size < len(x) * _MANY:
        few: Floats = np.add.accumulate(x, axis=0)[-1]
        return few
    total: Floats = x[0].copy()
    for k in range(1, len(x)):
        total += x[k]
    return total


def dot_last(a: Floats | Integers, b: Floats) -> Floats:
    """Sum of a * b over the last axis, after broadcasting."""
    return sum_last(a * b)
