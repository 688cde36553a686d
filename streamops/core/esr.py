"""e-SR: drift of shares over bins, row by row: categories, missing, rare bins, short references.

Rule 1: a state is fed panes in order and holds integer counts only; twelve start ages a stream.
Rule 2: all streams of a pane, parts of several widths too, are judged in one call, and each as if
        it were alone.
Rule 3: an alarm forgets the stream's live panes: it begins anew against the frozen reference.
Rule 4: an empty pane is no evidence and leaves the state as it was.
Rule 5: categories whose rows are independent have exact tests of rises beside it (`rises`): their
        evidence is the larger of .1 R and .9 of theirs, so both keep one promise together.

For the panes from a start s to now with counts C, after P = prior + reference + live counts before
s, with DM(C; a) the Dirichlet-multinomial probability and p the reference's shares,

    BF_s = [ .1 mean over k in 50, 1000 of DM(C; k p) + .9 max_j w_j prod_b q_jb^C_b ] / DM(C; P)
    R    = sum over starts of BF_s^(1/c);   alarm when R >= A

The alternatives q_j tilt p, and their weights w_j add up to 1: numeric streams by exp(+-theta s)
with s the normal score or its square, theta .1, .2, .4, equally; others lift one bin's odds by 3
(.4), 1.7 (.4) or 1/2 (.2), each bin equally. A maximum of weighted terms is below their sum, so it
takes nothing from the bound and spares an exponential for each.

Assumptions: rows are independent, or c, their dispersion (mean X2 of the reference's panes over its
degrees of freedom, its upper end), is known; 1 / c <= 1 only lowers the mean of BF (Jensen). Shares
have the prior Dirichlet(prior + reference): exact for quantile edges of a continuous column, near
it for categories (Jeffreys' 1/2 a bin).

P(false alarm within T panes of a stream) <= T / A. Sketch. Without drift C given the past has law
DM(C; P), so BF_s is a ratio of a probability to the true one: given the past a martingale in time
from its start on, of mean 1 (at most 1 with the maximum and with 1 / c). M_t = sum of BF_s over
all s <= t has E M_t <= t, and adding what the Jensen steps lose makes it a submartingale that is
never negative; Doob: P(max M_t >= A, t <= T) <= T / A. Fewer starts only lower it. (Shiryaev 1963,
Roberts 1966; as e-detectors: Shin, Ramdas, Rinaldo 2023.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamops.core import cells, rises
from streamops.core import starts as ages
from streamops.core.alternatives import CONCENTRATIONS, LINEAR, Baseline
from streamops.core.esr_state import Live, State, choose, packed, unpacked
from streamops.core.likelihoods import best_of, first_beta, summed
from streamops.core.numeric import Floats, Integers, exp, log
from streamops.core.ordered import sum_first
from streamops.core.packed import Flags, pack

SHARP = 0.9
RISES = 0.9
_EXPONENT_MAX = 700.0
_FACTOR_MIN = float.fromhex("0x1p-1000")


class Findings(NamedTuple):
    """One pane's conclusions, arrays over streams.

    evidence  R; is_alarm: R reached A
    age       panes since the likeliest start, both ends included; 0 without evidence
    """

    evidence: Floats
    is_alarm: Flags
    age: Integers


class _Added(NamedTuple):
    """Live panes with the newest, and what they say; [slot, stream] and [place, stream]."""

    turn: ages.Turn
    live: Live
    rows: Integers
    near: Floats


def initial(base: Baseline) -> State:
    """Return the state before the first live pane, of a baseline of one part."""
    (state,) = initial_all(base)
    return state


def initial_all(base: Baseline) -> list[State]:
    """`initial` of each part of a baseline."""
    now, found = first_beta(base), []
    for at, (streams, bins) in zip(base.layout.parts, base.layout.shapes, strict=True):
        sizes = (1, ages.SLOTS, ages.SLOTS * bins, bins, ages.SLOTS * LINEAR, ages.SLOTS)
        panes, starts, counts, live, linear, before = (bytes(8 * streams * n) for n in sizes)
        found.append(
            State(streams, bins, panes, starts, counts, live, linear, before, pack(now[at]))
        )
    return found


def step(base: Baseline, state: State, counts: Integers, alarm_at: float) -> tuple[State, Findings]:
    """Take one pane's counts, [stream, bin]: the next state, and what it says."""
    ((after, found),) = step_all(base, [state], [counts], alarm_at)
    return after, found


