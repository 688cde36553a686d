"""Which offsets of an archive some alerts rest on: where a verification of them begins and ends.

Rule 1: what a stage reads begins where its seal says, raw topics earlier where predictions were
        pending; what no stage reads begins with the first record behind the seal.
Rule 2: a raw partition ends with the tick that closes the last epoch, a derived one with the last
        record that its epochs have; repeats behind that are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from streamops.audit.cut import Place
from streamops.audit.ledger import key_of, ordinal_of
from streamops.audit.namespace import Namespace
from streamops.audit.records import PartitionReader
from streamops.audit.start import Start, Starter
from streamops.core.processor import Record
from streamops.errors import TransportError
from streamops.events import Event, RecordRefused, Sealed, Tick
from streamops.values import Span
from streamops.views.archive import ArchiveLog

RAW = ("predictions", "labels", "lifecycle")
# Refusals last: which of them belong to it depends on the spans of the others.
DERIVED = ("outcomes", "summaries", "metrics", "alerts", "retraining", "deployments", "progress")
REFUSALS = "dlq"


def spans_of(
    archive: Path, namespace: Namespace, start: Start | None, starter: Starter, until: int
) -> Iterator[Span]:
    """Yield a span for each partition that holds anything between a start and an epoch.

    Raises TransportError where the archive lacks any of it.
    """
    log = ArchiveLog(archive)
    found: dict[Place, Span] = {}
    for topic in (*RAW, *DERIVED, REFUSALS):
        for partition in log.partitions(topic):
            place = topic, partition
            first = _first(archive, place, start, starter)
            bounds = _Bounds(until, found, *_begun(start, starter))
            reader = PartitionReader(archive, *place, first)
            for record in reader:
                bounds.take(record)
                if bounds.is_over:
                    break
            known = topic in RAW or (start is not None and place in start.firsts)
            low = first if known or start is None else bounds.first
            if low is not None and bounds.next > low:
                found[place] = Span(*place, low, bounds.next)
                _require_whole(archive, reader, found[place])
    yield from (found[place] for place in sorted(found))


def _first(archive: Path, place: Place, start: Start | None, starter: Starter) -> int:
    """Where a partition is read from."""
    if start is None:
        return ArchiveLog(archive).held(*place).first
    if place in starter.firsts:
        return min(starter.firsts[place], start.firsts.get(place, starter.firsts[place]))
    return start.firsts.get(place, 0)


def _require_whole(archive: Path, reader: PartitionReader, span: Span) -> None:
    """Raise TransportError where a record of a span is missing: a cut would hide that."""
    for hole in reader.holes:
        if hole.meets([span]):
            raise TransportError(f"{archive} lacks what the alerts rest on: {hole}; restore it")


def _begun(start: Start | None, starter: Starter) -> tuple[int, int]:
    """The last epoch that is left out, of records and of seals."""
    if start is None:
        return -1, -1
    return start.epoch, min(starter.epochs, default=start.epoch) - 1


class _Bounds:
    """First and last of one partition's records that belong to a cut.

    is_over  nothing behind can belong to it
    """

    def __init__(self, until: int, others: dict[Place, Span], after: int, seals: int) -> None:
        self.first: int | None = None
        self.next = 0
        self.is_over = False
        self._until, self._after, self._seals = until, after, seals
        self._others = others
        self._seen: set[tuple[object, int]] = set()

    def take(self, record: Record) -> None:
        """Take the next record of the partition."""
        event = record.event
        if record.topic in RAW:
            self._extend(record.offset)
            self.is_over = isinstance(event, Tick) and event.epoch > self._until
        elif isinstance(event, Event) and self._belongs(record.topic, event):
            self._extend(record.offset)

    def _belongs(self, topic: str, event: Event) -> bool:
        key = key_of(topic, event)
        if key is None:
            return isinstance(event, RecordRefused) and self._is_inside(event)
        mine = key, ordinal_of(event)
        after = self._seals if isinstance(event, Sealed) else self._after
        if not after < key.epoch <= self._until or mine in self._seen:
            return False
        self._seen.add(mine)
        return True

    def _is_inside(self, event: RecordRefused) -> bool:
        span = self._others.get((event.topic, event.partition))
        return span is not None and span.first <= event.offset < span.next

    def _extend(self, offset: int) -> None:
        self.first = offset if self.first is None else self.first
        self.next = offset + 1
