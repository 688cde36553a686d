"""Outcomes in bins of fifty: what the tests on an error stream are fed with.

Rule 1: a bin closes at its fiftieth outcome and is a number of errors; the order inside it is lost,
        and a bin that is open is no evidence.
Rule 2: how much bins differ is measured on the reference, never assumed: errors come in runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

OUTCOMES = 50
_SURE = 2.0


class OpenBin(msgspec.Struct, frozen=True, array_like=True):
    """The bin that is filling: outcomes and errors in it."""

    outcomes: int = 0
    errors: int = 0


def add(bin_: OpenBin, is_error: bool) -> tuple[OpenBin, int | None]:
    """Add an outcome: the bin afterwards, and the errors of the bin it closed, if it did."""
    outcomes, errors = bin_.outcomes + 1, bin_.errors + is_error
    if outcomes < OUTCOMES:
        return OpenBin(outcomes, errors), None
    return OpenBin(), errors


def dispersion(bins: Sequence[int]) -> float:
    """Return c >= 1: how many times more bins of a reference differ than independent errors would.

    X2 of the bins over its degrees of freedom. Within two of its own standard errors of 1 it is 1;
    above, two standard errors are added, as a c that is too small costs false alarms. Fewer than
    two bins, or a reference all right or all wrong, say nothing: 1.
    """
    n, errors = len(bins), _total(bins)
    if n < 2 or errors in (0, n * OUTCOMES):
        return 1.0
    # n * bin - errors is whole, so the squares are summed exactly.
    squares = _total([(n * one - errors) * (n * one - errors) for one in bins])
    x2 = squares * OUTCOMES / (errors * (n * OUTCOMES - errors))
    width = _SURE * math.sqrt(2.0 / (n - 1))
    c = x2 / (n - 1)
    return 1.0 if c <= 1.0 + width else c * (1.0 + width)


def _total(values: Sequence[int]) -> int:
    total = 0
    for value in values:
        total += value
    return total
