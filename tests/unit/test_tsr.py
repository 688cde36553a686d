"""t-SR: its factors against least squares written out, alarms, resets, and bad input."""

from __future__ import annotations

import numpy as np
import pytest

from streamops.core import scores, season, t_factors, tsr

BINS, ROWS, PANES = 20, 200, 50
FLAT = np.full(BINS, 1 / BINS)
TILTED = np.concatenate([np.full(10, 0.06), np.full(10, 0.04)])
NEVER = 1e300


def draw(shares: np.ndarray, panes: int, features: int = 3, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).multinomial(ROWS, shares, size=(panes, features))


def run(base, live, alarm_at=NEVER, phases=None):
    state, found = tsr.initial(base), []
    for number, counts in enumerate(live):
        phase = 0 if phases is None else int(phases[number])
        state, finding = tsr.step(base, state, counts, alarm_at, phase)
        found.append(finding)
    return state, found


def written_out(z, x, noise, age, one_sided=False):
    """The Bayes factor of one direction and start, by the formula, with a projection."""
    n = len(z)
    v = np.zeros(n)
    v[-age:] = 1.0
    hat = np.eye(n) - x @ np.linalg.pinv(x)
    v, z = hat @ v, hat @ z
    left = n - np.linalg.matrix_rank(x)
    n_eff = v @ v
    if one_sided and v @ z <= 0:
        return 0.0
    r2 = (v @ z) ** 2 / (n_eff * max(z @ z, noise * left))
    g = np.array([1.0, 16.0])
    return np.mean((1 + n_eff * g) ** -0.5 * (1 - r2 * n_eff * g / (1 + n_eff * g)) ** (-left / 2))


@pytest.mark.parametrize("one", [season.NO_SEASON, season.phases(5), season.sines(6, 1)])
def test_evidence_is_the_formula(one):
    reference, live = draw(FLAT, PANES), draw(TILTED, 7, seed=2)
    phases = np.arange(PANES + 7) % len(one.rows)
    scale = scores.scale_of(reference)
    base = t_factors.baseline(scale, reference, phases[:PANES], one)
    _, found = run(base, live, phases=phases[PANES:])
    z = np.concatenate([scores.score(scale, reference, inside=True), scores.score(scale, live)])
    x = np.array(one.rows)[phases]
    for feature in range(3):
        expected = [
            weight * written_out(z[:, feature, d], x, scale.noise[feature, d], age, d == 2)
            for d, weight in enumerate(tsr.WEIGHTS)
            for age in (1, 2, 3, 4, 5, 7)
        ]
        assert found[-1].evidence[feature] == pytest.approx(sum(expected), rel=1e-9)


def test_a_shift_is_found_and_dated():
    reference = draw(FLAT, PANES)
    base = t_factors.baseline(scores.scale_of(reference), reference)
    live = np.concatenate([draw(FLAT, 12, seed=3), draw(TILTED, 4, seed=4)])
    _, found = run(base, live, alarm_at=21_600.0)
    assert not any(f.is_alarm.any() for f in found[:12])
    assert found[15].evidence.max() > found[12].evidence.max()
    _, found = run(base, live)
    assert found[15].age.tolist() == [4, 4, 4]
    assert found[15].direction.tolist() == [0, 0, 0]


def test_an_alarm_begins_anew_for_its_feature_alone():
    reference = draw(FLAT, PANES)
    base = t_factors.baseline(scores.scale_of(reference), reference)
    live = draw(FLAT, 1, seed=5)[0]
    live[1] = np.where(np.arange(BINS) < 10, 20, 0)
    state, found = tsr.step(base, tsr.initial(base), live, 100.0)
    assert found.is_alarm.tolist() == [False, True, False]
    panes = np.frombuffer(state.panes, dtype="<i8")
    assert panes.tolist() == [1, 0, 1]


def test_alarm_comes_exactly_at_the_threshold():
    reference, live = draw(FLAT, PANES), draw(TILTED, 1, seed=2)[0]
    base = t_factors.baseline(scores.scale_of(reference), reference)
    evidence = tsr.step(base, tsr.initial(base), live, NEVER)[1].evidence
    at = float(evidence.max())
    assert at > 1.0
    assert tsr.step(base, tsr.initial(base), live, at)[1].is_alarm.sum() == 1
    above = float(np.nextafter(at, np.inf))
    assert tsr.step(base, tsr.initial(base), live, above)[1].is_alarm.sum() == 0


