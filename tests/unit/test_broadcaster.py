"""The broadcaster on a simulated Kafka: it dies between any two effects, no partition lacks a tick.

A partition that lacks a tick cuts its panes in another epoch than the others do, and MONITOR would
evaluate such a pane twice, each time in part.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest

from streamops.core.processor import Record
from streamops.events import Tick
from streamops.hosts import broadcaster
from streamops.hosts.broadcaster import Broadcaster
from streamops.hosts.memory import BROADCAST
from streamops.settings import Settings
from tests.simulation.seeded.broker import NAMESPACE, Fuse, Killed, Log, Producer

PARTITIONS = 2
LIVE = Settings(bootstrap="", namespace=NAMESPACE, partitions=PARTITIONS, interval_s=0.0001)
TICKS = 10


class LogFollower:
    """Follows a log in memory."""

    def __init__(self, log: Log, topics: Sequence[str]) -> None:
        self.log, self.topics = log, topics
        self.read: dict[tuple[str, int], int] = {}

    def poll(self, timeout_s: float) -> Iterator[Record]:
        for place, rows in list(self.log.rows.items()):
            if place[0] in self.topics:
                first, self.read[place] = self.read.get(place, 0), len(rows)
                yield from rows[first : self.read[place]]

    def to_end(self) -> Iterator[Record]:
        return self.poll(0)

    def close(self) -> None:
        pass


class UntilTicks:
    """Stops a broadcaster once a partition has so many records."""

    def __init__(self, log: Log, more: int) -> None:
        self.log, self.end = log, log.end(("lifecycle", 0)) + more

    def is_set(self) -> bool:
        return self.log.end(("lifecycle", 0)) >= self.end


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log(PARTITIONS)
    monkeypatch.setattr(broadcaster, "Follower", lambda _, __, topics: LogFollower(log, topics))
    return log


@pytest.fixture(params=range(6, 46), ids="dies after {} effects".format)
def fuse(request: pytest.FixtureRequest) -> Fuse:
    made = Fuse()
    made.left = request.param
    return made


def run(log: Log, producer: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcaster, "make_producer", lambda *_, **__: producer)
    Broadcaster(LIVE).run(UntilTicks(log, TICKS))


def counting(log: Log, topic: str, partition: int) -> list[int]:
    """The epochs of a partition's ticks that count."""
    found: list[int] = []
    for record in log.rows[(topic, partition)]:
        event = record.event
        if isinstance(event, Tick) and (not found or event.epoch > found[-1]):
            found.append(event.epoch)
    return found


def test_no_partition_lacks_a_tick_after_a_crash(log, fuse, monkeypatch):
    r = random.Random(fuse.left)
    dying = Producer(log, fuse, r, 0)
    with pytest.raises(Killed):
        run(log, dying, monkeypatch)
    run(log, Producer(log, Fuse(), r, 0), monkeypatch)
    for topic in BROADCAST:
        for partition in range(PARTITIONS):
            epochs = counting(log, topic, partition)
            assert epochs == list(range(len(epochs))), (topic, partition)
