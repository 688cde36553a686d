"""When a fold's checkpoint is taken: now and then, and not while an alert may wait for it.

Rule 1: when it is taken decides how much a restart folds again, never what is concluded.
Rule 2: due, it waits for a quiet moment, but not for ever.
"""

from __future__ import annotations

# All partitions fold and close an epoch within it.
QUIET_S = 0.25


class SavePace:
    """Times are seconds of a monotonic clock.

    every_s    between two checkpoints
    at_most_s  between them where no moment is quiet
    """

    def __init__(self, every_s: float, at_most_s: float, now: float) -> None:
        self._every_s, self._due = every_s, now + every_s
        self._patience_s = at_most_s - every_s
        self._quiet_at = now

    def folded(self, now: float) -> None:
        """Note that an epoch was folded: others of it may follow."""
        self._quiet_at = now + QUIET_S

    def saved(self, now: float) -> None:
        """Note a checkpoint."""
        self._due = now + self._every_s

    def may_save(self, now: float) -> bool:
        """Tell whether to take one now."""
        return now >= self._due + (0.0 if now >= self._quiet_at else self._patience_s)
