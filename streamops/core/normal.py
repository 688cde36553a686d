"""The normal distribution in fixed bits: quantiles, density, and the scores of bins.

Rule 1: only `numeric` and single ufuncs, as in `numeric` itself.
Rule 2: what a branch doesn't need is computed on a harmless value and thrown away, never NaN.
"""

from __future__ import annotations

import math

import numpy as np

from streamops.core.kernels import Number
from streamops.core.numeric import FEW, Floats, exp, log, one_by_one

_INVERSE_ROOT_2_PI = 0.3989422804014327
_NEAR = 0.425
_SPLIT = 5.0
_NEWTON_STEPS = 5
# Wichura's PPND16: numerators and denominators of three rational functions, highest power first.
_CENTRE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852545925, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
_TAIL = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177,
     1.27045825245236838258, 3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959,
     1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966,
     0.14810397642748007459, 0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187,
     1.0),
)  # fmt: skip
_FAR = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386,
     0.026532189526576123093, 0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699,
     6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5,
     7.868691311456132591e-4, 0.0148753612908506148525, 0.13692988092273580531,
     0.59983220655588793769, 1.0),
)  # fmt: skip


def quantile(p: Floats) -> Floats:
    """The value below which a standard normal falls with probability p, strictly in 0..1.

    Relative error about 1e-16 (Wichura 1988, algorithm AS 241).
    """
    assert bool(np.all((p > 0.0) & (p < 1.0))), "the quantile of a probability not in 0..1"
    from_middle = p - 0.5
    is_near = np.abs(from_middle) <= _NEAR
    inner = np.where(is_near, 0.180625 - from_middle * from_middle, 0.0)
    depth = np.sqrt(-log(np.where(from_middle < 0.0, p, 1.0 - p)))
    tail = np.where(
        depth <= _SPLIT, _ratio(_TAIL, depth - 1.6), _ratio(_FAR, np.maximum(depth, _SPLIT) - 5.0)
    )
    outer = np.where(from_middle < 0.0, -tail, tail)
    return np.where(is_near, from_middle * _ratio(_CENTRE, inner), outer)


def _ratio(parts: tuple[tuple[float, ...], tuple[float, ...]], x: Floats) -> Floats:
    top, bottom = (_polynomial(part, x) for part in parts)
    return top / bottom


def _polynomial(coefficients: tuple[float, ...], x: Floats) -> Floats:
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value


def density(z: Floats) -> Floats:
    """The standard normal density at each value."""
    return exp(z * z * -0.5) * _INVERSE_ROOT_2_PI


def cube_root(x: Floats) -> Floats:
    """The cube root of each value, at least 0 and finite; within 1 ulp or so, exactly 0 at 0.

    Newton's method on the mantissa: a tenth of the cost of exp(log(x) / 3).
    """
    if x.size <= FEW:
        return one_by_one(_cube_root, x)
    mantissa, exponent = np.frexp(x)
    third = np.floor_divide(exponent, 3)
    # From 1/2 up to 4, where a line is within 8 % of the root; errors square at each step.
    root = _newton(np.ldexp(np.where(x > 0.0, mantissa, 1.0), exponent - third * 3))
    return np.where(x > 0.0, np.ldexp(root, third), 0.0)


def _cube_root(x: float) -> float:
    if x <= 0.0:
        return 0.0
    mantissa, exponent = math.frexp(x)
    third = exponent // 3
    return math.ldexp(_newton(math.ldexp(mantissa, exponent - third * 3)), third)


def _newton(part: Number) -> Number:
    root = part * 0.25
    root += 0.7
    for _ in range(_NEWTON_STEPS):
        # root - (root - part / root^2) / 3, in place: thirty numbers cost what the calls cost.
        step = part / (root * root)
        step = root - step
        step /= 3.0
        root -= step
    return root


def bin_scores(shares: Floats) -> Floats:
    """The mean of a standard normal inside each bin, where bins lie on the last axis in order.

    `shares` are at least 0 and add up to 1 along that axis. It is (phi(left) - phi(right)) / share
    (van der Waerden's normal scores, averaged over a bin); 0 for an empty bin. The scores' mean
    over the shares is 0, and their mean square is a little below 1: what binning loses.
    """
    edges = np.add.accumulate(shares, axis=-1)[..., :-1]
    inside = (edges > 0.0) & (edges < 1.0)
    heights = np.where(inside, density(quantile(np.where(inside, edges, 0.5))), 0.0)
    none = np.zeros_like(shares[..., :1])
    left = np.concatenate([none, heights], axis=-1)
    right = np.concatenate([heights, none], axis=-1)
    filled = shares > 0.0
    return np.where(filled, (left - right) / np.where(filled, shares, 1.0), 0.0)
