"""Where an alert's milliseconds go: when each stage of the chain had closed the alert's epoch.

All times are the broker's own, of its appends, so that no clock or reader of ours stands between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing

from benchmarks.traffic import epoch_ended
from streamops.core.processor import Record
from streamops.events import AlertRaised, EpochClosed, EpochConcluded
from streamops.kafka.follow import Follower
from streamops.settings import Settings

TOPICS = ("outcomes", "summaries", "metrics", "alerts", "progress")
# Of a stage's closes, one for each partition, the first and the last tell how it spread.
SPREAD = (("first", min), ("last", max))


def stages(settings: Settings, stored: Mapping[int, float]) -> dict[str, list[float]]:
    """Return for each stage the sorted milliseconds from an epoch's closing tick.

    stored  by epoch, when the broker stored its closing tick in the last partition, seconds
    """
    at: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    with closing(Follower(settings, "stages", TOPICS)) as follower:
        for record in follower.to_end():
            where = _place(record)
            if where is not None and where[1] in stored:
                at[where].append(record.append_ms)
    found: defaultdict[str, list[float]] = defaultdict(list)
    for (stage, epoch), times in at.items():
        for which, of in SPREAD:
            found[f"{stage}, {which}"].append(of(times) - stored[epoch] * 1000)
    return {stage: sorted(times) for stage, times in sorted(found.items())}


def _place(record: Record) -> tuple[str, int] | None:
    event = record.event
    if isinstance(event, EpochClosed):
        return f"{event.source.partition('/')[0]} closes {record.topic}", event.epoch
    if isinstance(event, EpochConcluded):
        return "epoch concluded", event.epoch
    if isinstance(event, AlertRaised):
        return "alert raised", epoch_ended(event.time)
    return None
