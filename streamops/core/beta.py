"""How likely errors are: at an unknown rate of Jeffreys' prior, and at one raised by so much.

Rule 1: parameters of a beta function are halves, so they come doubled: 2 errors + 1, 2 right + 1.
Rule 2: of an alternative's weight SHARP is that of raised rates, each alike, the rest the prior's.
Rule 3: what is raised is the rate to the 4,096th below, so that a logarithm is taken once. Any rate
        fixed before the outcomes will do as an alternative; the null hypothesis's isn't touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from streamops.core.numeric import lgamma, lgamma_scalar, log_scalar

SHARP = 0.9
_TABLE, _RATE_MAX = 1 << 16, 0.99
_RATES = 4096

Gains = tuple[tuple[float, float], ...]


def log_beta(errors: int, right: int) -> float:
    """Log of the beta function of two doubled parameters."""
    return _lgamma_half(errors) + _lgamma_half(right) - _lgamma_half(errors + right)


def rate_of(errors: int, right: int) -> int:
    """The mean rate of counts and Jeffreys' prior, in 4,096ths."""
    return (2 * errors + 1) * _RATES // (2 * (errors + right + 1))


def raised(rate: int, rises: Sequence[float]) -> Gains:
    """Log-likelihood of an error and of a right answer where a rate has risen, by rise."""
    rates = [min(rate / _RATES + rise, _RATE_MAX) for rise in rises]
    return tuple((log_scalar(p), log_scalar(1.0 - p)) for p in rates)


def log_free() -> float:
    """Log of the weight of the prior's own alternative, over its beta function of no outcomes."""
    return log_scalar(1.0 - SHARP) - 2.0 * lgamma_scalar(0.5)


@cache
def halves() -> list[float]:
    """Log gamma of 1/2, 1, 3/2 and so on by how many halves; nothing is looked up at 0."""
    return [0.0, *lgamma(np.arange(1, _TABLE, dtype=np.float64) * 0.5).tolist()]


def _lgamma_half(doubled: int) -> float:
    return halves()[doubled] if doubled < _TABLE else lgamma_scalar(doubled * 0.5)
