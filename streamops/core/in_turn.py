"""What a source sent of an epoch, hashed as it comes: its close then waits for no second look.

Rule 1: `derived_inbox.close_hash` over all that is held is the definition. This is the same hash
        where all came in the order of their ordinals, and says so where it is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise

from streamops import codec
from streamops.core.processor import Refusal
from streamops.events import Event


class InTurn:
    """The hash of records that came in turn; `count` tells of how many."""

    def __init__(self) -> None:
        self.count = 0
        self._last = -1
        self._hash = hashlib.sha256()

    @property
    def hash(self) -> str:
        """SHA-256 (hex) over conclusions, a newline after each."""
        return self._hash.hexdigest()

    def add(self, ordinals: Sequence[int], events: Sequence[Event | Refusal]) -> None:
        """Note records that come behind the others; those that don't are left out."""
        in_order = all(a < b for a, b in pairwise((self._last, *ordinals)))
        if in_order:
            self.count, self._last = self.count + len(events), ordinals[-1]
            self._hash.update(codec.conclusions(e for e in events if isinstance(e, Event)))
