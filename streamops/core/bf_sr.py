"""BF-SR: a rising error rate where the reference's is not known well; it dates the change.

Rule 1: a step takes one outcome; only a closed bin changes the evidence.
Rule 2: what was seen before a start is that start's reference: no rate is given from outside.
Rule 3: an alarm forgets everything but its dispersion: another model, or another rate, begins.
Rule 4: one-sided: a start whose error rate isn't above the rate before it weighs nothing.

For the bins from a start s to now with C = (errors, right answers), after P = (1/2, 1/2) + counts
before s, of mean rate p, with DM(C; a) the beta-binomial probability and d = .02, .04, .08, .16,

    BF_s = max( .1 DM(C; 1/2, 1/2), .9 max_d (p + d)^errors (1 - p - d)^right / 4 ) / DM(C; P)
    R    = sum over starts of BF_s^(1/c);   alarm when R >= A / w, w outcomes a bin

Assumptions: bins are independent given the rate, apart from the dispersion c (`outcome_bins`). The
rate's prior is Jeffreys' Beta(1/2, 1/2).

P(false alarm within T outcomes) <= T / A, on average over that prior. Sketch. Given the past, C has
law DM(C; P); BF_s is at most the ratio of a probability (a maximum of weighted ones is below their
sum) to the true one, a martingale of mean 1. As in `esr` the sum over all starts has mean at most t
after t bins, Doob's inequality gives (T / w) / (A / w), and 1 / c and fewer starts only lower it.
For a single true rate it holds nearly, once a few hundred outcomes made the prior forget itself.
(The e-detector of Shin, Ramdas, Rinaldo 2023 with the Bayes factor of Jeffreys 1935 for two rates.)
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import msgspec
import numpy as np

from streamops.core.numeric import exp_scalar, lgamma, lgamma_scalar, log_scalar
from streamops.core.outcome_bins import OUTCOMES, OpenBin, add
from streamops.core.starts import lives

RISES = (0.02, 0.04, 0.08, 0.16)
_RATE_MAX = 0.99
_TABLE = 1 << 16
_EXPONENT_MAX = 700.0
SHARP = 0.9
_LOG_FREE = log_scalar(1.0 - SHARP) - 2.0 * lgamma_scalar(0.5)
_LOG_LIFTED = log_scalar(SHARP / len(RISES))


class Start(msgspec.Struct, frozen=True, array_like=True):
    """A bin in which a change may have begun.

    bin           its number, from 1; errors, right: outcomes since
    above         doubled errors and right answers before it, prior included
    before        log beta of those
    gains         log-likelihood of an error and of a right answer, by rise
    """

    bin: int
    errors: int
    right: int
    above: tuple[int, int]
    before: float
    gains: tuple[tuple[float, float], ...]


class State(msgspec.Struct, frozen=True, array_like=True):
    """One stream since its last alarm: outcomes in closed bins, and the starts that live."""

    open: OpenBin = OpenBin()
    bins: int = 0
    errors: int = 0
    right: int = 0
    starts: tuple[Start, ...] = ()


class Finding(NamedTuple):
    """What a closed bin says. `age`: outcomes since the likeliest change, this bin included."""

    evidence: float
    is_alarm: bool
    age: int


def initial(reference: tuple[int, int] = (0, 0)) -> State:
    """Return the state before the first outcome; a reference is (errors, outcomes), if any."""
    errors, outcomes = reference
    assert 0 <= errors <= outcomes, f"{errors} errors of {outcomes} outcomes"
    return State(errors=errors, right=outcomes - errors)


def step(
    state: State, is_error: bool, alarm_at: float, dispersion: float = 1.0
) -> tuple[State, Finding | None]:
    """Take one outcome; `alarm_at` is A, in outcomes. A finding comes with each closed bin."""
    assert dispersion >= 1.0, f"dispersion is {dispersion}, must be at least 1"
    open_, errors = add(state.open, is_error)
    if errors is None:
        return State(open_, state.bins, state.errors, state.right, state.starts), None
    bins, right = state.bins + 1, OUTCOMES - errors
    starts = tuple(
        _longer(start, errors, right)
        for start in (*state.starts, _start(bins, state.errors, state.right))
        if lives(start.bin, bins)
    )
    after = State(open_, bins, state.errors + errors, state.right + right, starts)
    now = _log_beta(2 * after.errors + 1, 2 * after.right + 1)
    factors = [_factor(start, now, dispersion) for start in starts]
    evidence = 0.0
    for factor in factors:
        evidence = evidence + factor
    best = max(range(len(factors)), key=lambda i: factors[i])
    age = (bins - starts[best].bin + 1) * OUTCOMES
    found = Finding(evidence, evidence >= alarm_at / OUTCOMES, age)
    return (State() if found.is_alarm else after), found


def _start(bin_: int, errors: int, right: int) -> Start:
    above = (2 * errors + 1, 2 * right + 1)
    rate = above[0] / (above[0] + above[1])
    rates = [min(rate + rise, _RATE_MAX) for rise in RISES]
    gains = tuple((log_scalar(p), log_scalar(1.0 - p)) for p in rates)
    return Start(bin_, 0, 0, above, _log_beta(*above), gains)


def _longer(start: Start, errors: int, right: int) -> Start:
    return Start(
        start.bin,
        start.errors + errors,
        start.right + right,
        start.above,
        start.before,
        start.gains,
    )


def _factor(start: Start, now: float, dispersion: float) -> float:
    """The Bayes factor to the power 1 / c; 0 if the rate since isn't above the rate before."""
    errors, right = start.errors, start.right
    if errors * start.above[1] <= right * start.above[0]:
        return 0.0
    free = _log_beta(2 * errors + 1, 2 * right + 1) + _LOG_FREE
    lifted = max([errors * up + right * down for up, down in start.gains]) + _LOG_LIFTED
    gain = max(free, lifted) - (now - start.before)
    return exp_scalar(min(gain / dispersion, _EXPONENT_MAX))


def _log_beta(errors: int, right: int) -> float:
    """Log of the beta function of two doubled parameters."""
    return _lgamma_half(errors) + _lgamma_half(right) - _lgamma_half(errors + right)


@cache
def _table() -> list[float]:
    return [0.0, *lgamma(np.arange(1, _TABLE, dtype=np.float64) * 0.5).tolist()]


def _lgamma_half(doubled: int) -> float:
    return _table()[doubled] if doubled < _TABLE else lgamma_scalar(doubled * 0.5)
