"""What `numeric` makes logarithms and exponentials of: fixed sequences of single operations.

Rule 1: as in `numeric`: + - * / alone, in one order, and what moves bits without rounding.
Rule 2: one sequence for a number and for an array. Augmented assignments change a kernel's own
        temporaries in place: half of what an array costs otherwise.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Number = TypeVar("Number", float, Floats)

LN_2_HIGH, LN_2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_BIAS, _MANTISSA_BITS = 1023, 52


def log_reduced(m: Number, k: Number) -> Number:
    """log(m * 2^k) for m from sqrt(1/2) to sqrt(2)."""
    f = m - 1.0
    s = f / (f + 2.0)
    z = s * s
    w = z * z
    even = w * 1.531383769920937332e-01
    even += 2.222219843214978396e-01
    even *= w
    even += 3.999999999940941908e-01
    even *= w
    odd = w * 1.479819860511658591e-01
    odd += 1.818357216161805012e-01
    odd *= w
    odd += 2.857142874366239149e-01
    odd *= w
    odd += 6.666666666666735130e-01
    odd *= z
    half_square = f * f
    half_square *= 0.5
    odd += even
    odd += half_square
    odd *= s
    odd += k * LN_2_LOW
    odd -= half_square
    odd += f
    odd += k * LN_2_HIGH
    return odd


def exp_reduced(x: Number, k: Number) -> Number:
    """exp(x - k * ln 2), where the difference is at most ln(2) / 2 from 0."""
    high = x - k * LN_2_HIGH
    low = k * LN_2_LOW
    r = high - low
    t = r * r
    tail = t * 4.13813679705723846039e-08
    tail -= 1.65339022054652515390e-06
    tail *= t
    tail += 6.61375632143793436117e-05
    tail *= t
    tail -= 2.77777777770155933842e-03
    tail *= t
    tail += 1.66666666666666019037e-01
    tail *= t
    c = r - tail
    r *= c
    r /= 2.0 - c
    r -= low
    r += high
    r += 1.0
    return r


def power_of_2(k: Integers) -> Floats:
    """2 to the power of each of -1022..1023, by its bits: a third of the cost of `ldexp`."""
    return ((k + _BIAS) << _MANTISSA_BITS).view(np.float64)
