"""Many partitions read at one pace: the records of an epoch together, so that buffers stay small.

Rule 1: pace, not meaning. The folds sort what they get by the protocol; a wrong guess here costs
        memory, never a different answer.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import chain

from streamops.core.inbox import EPOCHS_AHEAD_MAX
from streamops.core.processor import Record
from streamops.events import EpochClosed, Tick
from streamops.values import Stamp

# Earlier first within an epoch: what a stage reads, before what it concluded.
RANKS = {"predictions": 0, "labels": 0, "lifecycle": 0, "summaries": 1, "outcomes": 1, "metrics": 2}
LAST = 3
RUN_MAX = 1000


class _Source:
    """One partition with its next record, and the epoch that one belongs to."""

    def __init__(self, topic: str, records: Iterator[Record]) -> None:
        self.rank = RANKS.get(topic, LAST)
        self.epoch = -1
        self._records = records
        self._open = -1

    def advance(self) -> bool:
        """Look at the next record; False at the end."""
        record = next(self._records, None)
        if record is None:
            return False
        self.record = record
        if self.rank:
            self.epoch = _stamped_epoch(record, self.epoch)
        else:
            self.epoch = self._open
            event = record.event
            if isinstance(event, Tick) and 0 < event.epoch - self._open <= EPOCHS_AHEAD_MAX:
                self._open = event.epoch
        return True


def by_epoch(partitions: Iterable[tuple[str, Iterator[Record]]]) -> Iterator[Record]:
    """Yield the records of all partitions (topic, records), the lowest epoch first."""
    return chain.from_iterable(runs_by_epoch(partitions))


def runs_by_epoch(
    partitions: Iterable[tuple[str, Iterator[Record]]],
) -> Iterator[list[Record]]:
    """Yield the same in runs of one partition, of at most RUN_MAX records."""
    heap: list[tuple[int, int, int, _Source]] = []
    for number, (topic, records) in enumerate(partitions):
        source = _Source(topic, records)
        if source.advance():
            heap.append((source.epoch, source.rank, number, source))
    heapq.heapify(heap)
    while heap:
        _, rank, number, source = heapq.heappop(heap)
        limit = heap[0][:2] if heap else None
        run: list[Record] = []
        while True:
            run.append(source.record)
            if not source.advance():
                break
            if limit is not None and (source.epoch, rank) > limit:
                heapq.heappush(heap, (source.epoch, rank, number, source))
                break
            if len(run) >= RUN_MAX:
                yield run
                run = []
        yield run


def _stamped_epoch(record: Record, before: int) -> int:
    event = record.event
    if isinstance(event, EpochClosed):
        return event.epoch
    stamp: Stamp | None = getattr(event, "stamp", None)
    return before if stamp is None else stamp.epoch
