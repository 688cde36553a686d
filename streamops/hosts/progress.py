"""How far the controllers have concluded, read from `progress`."""

from __future__ import annotations

from contextlib import closing

from streamops.events import EpochConcluded
from streamops.kafka.follow import Follower
from streamops.settings import Settings


def concluded_epochs(settings: Settings) -> dict[int, int]:
    """Return the last concluded epoch of each controller partition."""
    last: dict[int, int] = {}
    with closing(Follower(settings, "progress-reader", ["progress"])) as follower:
        for record in follower.to_end():
            event = record.event
            if isinstance(event, EpochConcluded):
                last[event.partition] = max(event.epoch, last.get(event.partition, -1))
    return last
