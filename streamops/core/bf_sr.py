"""BF-SR: a rising error rate where the reference's is not known well; it dates the change.

Rule 1: a step takes one outcome; only a closed bin changes the evidence.
Rule 2: what was seen before a start is that start's reference: no rate is given from outside.
Rule 3: an alarm forgets everything but its dispersion: another model, or another rate, begins.
Rule 4: one-sided: a start whose error rate isn't above the rate before it weighs nothing.
Rule 5: which starts live depends on their numbers alone; what a start holds never changes, so a bin
        costs a factor each and no copy.

For the bins from a start s to now with C = (errors, right answers), after P = (1/2, 1/2) + counts
before s, of mean rate p, with DM(C; a) the beta-binomial probability and d = .02, .04, .08, .16,

    BF_s = max( .1 DM(C; 1/2, 1/2), .9 max_d (p + d)^errors (1 - p - d)^right / 4 ) / DM(C; P)
    R    = sum over starts of v_s BF_s^(1/c);   alarm when R >= A / w, w outcomes a bin

v_s is the outcomes before s over 5,000, at most 1: little is known of a rate after few outcomes,
and half of the false alarms came from there. Starts are each of the last eight bins, every 2nd to
the 24th, every 8th to the 64th.

Assumptions: bins are independent given the rate, apart from the dispersion c (`outcome_bins`). The
rate's prior is Jeffreys' Beta(1/2, 1/2).

P(false alarm within T outcomes) <= T / A, on average over that prior. Sketch. Given the past, C has
law DM(C; P); BF_s is at most the ratio of a probability (a maximum of weighted ones is below their
sum) to the true one, a martingale of mean 1. As in `esr` the sum over all starts has mean at most t
after t bins, Doob's inequality gives (T / w) / (A / w), and 1 / c, v_s <= 1 and fewer starts only
lower it. For a single true rate it holds nearly, once a few hundred outcomes made the prior forget
itself.
(The e-detector of Shin, Ramdas, Rinaldo 2023 with the Bayes factor of Jeffreys 1935 for two rates.)
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import msgspec
import numpy as np

from streamops.core.numeric import exp_scalar, lgamma, lgamma_scalar, log_scalar
from streamops.core.outcome_bins import OUTCOMES, OpenBin, add

RISES = (0.02, 0.04, 0.08, 0.16)
_RATE_MAX = 0.99
_TABLE = 1 << 16
_EXPONENT_MAX = 700.0
SHARP = 0.9
AGE_MAX = 64
KNOWN = 5_000
# By age in bins: a start lives on if the number of bins before it divides by this.
STRIDES = (1,) * 8 + (2,) * 16 + (8,) * 40
_LOG_FREE = log_scalar(1.0 - SHARP) - 2.0 * lgamma_scalar(0.5)
_LOG_LIFTED = log_scalar(SHARP / len(RISES))


class Start(msgspec.Struct, frozen=True, array_like=True):
    """A bin in which a change may have begun; nothing in it changes while it lives.

    bin            its number, from 1
    errors, right  outcomes before it, the reference's among them
    beta           log beta of those and the prior
    gains          log-likelihood of an error and of a right answer, by rise
    weight         v_s
    """

    bin: int
    errors: int
    right: int
    beta: float
    weight: float
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
    newest = _start(bins, state.errors, state.right)
    starts = tuple(
        start for start in (*state.starts, newest) if _lives(bins - start.bin, start.bin)
    )
    after = State(open_, bins, state.errors + errors, state.right + right, starts)
    now = _log_beta(2 * after.errors + 1, 2 * after.right + 1)
    evidence, best, most = 0.0, newest, -1.0
    for start in starts:
        factor = _factor(start, after, now, dispersion)
        evidence = evidence + factor
        if factor > most:
            best, most = start, factor
    found = Finding(evidence, evidence >= alarm_at / OUTCOMES, (bins - best.bin + 1) * OUTCOMES)
    return (State() if found.is_alarm else after), found


def _lives(age: int, bin_: int) -> bool:
    """Tell whether a start is kept so many bins later: which are depends on numbers alone."""
    return age < AGE_MAX and (bin_ - 1) % STRIDES[age] == 0


def _start(bin_: int, errors: int, right: int) -> Start:
    rate = (errors + 0.5) / (errors + right + 1.0)
    rates = [min(rate + rise, _RATE_MAX) for rise in RISES]
    gains = tuple((log_scalar(p), log_scalar(1.0 - p)) for p in rates)
    beta = _log_beta(2 * errors + 1, 2 * right + 1)
    return Start(bin_, errors, right, beta, min((errors + right) / KNOWN, 1.0), gains)


def _factor(start: Start, state: State, now: float, dispersion: float) -> float:
    """The weighted Bayes factor to the power 1 / c; 0 if the rate isn't above that before."""
    errors, right = state.errors - start.errors, state.right - start.right
    if errors * (2 * start.right + 1) <= right * (2 * start.errors + 1):
        return 0.0
    # No start is older than AGE_MAX bins: its outcomes are in the table.
    half = _table()
    gain = half[2 * errors + 1] + half[2 * right + 1] - half[2 * (errors + right + 1)] + _LOG_FREE
    for up, down in start.gains:
        lifted = errors * up + right * down + _LOG_LIFTED
        if lifted > gain:
            gain = lifted
    gain = (gain - (now - start.beta)) / dispersion
    return start.weight * exp_scalar(min(gain, _EXPONENT_MAX))


def _log_beta(errors: int, right: int) -> float:
    """Log of the beta function of two doubled parameters."""
    return _lgamma_half(errors) + _lgamma_half(right) - _lgamma_half(errors + right)


@cache
def _table() -> list[float]:
    return [0.0, *lgamma(np.arange(1, _TABLE, dtype=np.float64) * 0.5).tolist()]


def _lgamma_half(doubled: int) -> float:
    return _table()[doubled] if doubled < _TABLE else lgamma_scalar(doubled * 0.5)
