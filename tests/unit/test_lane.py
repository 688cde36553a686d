"""A lane's view of what comes next: repeats, gaps of Kafka's own, and what a rebalance mixed up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from streamops import codec
from streamops.core.derived_inbox import close_hash
from streamops.core.times import EPOCH
from streamops.errors import TransportError
from streamops.events import EpochClosed
from streamops.hosts import lane as lane_module
from streamops.hosts.decoding import to_record
from streamops.hosts.lane import CHECKPOINT_EVERY_S, Lane
from streamops.hosts.memory import make_fold
from streamops.hosts.save_pace import QUIET_S
from streamops.settings import Settings

TOPIC = "summaries"
CLOSED = EpochClosed(id="c", time=EPOCH, source="meter/0", epoch=0, count=0, hash=close_hash([]))


def lane_at(position: int) -> Lane:
    fold: Any = make_fold("monitor", 0, 1, skew_max_ms=None)
    fold.inboxes[TOPIC].position = position
    settings = Settings(bootstrap="nowhere:1", data=Path("none"))

    async def make() -> Lane:
        return Lane(settings, fold, None, instance="0")

    return asyncio.run(make())


def test_a_repeat_is_not_fed():
    lane = lane_at(5)
    assert lane.expects(TOPIC, 4) is False
    assert lane.expects(TOPIC, 5) is True


def test_a_gap_in_the_flow_is_kafkas_own():
    lane = lane_at(5)
    assert lane.expects(TOPIC, 7) is True


def test_a_gap_after_a_seek_is_read_again_and_believed_when_it_comes_again():
    #  position 5, a marker at 5 and 6: 7 comes first, with 8 and 9 behind it in the queue
    lane = lane_at(5)
    assert lane.sought(TOPIC) == 5
    assert lane.expects(TOPIC, 7) is None
    assert lane.expects(TOPIC, 8) is False
    assert lane.expects(TOPIC, 9) is False
    assert lane.sought(TOPIC) == 5
    assert lane.expects(TOPIC, 7) is True
    assert lane.expects(TOPIC, 9) is True


def test_what_was_read_before_a_seek_is_not_taken_for_what_comes_after_it():
    lane = lane_at(5)
    lane.sought(TOPIC)
    assert lane.expects(TOPIC, 9) is None
    lane.sought(TOPIC)
    assert lane.expects(TOPIC, 5) is True


def test_a_smaller_gap_is_looked_at_too():
    lane = lane_at(5)
    lane.sought(TOPIC)
    assert lane.expects(TOPIC, 9) is None
    assert lane.expects(TOPIC, 8) is None
    assert lane.expects(TOPIC, 9) is False
    assert lane.expects(TOPIC, 8) is True


def test_what_the_archive_must_give_first_is_not_taken_from_kafka():
    lane = lane_at(5)
    assert lane.sought(TOPIC, 9) == 9
    assert lane.expects(TOPIC, 9) is False
    (backlog,) = lane.backlogs
    assert (backlog.first, backlog.next) == (5, 9)
    assert lane.sought(TOPIC, 12) == 9, "what is under way goes on"
    lane.backlogs.end(backlog, lane.fold.inboxes[TOPIC])
    assert lane.expects(TOPIC, 9) is True


def test_a_full_disk_is_nobodys_record():
    """It ends the process; nothing is dead-lettered for it."""
    lane = lane_at(0)

    def full(_: Any) -> Any:
        raise TransportError("the disk is full")

    lane.fold.feed = full  # type: ignore[method-assign]
    closed = EpochClosed(id="c", time=EPOCH, source="meter/0", epoch=0, count=0, hash="")
    with pytest.raises(TransportError):
        lane.feed(to_record(TOPIC, 0, 0, 0, b"", codec.encode(closed)))
    assert lane._refused == []
    assert lane.expects(TOPIC, 0) is False


class Broker:
    """Takes all, and notes to which topics it came."""

    def __init__(self) -> None:
        self.topics: list[str] = []

    async def send(self, topic: str, *_: Any, **__: Any) -> Any:
        self.topics.append(topic)
        return asyncio.sleep(0)

    async def send_and_wait(self, topic: str, *_: Any, **__: Any) -> None:
        self.topics.append(topic)


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def perf_counter(self) -> float:
        return self.now


def test_a_checkpoint_that_is_due_waits_until_nothing_more_is_folded(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(lane_module, "time", clock)

    async def play() -> tuple[list[str], list[str]]:
        fold: Any = make_fold("monitor", 0, 1, skew_max_ms=None)
        broker = Broker()
        settings = Settings(bootstrap="nowhere:1", data=Path("none"))
        lane = Lane(settings, fold, broker, instance="0")
        clock.now = CHECKPOINT_EVERY_S * 1.5
        task = asyncio.create_task(lane.run())
        lane.feed(to_record(TOPIC, 0, 0, 0, b"", codec.encode(CLOSED)))
        while not broker.topics:
            await asyncio.sleep(0)
        # Longer than the lane sleeps between two looks.
        await asyncio.sleep(QUIET_S * 2)
        before = list(broker.topics)
        clock.now += QUIET_S
        while len(broker.topics) < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        return before, broker.topics

    before, after = asyncio.run(play())
    assert [topic.rpartition(".")[2] for topic in before] == ["metrics"]
    assert [topic.rpartition(".")[2] for topic in after] == ["metrics", "checkpoints"]


@pytest.mark.parametrize("steps", range(6))
def test_a_lane_that_is_dropped_while_it_wakes_ends(steps):
    """However far its waking had come: what cancels it may not be taken for a wake."""

    async def play() -> bool:
        fold: Any = make_fold("monitor", 0, 1, skew_max_ms=None)
        settings = Settings(bootstrap="nowhere:1", data=Path("none"))
        lane = Lane(settings, fold, Broker(), instance="0")
        lane.feed(to_record(TOPIC, 0, 0, 0, b"", codec.encode(CLOSED)))
        task = asyncio.create_task(lane.run())
        await asyncio.sleep(QUIET_S / 10)
        assert lane._unsaved is not None, "it waits for a quiet moment"
        lane._wake.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=3 * QUIET_S)
        task.cancel()
        return bool(done)

    assert asyncio.run(play()), "it goes on after it was cancelled"
