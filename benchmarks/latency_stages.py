"""Where an alert's milliseconds go: when each stage of the chain had closed the alert's epoch.

All times are the broker's own, of its appends, so that no clock or reader of ours stands between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing

from benchmarks.traffic import round_ended
from streamops.core.processor import Record
from streamops.events import AlertRaised, EpochClosed, EpochConcluded
from streamops.kafka.follow import Follower
from streamops.settings import Settings

TOPICS = ("outcomes", "summaries", "metrics", "alerts", "progress")
# Of a stage's closes, one for each partition, the first and the last tell how it spread.
SPREAD = (("first", min), ("last", max))


def stages(
    settings: Settings, stored: Mapping[int, float], ticks: int = 1
) -> dict[str, list[float]]:
    """Return for each stage the sorted milliseconds from a round's closing tick.

    stored  by round, when the broker stored its closing tick in the last partition, seconds
    ticks   of a round
    """
    at: defaultdict[tuple[str, float], list[int]] = defaultdict(list)
    with closing(Follower(settings, "stages", TOPICS)) as follower:
        for record in follower.to_end():
            where = _place(record, ticks)
            if where is not None and where[1] in stored:
                at[where].append(record.append_ms)
    found: defaultdict[str, list[float]] = defaultdict(list)
    for (stage, number), times in at.items():
        for which, of in SPREAD:
            found[f"{stage}, {which}"].append(of(times) - stored[int(number)] * 1000)
    return {stage: sorted(times) for stage, times in sorted(found.items())}


def _place(record: Record, ticks: int) -> tuple[str, float] | None:
    """The stage, and the round that it closed: a fraction within one."""
    event = record.event
    if isinstance(event, EpochClosed):
        stage = f"{event.source.partition('/')[0]} closes {record.topic}"
        return stage, (event.epoch + 1) / ticks - 1
    if isinstance(event, EpochConcluded):
        return "epoch concluded", (event.epoch + 1) / ticks - 1
    if isinstance(event, AlertRaised):
        return "alert raised", round_ended(event.time)
    return None
