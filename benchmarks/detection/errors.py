"""Line 5: error streams. References of 5,000 outcomes, A = 100,000 outcomes, a change after 5,000.

The default: SR mixture where the reference's error is known (2,000 outcomes), BF-SR otherwise. The
dispersion c is measured on the reference's own bins, also where it is 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.figures import upper95
from streamops.core import bf_sr, sr_mixture
from streamops.core.outcome_bins import OUTCOMES, dispersion

ALARM_AT = 100_000.0
REFERENCE = 5_000
BEFORE = 5_000
Errors = NDArray[np.bool_]
Alarms = list[tuple[int, int]]
Test = Callable[[Errors, Iterable[bool]], Alarms]


def chain(rng: np.random.Generator, count: int, rate: float, correlation: float) -> Errors:
    """Outcomes of a two-state Markov chain: errors of this rate that come in runs."""
    fresh, draw = rng.random(count) < rate, rng.random(count) >= correlation
    draw[0] = True
    # Each outcome is a fresh draw, or the one before it again.
    return fresh[np.maximum.accumulate(np.where(draw, np.arange(count), 0))]


def known(reference: Errors, outcomes: Iterable[bool]) -> Alarms:
    """Alarms of the SR mixture: (outcome, age)."""
    base = sr_mixture.baseline(int(reference.sum()), len(reference), _c(reference))
    state, alarms = sr_mixture.initial(), []
    for number, is_error in enumerate(outcomes, 1):
        state, found = sr_mixture.step(base, state, is_error, ALARM_AT)
        if found is not None and found.is_alarm:
            alarms.append((number, found.age))
    return alarms


def unknown(reference: Errors, outcomes: Iterable[bool]) -> Alarms:
    """Alarms of BF-SR: (outcome, age)."""
    state, c = bf_sr.initial((int(reference.sum()), len(reference))), _c(reference)
    alarms = []
    for number, is_error in enumerate(outcomes, 1):
        state, found = bf_sr.step(state, is_error, ALARM_AT, c)
        if found is not None and found.is_alarm:
            alarms.append((number, found.age))
    return alarms


def _c(reference: Errors) -> float:
    return dispersion(reference.reshape(-1, OUTCOMES).sum(axis=1).tolist())


TESTS: dict[str, Test] = {"sr_mixture": known, "bf_sr": unknown}


def false_alarms(
    test: Test, rate: float, correlation: float, streams: int, seed: int
) -> dict[str, float]:
    """False alarms per 100,000 outcomes over so many streams of 100,000."""
    rng = np.random.default_rng((seed, int(rate * 1000), int(correlation * 100)))
    events = 0
    for _ in range(streams):
        both = chain(rng, REFERENCE + 100_000, rate, correlation)
        events += len(test(both[:REFERENCE], both[REFERENCE:].tolist()))
    return {"per_100k": events / streams, "upper95": upper95(events, streams), "streams": streams}


def delays(test: Test, before: float, after: float, runs: int, seed: int) -> dict[str, float]:
    """Outcomes from a change to the first alarm behind it, and how far the dated change is off."""
    rng = np.random.default_rng((seed, int(before * 1000), int(after * 1000)))
    found, off, early = [], [], 0
    for _ in range(runs):
        reference = rng.random(REFERENCE) < before
        outcomes = np.concatenate([rng.random(BEFORE) < before, rng.random(10_000) < after])
        alarms = test(reference, outcomes.tolist())
        early += sum(1 for at, _ in alarms if at <= BEFORE)
        later = [(at, age) for at, age in alarms if at > BEFORE]
        found.append(later[0][0] - BEFORE if later else np.inf)
        if later:
            off.append(later[0][0] - later[0][1] - BEFORE)
    median, most = (float(np.quantile(found, q, method="higher")) for q in (0.5, 0.9))
    return {
        "median": -1.0 if np.isinf(median) else median,
        "p90": -1.0 if np.isinf(most) else most,
        "dated_off_median": float(np.median(np.abs(off))) if off else -1.0,
        "early": early,
        "runs": runs,
    }
