"""Bins that rose: the exact test by scipy's hypergeometric, its promise, and whom it tests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from streamops.core import alternatives, cells, esr, rises
from streamops.core import starts as ages

KNOWN = [4000, 5000, 900, 100]
CALM = [400, 500, 90, 10]
RISEN = [390, 490, 80, 40]


def evidence(base, panes):
    """Evidence by start, [slot, stream], and the ages of the slots, after panes [stream, bin]."""
    state = esr.initial(base)
    for pane in panes:
        before = state
        state, _ = esr.step(base, state, np.asarray(pane, dtype=np.int64), 1e300)
    added = esr._add(
        base, [before], cells.pane_of(base.layout, [np.asarray(panes[-1], dtype=np.int64)])
    )
    found = rises.evidence(base, added.live.counts, added.rows, added.turn)
    return found, added.turn.ages


def written_out(known, panes, age, bins, weight):
    """w / p of the bin that rose most, by scipy; the tail itself, not its bound."""
    since = np.sum(panes[-age:], axis=0)
    before = np.asarray(known) + np.sum(panes[: len(panes) - age], axis=0)
    n, m = since.sum(), before.sum()
    tails = [hypergeom.sf(since[b] - 1, n + m, since[b] + before[b], n) for b in bins]
    return weight / (min(tails) * len(bins))


@pytest.mark.parametrize("calm", [0, 1, 5])
def test_evidence_is_fishers_test_of_the_panes_since_each_start(calm):
    panes = [CALM] * calm + [RISEN] * 2
    found, aged = evidence(alternatives.baseline([KNOWN], [False]), [[pane] for pane in panes])
    weights = {age: rises.WEIGHTS[min(age, 5)] for age in aged[0].tolist() if age}
    assert sorted(weights) == sorted({*range(1, min(calm + 2, 4) + 1), calm + 2, *weights})
    for slot, age in enumerate(aged[0].tolist()):
        if not age:
            assert found[slot, 0] == 0.0
            continue
        # Half of the rows at most: the second bin may not rise.
        share = weights[age] / sum(weights.values())
        wanted = written_out(KNOWN, panes, age, [0, 2, 3], share)
        if wanted > 50.0:
            assert wanted * 0.6 < found[slot, 0] <= wanted
        else:
            assert found[slot, 0] <= wanted


def test_only_categories_whose_rows_are_independent_are_tested():
    base = alternatives.baseline([KNOWN] * 3, [False, True, False], [1.0, 1.0, 1.5])
    found, _ = evidence(base, [[RISEN] * 3])
    assert (found[:, 0] > 0).any()
    assert not found[:, 1:].any()


def test_a_fall_is_left_to_the_factors():
    found, _ = evidence(alternatives.baseline([[9000, 1000]], [False]), [[[990, 10]]])
    assert not found.any()


def test_both_share_the_promise_and_the_likelier_dates_it():
    base = alternatives.baseline([KNOWN], [False])
    panes = [[CALM]] * 6 + [[RISEN]] * 3
    state = esr.initial(base)
    for pane in panes:
        state, said = esr.step(base, state, np.asarray(pane, dtype=np.int64), 1e300)
    found, _ = evidence(base, panes)
    assert said.evidence[0] == esr.RISES * found.max()
    assert said.age.tolist() == [3]


@given(st.integers(1, 60), st.integers(0, 400), st.integers(0, 40), st.integers(1, 400))
def test_the_bound_is_never_below_the_tail(x, more, k, rest):
    """So evidence is never more than 1 / p: over counts as small as they come."""
    base = alternatives.baseline([[rest + k, k]], [False])
    found, _ = evidence(base, [[[more, x]]])
    tail = hypergeom.sf(x - 1, x + more + rest + 2 * k, x + k, x + more)
    assert found.max() <= 1.0 / tail * (1 + 1e-9)


@pytest.mark.parametrize("shares", [(0.99, 0.01), (0.4, 0.25, 0.15, 0.1, 0.05, 0.05)])
def test_without_drift_evidence_reaches_a_limit_as_seldom_as_promised(shares):
    """20,000 streams of three panes: at most 1 / A a pane, as the weights say."""
    rng, n = np.random.default_rng(3), 20_000
    known = rng.multinomial(2000, shares, size=n)
    base, state = alternatives.baseline(known.tolist(), [False] * n), None
    state = esr.initial(base)
    for _ in range(3):
        pane = rng.multinomial(300, shares, size=n)
        before = state
        state, said = esr.step(base, before, pane, 1e300)
        for limit in (10.0, 100.0):
            # Five standard errors of a share.
            allowed = 1 / limit + 5 * (1 / limit / n) ** 0.5
            assert (said.evidence >= limit).mean() <= allowed


def test_a_stream_alone_says_what_it_says_beside_others():
    parts = [
        alternatives.baseline([KNOWN, [50, 40, 8, 2]], [False, False]),
        alternatives.baseline([[990, 10], [500, 500], [1000, 0]], [False] * 3),
        alternatives.baseline([[10, 10, 10]], [True]),
    ]
    panes = [
        np.array([RISEN, [10, 10, 1, 9]]), np.array([[90, 10], [40, 60], [99, 1]]),
        np.array([[5, 5, 5]]),
    ]  # fmt: skip
    both = alternatives.together(parts)
    states = esr.initial_all(both)
    together = esr.step_all(both, states, panes, 1e300)
    for part, pane, (_, said) in zip(parts, panes, together, strict=True):
        _, alone = esr.step(part, esr.initial(part), pane, 1e300)
        assert alone.evidence.tolist() == said.evidence.tolist()
        assert alone.age.tolist() == said.age.tolist()


def test_counts_beyond_64_bit_products_are_compared():
    base = alternatives.baseline([[10**9, 10**9, 10**7]], [False])
    found, _ = evidence(base, [[[10**9, 10**9, 10**7 + 10**6]]])
    assert found.max() == pytest.approx(np.exp(700.0))
    assert len(found) == ages.SLOTS


@given(*[st.integers(1, 200)] * 4)
def test_what_rose_by_two_and_a_half_deviations_counts(x, rest, k, others):
    """In whole numbers: x of n rows since, k of m before, gap and spread as they are defined."""
    n, m = x + rest, k + others
    both, all_ = x + k, n + m
    gap = x * m - k * n
    wanted = gap > 0 and 4 * gap * gap * all_ >= 25 * n * m * both * (all_ - both)
    counts = (np.array([float(count)]) for count in (x, n, both, all_))
    assert rises._has_risen(*counts).tolist() == [wanted]
