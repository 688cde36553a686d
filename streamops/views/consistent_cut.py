"""A consistent cut of the log: where to end so that each record has what it was concluded from.

The term is Chandy and Lamport's (ACM TOCS 3(1), 1985, p. 63). Kafka has no such offsets to ask for,
but conclusions go one way through the topics.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from streamops.kafka.offsets import next_offsets
from streamops.settings import Settings
from streamops.views.log import Partition

# What is concluded last is asked for first: the ends asked for later hold what it rests on.
DOWNSTREAM = (
    "progress", "dlq", "deployments", "retraining", "alerts", "metrics", "summaries", "outcomes",
)  # fmt: skip


def consistent_cut(
    settings: Settings, places: Iterable[Partition], patience_s: float
) -> dict[Partition, int]:
    """Return an end of each partition; what was read before this call lies below.

    Raises TransportError where one isn't had in `patience_s`.
    """
    found = dict[Partition, int]()
    for _, some in groupby(sorted(places, key=_rank), key=_rank):
        found |= next_offsets(settings, list(some), patience_s)
    return found


def _rank(place: Partition) -> int:
    return DOWNSTREAM.index(place[0]) if place[0] in DOWNSTREAM else len(DOWNSTREAM)
