"""Laws of the detectors: a replay gives the same bytes, and only counts enter.

Thirty short panes make a reference; live panes are drawn by Hypothesis, empty and absurd ones too.
"""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamops.core import (
    alternatives,
    bf_sr,
    esr,
    esr_state,
    scores,
    season,
    sr_mixture,
    t_factors,
    tsr,
)

FEATURES, BINS, PANES = 3, 5, 30
LIMIT = 50.0
REFERENCE = np.random.default_rng(1).multinomial(40, np.full(BINS, 0.2), size=(PANES, FEATURES))
PHASES = np.arange(PANES) % 3
SEASON = season.phases(3)
BY_PANE = t_factors.baseline(scores.scale_of(REFERENCE), REFERENCE, PHASES, SEASON)
BY_ROW = alternatives.baseline(
    REFERENCE.sum(axis=0).tolist(), [True, False, False], [1.0, 1.0, 2.0]
)
MIXTURE = sr_mixture.baseline(500, 2500, 1.5)

counts = st.lists(
    st.lists(st.integers(0, 30), min_size=BINS, max_size=BINS), min_size=FEATURES, max_size=FEATURES
)
streams = st.lists(counts, max_size=40)
outcomes = st.lists(st.sampled_from([0, 5, 12, 30, 50]), max_size=12).map(
    lambda bins: [place < errors for errors in bins for place in range(50)]
)


def pane_step(state, pane, number):
    return tsr.step(BY_PANE, state, np.array(pane), LIMIT, number % 3)


def row_step(state, pane, number):
    return esr.step(BY_ROW, state, np.array(pane), LIMIT)


def fold(step, state, panes, first=0):
    found = []
    for number, pane in enumerate(panes, first):
        state, finding = step(state, pane, number)
        found.append(b"".join(part.tobytes() for part in finding))
    return state, found


def fold_outcomes(step, state, errors):
    found = []
    for is_error in errors:
        state, finding = step(state, is_error)
        found.append(finding)
    return state, found


def mixture_step(state, is_error):
    return sr_mixture.step(MIXTURE, state, is_error, 5_000.0)


def bayes_step(state, is_error):
    return bf_sr.step(state, is_error, 5_000.0, 1.5)


TESTS = (
    (pane_step, tsr.initial(BY_PANE), tsr.State),
    (row_step, esr.initial(BY_ROW), esr_state.State),
)
ERROR_TESTS = (
    (mixture_step, sr_mixture.initial(), sr_mixture.State),
    (bayes_step, bf_sr.initial((3, 40)), bf_sr.State),
)


def again(state, kind):
    """A state after a checkpoint, in both encodings."""
    assert msgspec.json.decode(msgspec.json.encode(state), type=kind) == state
    return msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=kind)


@settings(max_examples=40)
@given(streams, st.data())
def test_a_crash_at_any_pane_changes_nothing(panes, data):
    at = data.draw(st.integers(0, len(panes)))
    for step, initial, kind in TESTS:
        whole = fold(step, initial, panes)
        state, before = fold(step, initial, panes[:at])
        state, after = fold(step, again(state, kind), panes[at:], at)
        assert (state, before + after) == whole


@settings(max_examples=40)
@given(outcomes, st.data())
def test_a_crash_at_any_outcome_changes_nothing(errors, data):
    at = data.draw(st.integers(0, len(errors)))
    for step, initial, kind in ERROR_TESTS:
        whole = fold_outcomes(step, initial, errors)
        state, before = fold_outcomes(step, initial, errors[:at])
        state, after = fold_outcomes(step, again(state, kind), errors[at:])
        assert (state, before + after) == whole


@settings(max_examples=40)
@given(streams)
def test_features_judged_together_are_as_if_alone(panes):
    """One definition, two speeds: every bit of a feature's evidence is its own."""
    for feature in range(FEATURES):
        own = REFERENCE[:, feature : feature + 1]
        by_pane = t_factors.baseline(scores.scale_of(own), own, PHASES, SEASON)
        by_row = alternatives.baseline(
            own.sum(axis=0).tolist(), [feature == 0], [2.0 if feature == 2 else 1.0]
        )
        alone, all_ = tsr.initial(by_pane), tsr.initial(BY_PANE)
        one, every = esr.initial(by_row), esr.initial(BY_ROW)
        for number, pane in enumerate(panes):
            mine = np.array(pane)[feature : feature + 1]
            alone, a = tsr.step(by_pane, alone, mine, LIMIT, number % 3)
            all_, b = pane_step(all_, pane, number)
            assert a.evidence[0] == b.evidence[feature]
            assert a.age[0] == b.age[feature]
            one, a = esr.step(by_row, one, mine, LIMIT)
            every, b = row_step(every, pane, number)
            assert a.evidence[0] == b.evidence[feature]


@given(st.lists(st.integers(0, BINS - 1), min_size=20, max_size=60), st.randoms())
def test_the_order_of_rows_inside_a_pane_is_nothing(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    panes = [
        [np.bincount(r, minlength=BINS).tolist()] * FEATURES
        for r in (np.array(rows), np.array(shuffled))
    ]
    for step, initial, _ in TESTS:
        assert fold(step, initial, panes[:1]) == fold(step, initial, panes[1:])


@given(st.lists(st.booleans(), min_size=50, max_size=50), st.randoms())
def test_the_order_of_outcomes_inside_a_bin_is_nothing(errors, random):
    shuffled = list(errors)
    random.shuffle(shuffled)
    for step, initial, _ in ERROR_TESTS:
        a, b = fold_outcomes(step, initial, errors), fold_outcomes(step, initial, shuffled)
        assert (a[0], a[1][-1]) == (b[0], b[1][-1])


@settings(max_examples=40)
@given(streams)
def test_evidence_is_finite_and_never_negative_and_a_step_leaves_its_state_alone(panes):
    for step, state, kind in TESTS:
        for number, pane in enumerate(panes):
            before = msgspec.json.encode(state)
            after, found = step(state, pane, number)
            assert msgspec.json.encode(state) == before
            assert np.isfinite(found.evidence).all()
            assert (found.evidence >= 0.0).all()
            assert (found.is_alarm == (found.evidence >= LIMIT)).all()
            assert ((found.age > 0) <= (found.evidence > 0.0)).all()
            assert isinstance(after, kind)
            state = after
