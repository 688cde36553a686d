"""Log of the beta function of counts and Jeffreys' prior: how likely errors are at an unknown rate.

Rule 1: parameters are halves, so they come doubled: 2 errors + 1 and 2 right + 1.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from streamops.core.numeric import lgamma, lgamma_scalar

_TABLE = 1 << 16


def log_beta(errors: int, right: int) -> float:
    """Log of the beta function of two doubled parameters."""
    return _lgamma_half(errors) + _lgamma_half(right) - _lgamma_half(errors + right)


@cache
def halves() -> list[float]:
    """Log gamma of 1/2, 1, 3/2 and so on by how many halves; nothing is looked up at 0."""
    return [0.0, *lgamma(np.arange(1, _TABLE, dtype=np.float64) * 0.5).tolist()]


def _lgamma_half(doubled: int) -> float:
    return halves()[doubled] if doubled < _TABLE else lgamma_scalar(doubled * 0.5)
