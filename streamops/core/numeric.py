"""Float64 arithmetic that gives the same bits on every CPU.

Rule 1: only single IEEE operations: + - * / and square root, which the standard rounds correctly
        everywhere. One ufunc a step, so nothing is fused and no SIMD path takes another polynomial.
Rule 2: what moves bits without rounding is allowed: frexp, rint, where, abs, comparisons, and a
        multiplication by a power of two.
Rule 3: a sum has one order, first to last. NumPy's reductions, BLAS, libm and `**` do not appear.
Rule 4: the scalar and the array form of a function share one kernel, so they share their bits.
Rule 5: an argument outside a domain is our own fault, not a record's: an assertion.

Every host calls `self_test` before it folds: a machine that flushes subnormals to zero, fuses
operations or keeps excess precision fails it.
"""

import hashlib
import math
from collections.abc import Callable
from typing import overload

import numpy as np

from streamops.core.kernels import Floats as Floats
from streamops.core.kernels import Integers as Integers
from streamops.core.kernels import Number, exp_reduced, log_reduced, power_of_2

FEW = 8
FIXED_LIMIT_MAX = 1 << 53
LN_2 = 0.6931471805599453
_SQRT_HALF = float.fromhex("0x1.6a09ep-1")
_INVERSE_LN_2 = 1.44269504088896338700e00
_HALF_LN_2_PI = 0.9189385332046727
_EXP_MIN, _EXP_MAX = -745.2, 709.782712893384
_EXP_NORMAL = 708.0
_GAMMA_SHIFT = 8
_STEPS_MAX = 100_000
_EPSILON = float.fromhex("0x1p-53")
_SELF_TEST_SHA256 = "ec0d7be7a54a019864a1b0f46f155a43304a65172666d64bfb6533829978e78b"


def one_by_one(function: Callable[[float], float], x: Floats) -> Floats:
    """Apply the scalar form of a function, whose bits are the same: few values cost less so."""
    return np.array([function(value) for value in x.ravel().tolist()]).reshape(x.shape)


def log(x: Floats) -> Floats:
    """Natural logarithm of each value; within 1 ulp.

    x must be finite and above 0 (subnormals are fine). The sequence is fdlibm's `e_log.c`
    (Sun Microsystems 1993) without its shortcuts for arguments near 1.
    """
    if x.size <= FEW:
        return one_by_one(log_scalar, x)
    least = float(np.minimum.reduce(x, axis=None))
    most = float(np.maximum.reduce(x, axis=None))
    assert 0.0 < least <= most < math.inf, "log of a value that is not positive and finite"
    mantissa, exponent = np.frexp(x)
    low = mantissa < _SQRT_HALF
    near_one = np.where(low, mantissa + mantissa, mantissa)
    power = np.where(low, exponent - 1, exponent).astype(np.float64)
    return log_reduced(near_one, power)


def log_scalar(x: float) -> float:
    """Natural logarithm of one value, with the bits of `log`."""
    assert 0.0 < x < math.inf, f"log of {x}, must be positive and finite"
    mantissa, exponent = math.frexp(x)
    if mantissa < _SQRT_HALF:
        mantissa, exponent = mantissa + mantissa, exponent - 1
    return log_reduced(mantissa, float(exponent))


def exp(x: Floats) -> Floats:
    """e to the power of each value; within 1 ulp. x must not be NaN.

    Above 709.78 the result is infinite, below -745.13 it is 0. The sequence is fdlibm's `e_exp.c`.
    """
    if x.size <= FEW:
        return one_by_one(exp_scalar, x)
    least = float(np.minimum.reduce(x, axis=None, initial=0.0))
    most = float(np.maximum.reduce(x, axis=None, initial=0.0))
    assert not math.isnan(least), "exp of NaN"
    if least >= -_EXP_NORMAL and most <= _EXP_NORMAL:
        k = np.rint(x * _INVERSE_LN_2)
        # No power of two leaves the normal numbers: one exact factor gives the bits of two.
        return exp_reduced(x, k) * power_of_2(k.astype(np.int64))
    bounded = np.minimum(np.maximum(x, _EXP_MIN), _EXP_MAX)
    k = np.rint(bounded * _INVERSE_LN_2)
    first = np.floor(k * 0.5).astype(np.int64)
    second = k.astype(np.int64) - first
    with np.errstate(under="ignore"):
        scaled = exp_reduced(bounded, k) * power_of_2(first) * power_of_2(second)
    return np.where(x > _EXP_MAX, np.inf, scaled)


def exp_scalar(x: float) -> float:
    """e to the power of one value, with the bits of `exp`."""
    assert not math.isnan(x), "exp of NaN"
    if x > _EXP_MAX:
        return math.inf
    bounded = max(x, _EXP_MIN)
    k = round(bounded * _INVERSE_LN_2)
    first = k // 2
    # Two exact factors: 2^k itself overflows at k = 1024 and is subnormal below -1022.
    scaled = exp_reduced(bounded, float(k)) * math.ldexp(1.0, first)
    return scaled * math.ldexp(1.0, k - first)


def lgamma(x: Floats) -> Floats:
    """Logarithm of the gamma function of each value; error below 2e-14 + 4 ulp.

    x must be finite and above 0. Stirling's series with eight terms (Abramowitz and Stegun 6.1.40)
    from 8 up, the recurrence below. Near 1 and 2, where the result is 0, the error is absolute.
    """
    small = x < _GAMMA_SHIFT
    if not small.any():
        return _stirling(x, log(x))
    raised = np.where(small, x + _GAMMA_SHIFT, x)
    found = _stirling(raised, log(raised))
    found[small] -= log(_rising_factorial(x[small]))
    return found


