"""Errors by tenths of the score: the factor written out, what is found, and what is learned."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaln

from streamops.core import bf_sr, error_tests, tenths
from streamops.core.error_tests import ErrorTest

KNOWN = np.tile(np.array([400, 100]), tenths.TENTHS)
NEVER = 1e300


def test_edges_cut_scores_in_tenths_and_a_score_on_an_edge_is_in_the_upper_one():
    edges = tenths.edges_of([n / 100 for n in range(100)])
    assert edges == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    found = [tenths.tenth_of(edges, score) for score in (-1.0, 0.0999, 0.1, 0.95, 7.0, None)]
    assert found == [0, 0, 1, 9, 9, 0]
    assert set(tenths.edges_of([0.5] * 7)) == {0.5}


def written_out(errors, right, known, rest):
    null = betaln(known + errors + 0.5, rest + right + 0.5) - betaln(known + 0.5, rest + 0.5)
    free = betaln(errors + 0.5, right + 0.5) - betaln(0.5, 0.5) + math.log(0.1)
    p = math.floor((known + 0.5) / (known + rest + 1) * 4096) / 4096
    raised = [min(p + d, 0.99) for d in tenths.LIFTS]
    lifted = max(errors * math.log(q) + right * math.log(1 - q) for q in raised)
    return math.exp(max(free, lifted + math.log(0.9 / 4)) - null)


def test_evidence_is_the_mean_of_the_tenths_factors():
    now = KNOWN.copy()
    now[6:8] += (12, 18)
    now[10:12] += (4, 16)
    now[0:2] += (30, 8)
    (found,) = tenths.evidence(KNOWN[np.newaxis], now, 1.0)
    expected = written_out(18, 12, 100, 400) + written_out(16, 4, 100, 400)
    assert found == pytest.approx(expected / tenths.TENTHS)
    (tempered,) = tenths.evidence(KNOWN[np.newaxis], now, 2.0)
    roots = [written_out(18, 12, 100, 400) ** 0.5, written_out(16, 4, 100, 400) ** 0.5]
    assert tempered == pytest.approx(sum(roots) / tenths.TENTHS)


def test_a_fall_and_a_small_rise_weigh_nothing():
    now = KNOWN.copy()
    now[0:2] += (100, 0)
    now[2:4] += (38, 14)
    assert tenths.evidence(KNOWN[np.newaxis], now, 1.0) == [0.0]


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=10, max_size=10))
def test_evidence_is_finite_whatever_was_counted(pairs):
    since = np.array([count for pair in pairs for count in pair])
    for known in (np.zeros_like(KNOWN), KNOWN, KNOWN * 10**6):
        (found,) = tenths.evidence(known[np.newaxis], known + since, 1.0)
        assert 0.0 <= found < math.inf


def stream(rates, outcomes, seed=1):
    """Outcomes whose tenth t is wrong at rates[t]."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, tenths.TENTHS, outcomes)
    wrong = rng.random(outcomes) < np.asarray(rates)[drawn]
    return list(zip(wrong.tolist(), drawn.tolist(), strict=True))


def first_alarm(outcomes, parts, limit=50_000.0):
    state = bf_sr.initial((1000, 5000), parts)
    for number, (is_error, tenth) in enumerate(outcomes):
        state, found = bf_sr.step(state, is_error, limit, tenth=tenth)
        if found is not None and found.is_alarm:
            return number + 1, found.age, state
    return None


def test_a_change_in_one_tenth_is_found_in_a_quarter_of_the_outcomes():
    calm, moved = [0.2] * 10, [0.2] * 4 + [0.9] + [0.2] * 5
    outcomes = [*stream(calm, 5000), *stream(moved, 5000, seed=2)]
    by_score, alone = first_alarm(outcomes, KNOWN), first_alarm(outcomes, None)
    assert by_score is not None
    assert alone is not None
    soon, late = by_score[0] - 5000, alone[0] - 5000
    assert 0 < soon <= late / 4
    # It is dated, and begins anew with its tenths.
    assert soon - 50 <= by_score[1] <= soon + 100
    assert by_score[2] == bf_sr.State(b"", bf_sr.Closed(parts=bytes(8 * tenths.CODES)))


