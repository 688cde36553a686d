"""Where records of a derived partition wait until every source closed their epoch (EPOCHS 9-11).

Rule 1: an epoch is complete when, for every source, one close's count and hash match the set of
        stamps held. Repeats and earlier epochs vanish here.
Rule 2: what waits for another input may be paused; what misses a source may not, since what
        completes it comes after it in the same partition. `ahead` counts the first kind only (6).
Rule 3: so a source that stands still is not bounded by a pause. Records lie in a buffer that is the
        host's; here stay some bytes for each open epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from streamops import codec
from streamops.core.buffer import Buffer, Group, MemoryBuffer
from streamops.core.in_turn import InTurn
from streamops.core.processor import Record, Refusal
from streamops.core.rows import events_of
from streamops.core.times import micros
from streamops.events import ConfigActivated, EpochClosed, Event, VersionActivated
from streamops.values import Stamp

# What `total_key` comes to among records of one kind.
_ONE_KIND = attrgetter("event.time", "event.id", "event.stamp.source", "event.stamp.ordinal")


def close_hash(conclusions: Iterable[bytes]) -> str:
    """Return the SHA-256 (hex) over conclusions in ordinal order, a newline after each."""
    return hashlib.sha256(b"\n".join((*conclusions, b""))).hexdigest()


class DerivedInbox:
    """Records of one derived partition: per epoch and source a set of stamps, until they close.

    strays       records that no source of this partition stamped: reports from outside, junk
    quarantined  closes that didn't match what their source sent
    disputed     their records, until who feeds the inbox has them recorded (10)
    """

    def __init__(
        self,
        topic: str,
        *,
        next_epoch: int,
        sources: frozenset[str],
        buffer: Buffer | None = None,
    ) -> None:
        self.topic = topic
        self.buffer: Buffer = MemoryBuffer() if buffer is None else buffer
        self.position = 0
        self.quarantined = 0
        self.disputed: list[Record] = []
        self._next = next_epoch
        self._sources = sources
        # A bit each: an open epoch costs the same few bytes however many sources there are.
        self._bits = {source: 1 << n for n, source in enumerate(sorted(sources))}
        self._all = (1 << len(sources)) - 1
        self._matched: dict[int, int] = {}
        # Of what hasn't matched yet.
        self._closes: dict[Group, list[Record]] = {}
        self._in_turn: dict[Group, InTurn] = {}
        self._complete: set[int] = set()
        self._lowest: dict[int, int] = {}
        self.strays = 0

    @property
    def ahead(self) -> int:
        """Complete epochs that wait for other inputs; none while the next one misses a source."""
        return len(self._complete) if self.ready(self._next) else 0

    @property
    def awaited(self) -> int:
        """The epoch that is to be handed over next."""
        return self._next

    @property
    def held(self) -> int:
        """Epochs of which at least one record is held."""
        return len(self._lowest)

    def feed(self, record: Record) -> None:
        """Take the next record; repeats and earlier epochs are dropped, strangers are strays."""
        self.position = record.offset + 1
        event = record.event
        if isinstance(event, EpochClosed):
            source, epoch = event.source, event.epoch
        else:
            stamp: Stamp | None = getattr(event, "stamp", None)
            if stamp is None:
                self.strays += 1
                return
            source, epoch = stamp.source, stamp.epoch
        if source not in self._sources:
            self.strays += 1
        elif epoch >= self._next:
            self._hold(record, event, source, epoch)

    def feed_together(self, group: Group, records: Sequence[Record]) -> bool:
        """Take records that one source stamped in one epoch, none of them a close, as `feed` does.

        False where one of them may be a repeat or complete the epoch: then none was taken.
        """
        epoch, source = group
        if source not in self._sources or epoch < self._next or self._closes.get(group):
            return False
        if self._matched.get(epoch, 0) & self._bits[source]:
            return False
        events = events_of(records)
        ordinals = [event.stamp.ordinal for event in events]  # type: ignore[union-attr]
        if not self.buffer.add_all(group, ordinals, records):
            return False
        self._lowest.setdefault(epoch, records[0].offset)
        self.position = records[-1].offset + 1
        self._in_turn.setdefault(group, InTurn()).add(ordinals, events)
        return True

    def ready(self, epoch: int) -> bool:
        """Tell whether every source closed the epoch."""
        return epoch in self._complete

    def take(self, epoch: int) -> tuple[Sequence[Record], datetime | None, int]:
        """Hand over an epoch's records sorted by the total key; the position covers later ones."""
        self._matched.pop(epoch)
        self._complete.discard(epoch)
        self._lowest.pop(epoch, None)
        self._next = epoch + 1
        records: list[Record] = []
        for source in self._sources:
            records.extend(self.buffer.read((epoch, source)))
            self.buffer.drop((epoch, source))
        return in_total_order(records), None, min(self._lowest.values(), default=self.position)

    def stalled(self, epoch: int) -> list[str]:
        """Return the sources that have not closed the epoch."""
        matched = self._matched.get(epoch, 0)
        return [source for source, bit in self._bits.items() if not matched & bit]

    def _hold(self, record: Record, event: Event | Refusal, source: str, epoch: int) -> None:
        self._lowest.setdefault(epoch, record.offset)
        matched, bit = self._matched.get(epoch, 0), self._bits[source]
        if matched & bit:
            if isinstance(event, EpochClosed) and not self._matches(event):
                self._quarantine([record])
            return
        closes = self._closes.setdefault((epoch, source), [])
        if isinstance(event, EpochClosed):
            closes.append(record)
        else:
            stamp: Stamp = event.stamp  # type: ignore[union-attr]
            self.buffer.add((epoch, source), stamp.ordinal, record)
        right = next(filter(self._matches, map(_close, closes)), None)
        if right is not None:
            del self._closes[(epoch, source)]
            self._in_turn.pop((epoch, source), None)
            said = right.count, right.hash
            wrong = [r for r in closes if (_close(r).count, _close(r).hash) != said]
            self._quarantine(wrong)
            self._matched[epoch] = matched | bit
            if self._matched[epoch] == self._all:
                self._complete.add(epoch)

    def _quarantine(self, wrong: list[Record]) -> None:
        self.quarantined += len(wrong)
        self.disputed += wrong

    def _matches(self, close: EpochClosed) -> bool:
        group = close.epoch, close.source
        if close.count != self.buffer.count(group):
            return False
        known = self._in_turn.get(group)
        if known is not None and known.count == close.count:
            return known.hash == close.hash
        events = (record.event for record in self.buffer.read(group))
        return close_hash(codec.conclusion(e) for e in events if isinstance(e, Event)) == close.hash


