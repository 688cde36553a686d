"""A lane's view of what comes next: repeats, gaps of Kafka's own, and what a rebalance mixed up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from streamops.hosts.lane import Lane
from streamops.hosts.memory import make_fold
from streamops.settings import Settings

TOPIC = "summaries"


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
