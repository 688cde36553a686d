"""Tests of a version's error stream that are pure data: SR mixture and BF-SR, by name.

Rule 1: a version's first bins are its reference: 40 of 50 outcomes for `sr_mixture`, whose error
        rate must be known, 20 for `bf_sr`, which only needs to see how far bins differ. Until then
        nothing is tested.
Rule 2: an alarm begins the test anew. `bf_sr` forgets what it saw but its dispersion; `sr_mixture`
        takes the next bins as its reference: after a change the old rate is no reference.
Rule 3: A is counted in outcomes. A month of outcomes is measured on the reference's event time.
Rule 4: an outcome is right or wrong; a regression's errors are no such thing, and no test is run.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import msgspec

from streamops.config import ERROR_TESTS
from streamops.core import bf_sr, sr_mixture
from streamops.core.budget import MONTH_S, alarm_at
from streamops.core.outcome_bins import OUTCOMES, OpenBin, add, dispersion
from streamops.core.times import SECOND_US

NAMES = ERROR_TESTS
REFERENCE_BINS = {"sr_mixture": 40, "bf_sr": 20}
PLATFORM = "streamops"


class ErrorTest(msgspec.Struct, frozen=True, array_like=True):
    """One test of one version's errors.

    bins     errors in each closed bin of the reference; complete once it holds all it wants
    first_us, last_us  event times of the reference's first outcome and of the one that ended it
    """

    open: OpenBin = OpenBin()
    bins: tuple[int, ...] = ()
    first_us: int = 0
    last_us: int = 0
    mixture: sr_mixture.State | None = None
    bayes: bf_sr.State | None = None


class Alarm(NamedTuple):
    """A test's alarm: its evidence, what it took, and how many outcomes ago the change began."""

    evidence: float
    alarm_at: float
    age: int


def step(
    name: str, test: ErrorTest, is_error: bool, time_us: int, *, streams: int, budget: float
) -> tuple[ErrorTest, Alarm | None]:
    """Take one outcome.

    streams, budget  streams that share the model's budget, and false alarms it allows in 30 days
    """
    if len(test.bins) < REFERENCE_BINS[name]:
        return _learn(name, test, is_error, time_us), None
    span_us = max(test.last_us - test.first_us, SECOND_US)
    month = len(test.bins) * OUTCOMES * MONTH_S * SECOND_US / span_us
    limit = alarm_at(streams, month, budget)
    if name == "bf_sr":
        return _bayes(test, is_error, limit)
    return _mixture(test, is_error, limit)


def _learn(name: str, test: ErrorTest, is_error: bool, time_us: int) -> ErrorTest:
    open_, errors = add(test.open, is_error)
    is_first = not test.bins and not test.open.outcomes
    bins = test.bins if errors is None else (*test.bins, errors)
    test = ErrorTest(open_, bins, time_us if is_first else test.first_us, time_us)
    if len(bins) < REFERENCE_BINS[name]:
        return test
    if name == "bf_sr":
        state = bf_sr.initial((_total(bins), len(bins) * OUTCOMES))
        return msgspec.structs.replace(test, bayes=state)
    return msgspec.structs.replace(test, mixture=sr_mixture.initial())


def _bayes(test: ErrorTest, is_error: bool, limit: float) -> tuple[ErrorTest, Alarm | None]:
    assert test.bayes is not None, "a test with its reference has a state"
    state, found = bf_sr.step(test.bayes, is_error, limit, _dispersion(test.bins))
    alarm = None
    if found is not None and found.is_alarm:
        alarm = Alarm(found.evidence, limit / OUTCOMES, found.age)
    return msgspec.structs.replace(test, bayes=state), alarm


def _mixture(test: ErrorTest, is_error: bool, limit: float) -> tuple[ErrorTest, Alarm | None]:
    assert test.mixture is not None, "a test with its reference has a state"
    base = _base(test.bins)
    state, found = sr_mixture.step(base, test.mixture, is_error, limit)
    if found is not None and found.is_alarm:
        return ErrorTest(), Alarm(found.evidence, limit / OUTCOMES, found.age)
    return msgspec.structs.replace(test, mixture=state), None


@lru_cache(maxsize=1024)
def _base(bins: tuple[int, ...]) -> sr_mixture.Baseline:
    return sr_mixture.baseline(_total(bins), len(bins) * OUTCOMES, _dispersion(bins))


@lru_cache(maxsize=1024)
def _dispersion(bins: tuple[int, ...]) -> float:
    return dispersion(bins)


def _total(bins: tuple[int, ...]) -> int:
    total = 0
    for errors in bins:
        total += errors
    return total
