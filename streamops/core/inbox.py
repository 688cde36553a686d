"""Where records of a raw partition wait until their epoch is complete (EPOCHS, clauses 1-6).

Rule 1: a partition is cut by counting ticks only: higher epoch, time not falling, not ahead of its
        append time (2). All else about time is the processor's.
Rule 2: an epoch's position is its closing tick's: a resumed partition reads it again, and so knows
        the time below which no tick counts, and a jump it stands in the middle of.
Rule 3: what an open epoch has so far may be handed over before it is complete, in log order; only
        the rest waits then.
Rule 4: an epoch that waits for another input may be paused, which bounds how many there are; how
        many records the open one has is up to producers. They lie in a buffer that is the host's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from streamops.core.buffer import Buffer, MemoryBuffer
from streamops.core.processor import Record, Refusal
from streamops.core.rows import events_of, one_behind_the_other, parts_of
from streamops.core.times import micros
from streamops.events import Tick

EPOCHS_AHEAD_MAX = 100_000
CHUNK = 256


class RawInbox:
    """Records of one raw partition, cut into epochs by its ticks.

    skew_max_ms  how far a tick may be ahead of its append time; None in a driven namespace
    chunk        records that are handed to the buffer together, for speed
    """

    def __init__(
        self,
        topic: str,
        *,
        next_epoch: int,
        skew_max_ms: int | None,
        buffer: Buffer | None = None,
        chunk: int = CHUNK,
    ) -> None:
        self.topic = topic
        self.buffer: Buffer = MemoryBuffer() if buffer is None else buffer
        self.position = 0
        self._first = next_epoch == 0
        self._open = next_epoch
        self._skew_max_ms = skew_max_ms
        self._time_us: int | None = None
        self._held: list[Record] = []
        self._chunk = chunk
        self._complete: dict[int, tuple[datetime, int]] = {}

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
            if len(self._held) >= self._chunk:
                self._put(self._open)
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

    def feed_all(self, records: Sequence[Record]) -> None:
        """Take the next records of the partition."""
        first = 0
        kinds = list(map(type, events_of(records)))
        for _ in range(kinds.count(Tick)):
            at = kinds.index(Tick, first)
            self._put_all(records[first:at])
            self.feed(records[at])
            first = at + 1
        self._put_all(records[first:])
        self.position = records[-1].offset + 1

    def ready(self, epoch: int) -> bool:
        """Tell whether the epoch is complete."""
        return epoch in self._complete

    def take(self, epoch: int) -> tuple[Sequence[Record], datetime | None, int]:
        """Hand over an epoch: its records, its closing tick's time and position."""
        time, position = self._complete.pop(epoch)
        return self._read_out(epoch), time, position

    def hand_over(self, epoch: int, least: int) -> Sequence[Record]:
        """Hand over what an open epoch has so far, if that is so many records."""
        if epoch != self._open or self.buffer.count((epoch, "")) + len(self._held) < least:
            return ()
        self._put(epoch)
        return self._read_out(epoch)

    def _read_out(self, epoch: int) -> Sequence[Record]:
        found = self.buffer.read((epoch, ""))
        records = found if isinstance(found, Sequence) else list(found)
        self.buffer.drop((epoch, ""))
        return records

    def _put(self, epoch: int) -> None:
        if self._held:
            self.buffer.extend((epoch, ""), one_behind_the_other(parts_of(self._held)))
            self._held = []

    def _put_all(self, records: Sequence[Record]) -> None:
        if records:
            self._put(self._open)
            self.buffer.extend((self._open, ""), records)

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
            self._held.append(record)
            self._put(epoch)
            self._complete[epoch] = (tick.time, record.offset)
        self._open = tick.epoch
        self._time_us = micros(tick.time)
