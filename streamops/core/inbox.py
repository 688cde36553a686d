"""Where records wait until their epoch is complete (EPOCHS, clauses 1-11).

Rule 1: a raw partition is cut by counting ticks only: higher epoch, time not falling, not ahead of
        its append time (2). All else about time is the processor's.
Rule 2: a derived partition's epoch is complete when, for every source, one close's count and hash
        match the set of stamps held (9, 10). Repeats and earlier epochs vanish here.
Rule 3: what waits for another input may be paused; what misses a source may not, since what
        completes it comes after it in the same partition. `ahead` counts the first kind only (6).
Rule 4: an epoch's position is its closing tick's: a resumed partition reads it again, and so knows
        the time below which no tick counts, and a jump it stands in the middle of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime

from streamops import codec
from streamops.core.processor import Record, Refusal
from streamops.core.times import micros
from streamops.events import ConfigActivated, EpochClosed, Event, Tick, VersionActivated
from streamops.values import Stamp

EPOCHS_AHEAD_MAX = 100_000


def close_hash(conclusions: Iterable[bytes]) -> str:
    """Return the SHA-256 (hex) over conclusions in ordinal order, a newline after each."""
    digest = hashlib.sha256()
    for conclusion in conclusions:
        digest.update(conclusion)
        digest.update(b"\n")
    return digest.hexdigest()


class RawInbox:
    """Records of one raw partition, cut into epochs by its ticks.

    skew_max_ms  how far a tick may be ahead of its append time; None in a driven namespace
    """

    def __init__(self, topic: str, *, next_epoch: int, skew_max_ms: int | None) -> None:
        self.topic = topic
        self.position = 0
        self._first = next_epoch == 0
        self._open = next_epoch
        self._skew_max_ms = skew_max_ms
        self._time_us: int | None = None
        self._held: list[Record] = []
        self._complete: dict[int, tuple[list[Record], datetime, int]] = {}

    @property
    def ahead(self) -> int:
        """Complete epochs that wait for other inputs."""
        return len(self._complete)

    @property
    def held(self) -> int:
        """Epochs behind the open one of which records are held."""
        return len(self._complete)

    def feed(self, record: Record) -> None:
        """Take the next record of the partition."""
        self.position = record.offset + 1
        event = record.event
        if not isinstance(event, Tick):
            self._held.append(record)
            return
        why = self._refused(event, record.append_ms)
        if why is not None:
            self._held.append(record._replace(event=Refusal(why)))
        elif event.epoch > self._open:
            self._close(record, event)
        elif event.epoch == self._open and self._time_us is None:
            if self._first:
                self._held.append(record)
            self._time_us = micros(event.time)

    def ready(self, epoch: int) -> bool:
        """Tell whether the epoch is complete."""
        return epoch in self._complete

    def take(self, epoch: int) -> tuple[list[Record], datetime | None, int]:
        """Hand over an epoch: its records, its closing tick's time and position."""
        return self._complete.pop(epoch)

    def _refused(self, tick: Tick, append_ms: int) -> str | None:
        if tick.epoch - self._open > EPOCHS_AHEAD_MAX:
            return (
                f"tick's epoch is {tick.epoch}, at most {self._open + EPOCHS_AHEAD_MAX} counts; "
                "only the broadcaster may write ticks"
            )
        if tick.epoch < self._open:
            return None
        time_us = micros(tick.time)
        if self._skew_max_ms is not None and time_us > (append_ms + self._skew_max_ms) * 1000:
            return (
                f"tick's time is {tick.time.isoformat()}, more than {self._skew_max_ms} ms ahead "
                "of its append time; only the broadcaster may write ticks"
            )
        if self._time_us is not None and time_us < self._time_us:
            return (
                f"tick's time is {tick.time.isoformat()}, before the last tick's; only the "
                "broadcaster may write ticks"
            )
        return None

    def _close(self, record: Record, tick: Tick) -> None:
        for epoch in range(self._open, tick.epoch):
            held = [*self._held, record]
            self._complete[epoch] = (held, tick.time, record.offset)
            self._held = []
        self._open = tick.epoch
        self._time_us = micros(tick.time)


class DerivedInbox:
    """Records of one derived partition: per epoch and source a set of stamps, until they close.

    strays       records that no source of this partition stamped: reports from outside, junk
    quarantined  closes that didn't match what their source sent
    """

    def __init__(self, topic: str, *, next_epoch: int, sources: frozenset[str]) -> None:
        self.topic = topic
        self.position = 0
        self.quarantined = 0
        self._next = next_epoch
        self._sources = sources
        self._held: dict[int, dict[str, dict[int, Record]]] = {}
        self._closes: dict[tuple[int, str], list[EpochClosed]] = {}
        self._matched: dict[int, set[str]] = {}
        self._complete: set[int] = set()
        self._lowest: dict[int, int] = {}
        self.strays = 0

    @property
    def ahead(self) -> int:
        """Complete epochs that wait for other inputs; none while the next one misses a source."""
        return len(self._complete) if self.ready(self._next) else 0

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

    def ready(self, epoch: int) -> bool:
        """Tell whether every source closed the epoch."""
        return epoch in self._complete

    def take(self, epoch: int) -> tuple[list[Record], datetime | None, int]:
        """Hand over an epoch's records sorted by the total key; the position covers later ones."""
        held = self._held.pop(epoch, {})
        self._matched.pop(epoch)
        self._complete.discard(epoch)
        self._lowest.pop(epoch, None)
        self._next = epoch + 1
        for source in self._sources:
            self._closes.pop((epoch, source), None)
        records = [record for of_source in held.values() for record in of_source.values()]
        records.sort(key=total_key)
        return records, None, min(self._lowest.values(), default=self.position)

    def stalled(self, epoch: int) -> list[str]:
        """Return the sources that have not closed the epoch."""
        return sorted(self._sources - self._matched.get(epoch, set()))

    def _hold(self, record: Record, event: Event | Refusal, source: str, epoch: int) -> None:
        self._lowest.setdefault(epoch, record.offset)
        if source in self._matched.get(epoch, ()):
            if isinstance(event, EpochClosed):
                self._quarantine(epoch, source, event)
            return
        held = self._held.setdefault(epoch, {}).setdefault(source, {})
        closes = self._closes.setdefault((epoch, source), [])
        if isinstance(event, EpochClosed):
            closes.append(event)
        else:
            stamp: Stamp = event.stamp  # type: ignore[union-attr]
            held.setdefault(stamp.ordinal, record)
        right = next((close for close in closes if self._matches(close, held)), None)
        if right is not None:
            matched = self._matched.setdefault(epoch, set())
            matched.add(source)
            if len(matched) == len(self._sources):
                self._complete.add(epoch)
            wrong = [c for c in closes if (c.count, c.hash) != (right.count, right.hash)]
            self._closes[(epoch, source)] = [right]
            self.quarantined += len(wrong)

    def _matches(self, close: EpochClosed, held: dict[int, Record]) -> bool:
        if close.count != len(held):
            return False
        ordered = [held[n].event for n in sorted(held)]
        return (
            close_hash(codec.conclusion(e) for e in ordered if isinstance(e, Event)) == close.hash
        )

    def _quarantine(self, epoch: int, source: str, close: EpochClosed) -> None:
        accepted = self._closes[(epoch, source)]
        self.quarantined += all((c.count, c.hash) != (close.count, close.hash) for c in accepted)


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
