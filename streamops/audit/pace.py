"""Many partitions read at one pace: the records of an epoch together, so that buffers stay small.

Rule 1: pace, not meaning. The folds sort what they get by the protocol; a wrong guess here costs
        memory, never a different answer.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TypeVar

from streamops.core.inbox import EPOCHS_AHEAD_MAX
from streamops.core.processor import Record
from streamops.core.rows import Rows, events_of
from streamops.events import EpochClosed, Tick
from streamops.values import Stamp

# Earlier first within an epoch: what a stage reads, before what it concluded.
RANKS = {"predictions": 0, "labels": 0, "lifecycle": 0, "summaries": 1, "outcomes": 1, "metrics": 2}
LAST = 3

T = TypeVar("T")
Paced = tuple[int, Iterator[tuple[int, T]]]


def by_epoch(partitions: Iterable[tuple[str, Iterator[Record]]]) -> Iterator[Record]:
    """Yield the records of all partitions (topic, records), the lowest epoch first."""
    return merged((rank_of(topic), _marked(topic, records)) for topic, records in partitions)


def runs_by_epoch(partitions: Iterable[tuple[str, Iterator[Rows]]]) -> Iterator[Rows]:
    """Yield the same in runs of one partition and epoch, of at most as many as are read at once."""
    return merged((rank_of(topic), epochs_of(topic, batches)) for topic, batches in partitions)


def rank_of(topic: str) -> int:
    """Return which topics come first within an epoch."""
    return RANKS.get(topic, LAST)


def merged(sources: Iterable[Paced[T]]) -> Iterator[T]:
    """Yield what all sources bring, the lowest (epoch, rank) first.

    sources  rank, and things with the epoch that each belongs to
    """
    heap: list[tuple[int, int, int, T, Iterator[tuple[int, T]]]] = []
    for number, (rank, things) in enumerate(sources):
        for epoch, thing in things:
            heap.append((epoch, rank, number, thing, things))
            break
    heapq.heapify(heap)
    while heap:
        _, rank, number, thing, things = heapq.heappop(heap)
        limit = heap[0][:2] if heap else None
        yield thing
        for epoch, following in things:
            if limit is not None and (epoch, rank) > limit:
                heapq.heappush(heap, (epoch, rank, number, following, things))
                break
            yield following


def epochs_of(topic: str, batches: Iterable[Rows]) -> Iterator[tuple[int, Rows]]:
    """Yield a partition's rows cut where the epoch changes, each part with its epoch."""
    epoch = -1
    for rows in batches:
        events = events_of(rows)
        if rank_of(topic):
            ends = {_stamped_epoch(events[0], -1), _stamped_epoch(events[-1], -1)}
            if len(ends) == 1 and -1 not in ends:
                # What stands between is of the same epoch, or a repeat (Rule 1).
                (epoch,) = ends
                yield epoch, rows
                continue
            epochs = list[int]()
            for event in events:
                epoch = _stamped_epoch(event, epoch)
                epochs.append(epoch)
            yield from _cut(rows, epochs)
            continue
        first, kinds = 0, list(map(type, events))
        for _ in range(kinds.count(Tick)):
            at = kinds.index(Tick, first) + 1
            yield epoch, rows[first:at]
            epoch, first = _opened(events[at - 1], epoch), at
        if first < len(rows):
            yield epoch, rows[first:] if first else rows


def _cut(rows: Rows, epochs: Sequence[int]) -> Iterator[tuple[int, Rows]]:
    if epochs[0] == epochs[-1] and len(set(epochs)) == 1:
        yield epochs[0], rows
        return
    for epoch, some in groupby(enumerate(epochs), itemgetter(1)):
        first, *others = (at for at, _ in some)
        yield epoch, rows[first : first + 1 + len(others)]


def _marked(topic: str, records: Iterator[Record]) -> Iterator[tuple[int, Record]]:
    """Yield a partition's records, each with the epoch it belongs to."""
    epoch, is_raw = -1, not rank_of(topic)
    for record in records:
        if not is_raw:
            epoch = _stamped_epoch(record.event, epoch)
        yield epoch, record
        if is_raw:
            epoch = _opened(record.event, epoch)


def _opened(event: object, before: int) -> int:
    """The epoch that is open behind a raw record."""
    is_next = isinstance(event, Tick) and 0 < event.epoch - before <= EPOCHS_AHEAD_MAX
    return event.epoch if is_next and isinstance(event, Tick) else before


def _stamped_epoch(event: object, before: int) -> int:
    if isinstance(event, EpochClosed):
        return event.epoch
    stamp: Stamp | None = getattr(event, "stamp", None)
    return before if stamp is None else stamp.epoch