def lgamma_scalar(x: float) -> float:
    """Logarithm of the gamma function of one value, with the bits of `lgamma`."""
    if x >= _GAMMA_SHIFT:
        return _stirling(x, log_scalar(x))
    raised = x + _GAMMA_SHIFT
    return _stirling(raised, log_scalar(raised)) - log_scalar(_rising_factorial(x))


def _rising_factorial(x: Number) -> Number:
    """x (x+1) ... (x+7)."""
    product = x
    for step in range(1, _GAMMA_SHIFT):
        product = product * (x + step)
    return product


def _stirling(x: Number, log_x: Number) -> Number:
    """Stirling's series; its coefficients B(2k) / (2k (2k-1)), highest first."""
    inverse = 1.0 / x
    square = inverse * inverse
    series = square * (-3617.0 / 122400.0) + 1.0 / 156.0
    for part in (-691.0 / 360360.0, 1 / 1188.0, -1 / 1680.0, 1 / 1260.0, -1 / 360.0, 1 / 12.0):
        series = series * square + part
    return (x - 0.5) * log_x - x + _HALF_LN_2_PI + series * inverse


def gamma_q(a: float, x: float) -> float:
    """Regularised upper incomplete gamma function Q(a, x), from 1 at x = 0 down to 0.

    a above 0, x at least 0 and finite. Series below a + 1, Lentz's continued fraction above
    (Numerical Recipes, 3rd ed., 6.2). A result below about 1e-323 is 0.
    """
    assert a > 0.0, f"Q({a}, {x}): a must be above 0"
    assert 0.0 <= x < math.inf, f"Q({a}, {x}): x must be at least 0 and finite"
    if x == 0.0:
        return 1.0
    scale = exp_scalar(a * log_scalar(x) - x - lgamma_scalar(a))
    if x < a + 1.0:
        return max(0.0, 1.0 - scale * _gamma_series(a, x))
    return min(1.0, scale * _gamma_fraction(a, x))


def _gamma_series(a: float, x: float) -> float:
    term = total = 1.0 / a
    for step in range(1, _STEPS_MAX):
        term = term * (x / (a + step))
        total = total + term
        if term < total * _EPSILON:
            return total
    raise AssertionError(f"the series of Q({a}, {x}) did not converge")


def _gamma_fraction(a: float, x: float) -> float:
    b = x + 1.0 - a
    c = math.inf
    value = d = 1.0 / b
    for step in range(1, _STEPS_MAX):
        numerator = -step * (step - a)
        b = b + 2.0
        d = 1.0 / (numerator * d + b)
        c = b + numerator / c
        value = value * (d * c)
        if abs(d * c - 1.0) <= 2.0 * _EPSILON:
            return value
    raise AssertionError(f"the continued fraction of Q({a}, {x}) did not converge")


def chi2_sf(statistic: float, df: int) -> float:
    """P(chi-squared with `df` degrees of freedom > statistic), 1 at 0; relative error below 1e-11.

    With df = 1 and statistic z * z it is the two-sided tail of the standard normal.
    """
    return gamma_q(df * 0.5, statistic * 0.5)


def ordered_sum(x: Floats) -> float:
    """Sum from the first value to the last, one rounding each; 0 for none."""
    return float(np.add.accumulate(x)[-1]) if x.size else 0.0


@overload
def to_fixed(x: float, quantum: float, limit: int) -> int: ...
@overload
def to_fixed(x: Floats, quantum: float, limit: int) -> Integers: ...
def to_fixed(x: float | Floats, quantum: float, limit: int) -> int | Integers:
    """x in units of `quantum`, rounded half to even, held within -limit..limit.

    The quotient is exact when the quantum is a power of two (use one), else rounded once by the
    division. Infinities are clamped before the cast; NaN must be cut before. limit is at most 2^53.
    """
    assert quantum > 0.0, f"quantum is {quantum}, must be above 0"
    assert 0 < limit <= FIXED_LIMIT_MAX, f"limit is {limit}, must be 1..2^53"
    if isinstance(x, np.ndarray):
        assert not bool(np.isnan(x).any()), "NaN has no fixed-point value"
        with np.errstate(over="ignore", under="ignore"):
            quotient = np.rint(x / quantum)
        return np.minimum(np.maximum(quotient, -limit), limit).astype(np.int64)
    assert not math.isnan(x), "NaN has no fixed-point value"
    return round(min(max(x / quantum, -limit), limit))


def self_test() -> None:
    """Compute known bits, subnormals among them; raises AssertionError if this machine differs."""
    if (found := fingerprint()) != _SELF_TEST_SHA256:
        raise AssertionError(f"float64 arithmetic differs on this machine: {found}")


def fingerprint() -> str:
    """SHA-256 over the results of every function here for fixed inputs (little-endian bytes)."""
    steps = np.arange(1, 2001, dtype=np.uint64)
    # Fibonacci hashing spreads the exponents; the top bit is cut, so all are positive.
    bits = (steps * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(1)
    wide = bits[bits < np.uint64(0x7FF0000000000000)].view(np.float64)
    wide = np.concatenate([wide, np.array([5e-324, 1e-310, 2.2250738585072014e-308, 1.0])])
    line = steps.astype(np.float64)
    tails = [chi2_sf(step * 0.75, df) for step in range(40) for df in (1, 2, 19)]
    scalars = np.array([*tails, ordered_sum(1.0 / line)])
    digest = hashlib.sha256()
    for values in (log(wide), exp(line - 1200.0), lgamma(line / 7.0), np.sqrt(line), scalars):
        digest.update(values.astype("<f8").tobytes())
    digest.update(to_fixed(1.0 / line, 0.001, 1 << 20).astype("<i8").tobytes())
    return digest.hexdigest()