def test_scores_that_say_nothing_cost_half_of_the_evidence():
    outcomes = stream([0.2] * 10, 950)
    plain, state = bf_sr.initial((1000, 5000)), bf_sr.initial((1000, 5000), KNOWN)
    for is_error, tenth in outcomes:
        plain, one = bf_sr.step(plain, is_error, NEVER)
        state, half = bf_sr.step(state, is_error, NEVER, tenth=tenth)
        if one is not None and half is not None and plain.closed.bins % 2:
            assert half.evidence == one.evidence / 2


def test_without_a_change_of_concept_more_of_a_bad_tenth_is_no_alarm():
    """Covariates move: errors double, yet each tenth errs as before."""
    rates = [0.05] * 9 + [0.6]
    before = stream(rates, 5000)
    rng = np.random.default_rng(5)
    drawn = np.where(rng.random(3000) < 0.2, 9, rng.integers(0, 10, 3000))
    wrong = rng.random(3000) < np.asarray(rates)[drawn]
    parts = np.zeros(tenths.CODES, dtype=np.int64)
    for is_error, tenth in before:
        parts[2 * tenth + is_error] += 1
    now = parts.copy()
    for is_error, tenth in zip(wrong.tolist(), drawn.tolist(), strict=True):
        now[2 * tenth + is_error] += 1
    assert wrong.mean() > 1.3 * np.mean([is_error for is_error, _ in before])
    (found,) = tenths.evidence(parts[np.newaxis], now, 1.0)
    assert found < 1.0


def learned(scores):
    test = ErrorTest()
    for number, score in enumerate(scores):
        test, alarm = error_tests.step(
            "bf_sr", test, number % 5 == 0, number * 1_000_000, streams=1, budget=1.0, score=score
        )
        assert alarm is None
    return test


def test_the_reference_fixes_tenths_where_all_of_it_has_scores():
    scores = np.random.default_rng(3).random(1000).tolist()
    test = learned(scores)
    assert test.edges == tenths.edges_of(scores)
    assert test.bayes is not None
    parts = np.frombuffer(test.bayes.closed.parts, dtype=np.int64)
    assert parts.sum() == 1000
    assert parts[1::2].sum() == test.bayes.closed.errors == 200
    assert (parts[::2] + parts[1::2]).tolist() == [100] * 10
    assert (test.scores, test.wrong) == (b"", b"")
    bare = learned([*scores[:-1], None])
    assert (bare.edges, bare.bayes and bare.bayes.closed.parts) == ((), b"")


def test_what_is_learned_survives_a_checkpoint_at_any_outcome():
    scores = np.random.default_rng(4).random(1100).tolist()
    whole = learned(scores)
    for cut in (1, 49, 50, 999, 1000, 1001, 1099):
        test = learned(scores[:cut])
        test = msgspec.msgpack.decode(msgspec.msgpack.encode(test), type=ErrorTest)
        for number, score in enumerate(scores[cut:], start=cut):
            test, _ = error_tests.step(
                "bf_sr", test, number % 5 == 0, number * 1_000_000, streams=1, budget=1.0,
                score=score,
            )  # fmt: skip
        assert test == whole


def test_half_of_the_evidence_is_the_tenths_by_each_starts_weight():
    """The first start, after 1,000 outcomes, weighs a fifth; all errors stay as they were."""
    known = KNOWN // 5
    calm = [(n % 5 == 0, n % 10) for n in range(100)]
    moved = [(n % 5 == 0, 4 if n % 5 == 0 else 9) for n in range(100)]
    for outcomes in (calm, moved):
        state, plain = bf_sr.initial((200, 1000), known), bf_sr.initial((200, 1000))
        for is_error, tenth in outcomes:
            state, found = bf_sr.step(state, is_error, NEVER, tenth=tenth)
            plain, alone = bf_sr.step(plain, is_error, NEVER)
        assert found is not None
        assert alone is not None
        now = np.frombuffer(state.closed.parts, dtype=np.int64)
        starts = state.closed.starts
        before = np.stack([np.frombuffer(start.parts, dtype=np.int64) for start in starts])
        parts = tenths.evidence(before, now, 1.0)
        assert [start.weight for start in state.closed.starts] == [0.2, 0.21]
        weighed = 0.2 * parts[0] + 0.21 * parts[1]
        assert found.evidence == pytest.approx((alone.evidence + weighed) / 2)
    assert weighed > 1.0
