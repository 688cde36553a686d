"""Tests of a version's error stream that are pure data: SR mixture and BF-SR, by name.

Rule 1: a version's first bins are its reference: 40 of 50 outcomes for `sr_mixture`, whose error
        rate must be known, 20 for `bf_sr`, which only needs to see how far bins differ. Until then
        nothing is tested.
Rule 2: an alarm begins the test anew. `bf_sr` forgets what it saw but its dispersion; `sr_mixture`
        takes the next bins as its reference: after a change the old rate is no reference.
Rule 3: A is counted in outcomes. A month of outcomes is measured on the reference's event time.
Rule 4: where every outcome of the reference has a score, its tenths are `bf_sr`'s.
Rule 5: an outcome is right or wrong; a regression's errors are no such thing, and no test is run.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np

from streamops.config import ERROR_TESTS
from streamops.core import bf_sr, sr_mixture
from streamops.core.budget import MONTH_S, alarm_at
from streamops.core.outcome_bins import OUTCOMES, OpenBin, add, dispersion
from streamops.core.packed import floats, pack
from streamops.core.tenths import CODES, edges_of, tenth_of
from streamops.core.times import SECOND_US

NAMES = ERROR_TESTS
REFERENCE_BINS = {"sr_mixture": 40, "bf_sr": 20}
PLATFORM = "streamops"


class ErrorTest(msgspec.Struct, frozen=True, array_like=True):
    """One test of one version's errors.

    bins     errors in each closed bin of the reference; complete once it holds all it wants
    first_us, last_us  event times of the reference's first outcome and of the one that ended it
    edges    where tenths of the reference's scores begin; none: outcomes have no scores
    scores, wrong  packed scores of the reference while it is learned, and a byte for each outcome
    """

    open: OpenBin = OpenBin()
    bins: tuple[int, ...] = ()
    first_us: int = 0
    last_us: int = 0
    mixture: sr_mixture.State | None = None
    bayes: bf_sr.State | None = None
    edges: tuple[float, ...] = ()
    scores: bytes = b""
    wrong: bytes = b""


class Alarm(NamedTuple):
    """A test's alarm: its evidence, what it took, and how many outcomes ago the change began."""

    evidence: float
    alarm_at: float
    age: int


def step(
    name: str,
    test: ErrorTest,
    is_error: bool,
    time_us: int,
    *,
    streams: int,
    budget: float,
    score: float | None = None,
) -> tuple[ErrorTest, Alarm | None]:
    """Take one outcome.

    score  of its prediction
    streams, budget  streams that share the model's budget, and false alarms it allows in 30 days
    """
    if len(test.bins) < REFERENCE_BINS[name]:
        return _learn(name, test, is_error, time_us, score), None
    span_us = max(test.last_us - test.first_us, SECOND_US)
    month = len(test.bins) * OUTCOMES * MONTH_S * SECOND_US / span_us
    limit = alarm_at(streams, month, budget)
    if name == "bf_sr":
        return _bayes(test, is_error, limit, tenth_of(test.edges, score))
    return _mixture(test, is_error, limit)


def _learn(
    name: str, test: ErrorTest, is_error: bool, time_us: int, score: float | None
) -> ErrorTest:
    open_, errors = add(test.open, is_error)
    is_first = not test.bins and not test.open.outcomes
    bins = test.bins if errors is None else (*test.bins, errors)
    first_us = time_us if is_first else test.first_us
    scores, wrong = test.scores, test.wrong
    if name == "bf_sr":
        wrong += b"\1" if is_error else b"\0"
        # An outcome without a score leaves fewer scores than outcomes.
        scores += b"" if score is None else pack(np.array([score]))
    if len(bins) < REFERENCE_BINS[name]:
        return ErrorTest(open_, bins, first_us, time_us, scores=scores, wrong=wrong)
    if name == "bf_sr":
        edges, state = _by_score(bins, scores, wrong)
        return ErrorTest(open_, bins, first_us, time_us, bayes=state, edges=edges)
    return ErrorTest(open_, bins, first_us, time_us, sr_mixture.initial())


def _by_score(
    bins: tuple[int, ...], scores: bytes, wrong: bytes
) -> tuple[tuple[float, ...], bf_sr.State]:
    """Return the tenths of a reference that has scores throughout, and the state behind it."""
    reference = (_total(bins), len(bins) * OUTCOMES)
    values = floats(scores, -1).tolist()
    if len(values) < len(wrong):
        return (), bf_sr.initial(reference)
    edges, parts = edges_of(values), np.zeros(CODES, dtype=np.int64)
    for score, is_error in zip(values, wrong, strict=True):
        parts[2 * tenth_of(edges, score) + is_error] += 1
    return edges, bf_sr.initial(reference, parts)


def _bayes(
    test: ErrorTest, is_error: bool, limit: float, tenth: int
) -> tuple[ErrorTest, Alarm | None]:
    assert test.bayes is not None, "a test with its reference has a state"
    state, found = bf_sr.step(test.bayes, is_error, limit, _dispersion(test.bins), tenth)
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
