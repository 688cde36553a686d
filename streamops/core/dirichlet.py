"""The Dirichlet-multinomial on counts: how likely counts are when shares are uncertain.

Rule 1: parameters are whole or half: they are held doubled, as integers, so that most of the log
        gammas are looked up. Any parameters make a valid alternative; these are as good as others.
Rule 2: a bin that doesn't exist (padding) has parameter 1 and count 0 for ever: log gamma(1) is 0.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from streamops.core.numeric import Floats, Integers, lgamma, log
from streamops.core.ordered import sum_first

_TABLE_BITS_MAX = 20
_PART = 1 << 13
_HALF_LN_2_PI = 0.9189385332046727


@cache
def _table(bits: int) -> Floats:
    """Log gamma of 1/2, 1, 3/2, ... up to 2^bits halves, by how many; nothing is looked up at 0."""
    halves = np.arange(1, 1 << bits, dtype=np.float64) * 0.5
    # By parts that stay in the processor's cache.
    parts = [lgamma(halves[at : at + _PART]) for at in range(0, len(halves), _PART)]
    return np.concatenate([np.zeros(1), *parts])


def lgamma_half(doubled: Integers, most: int, out: Floats | None = None) -> Floats:
    """Log gamma of half of each integer, 1 to `most`; within 1e-13 relative.

    A table of the needed size up to 2^20 entries; beyond it Stirling's series needs one term.
    """
    bits = max(12, most.bit_length())
    # To clip costs half of what checking each place costs.
    found = _table(min(bits, _TABLE_BITS_MAX)).take(doubled, mode="clip", out=out)
    if bits <= _TABLE_BITS_MAX:
        return found
    limit = (1 << _TABLE_BITS_MAX) - 1
    large = doubled > limit
    x = doubled[large].astype(np.float64) * 0.5
    found[large] = (x - 0.5) * log(x) - x + _HALF_LN_2_PI + 1.0 / (x * 12.0)
    return found


def log_beta(doubled: Integers, total: Integers) -> Floats:
    """Log of the product of gammas over the first axis, over the gamma of their sum.

    `total` is the doubled sum over bins that exist, so no parameter of a bin is above it (or it is
    padding). Counts C against parameters a have probability exp(log_beta(a + C) - log_beta(a)) in
    their order: Polya's urn.
    """
    most = int(total.max(initial=1))
    return sum_first(lgamma_half(doubled, most)) - lgamma_half(total, most)
