"""Line 5: error streams. References of 5,000 outcomes, A = 100,000 outcomes, a change after 5,000.

The default: SR mixture where the reference's error is known (2,000 outcomes), BF-SR otherwise. The
dispersion c is measured on the reference's own bins, also where it is 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import drift

from streamops.bench.figures import NEVER, Delays, Figures, delay_figures, upper95
from streamops.core import bf_sr, sr_mixture
from streamops.core.outcome_bins import OUTCOMES, dispersion

ALARM_AT = 100_000.0
REFERENCE = 5_000
BEFORE, AFTER = 5_000, 10_000
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


def every_100th(reference: Errors, outcomes: Iterable[bool]) -> Alarms:
    """Alarms of a rule that knows nothing: every 100th outcome."""
    return [(number, 0) for number, _ in enumerate(outcomes, 1) if number % 100 == 0]


def of_river(make: Callable[[], Any]) -> Test:
    """Return one of river's detectors, one outcome at a time; it sees the reference first."""

    def alarms(reference: Errors, outcomes: Iterable[bool]) -> Alarms:
        detector, found = make(), []
        for is_error in reference.tolist():
            detector.update(is_error)
        for number, is_error in enumerate(outcomes, 1):
            detector.update(is_error)
            if detector.drift_detected:
                found.append((number, 0))
        return found

    return alarms


TESTS: dict[str, Test] = {
    "sr_mixture": known,
    "bf_sr": unknown,
    "river_adwin": of_river(drift.ADWIN),
    "river_page_hinkley": of_river(drift.PageHinkley),
    "river_hddm_a": of_river(drift.binary.HDDMA),
    "river_ddm": of_river(drift.binary.DDM),
    "every_100th": every_100th,
}
OURS = ("sr_mixture", "bf_sr")


def false_alarms(test: str, rate: float, correlation: float, streams: int, seed: int) -> Figures:
    """False alarms per 100,000 outcomes over so many streams of 100,000."""
    return false_alarms_of(TESTS[test], rate, correlation, streams, seed)


def false_alarms_of(
    alarms: Test,
    rate: float,
    correlation: float,
    streams: int,
    seed: int,
    on_stream: Callable[[], None] = lambda: None,
) -> Figures:
    """False alarms per 100,000 outcomes of any test."""
    rng = np.random.default_rng((seed, round(rate * 1000), round(correlation * 100)))
    events = 0
    for _ in range(streams):
        both = chain(rng, REFERENCE + 100_000, rate, correlation)
        events += len(alarms(both[:REFERENCE], both[REFERENCE:].tolist()))
        on_stream()
    return {"per_100k": events / streams, "upper95": upper95(events, streams), "streams": streams}


def delays(test: str, before: float, after: float, runs: int, seed: int) -> Figures:
    """Outcomes from a change to the first alarm behind it, and how far the dated change is off.

    early  alarms before the change, in all runs
    """
    return delays_of(TESTS[test], before, after, runs, seed)


def delays_of(
    alarms_of: Test,
    before: float,
    after: float,
    runs: int,
    seed: int,
    on_run: Callable[[], None] = lambda: None,
) -> Figures:
    """`delays` of any test."""
    rng = np.random.default_rng((seed, round(before * 1000), round(after * 1000)))
    found: Delays = np.full(runs, NEVER)
    off, early = [], 0
    for run in range(runs):
        reference = rng.random(REFERENCE) < before
        outcomes = np.concatenate([rng.random(BEFORE) < before, rng.random(AFTER) < after])
        alarms = alarms_of(reference, outcomes.tolist())
        on_run()
        early += sum(1 for at, _ in alarms if at <= BEFORE)
        later = [(at, age) for at, age in alarms if at > BEFORE]
        if later:
            found[run] = later[0][0] - BEFORE
        # Only ours say since when.
        if later and later[0][1]:
            off.append(abs(later[0][0] - later[0][1] - BEFORE))
    dated = {"dated_off_median": float(np.median(off))} if off else {}
    return {**delay_figures(found, AFTER, "outcomes"), **dated, "early": early}
