"""What e-SR keeps of live panes: packed arrays, and how streams of many states lie side by side.

Rule 1: a state is plain data, its streams' arrays behind each other: states joined are one state's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from streamops.core import cells
from streamops.core import starts as ages
from streamops.core.alternatives import LINEAR
from streamops.core.cells import Layout
from streamops.core.numeric import Floats, Integers
from streamops.core.packed import (
    Array,
    Flags,
    floats,
    integers,
    joined,
    pack,
    pack_all,
    select,
)


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


class Live(NamedTuple):
    """Live panes of the streams of all parts.

    panes   [stream]; starts: [stream, slot], or one row for all
    counts  as `cells` has them
    linear  [linear, slot, stream]; before: [slot, stream]; now: [stream]
    """

    panes: Integers
    starts: Integers
    counts: Integers
    linear: Floats
    before: Floats
    now: Floats


def unpacked(layout: Layout, states: Sequence[State]) -> Live:
    """Return the arrays of states, one a part; those of floats are read-only."""
    linear = floats(joined([s.linear for s in states]), -1, ages.SLOTS, LINEAR)
    return Live(
        integers(joined([s.panes for s in states]), -1),
        integers(joined([s.starts for s in states]), -1, ages.SLOTS),
        cells.unpacked(layout, [s.counts for s in states], [s.live for s in states]),
        linear.transpose(2, 1, 0),
        floats(joined([s.before for s in states]), -1, ages.SLOTS).transpose(),
        floats(joined([s.now for s in states]), -1),
    )


def packed(layout: Layout, live: Live) -> list[State]:
    """Return the state of each part."""
    streams, found = len(live.panes), list[State]()
    starts = pack(live.starts) * (1 if len(live.starts) > 1 else streams)
    panes, linear = pack(live.panes), pack(live.linear.transpose(2, 1, 0))
    before, now = pack(live.before.transpose()), pack(live.now)
    counted = cells.packed(layout, live.counts)
    for at, shape, held in zip(layout.parts, layout.shapes, counted, strict=True):
        # Eight bytes a number.
        first, last = 8 * at.start, 8 * at.stop
        slots = slice(first * ages.SLOTS, last * ages.SLOTS)
        wide = slice(slots.start * LINEAR, slots.stop * LINEAR)
        own = starts[slots], *held, linear[wide], before[slots], now[first:last]
        found.append(State(*shape, panes[first:last], *own))
    return found


def choose(layout: Layout, mask: Flags, yes: Sequence[State], states: list[State]) -> None:
    """Take the streams where the mask is set from `yes`."""
    for number, at in enumerate(layout.parts):
        if mask[at].any():
            new, old = yes[number], states[number]
            chosen = select(mask[at], _arrays(new), _arrays(old))
            states[number] = State(new.streams, new.bins, *pack_all(chosen))


def _arrays(state: State) -> tuple[Array, ...]:
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
