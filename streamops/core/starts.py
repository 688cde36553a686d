"""Start ages: which panes a change may have begun in, thinned so that few are remembered.

Rule 1: a stream counts its own panes from 1; 0 marks an empty slot.
Rule 2: the newest four panes are all starts; of older ones every 2nd to age 8, every 4th to 16,
        every 8th to 32, every 16th to 64: at most twelve, so a stream has twelve slots. The
        first pane is one of them at every age: a new version or reference begins there.
Rule 3: which starts live, and in which slots, depends on the pane's number alone, never on what
        was seen.

The sum over these starts is at most the sum over all of them (no Bayes factor is negative), so a
bound on the full Shiryaev-Roberts statistic holds for ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from streamops.core.numeric import Floats, Integers

SLOTS = 12
AGE_MAX = 64
# A pane behind so many has no start that a pane before it could have; the longest stride's times.
_STRIDE_MAX, _BACK_MAX = 16, 96
# By age: a start lives on if the number of panes before it divides by this.
STRIDES = (1,) * 5 + (2,) * 4 + (4,) * 8 + (8,) * 16 + (16,) * 32
_STRIDES = np.array(STRIDES, dtype=np.int64)


class Numbered(Protocol):
    """A start that knows its pane's number."""

    @property
    def bin(self) -> int: ...


One = TypeVar("One", bound=Numbered)


class Turn(NamedTuple):
    """A pane's starts: a row a stream, or one row for all of them.

    opened      the slot that the pane got
    ages        panes since, both ends included; 0 for an empty slot
    lives, old  1 for a start, and for one that isn't the pane's own; else 0
    """

    starts: Integers
    opened: Integers
    ages: Integers
    lives: Floats
    old: Floats


def ages(starts: Integers, panes: Integers) -> Integers:
    """Panes from each start to now, both included; 0 for an empty slot. `panes`: one a stream."""
    return np.where(starts > 0, (panes + 1)[:, np.newaxis] - starts, 0)


def picked(turn: Turn, slots: Integers) -> Integers:
    """Age of one start of each stream."""
    if len(turn.ages) == 1:
        same: Integers = turn.ages[0].take(slots)
        return same
    found: Integers = turn.ages[np.arange(len(slots)), slots]
    return found


def turn(starts: Integers, panes: Integers) -> Turn:
    """Open pane number `panes` of each stream as a start.

    Its slot may have held a start that died now: what is summed there must begin anew. Streams of
    one pane number have the same starts in the same slots: one row then stands for all.
    """
    pane = int(panes[0])
    if len(panes) > 1 and not bool((panes == pane).all()):
        return _turn(starts, panes)
    # What lives on, and where, hangs on ages and on the pane's place among the longest strides.
    back = np.maximum(starts[0] - pane, -_BACK_MAX)
    found = _same(back.tobytes(), pane if pane < _BACK_MAX else _BACK_MAX + pane % _STRIDE_MAX)
    moved = found.lives.astype(np.int64)
    moved *= pane - int(found.starts.max())
    moved += found.starts
    return Turn(moved, *found[1:])


@lru_cache(maxsize=1024)
def _same(back: bytes, pane: int) -> Turn:
    """Return the turn of any pane of this phase; `back`: starts less the pane, held above -96."""
    row = np.frombuffer(back, dtype=np.int64).reshape(1, SLOTS)
    return _turn(np.where(row > -min(pane, _BACK_MAX), row + pane, 0), np.array([pane]))


def _turn(starts: Integers, panes: Integers) -> Turn:
    aged = ages(starts, panes)
    strides = _STRIDES.take(aged, mode="clip")
    alive = (starts > 0) & (aged <= AGE_MAX) & ((starts - 1) % strides == 0)
    opened = alive.argmin(axis=1)
    newest = np.arange(len(panes)), opened
    assert not bool(alive[newest].any()), "a stream has more starts than slots"
    old = alive.astype(np.float64)
    kept, aged = starts * alive, aged * alive
    lives = old.copy()
    kept[newest], aged[newest], lives[newest] = panes, 1, 1.0
    return Turn(kept, opened, aged, lives, old)


def advance(starts: Integers, panes: Integers) -> tuple[Integers, Integers]:
    """Return the starts of each stream with its newest, and the slot that one got."""
    return _turn(starts, panes)[:2]


def living(starts: Iterable[One], pane: int) -> list[One]:
    """Return those that still are starts at this pane: the rule of `advance` for one stream."""
    return [
        start
        for start in starts
        if pane - start.bin < AGE_MAX and not (start.bin - 1) % STRIDES[pane - start.bin + 1]
    ]