def in_total_order(records: Sequence[Record]) -> list[Record]:
    """Return records by `total_key`."""
    return sorted(records, key=_ONE_KIND if len(set(map(_kind, records))) == 1 else total_key)


def runs_of(records: Sequence[Record]) -> Iterator[tuple[Group | None, Sequence[Record]]]:
    """Yield records that follow each other with epoch and source; None for other than outputs."""
    first = 0
    for group, same in groupby(map(_group_of, events_of(records))):
        last = first + len(list(same))
        yield group, records[first:last]
        first = last


def _group_of(event: Event | Refusal) -> Group | None:
    stamp: Stamp | None = getattr(event, "stamp", None)
    return None if stamp is None else (stamp.epoch, stamp.source)


def _kind(record: Record) -> type:
    return type(record.event)


def _close(record: Record) -> EpochClosed:
    assert isinstance(record.event, EpochClosed), "only closes are kept here"
    return record.event


def total_key(record: Record) -> tuple[bool, int, str, str, str, int]:
    """Order derived records: activations first, then time, id, kind, source, ordinal."""
    event = record.event
    assert isinstance(event, Event), "a refused record has no stamp and never gets here"
    stamp: Stamp = event.stamp if hasattr(event, "stamp") else None  # type: ignore[assignment]
    later = not isinstance(event, (ConfigActivated, VersionActivated))
    return later, micros(event.time), event.id, type(event).__name__, stamp.source, stamp.ordinal


def sources_of(topic: str, names: tuple[str, ...], q: int, partitions: int) -> frozenset[str]:
    """Return the sources that close partition `q` of a derived topic (clause 5)."""
    if topic in ("outcomes", "summaries"):
        return frozenset(f"{name}/{p}" for name in names for p in range(partitions))
    return frozenset(f"{name}/{q}" for name in names)
