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

from functools import lru_cache

import numpy as np

from streamops.core.numeric import Integers

SLOTS = 12
AGE_MAX = 64
# By age: a start lives on if the number of panes before it divides by this.
_STRIDES = np.array([1] * 5 + [2] * 4 + [4] * 8 + [8] * 16 + [16] * 32, dtype=np.int64)


def ages(starts: Integers, panes: Integers) -> Integers:
    """Panes from each start to now, both included; 0 for an empty slot. `panes`: one a stream."""
    return np.where(starts > 0, (panes[: len(starts)] + 1)[:, np.newaxis] - starts, 0)


def picked(starts: Integers, panes: Integers, slots: Integers) -> Integers:
    """Age of one start of each stream; a single row of starts stands for all streams."""
    found: Integers = ages(starts, panes)[np.arange(len(slots)) if len(starts) > 1 else 0, slots]
    return found


def advance(starts: Integers, panes: Integers) -> tuple[Integers, Integers]:
    """Open pane number `panes` of each stream as a start; return starts and the slot it got.

    The slot may have held a start that died now: what is summed there must begin anew. Streams of
    one pane number have the same starts in the same slots: one row then stands for all.
    """
    if bool((panes == panes[:1]).all()):
        return _advance_one(starts[:1].tobytes(), int(panes[0]))
    return _advance(starts, panes)


@lru_cache(maxsize=1024)
def _advance_one(starts: bytes, pane: int) -> tuple[Integers, Integers]:
    row = np.frombuffer(starts, dtype=np.int64).reshape(1, SLOTS)
    return _advance(row, np.array([pane]))


def _advance(starts: Integers, panes: Integers) -> tuple[Integers, Integers]:
    aged = ages(starts, panes)
    strides = _STRIDES.take(aged, mode="clip")
    alive = (starts > 0) & (aged <= AGE_MAX) & ((starts - 1) % strides == 0)
    assert not bool(alive.all(axis=1).any()), "a stream has more starts than slots"
    opened = alive.argmin(axis=1)
    kept = np.where(alive, starts, 0)
    kept[np.arange(len(panes)), opened] = panes
    kept.setflags(write=False)
    return kept, opened


def lives(start: int, pane: int) -> bool:
    """Tell whether a start is still one at this pane: the rule of `advance` for a single stream."""
    age = pane - start + 1
    return age <= AGE_MAX and (start - 1) % int(_STRIDES[age]) == 0
