"""e-SR: drift of shares over bins, row by row: categories, missing, rare bins, short references.

Rule 1: a state is fed panes in order and holds integer counts only; twelve start ages a stream.
Rule 2: all streams of a pane, parts of several widths too, are judged in one call, and each as if
        it were alone.
Rule 3: an alarm forgets the stream's live panes: it begins anew against the frozen reference.
Rule 4: an empty pane is no evidence and leaves the state as it was.

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

import msgspec
import numpy as np

from streamops.core import cells
from streamops.core import starts as ages
from streamops.core.alternatives import (
    CONCENTRATIONS,
    LINEAR,
    Baseline,
    best_of,
    linear_sums,
    log_betas,
)
from streamops.core.numeric import Floats, Integers, exp, log
from streamops.core.ordered import sum_last
from streamops.core.packed import Array, Flags, floats, integers, pack, pack_all, select

SHARP = 0.9
_EXPONENT_MAX = 700.0
_FACTOR_MIN = float.fromhex("0x1p-1000")


class State(msgspec.Struct, frozen=True, array_like=True):
    """Live panes of `streams` streams of `bins` bins, packed arrays.

    panes   [stream] live panes since the last alarm
    starts  [stream, slot] pane number a start began in, 0 for none
    counts  [stream, slot, bin] rows since the start; live: [stream, bin] all of them
    linear  [stream, slot, 3] what is linear in those counts, as `alternatives` sums it
    before  [stream, slot] log beta of P; now: [stream] of prior and all counts
    """

    streams: int
    bins: int
    panes: bytes
    starts: bytes
    counts: bytes
    live: bytes
    linear: bytes
    before: bytes
    now: bytes


class Findings(NamedTuple):
    """One pane's conclusions, arrays over streams.

    evidence  R; is_alarm: R reached A
    age       panes since the likeliest start, both ends included; 0 without evidence
    """

    evidence: Floats
    is_alarm: Flags
    age: Integers


class _Live(NamedTuple):
    """Streams of all parts; counts and rows by place of `cells`, the rest as `State` has it."""

    turn: ages.Turn
    panes: Integers
    counts: Integers
    rows: Integers
    linear: Floats
    before: Floats
    now: Floats
    near: Floats


def initial(base: Baseline) -> State:
    """Return the state before the first live pane, of a baseline of one part."""
    (state,) = initial_all(base)
    return state


def initial_all(base: Baseline) -> list[State]:
    """`initial` of each part of a baseline."""
    cell, first = base.layout.cell[-1], base.layout.first[-1]
    nothing = np.zeros(cell * cells.PLACES, dtype=np.int64)
    now = log_betas(base, nothing, nothing[: first * cells.PLACES])[
        0, cells.PLACES - 1 :: cells.PLACES
    ]
    found = []
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
    base: Baseline, states: Sequence[State], counts: Sequence[Integers], alarm_at: float
) -> list[tuple[State, Findings]]:
    """`step` of each part of a baseline."""
    assert alarm_at >= 1.0, f"alarm at {alarm_at}, must be at least 1"
    shapes = tuple((state.streams, state.bins) for state in states)
    assert shapes == base.layout.shapes, f"states of {shapes}, not {base.layout.shapes}"
    pane = np.concatenate([part.ravel() for part in counts])
    live = _add(base, states, pane.take(base.layout.pane))
    # All of a pane's rows are at the place of the start that it opened.
    rows, opened = live.rows.reshape(-1, cells.PLACES), live.turn.opened
    seen = rows[np.arange(len(rows)) if len(opened) > 1 else slice(None), opened].ravel() > 0
    found = _conclude(_factors(base, live), live.turn, alarm_at, seen)
    after = _packed(base, live)
    if not seen.all():
        after = _chosen(base, seen, after, states)
    if found.is_alarm.any():
        after = _chosen(base, found.is_alarm, initial_all(base), after)
    evidence, is_alarm, age = found
    apart = [Findings(evidence[at], is_alarm[at], age[at]) for at in base.layout.parts]
    return list(zip(after, apart, strict=True))


def _add(base: Baseline, states: Sequence[State], pane: Integers) -> _Live:
    """Add one pane to every start that lives, the newest among them."""
    layout, streams = base.layout, base.layout.first[-1]
    panes = integers(_joined([s.panes for s in states]), streams) + 1
    known = integers(_joined([s.starts for s in states]), streams, ages.SLOTS)
    turn = ages.turn(known, panes)
    held = _joined([*(s.counts for s in states), *(s.live for s in states)])
    counts = cells.longer(layout, integers(held, layout.cell[-1] * cells.PLACES), pane, turn)
    rows = cells.rows(layout, counts)
    linear = floats(_joined([s.linear for s in states]), streams, ages.SLOTS * LINEAR)
    lives, old = turn.repeated
    added = np.concatenate((linear_sums(base, pane),) * ages.SLOTS, axis=1)
    added *= lives
    # Times 0 or 1.
    linear = linear * old
    linear += added
    before = floats(_joined([s.before for s in states]), streams, ages.SLOTS) * turn.old
    before[np.arange(streams), turn.opened] = floats(_joined([s.now for s in states]), streams)
    near = log_betas(base, counts, rows).reshape(len(CONCENTRATIONS), -1, cells.PLACES)
    now = near[0, :, -1]
    return _Live(turn, panes, counts, rows, linear, before, now, near[..., : ages.SLOTS])


def _joined(parts: Sequence[bytes]) -> bytes:
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _packed(base: Baseline, live: _Live) -> list[State]:
    first, cell = base.layout.first, base.layout.cell
    held = pack(live.counts.take(base.layout.to_hold))
    by_stream = (live.panes, np.broadcast_to(live.turn.starts, live.before.shape))
    rest = [pack(part) for part in (*by_stream, live.linear, live.before, live.now)]
    each = [len(part) // first[-1] for part in rest]
    found = []
    for number, (streams, bins) in enumerate(base.layout.shapes):
        begin, end = first[number], first[number + 1]
        panes, starts, linear, before, now = (
            part[begin * size : end * size] for part, size in zip(rest, each, strict=True)
        )
        width, live_at = 8 * ages.SLOTS, 8 * ages.SLOTS * cell[-1]
        since = held[cell[number] * width : cell[number + 1] * width]
        all_rows = held[live_at + 8 * cell[number] : live_at + 8 * cell[number + 1]]
        found.append(State(streams, bins, panes, starts, since, all_rows, linear, before, now))
    return found


def _chosen(base: Baseline, mask: Flags, yes: Sequence[State], no: Sequence[State]) -> list[State]:
    """Take a stream from the states of `yes` where the mask is set, else of `no`."""
    return [
        State(new.streams, new.bins, *pack_all(select(mask[at], _unpack(new), _unpack(old))))
        for at, new, old in zip(base.layout.parts, yes, no, strict=True)
    ]


def _unpack(state: State) -> tuple[Array, ...]:
    n, bins = state.streams, state.bins
    return (
        integers(state.panes, n),
        integers(state.starts, n, ages.SLOTS),
        integers(state.counts, n, ages.SLOTS, bins),
        integers(state.live, n, bins),
        floats(state.linear, n, ages.SLOTS, LINEAR),
        floats(state.before, n, ages.SLOTS),
        floats(state.now, n),
    )


def _factors(base: Baseline, live: _Live) -> Floats:
    """Bayes factors to the power 1 / c, [stream, slot]; 0 in an empty slot."""
    by_slot = live.linear.reshape(len(live.linear), ages.SLOTS, LINEAR)
    linear = np.ascontiguousarray(by_slot.transpose(2, 0, 1))
    exponents = np.empty((len(CONCENTRATIONS) + 1, *live.before.shape))
    exponents[:-1] = live.near
    np.add(linear[0], best_of(base, live.counts, live.rows, linear), out=exponents[-1])
    exponents -= live.now[:, np.newaxis] - live.before
    terms = exp(np.minimum(exponents, _EXPONENT_MAX, out=exponents))
    mean = (terms[0] + terms[1]) / len(CONCENTRATIONS)
    factor: Floats = mean * (1.0 - SHARP) + terms[-1] * SHARP
    is_wide = base.dispersion > 1.0
    if is_wide.any():
        root = exp(log(np.maximum(factor, _FACTOR_MIN)) / base.dispersion[:, np.newaxis])
        factor = np.where(is_wide[:, np.newaxis], root, factor)
    factor *= live.turn.lives
    return factor


def _conclude(factors: Floats, turn: ages.Turn, alarm_at: float, seen: Flags) -> Findings:
    evidence = np.where(seen, sum_last(factors), 0.0)
    at = ages.picked(turn, np.argmax(factors, axis=1))
    return Findings(evidence, evidence >= alarm_at, np.where(evidence > 0.0, at, 0))
