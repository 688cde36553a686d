"""How bad a day was."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass
class Troubles:
    """What happened on a bad day: one without any shows nothing.

    zombies       rebalances that a worker didn't notice at once
    failed_sends  deaths for a send that failed
    """

    deaths: int = 0
    rebalances: int = 0
    zombies: int = 0
    failed_sends: int = 0

    def add(self, other: Troubles) -> None:
        """Add another day's."""
        for name, count in other.counts().items():
            setattr(self, name, getattr(self, name) + count)

    def counts(self) -> dict[str, int]:
        """Return each count by its name."""
        return asdict(self)
