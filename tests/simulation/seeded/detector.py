"""A detector whose levels depend on the order of the errors it was given, and on each of them."""

from __future__ import annotations

from streamops.core.error_stream import Level


class Ordered:
    """Calls a drift where a running number says so; no sum would tell the order."""

    platform = "ordered"
    since_back = 1

    def __init__(self) -> None:
        self.seen = 0

    def update(self, error: float) -> Level:
        self.seen = (self.seen * 3 + 1 + (error > 0)) % 7
        return "drift" if self.seen % 3 == 0 else "none"


def make_ordered(name: str) -> Ordered:
    """Return a new detector, whatever its name."""
    return Ordered()
