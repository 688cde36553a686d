"""SR mixture: a rising error rate where the reference's is known well.

Rule 1: a step takes one outcome; only a closed bin changes the evidence.
Rule 2: an alarm begins anew. The factors depend on the reference alone and are made once.
Rule 3: one-sided: an error rate that falls is no alarm.

For bins of w outcomes with k errors, and rises d_i of .02, .04, .08, .16 over p0,

    R_i <- (1 + R_i) [ (p_i / p0)^k ((1 - p_i) / (1 - p0))^(w - k) ]^(1/c);   p_i = p0 + d_i
    alarm when the mean of R_i reaches A / w

p0 is the reference's error rate plus two standard errors (widened by the root of c), so that the
true rate is hardly above it. c is the reference's dispersion (`outcome_bins`): errors that come in
runs bring c times less evidence than they seem to.

Assumption: bins are independent given the rate, apart from c. (Shiryaev 1963, Roberts 1966; Pollak
1985. The power 1 / c is a power prior's.)

Outcomes to a false alarm: A on average at least, for every error rate <= p0; and P(false alarm
within T outcomes) <= T / A. Sketch. With c = 1 and rate p0 the factor has mean 1 given the past,
and a mean below 1 for a lower rate (it grows with p); the power 1 / c <= 1 lowers it (Jensen). So
E R after t bins is at most t: at the alarm E[bins] >= E R >= A / w. R plus what was lost is a
submartingale of mean t that is never negative; Doob: P(max R >= A / w in T / w bins) <= T / A.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from streamops.core.numeric import exp_scalar, log_scalar
from streamops.core.outcome_bins import OUTCOMES, OpenBin, add

RISES = (0.02, 0.04, 0.08, 0.16)
REFERENCE_MIN = 2000
_RATE_MIN, _RATE_MAX = 0.001, 0.99
_MARGIN = 2.0


class Baseline(NamedTuple):
    """p0, and each bin's factors by its number of errors: [errors][rise]."""

    p0: float
    factors: tuple[tuple[float, ...], ...]


class State(msgspec.Struct, frozen=True, array_like=True):
    """One stream. `bins` since the last alarm; by rise: R, and the best run (its factor, start)."""

    open: OpenBin = OpenBin()
    bins: int = 0
    sums: tuple[float, ...] = (0.0,) * len(RISES)
    runs: tuple[float, ...] = (1.0,) * len(RISES)
    began: tuple[int, ...] = (0,) * len(RISES)


class Finding(NamedTuple):
    """What a closed bin says. `age`: outcomes since the likeliest change, this bin included."""

    evidence: float
    is_alarm: bool
    age: int


def is_known(outcomes: int) -> bool:
    """Tell whether a reference of so many outcomes fixes an error rate well enough."""
    return outcomes >= REFERENCE_MIN


def baseline(errors: int, outcomes: int, dispersion: float = 1.0) -> Baseline:
    """Return what a reference with so many errors among its outcomes fixes."""
    assert 0 <= errors <= outcomes, f"{errors} errors of {outcomes} outcomes"
    assert dispersion >= 1.0, f"dispersion is {dispersion}, must be at least 1"
    assert is_known(outcomes), f"{outcomes} outcomes, must be at least {REFERENCE_MIN}"
    rate = (errors + 0.5) / (outcomes + 1.0)
    error = math.sqrt(rate * (1.0 - rate) * dispersion / outcomes)
    p0 = min(max(rate + _MARGIN * error, _RATE_MIN), _RATE_MAX - RISES[0])
    pairs = [_gains(p0, min(p0 + rise, _RATE_MAX)) for rise in RISES]
    return Baseline(
        p0,
        tuple(
            tuple(exp_scalar((k * up + (OUTCOMES - k) * down) / dispersion) for up, down in pairs)
            for k in range(OUTCOMES + 1)
        ),
    )


def _gains(p0: float, p1: float) -> tuple[float, float]:
    """Log-likelihood ratio of an error, and of a right answer."""
    return log_scalar(p1 / p0), log_scalar((1.0 - p1) / (1.0 - p0))


def initial() -> State:
    """Return the state before the first outcome."""
    return State()


def step(
    base: Baseline, state: State, is_error: bool, alarm_at: float
) -> tuple[State, Finding | None]:
    """Take one outcome; `alarm_at` is A, in outcomes. A finding comes with each closed bin."""
    open_, errors = add(state.open, is_error)
    if errors is None:
        return State(open_, state.bins, state.sums, state.runs, state.began), None
    factors, bins = base.factors[errors], state.bins + 1
    sums = tuple((1.0 + r) * f for r, f in zip(state.sums, factors, strict=True))
    # A run that lost its evidence begins anew behind the last bin: Page's rule dates the change.
    began = tuple(
        b if run > 1.0 else bins - 1 for b, run in zip(state.began, state.runs, strict=True)
    )
    runs = tuple(max(run, 1.0) * f for run, f in zip(state.runs, factors, strict=True))
    evidence = (sums[0] + sums[1] + sums[2] + sums[3]) / len(RISES)
    best = max(range(len(RISES)), key=lambda i: runs[i])
    found = Finding(evidence, evidence >= alarm_at / OUTCOMES, (bins - began[best]) * OUTCOMES)
    return (State() if found.is_alarm else State(open_, bins, sums, runs, began)), found