def test_an_empty_pane_is_no_evidence():
    reference = draw(FLAT, PANES)
    base = t_factors.baseline(scores.scale_of(reference), reference)
    state, _ = run(base, draw(TILTED, 3, seed=6))
    counts = draw(FLAT, 1, seed=7)[0]
    counts[1] = 0
    after, found = tsr.step(base, state, counts, NEVER)
    assert found.evidence[1] == 0.0
    assert found.age[1] == 0
    assert np.frombuffer(after.panes, dtype="<i8").tolist() == [4, 3, 4]
    empty, found = tsr.step(base, state, np.zeros_like(counts), NEVER)
    assert empty == state
    assert not found.is_alarm.any()


@pytest.mark.parametrize(
    "panes",
    [np.full((50, 1, 1), 200), np.zeros((50, 1, 4), dtype=np.int64), np.ones((1, 1, 3), np.int64)],
    ids=["constant", "all missing", "one row"],
)
def test_a_feature_that_cannot_be_scored_never_alarms(panes):
    base = t_factors.baseline(scores.scale_of(panes), panes)
    state = tsr.initial(base)
    for counts in (panes[0], panes[0] * 0, panes[0] + 1000):
        after, found = tsr.step(base, state, counts, 1.0)
        assert after == state
        assert found.evidence.tolist() == [0.0]


def test_a_pane_far_outside_stays_finite():
    reference = draw(FLAT, 600, features=1)
    base = t_factors.baseline(scores.scale_of(reference), reference)
    counts = np.zeros((1, BINS), dtype=np.int64)
    counts[0, -1] = 1 << 40
    state = tsr.initial(base)
    for _ in range(40):
        state, found = tsr.step(base, state, counts, NEVER)
        assert np.isfinite(found.evidence).all()


def test_a_quota_that_never_varies_does_not_alarm_on_a_usual_day():
    """The floor: without it a spread of 0 would make any pane infinitely surprising."""
    steady = np.full((PANES, 1, BINS), ROWS // BINS)
    base = t_factors.baseline(scores.scale_of(steady), steady)
    _, found = run(base, draw(FLAT, 3, features=1, seed=8), alarm_at=21_600.0)
    assert not any(f.is_alarm.any() for f in found)


def test_a_phase_never_seen_is_absorbed():
    one = season.phases(2)
    reference = draw(FLAT, PANES, features=1)
    phases = np.zeros(PANES, dtype=np.int64)
    base = t_factors.baseline(scores.scale_of(reference), reference, phases, one)
    _, found = run(base, draw(TILTED, 1, features=1, seed=9), phases=[1])
    assert found[0].evidence.tolist() == [0.0]


def test_a_state_of_another_reference_is_our_own_fault():
    reference = draw(FLAT, PANES)
    base = t_factors.baseline(scores.scale_of(reference), reference)
    other = tsr.initial(t_factors.baseline(scores.scale_of(reference[:, :2]), reference[:, :2]))
    with pytest.raises(AssertionError, match="a state of 2 features"):
        tsr.step(base, other, reference[0], NEVER)
    with pytest.raises(AssertionError, match="at least 1"):
        tsr.step(base, tsr.initial(base), reference[0], 0.5)


def in_runs(panes: int, run_rows: int, seed: int, bins: int = BINS) -> np.ndarray:
    """Panes of 200 rows of which so many at a time are the same."""
    drawn = np.random.default_rng(seed).multinomial(
        ROWS // run_rows, np.full(bins, 1 / bins), size=(panes, 1)
    )
    return drawn * run_rows


@pytest.mark.parametrize(("run_rows", "is_shaped"), [(1, True), (5, True), (20, False)])
def test_shape_speaks_only_for_panes_of_enough_independent_rows(run_rows, is_shaped):
    """Runs of 20 leave ten: X2 of twenty bins is then nearly all chance."""
    reference = in_runs(PANES, run_rows, 6)
    base = t_factors.baseline(scores.scale_of(reference), reference)
    assert base.is_shaped.tolist() == [is_shaped]
    # The outer bins and the middle one in equal parts keep mean and spread about where they were.
    odd = np.zeros((1, BINS), dtype=np.int64)
    odd[0, [2, 17]], odd[0, [9, 10]] = 60, 40
    _, found = run(base, [odd] * 3)
    assert (found[-1].direction[0] == t_factors.SHAPE) == is_shaped
    assert (found[-1].evidence[0] > 1e6) == is_shaped
