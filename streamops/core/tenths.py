"""Errors by tenths of the model's score: where a change of concept shows first.

Rule 1: tenths are cut by scores that came before any outcome is tested, and stay as they are.
Rule 2: an outcome's code is twice its tenth, plus one for an error; counts lie by code.
Rule 3: a tenth whose error rate is less than 3.5 standard deviations above the rate before weighs
        nothing, and costs no logarithm.

Labels change somewhere, and the score knows about where: on SEA a tenth's errors rise by half of
its outcomes where all of them rise by a sixteenth. For a start with C = (errors, right) of a tenth
since it, P = (1/2, 1/2) + what came before, of rate p, and d = .05, .1, .2, .4,

    BF = max( .1 DM(C; 1/2, 1/2), .9 max_d (p + d)^errors (1 - p - d)^right / 4 ) / DM(C; P),

which is `bf_sr`'s, its rises larger. Without a change of concept a tenth's outcomes have one error
rate, however many of them come: BF has a mean of at most 1, and so has the mean over tenths.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cache

import numpy as np

from streamops.core.beta import SHARP, Gains, log_beta, log_free, raised, rate_of
from streamops.core.numeric import Integers, exp_scalar, log_scalar

TENTHS = 10
CODES = 2 * TENTHS
LIFTS = (0.05, 0.1, 0.2, 0.4)
DEVIATIONS = 3.5
_EXPONENT_MAX = 700.0
_LOG_FREE = log_free()
_LOG_LIFTED = log_scalar(SHARP / len(LIFTS))


def edges_of(scores: Sequence[float]) -> tuple[float, ...]:
    """Return where tenths of these scores begin, but for the lowest."""
    assert scores, "tenths of no scores"
    ordered = sorted(scores)
    return tuple(ordered[len(ordered) * at // TENTHS] for at in range(1, TENTHS))


def tenth_of(edges: tuple[float, ...], score: float | None) -> int:
    """Return the tenth of a score; the lowest where there is none."""
    return 0 if score is None else bisect_right(edges, score)


def evidence(before: Integers, now: Integers, dispersion: float) -> list[float]:
    """Mean over tenths of the Bayes factors, each to the power 1 / c, by start.

    before  [start, code] outcomes before each start; now: [code] all of them
    """
    found, known, counts = [0.0] * len(before), before.astype(np.float64), now.astype(np.float64)
    right, wrong, all_right, all_wrong = known[:, ::2], known[:, 1::2], counts[::2], counts[1::2]
    n, all_ = right + wrong, all_right + all_wrong
    # The rate of all less the rate before, and its variance, both times what is on top of them.
    gap = right * all_wrong - wrong * all_right
    spread = n * (all_ - n) * (all_right * all_wrong * (DEVIATIONS * DEVIATIONS))
    risen = gap * gap * all_ > spread
    if not np.count_nonzero(risen):
        return found
    risen &= gap > 0.0
    for start, tenth in zip(*(part.tolist() for part in np.nonzero(risen)), strict=True):
        codes = slice(2 * tenth, 2 * tenth + 2)
        rest, errors = before[start, codes].tolist()
        of_right, of_wrong = now[codes].tolist()
        since = of_wrong - errors, of_right - rest
        found[start] += _factor(*since, errors, rest, dispersion)
    return [total / TENTHS for total in found]


@cache
def _gains(rate: int) -> Gains:
    return raised(rate, LIFTS)


def _factor(errors: int, right: int, known: int, rest: int, dispersion: float) -> float:
    """The Bayes factor of errors and right answers since, after those known before."""
    gain = log_beta(2 * errors + 1, 2 * right + 1) + _LOG_FREE
    for up, down in _gains(rate_of(known, rest)):
        lifted = errors * up + right * down + _LOG_LIFTED
        if lifted > gain:
            gain = lifted
    null = log_beta(2 * (known + errors) + 1, 2 * (rest + right) + 1)
    gain -= null - log_beta(2 * known + 1, 2 * rest + 1)
    return exp_scalar(min(gain / dispersion, _EXPONENT_MAX))
