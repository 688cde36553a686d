"""Start ages: which panes a change may have begun in, thinned so that few are remembered.

Rule 1: a stream counts its own panes from 1; 0 marks an empty slot.
Rule 2: the newest four panes are all starts; of older ones every 2nd to age 8, every 4th to 16,
        every 8th to 32, every 16th to 64: at most twelve, so a stream has twelve slots. The
        first pane is one of them at every age: a new version or reference begins there.
Rule 3: which starts live depends on the pane's number alone, never on what was seen.

The sum over these starts is at most the sum over all of them (no Bayes factor is negative), so a
bound on the full Shiryaev-Roberts statistic holds for ours.
"""

from __future__ import annotations

import numpy as np

from streamops.core.numeric import Integers

SLOTS = 12
AGE_MAX = 64
# By age: a start lives on if the number of panes before it divides by this.
_STRIDES = np.array([1] * 5 + [2] * 4 + [4] * 8 + [8] * 16 + [16] * 32, dtype=np.int64)


def ages(starts: Integers, panes: Integers) -> Integers:
    """Panes from each start to now, both included; 0 for an empty slot. `panes`: one a stream."""
    return np.where(starts > 0, panes[:, np.newaxis] - starts + 1, 0)


def advance(starts: Integers, panes: Integers) -> tuple[Integers, Integers]:
    """Open pane number `panes` of each stream as a start; return starts and the slot it got.

    The slot may have held a start that died now: what is summed there must begin anew.
    """
    aged = ages(starts, panes)
    young = (starts > 0) & (aged <= AGE_MAX)
    lives = young & ((starts - 1) % _STRIDES[np.minimum(aged, AGE_MAX)] == 0)
    assert not bool(np.any(np.all(lives, axis=1))), "a stream has more starts than slots"
    opened = np.argmin(lives, axis=1)
    kept = np.where(lives, starts, 0)
    kept[np.arange(len(panes)), opened] = panes
    return kept, opened


def lives(start: int, pane: int) -> bool:
    """Tell whether a start is still one at this pane: the rule of `advance` for a single stream."""
    age = pane - start + 1
    return age <= AGE_MAX and (start - 1) % int(_STRIDES[age]) == 0
