"""t-SR: drift of numeric features where the pane is the observation.

Rule 1: a state is fed panes in order and holds sums only; twelve start ages a feature.
Rule 2: all features of a pane are judged in one call, and each as if it were alone.
Rule 3: an alarm forgets the feature's live panes: it begins anew against the frozen reference.
Rule 4: a pane too thin for a feature leaves that feature's state as it was.

For each direction let z be its scores over the reference's panes and the live ones, n in all, X the
season's columns, and v = 1 on the panes from a start s to now. With v and z freed of X,

    n_eff = |v|^2     r2 = (v.z)^2 / (n_eff |z|^2)
    BF_s  = mean over g of (1 + n_eff g)^(-1/2) (1 - r2 n_eff g / (1 + n_eff g))^(-(n - rank X)/2)
    R     = sum over directions of weight * sum over starts of BF_s;   alarm when R >= A

BF_s is the Bayes factor of a t-test: a right-Haar prior on X's coefficients and the spread, an
effect of N(0, g spread^2) from s on (Gönen et al. 2005; Berger, Pericchi, Varshavsky 1998). No
figure of the rows enters: the reference's panes alone say how much panes differ, so it holds for
rows that depend on each other inside a pane. |z|^2 is at least what independent rows would give: a
feature steadier than chance (a quota, a schedule) doesn't alarm on a holiday. Shape has one side: a
pane more like the reference than its own panes are is no drift, so v.z <= 0 weighs nothing there.
It is looked for where a pane of the reference stands for sixteen independent rows (`t_factors`).

Assumptions: pane scores are independent and nearly normal with one spread: panes of 20 rows or
more, ten of them effective; the lag-1 correlation of pane scores at most about .12. Above, BF_s is
taken to the power 1 / c, c = (1 + lag) / (1 - lag): a sum of panes that remember each other varies
c times as much (Bartlett 1946). That is a power prior's caution, not a proof.

P(false alarm within T panes of a feature) <= T / A. Sketch. Without drift the law of what is
invariant to X's coefficients and the spread has no parameter left, and BF_s is a ratio of two
densities of it, so given the past it is a martingale once it starts, of mean 1 at its first pane
(Lai 1976; Pérez-Ortiz et al. 2024). M_t = sum of BF_s over all s <= t then has E M_t = t and is a
submartingale that is never negative; Doob: P(max M_t >= A, t <= T) <= E M_T / A = T / A. Ours sums
fewer starts and has a floor that lowers each BF, so it is at most M. Directions of one weighted sum
keep the bound if they are independent, as mean and spread of normal rows are; with any dependence
R >= A needs one direction's sum above A, and the bound is at most 3 T / A.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from streamops.core import starts as ages
from streamops.core.numeric import Floats, Integers
from streamops.core.ordered import sum_first, sum_last
from streamops.core.packed import Array, Flags, floats, integers, joined, pack_all, select
from streamops.core.scores import DIRECTIONS, is_scored
from streamops.core.t_factors import Baseline, Live, factors, live_score

WEIGHTS = (0.4, 0.4, 0.2)
_WEIGHTS = np.array(WEIGHTS)[:, np.newaxis]
_Arrays = tuple[Integers, Integers, Floats, Floats, Floats, Floats, Floats]


class State(msgspec.Struct, frozen=True, array_like=True):
    """Live panes of `features` features, packed arrays.

    panes    [feature] live panes since the last alarm
    starts   [feature, slot] pane number a start began in, 0 for none
    sums     [feature, direction, slot] scores since the start
    during   [feature, slot, column] regressors since the start
    squares  [feature, direction]; columns [feature, direction, column]; gram: as in `season`
    """

    features: int
    panes: bytes
    starts: bytes
    sums: bytes
    during: bytes
    squares: bytes
    columns: bytes
    gram: bytes


class Findings(NamedTuple):
    """One pane's conclusions, arrays over features.

    evidence   R; 0 for a feature that the pane was too thin for
    is_alarm   R reached A
    age        panes since the likeliest start, both ends included; 0 without evidence
    direction  number of the direction that contributes most
    """

    evidence: Floats
    is_alarm: Flags
    age: Integers
    direction: Integers


def initial(base: Baseline) -> State:
    """Return the state before the first live pane."""
    features, columns = len(base.panes), base.season.columns
    directions = len(DIRECTIONS)
    return State(
        features,
        *pack_all(
            (
                np.zeros(features, dtype=np.int64),
                np.zeros((features, ages.SLOTS), dtype=np.int64),
                np.zeros((features, directions, ages.SLOTS)),
                np.zeros((features, ages.SLOTS, columns)),
                np.zeros((features, directions)),
                np.zeros((features, directions, columns)),
                np.zeros_like(base.gram),
            )
        ),
    )


def step(
    base: Baseline, state: State, counts: Integers, alarm_at: float, phase: int | Integers = 0
) -> tuple[State, Findings]:
    """Take one pane's counts, [feature, bin]: the next state, and what it says.

    phase  of the pane, or one a feature where features have seasons of their own
    """
    ((after, found),) = step_all(base, [state], counts, [alarm_at], phase)
    return after, found


def step_all(
    base: Baseline,
    states: Sequence[State],
    counts: Integers,
    alarm_at: Sequence[float],
    phase: int | Integers,
) -> list[tuple[State, Findings]]:
    """`step` of features of several states behind each other, as `t_factors.together` lays them.

    alarm_at  A, one a state
    """
    assert min(alarm_at) >= 1.0, f"alarm at {min(alarm_at)}, must be at least 1"
    seen = is_scored(base.scale, counts)
    arrays = _unpack(base, states)
    live = _add(base, arrays, live_score(base, counts), phase)
    limits = np.repeat(np.array(alarm_at), [state.features for state in states])
    found = _conclude(factors(base, live), live.turn, limits, seen)
    starts = np.broadcast_to(live.turn.starts, arrays[1].shape)
    after: Iterable[Array] = (live.panes, starts, *live[2:])
    if not seen.all():
        after = tuple(select(seen, after, arrays))
    if found.is_alarm.any():
        after = select(found.is_alarm, map(np.zeros_like, arrays), after)
    return _apart(states, tuple(pack_all(after)), found)


def _apart(
    states: Sequence[State], packed: Sequence[bytes], found: Findings
) -> list[tuple[State, Findings]]:
    if len(states) == 1:
        return [(State(states[0].features, *packed), found)]
    total, begin, apart = len(found.evidence), 0, list[tuple[State, Findings]]()
    each = [len(part) // total for part in packed]
    for state in states:
        end = begin + state.features
        own = (part[begin * n : end * n] for part, n in zip(packed, each, strict=True))
        at = slice(begin, end)
        findings = Findings(
            found.evidence[at], found.is_alarm[at], found.age[at], found.direction[at]
        )
        apart.append((State(state.features, *own), findings))
        begin = end
    return apart


def _unpack(base: Baseline, states: Sequence[State]) -> _Arrays:
    columns, directions, n = base.season.columns, len(DIRECTIONS), len(base.panes)
    panes = integers(joined([s.panes for s in states]), -1)
    assert len(panes) == n, f"a state of {len(panes)} features, a reference of {n}"
    return (
        panes,
        integers(joined([s.starts for s in states]), n, ages.SLOTS),
        floats(joined([s.sums for s in states]), n, directions, ages.SLOTS),
        floats(joined([s.during for s in states]), n, ages.SLOTS, columns),
        floats(joined([s.squares for s in states]), n, directions),
        floats(joined([s.columns for s in states]), n, directions, columns),
        floats(joined([s.gram for s in states]), *base.gram.shape),
    )


def _add(base: Baseline, arrays: _Arrays, z: Floats, phase: int | Integers) -> Live:
    """Add one pane to every start that lives, the newest among them."""
    panes, starts, sums, during, squares, columns, gram = arrays
    phases = np.broadcast_to(phase, (len(z),))
    x = base.rows.take(phases, axis=0)[:, np.newaxis]
    panes = panes + 1
    turn = ages.turn(starts, panes)
    return Live(
        panes,
        turn,
        sums * turn.old[:, np.newaxis] + z[..., np.newaxis] * turn.lives[:, np.newaxis],
        during * turn.old[..., np.newaxis] + turn.lives[..., np.newaxis] * x,
        squares + z * z,
        columns + z[..., np.newaxis] * x,
        gram + base.products.take(phases, axis=0),
    )


def _conclude(by_slot: Floats, turn: ages.Turn, limits: Floats, seen: Flags) -> Findings:
    weighted = by_slot * _WEIGHTS
    by_direction = sum_last(weighted)
    by_start = sum_first(weighted.transpose(1, 0, 2))
    evidence = np.where(seen, sum_last(by_direction), 0.0)
    best = np.argmax(by_start, axis=1)
    at = ages.picked(turn, best)
    return Findings(
        evidence,
        evidence >= limits,
        np.where(evidence > 0.0, at, 0),
        np.argmax(by_direction, axis=1),
    )
