"""BF-SR: a rising error rate where the reference's is not known well; it dates the change.

Rule 1: a step takes one outcome; only a closed bin changes the evidence.
Rule 2: what was seen before a start is that start's reference: no rate is given from outside.
Rule 3: an alarm forgets everything but its dispersion: another model, or another rate, begins.
Rule 4: one-sided: a start whose error rate isn't above the rate before it weighs nothing.
Rule 5: where outcomes have scores, half of the evidence is that of tenths of the score (`tenths`),
        which are looked at with every second bin.
Rule 6: which starts live depends on their numbers alone; what a start holds never changes, so a bin
        costs a factor each and no copy.

For the bins from a start s to now with C = (errors, right answers), after P = (1/2, 1/2) + counts
before s, of mean rate p (`beta.rate_of`), with DM(C; a) the beta-binomial probability and
d = .02, .04, .08, .16,

    BF_s = max( .1 DM(C; 1/2, 1/2), .9 max_d (p + d)^errors (1 - p - d)^right / 4 ) / DM(C; P)
    R    = sum over starts of v_s BF_s^(1/c);   alarm when R >= A / w, w outcomes a bin

and with scores v_s (BF_s^(1/c) + the tenths' mean) / 2 in the sum: a mean of two that have a mean
of at most 1.

v_s is the outcomes before s over 5,000, at most 1: little is known of a rate after few outcomes,
and half of the false alarms came from there.

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

from streamops.core import tenths
from streamops.core.beta import SHARP, Gains, halves, log_beta, log_free, raised, rate_of
from streamops.core.numeric import Integers, exp_scalar, log_scalar
from streamops.core.outcome_bins import OUTCOMES
from streamops.core.packed import integers, pack
from streamops.core.starts import living
from streamops.core.tenths import CODES

RISES = (0.02, 0.04, 0.08, 0.16)
_EXPONENT_MAX = 700.0
KNOWN = 5_000
_BYTES = [bytes([code]) for code in range(CODES)]
_RIGHT = bytes(range(0, CODES, 2))
_LOG_FREE = log_free()
_LOG_LIFTED = log_scalar(SHARP / len(RISES))


class Start(msgspec.Struct, frozen=True, array_like=True):
    """A bin in which a change may have begun; nothing in it changes while it lives.

    bin            its number, from 1
    errors, right  outcomes before it, the reference's among them
    beta           log beta of those and the prior
    rate           that of those, in 4,096ths
    weight         v_s
    parts          packed outcomes before it by code of `tenths`; none without scores
    """

    bin: int
    errors: int
    right: int
    beta: float
    weight: float
    rate: int
    parts: bytes = b""


class Closed(msgspec.Struct, frozen=True, array_like=True):
    """Closed bins since the last alarm, and the starts that live.

    errors, right  outcomes, the reference's among them
    parts          packed outcomes by code; none without scores
    """

    bins: int = 0
    errors: int = 0
    right: int = 0
    starts: tuple[Start, ...] = ()
    parts: bytes = b""


class State(msgspec.Struct, frozen=True, array_like=True):
    """One stream: codes of the outcomes in the bin that is filling, a byte each, and the rest."""

    open: bytes = b""
    closed: Closed = Closed()


class Finding(NamedTuple):
    """What a closed bin says. `age`: outcomes since the likeliest change, this bin included."""

    evidence: float
    is_alarm: bool
    age: int


def initial(reference: tuple[int, int] = (0, 0), parts: Integers | None = None) -> State:
    """Return the state before the first outcome.

    reference  (errors, outcomes), if any; parts: its outcomes by code, for a stream with scores
    """
    errors, outcomes = reference
    assert 0 <= errors <= outcomes, f"{errors} errors of {outcomes} outcomes"
    packed = b"" if parts is None else pack(parts)
    return State(b"", Closed(0, errors, outcomes - errors, (), packed))


def step(
    state: State, is_error: bool, alarm_at: float, dispersion: float = 1.0, tenth: int = 0
) -> tuple[State, Finding | None]:
    """Take one outcome; a finding comes with each closed bin.

    alarm_at  A, in outcomes; tenth: of its score
    """
    open_ = state.open + _BYTES[2 * tenth + is_error]
    if len(open_) < OUTCOMES:
        return State(open_, state.closed), None
    return _close(state.closed, open_, alarm_at, dispersion)


def _close(
    state: Closed, codes: bytes, alarm_at: float, dispersion: float
) -> tuple[State, Finding]:
    assert dispersion >= 1.0, f"dispersion is {dispersion}, must be at least 1"
    bins, errors = state.bins + 1, len(codes.translate(None, _RIGHT))
    newest = _start(bins, state.errors, state.right, state.parts)
    starts = (*living(state.starts, bins), newest)
    parts = _added(state.parts, codes) if state.parts else b""
    right = state.right + OUTCOMES - errors
    after = Closed(bins, state.errors + errors, right, starts, parts)
    factors = _factors(after, dispersion)
    evidence = 0.0
    for factor in factors:
        evidence = evidence + factor
    age = (bins - starts[factors.index(max(factors))].bin + 1) * OUTCOMES
    found = Finding(evidence, evidence >= alarm_at / OUTCOMES, age)
    if found.is_alarm:
        return State(b"", Closed(parts=bytes(len(parts)))), found
    return State(b"", after), found


def _added(parts: bytes, codes: bytes) -> bytes:
    by_code = np.bincount(np.frombuffer(codes, dtype=np.uint8), minlength=CODES)
    return pack(integers(parts, CODES) + by_code)


def _factors(state: Closed, dispersion: float) -> list[float]:
    """What each start weighs."""
    errors, right = state.errors, state.right
    now = log_beta(2 * errors + 1, 2 * right + 1)
    whole = [
        # Rates are compared as fractions of what came before and since, multiplied out.
        _factor(start, errors - start.errors, right - start.right, now, dispersion)
        if errors * (2 * start.right + 1) - right * (2 * start.errors + 1)
        > start.errors - start.right
        else 0.0
        for start in state.starts
    ]
    if not state.parts:
        return whole
    parts = [] if state.bins % 2 else _by_tenth(state, dispersion)
    if not any(parts):
        return [factor * 0.5 for factor in whole]
    return [
        (factor + start.weight * part) * 0.5
        for factor, part, start in zip(whole, parts, state.starts, strict=True)
    ]


def _by_tenth(state: Closed, dispersion: float) -> list[float]:
    before = integers(b"".join([start.parts for start in state.starts]), -1, CODES)
    return tenths.evidence(before, integers(state.parts, CODES), dispersion)


def _start(bin_: int, errors: int, right: int, parts: bytes) -> Start:
    beta, rate = log_beta(2 * errors + 1, 2 * right + 1), rate_of(errors, right)
    return Start(bin_, errors, right, beta, min((errors + right) / KNOWN, 1.0), rate, parts)


@cache
def _gains(rate: int) -> Gains:
    return raised(rate, RISES)


def _factor(start: Start, errors: int, right: int, now: float, dispersion: float) -> float:
    """The weighted Bayes factor of errors and right answers since a start, to the power 1 / c."""
    # No start is older than 64 bins: its outcomes are in the table.
    half = halves()
    gain = half[2 * errors + 1] + half[2 * right + 1] - half[2 * (errors + right + 1)] + _LOG_FREE
    for up, down in _gains(start.rate):
        lifted = errors * up + right * down + _LOG_LIFTED
        if lifted > gain:
            gain = lifted
    gain = (gain - (now - start.beta)) / dispersion
    return start.weight * exp_scalar(min(gain, _EXPONENT_MAX))