def step_all(
    base: Baseline,
    states: Sequence[State],
    counts: Sequence[Integers],
    alarm_at: float | Sequence[float],
) -> list[tuple[State, Findings]]:
    """`step` of each part of a baseline.

    alarm_at  A, or one a part
    """
    shapes = tuple((state.streams, state.bins) for state in states)
    assert shapes == base.layout.shapes, f"states of {shapes}, not {base.layout.shapes}"
    least = alarm_at if isinstance(alarm_at, float) else min(alarm_at)
    assert least >= 1.0, f"alarm at {least}, must be at least 1"
    added = _add(base, states, cells.pane_of(base.layout, counts))
    # All of a pane's rows are at the place of the start that it opened.
    seen = added.rows[_opened(added.turn, added.rows.shape[1])] > 0
    limits: float | Floats = least
    if not isinstance(alarm_at, float):
        limits = np.repeat(np.array(alarm_at), [streams for streams, _ in shapes])
    live = added.live
    rose = rises.evidence(base, live.counts, added.rows, added.turn)
    found = _conclude(base, _factors(base, added), rose, added.turn, limits, seen)
    after = packed(base.layout, added.live)
    apart = [
        Findings(found.evidence[at], found.is_alarm[at], found.age[at]) for at in base.layout.parts
    ]
    if not seen.all():
        choose(base.layout, ~seen, states, after)
    if found.is_alarm.any():
        choose(base.layout, found.is_alarm, initial_all(base), after)
    return list(zip(after, apart, strict=True))


def _add(base: Baseline, states: Sequence[State], pane: Integers) -> _Added:
    """Add one pane to every start that lives, the newest among them."""
    held = unpacked(base.layout, states)
    panes, counts = held.panes + 1, held.counts
    turn = ages.turn(held.starts, panes)
    cells.lengthen(base.layout, counts, pane, turn)
    rows = cells.rows(base.layout, counts)
    found = summed(base, counts, rows, pane)
    lives, old = turn.lives.transpose(), turn.old.transpose()
    # Times 0 or 1.
    linear = np.multiply(held.linear, old, out=np.empty(held.linear.shape))
    linear += found.linear[:, np.newaxis] * lives
    before = np.multiply(held.before, old, out=np.empty(held.before.shape))
    before[_opened(turn, len(panes))] = held.now
    live = Live(panes, turn.starts, counts, linear, before, found.now)
    return _Added(turn, live, rows, found.near)


def _opened(turn: ages.Turn, streams: int) -> int | tuple[Integers, Integers]:
    """Place of each stream's newest start, or the one of all."""
    return int(turn.opened[0]) if len(turn.opened) == 1 else (turn.opened, np.arange(streams))


def _factors(base: Baseline, added: _Added) -> Floats:
    """Bayes factors to the power 1 / c, [slot, stream]; 0 in an empty slot."""
    live = added.live
    exponents = np.empty((len(CONCENTRATIONS) + 1, *live.before.shape))
    exponents[:-1] = added.near
    best = best_of(base, live.counts, added.rows, live.linear)
    np.add(live.linear[0], best, out=exponents[-1])
    exponents -= live.now - live.before
    terms = exp(np.minimum(exponents, _EXPONENT_MAX, out=exponents))
    factor: Floats = terms[0]
    factor += terms[1]
    factor /= len(CONCENTRATIONS)
    factor *= 1.0 - SHARP
    sharp = terms[-1]
    sharp *= SHARP
    factor += sharp
    wide = np.flatnonzero(base.dispersion > 1.0)
    if len(wide):
        some = np.maximum(factor[:, wide], _FACTOR_MIN)
        factor[:, wide] = exp(log(some) / base.dispersion[:, wide])
    factor *= added.turn.lives.transpose()
    return factor


def _conclude(
    base: Baseline,
    factors: Floats,
    rose: Floats,
    turn: ages.Turn,
    limits: float | Floats,
    seen: Flags,
) -> Findings:
    """Weigh both: where bins are tested for rises, each test has its share of the promise."""
    total = np.where(base.is_exact[0], sum_first(factors) * (1.0 - RISES), sum_first(factors))
    best = np.maximum.reduce(rose, axis=0) * RISES
    slots = np.where(best > total, np.argmax(rose, axis=0), np.argmax(factors, axis=0))
    evidence = np.where(seen, np.maximum(total, best), 0.0)
    at = ages.picked(turn, slots)
    return Findings(evidence, evidence >= limits, np.where(evidence > 0.0, at, 0))
