"""e-SR: its factors written out with scipy, alarms, resets, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import gammaln

from streamops.core import alternatives, esr
from streamops.core.dirichlet import lgamma_half
from streamops.core.normal import bin_scores

NEVER = 1e300
KNOWN = [10, 50, 200, 30, 0]
# A dispersion that changes nothing, but keeps `rises` out.
INEXACT = float(np.nextafter(1.0, 2.0))


def run(base, live, alarm_at=NEVER):
    state, found = esr.initial(base), []
    for counts in live:
        state, finding = esr.step(base, state, np.asarray(counts, dtype=np.int64), alarm_at)
        found.append(finding)
    return state, found


def log_dm(c, a):
    total = gammaln(a.sum()) - gammaln(a.sum() + c.sum())
    return total + np.sum(gammaln(a + c) - gammaln(a))


def tilts(p, is_ordered):
    if is_ordered:
        first = bin_scores(p[np.newaxis])[0]
        square = first**2 - np.sum(p * first**2)
        found = [p * np.exp(t * s) for s in (first, square) for t in alternatives.TILTS]
        weights = np.full(len(found), 1 / len(found))
    else:
        bins = [b for b in range(len(p)) if p[b] <= 0.5]
        lifts = [(b, m) for b in bins for m in alternatives.LIFTS]
        weights = np.tile(alternatives.LIFT_WEIGHTS, len(bins)) / len(bins)
        found = [np.where(np.arange(len(p)) == b, p * m, p) for b, m in lifts]
    return [q / q.sum() for q in found], np.log(weights)


def written_out(known, live, is_ordered):
    k = np.array(known) + 0.5
    p = k / k.sum()
    total = 0.0
    for age in range(1, len(live) + 1):
        c, before = live[-age:].sum(axis=0), k + live[: len(live) - age].sum(axis=0)
        null = log_dm(c, before)
        near = [np.maximum(np.rint(2 * s * p), 1) / 2 for s in alternatives.CONCENTRATIONS]
        mean = np.mean([np.exp(log_dm(c, a) - null) for a in near])
        shares, weights = tilts(p, is_ordered)
        sharp = np.exp(max(np.array([c @ np.log(q) for q in shares]) + weights) - null)
        total += (1 - esr.SHARP) * mean + esr.SHARP * sharp
    return total


@pytest.mark.parametrize("is_ordered", [True, False])
@pytest.mark.parametrize("panes", [1, 4])
def test_evidence_is_the_formula(is_ordered, panes):
    live = np.random.default_rng(1).multinomial(100, [0.1, 0.2, 0.5, 0.15, 0.05], size=panes)
    base = alternatives.baseline([KNOWN, [3, 3]], [is_ordered, False], [INEXACT, INEXACT])
    both = [np.stack([row, [50, 50, 0, 0, 0]]) for row in live]
    _, found = run(base, both)
    assert found[-1].evidence[0] == pytest.approx(written_out(KNOWN, live, is_ordered), rel=1e-9)
    alone = np.tile([50, 50], (panes, 1))
    assert found[-1].evidence[1] == pytest.approx(written_out([3, 3], alone, False), rel=1e-9)


def test_log_gammas_of_halves():
    doubled = np.concatenate([np.arange(1, 5000), [1 << 20, (1 << 20) + 1, 1 << 40]])
    found = lgamma_half(doubled, 1 << 40)
    assert found == pytest.approx(gammaln(doubled / 2), rel=1e-13, abs=1e-13)
    assert lgamma_half(np.array([3, 9]), 9).tolist() == found[[2, 8]].tolist()


def test_dispersion_takes_the_root_of_each_factor():
    live = [[[30, 30, 30, 30, 30]]]
    plain = run(alternatives.baseline([KNOWN], [False]), live)[1][0].evidence[0]
    base = alternatives.baseline([KNOWN], [False], [2.0])
    # Rows that depend on each other are not tested exactly: all of the promise is the factors'.
    whole = plain / (1 - esr.RISES)
    assert run(base, live)[1][0].evidence[0] == pytest.approx(whole**0.5)


def test_a_never_seen_category_and_a_missing_column_alarm_at_once():
    base = alternatives.baseline([[5000, 5000, 0], [10_000, 0]], [False, False])
    _, found = run(base, [[[480, 480, 40], [900, 100, 0]]], alarm_at=21_600.0)
    assert found[0].is_alarm.tolist() == [True, True]
    assert found[0].age.tolist() == [1, 1]


def test_a_constant_column_that_comes_alive_alarms_at_once():
    base = alternatives.baseline([[0, 10_000, 0]], [True])
    _, found = run(base, [[[100, 800, 100]]], alarm_at=21_600.0)
    assert found[0].is_alarm.tolist() == [True]


def test_an_alarm_begins_anew_for_its_stream_alone():
    base = alternatives.baseline([[500, 500], [500, 500]], [False, False])
    state, found = run(base, [[[50, 50], [100, 0]]], alarm_at=1000.0)
    assert found[0].is_alarm.tolist() == [False, True]
    fresh = esr.initial(base)
    shape = (2, esr.ages.SLOTS, 2)
    counts = np.frombuffer(state.counts, dtype="<i8").reshape(shape)
    assert counts[0].any()
    assert not counts[1].any()
    assert np.frombuffer(state.now, "<f8")[1] == np.frombuffer(fresh.now, "<f8")[1]


def test_parts_side_by_side_say_what_each_says_alone():
    """Panes that differ between streams, alarms and empty rows among them."""
    parts = [
        alternatives.baseline([KNOWN, [300, 200, 100, 0, 9]], [True, True]),
        alternatives.baseline([[40, 60, 10], [5, 5]], [False, True], [1.0, 2.0]),
        alternatives.baseline([[900, 10], [1000, 0]], [False, False]),
    ]
    both = alternatives.together(parts)
    alone = [esr.initial(part) for part in parts]
    assert esr.initial_all(both) == alone
    rng, together = np.random.default_rng(4), alone
    for number in range(80):
        pane = [rng.integers(0, 60, (2, width)) for width in (5, 3, 2)]
        pane[1][1, 2] = 0
        pane[number % 3][number % 2] *= number % 7 > 0
        one = [esr.step(*given, 3e4) for given in zip(parts, alone, pane, strict=True)]
        all_ = esr.step_all(both, together, pane, 3e4)
        alone, together = [after for after, _ in one], [after for after, _ in all_]
        assert alone == together
        for (_, a), (_, b) in zip(one, all_, strict=True):
            assert [x.tolist() for x in a] == [x.tolist() for x in b]
    panes = np.concatenate([np.frombuffer(after.panes, "<i8") for after in alone])
    assert len(set(panes.tolist())) > 2, "streams must have come to differ"


@pytest.mark.parametrize(
    "known",
    [[0, 0, 0], [1, 0, 0], [0, 0, 10_000]],
    ids=["no rows", "one row", "all missing"],
)
def test_a_poor_reference_takes_long_to_surprise(known):
    """Without a reference the first panes are one: nothing alarms while they agree."""
    base = alternatives.baseline([known], [False])
    live = [[[300, 690, 10]]] if known[2] == 0 else [[[0, 0, 1000]]]
    _, found = run(base, live * 30, alarm_at=21_600.0)
    assert not any(f.is_alarm.any() for f in found)


def test_an_empty_pane_is_no_evidence():
    base = alternatives.baseline([KNOWN], [False])
    state, _ = run(base, [[[1, 5, 20, 3, 0]]] * 3)
    after, found = esr.step(base, state, np.zeros((1, 5), dtype=np.int64), NEVER)
    assert after == state
    assert found.evidence.tolist() == [0.0]
    assert found.age.tolist() == [0]


def test_millions_of_rows_stay_finite():
    base = alternatives.baseline([[10**9, 10**9]], [False])
    state = esr.initial(base)
    for _ in range(3):
        state, found = esr.step(base, state, np.array([[10**9, 0]]), NEVER)
        assert np.isfinite(found.evidence).all()


def test_the_mean_factor_without_drift_is_at_most_one():
    """The bound rests on it: 20,000 panes drawn from the prior the test believes in."""
    rng = np.random.default_rng(2)
    known, n = np.array([30, 10, 2]), 20_000
    drawn = rng.standard_gamma(np.tile(known + 0.5, (n, 1)))
    live = rng.multinomial(50, drawn / drawn.sum(axis=1, keepdims=True))
    c = [INEXACT] * n
    base = alternatives.baseline(np.tile(known, (n, 1)).tolist(), [False] * n, c)
    _, found = run(base, [live])
    evidence = found[0].evidence
    assert evidence.mean() < 1.0 + 4 * evidence.std() / n**0.5
    assert (evidence >= 20).mean() < 0.05


def test_a_dispersion_below_one_is_our_own_fault():
    with pytest.raises(AssertionError, match="below 1"):
        alternatives.baseline([[1, 1]], [False], [0.5])
