"""The two tests on an error stream, their bins, and what the budget asks of a test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaln

from streamops.core import bf_sr, outcome_bins, sr_mixture
from streamops.core.budget import alarm_at

NEVER = 1e300


def bits(*errors: int) -> list[bool]:
    """Outcomes of whole bins with so many errors each."""
    return [place < count for count in errors for place in range(outcome_bins.OUTCOMES)]


def run_mixture(base, outcomes, limit=NEVER):
    state, found = sr_mixture.initial(), []
    for is_error in outcomes:
        state, finding = sr_mixture.step(base, state, is_error, limit)
        found += [finding] if finding else []
    return state, found


def run_bayes(outcomes, reference=(0, 0), limit=NEVER, c=1.0):
    state, found = bf_sr.initial(reference), []
    for is_error in outcomes:
        state, finding = bf_sr.step(state, is_error, limit, c)
        found += [finding] if finding else []
    return state, found


def test_a_bin_closes_at_its_fiftieth_outcome():
    bin_, closed = outcome_bins.OpenBin(), []
    for is_error in bits(3, 0):
        bin_, errors = outcome_bins.add(bin_, is_error)
        closed += [] if errors is None else [errors]
    assert closed == [3, 0]
    assert bin_ == outcome_bins.OpenBin()


def test_dispersion_is_x2_over_its_degrees_of_freedom():
    bins = [0, 20] * 50
    p = 10 / 50
    x2 = sum((b - 10) ** 2 / (50 * p * (1 - p)) for b in bins)
    expected = x2 / 99 * (1 + 2 * math.sqrt(2 / 99))
    assert outcome_bins.dispersion(bins) == pytest.approx(expected)


@pytest.mark.parametrize("bins", [[], [7], [0, 0, 0], [50, 50], [10] * 100])
def test_dispersion_is_one_where_nothing_speaks_against_it(bins):
    assert outcome_bins.dispersion(bins) == 1.0


def test_independent_errors_have_a_dispersion_of_one_mostly():
    drawn = np.random.default_rng(1).binomial(50, 0.2, size=(200, 100))
    assert sum(outcome_bins.dispersion(row.tolist()) == 1.0 for row in drawn) >= 190


@pytest.mark.parametrize("c", [1.0, 3.0])
def test_the_mixture_is_the_formula(c):
    base = sr_mixture.baseline(1000, 5000, c)
    rate = 1000.5 / 5001
    assert base.p0 == pytest.approx(rate + 2 * math.sqrt(rate * (1 - rate) * c / 5000))
    r = np.zeros(4)
    for k in (10, 14, 20):
        p = base.p0 + np.array(sr_mixture.RISES)
        likely = k * np.log(p / base.p0) + (50 - k) * np.log((1 - p) / (1 - base.p0))
        r = (1 + r) * np.exp(likely / c)
    _, found = run_mixture(base, bits(10, 14, 20))
    assert found[-1].evidence == pytest.approx(r.mean())


def test_a_factor_has_mean_one_at_p0_and_less_below():
    base = sr_mixture.baseline(1000, 5000)
    for rate, low, high in ((base.p0, 0.9999, 1.0001), (base.p0 - 0.02, 0.0, 0.9999)):
        k = np.arange(51)
        chance = np.array([math.comb(50, i) for i in k]) * rate**k * (1 - rate) ** (50 - k)
        means = chance @ np.array(base.factors)
        assert (means > low).all()
        assert (means < high).all()


def test_the_mixture_finds_and_dates_a_rise():
    base = sr_mixture.baseline(1000, 5000)
    _, found = run_mixture(base, bits(*[8] * 40, *[20] * 6))
    assert found[39].evidence < 2.0
    assert found[-1].evidence > 2000.0
    assert found[-1].age == 6 * 50


def test_a_fall_is_no_alarm():
    base = sr_mixture.baseline(1000, 5000)
    assert max(f.evidence for f in run_mixture(base, bits(*[2] * 100))[1]) < 1.0
    assert max(f.evidence for f in run_bayes(bits(*[2] * 100), (1000, 5000))[1]) < 2.0


@pytest.mark.parametrize(("errors", "outcomes"), [(0, 2000), (2000, 2000), (1, 10**9)])
def test_extreme_references_stay_finite(errors, outcomes):
    base = sr_mixture.baseline(errors, outcomes)
    assert 0.0 < base.p0 < 1.0
    assert np.isfinite(np.array(base.factors)).all()
    _, found = run_mixture(base, bits(50, 0, 25))
    assert all(math.isfinite(f.evidence) for f in found)
    assert all(math.isfinite(f.evidence) for f in run_bayes(bits(50, 0), (errors, outcomes))[1])


def test_a_short_reference_has_no_known_error():
    assert not sr_mixture.is_known(1999)
    with pytest.raises(AssertionError, match="at least 2000"):
        sr_mixture.baseline(10, 1999)


def to_4096ths(rate):
    """What is raised is the rate to the 4,096th below."""
    return math.floor(rate * 4096) / 4096


def test_bayes_is_the_formula():
    _, found = run_bayes(bits(10, 25), (1000, 5000))
    total = 0.0
    for c, before in (((35, 65), (1000, 4000)), ((25, 25), (1010, 4040))):
        a, b = before[0] + 0.5, before[1] + 0.5
        null = betaln(a + c[0], b + c[1]) - betaln(a, b)
        free = betaln(c[0] + 0.5, c[1] + 0.5) - betaln(0.5, 0.5)
        rates = [to_4096ths(a / (a + b)) + rise for rise in bf_sr.RISES]
        lifted = max(c[0] * math.log(p) + c[1] * math.log(1 - p) for p in rates)
        weighted = max(free + math.log(0.1), lifted + math.log(0.9 / 4))
        # Fewer outcomes before a start than 5,000 would weigh less.
        total += math.exp(weighted - null)
    assert found[-1].evidence == pytest.approx(total)


def test_only_a_rate_above_the_one_before_weighs():
    """Ten errors and a half of 1,001 are .0105: one of 50 is above, none is not."""
    assert run_bayes(bits(1), (10, 1000))[1][-1].evidence > 0.0
    assert run_bayes(bits(0), (10, 1000))[1][-1].evidence == 0.0
    # 2 errors and a half of 6 are what 25 of 60 would be: 20 of 50 aren't above, 21 are.
    assert run_bayes(bits(20), (2, 5))[1][-1].evidence == 0.0
    assert run_bayes(bits(21), (2, 5))[1][-1].evidence > 0.0


def test_bayes_needs_no_reference_and_dates_the_change():
    _, found = run_bayes(bits(*[8] * 20, *[25] * 4))
    assert max(f.evidence for f in found[:20]) < 2000.0
    assert found[-1].evidence > 2000.0
    assert found[-1].age == 4 * 50


def test_an_alarm_begins_anew():
    state, found = run_bayes(bits(*[5] * 20, 40), limit=1000.0)
    assert found[-1].is_alarm
    assert state == bf_sr.State()
    state, found = run_mixture(sr_mixture.baseline(1000, 5000), bits(10, 40), limit=1000.0)
    assert found[-1].is_alarm
    assert state == sr_mixture.State()


def test_an_alarm_comes_exactly_at_the_threshold():
    evidence = run_bayes(bits(5, 5, 12))[1][-1].evidence
    at = evidence * outcome_bins.OUTCOMES
    assert run_bayes(bits(5, 5, 12), limit=at * (1 - 1e-12))[1][-1].is_alarm
    assert not run_bayes(bits(5, 5, 12), limit=at * (1 + 1e-12))[1][-1].is_alarm


def test_all_right_and_all_wrong_say_nothing():
    assert run_bayes(bits(*[0] * 80))[1][-1].evidence == 0.0
    assert run_bayes(bits(*[50] * 80))[1][-1].evidence < 1.0


def test_the_budget_is_shared():
    assert alarm_at(30, 720, 1.0) == 21_600.0
    assert alarm_at(30, 720, 0.1) == pytest.approx(216_000.0)
    assert alarm_at(1, 1, 30.0) == 1.0
    with pytest.raises(AssertionError, match="budget of 0"):
        alarm_at(30, 720, 0)


def test_a_start_after_few_outcomes_weighs_as_many_as_there_were():
    state, found = run_bayes(bits(25), (200, 1000))
    (start,) = state.closed.starts
    assert start.weight == 0.2
    null = betaln(225.5, 825.5) - betaln(200.5, 800.5)
    lifted = max(
        25 * math.log(p) + 25 * math.log(1 - p) for p in (to_4096ths(200.5 / 1001) + 0.16,)
    )
    free = betaln(25.5, 25.5) - betaln(0.5, 0.5)
    weighted = max(free + math.log(0.1), lifted + math.log(0.9 / 4))
    assert found[-1].evidence == pytest.approx(0.2 * math.exp(weighted - null))
    assert run_bayes(bits(25), (1000, 5000))[0].closed.starts[0].weight == 1.0
    assert run_bayes(bits(50))[1][-1].evidence == 0.0, "nothing came before"


@given(st.lists(st.integers(0, 50), min_size=1, max_size=90))
def test_a_start_holds_what_came_before_it_alone(errors):
    """So its own outcomes are all of them less those."""
    state, _ = run_bayes(bits(*errors), (300, 1500))
    for start in state.closed.starts:
        before = sum(errors[: start.bin - 1])
        assert (start.errors, start.right) == (
            300 + before,
            1200 + 50 * (start.bin - 1) - before,
        )
