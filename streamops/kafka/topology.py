"""What a namespace was founded with, as its log says."""

from __future__ import annotations

from contextlib import closing

from streamops.errors import TransportError
from streamops.events import TopologyActivated
from streamops.kafka.follow import Follower
from streamops.settings import Settings


def read_topology(settings: Settings) -> TopologyActivated | None:
    """Return the namespace's first topology; None where none is recorded, or no topic yet.

    Raises TransportError when the broker falls silent meanwhile.
    """
    try:
        follower = Follower(settings, "topology", ["lifecycle"])
    except TransportError:
        return None
    with closing(follower):
        for record in follower.to_end():
            if isinstance(record.event, TopologyActivated):
                return record.event
    return None
