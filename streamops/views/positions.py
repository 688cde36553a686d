"""Where the materializer stands in each partition, and which epoch that is.

Rule 1: a raw partition is cut by the ticks that count, by the rules of `core.inbox`: a higher
        epoch, a time that doesn't fall and isn't ahead of its append time (EPOCHS 2).
Rule 2: a position is stored in the transaction that stores its records; it has no other life.
"""

from __future__ import annotations

from typing import Any

import msgspec

from streamops.core.inbox import EPOCHS_AHEAD_MAX
from streamops.core.times import micros
from streamops.events import Event, Tick
from streamops.views.log import Partition
from streamops.views.tables import epoch_of

CUT = frozenset({"predictions", "labels", "lifecycle"})


class Position(msgspec.Struct):
    """What was read of one partition.

    next        offset of the next record
    open_epoch  epoch that is open at `next`; only a partition cut by ticks has one
    tick_us     time of the last tick that counted, microseconds since 1970
    records     records read; they are events + repeats + unreadable
    """

    next: int = 0
    open_epoch: int = 0
    tick_us: int | None = None
    records: int = 0
    events: int = 0
    repeats: int = 0
    unreadable: int = 0

    def epoch_of(self, topic: str, event: Event) -> int | None:
        """Return the epoch a record at this position belongs to, None where there is none."""
        return self.open_epoch if topic in CUT else epoch_of(event)

    def take(self, topic: str, event: Event, append_ms: int, skew_ms: int | None) -> None:
        """Move the open epoch on if the event is a tick that counts."""
        if topic not in CUT or not isinstance(event, Tick):
            return
        time_us, ahead = micros(event.time), event.epoch - self.open_epoch
        if not 0 <= ahead <= EPOCHS_AHEAD_MAX or (ahead == 0 and self.tick_us is not None):
            return
        if skew_ms is not None and time_us > (append_ms + skew_ms) * 1000:
            return
        if self.tick_us is None or time_us >= self.tick_us:
            self.open_epoch, self.tick_us = event.epoch, time_us


FIELDS = Position.__struct_fields__
CREATE = f"""
CREATE TABLE IF NOT EXISTS positions (
    topic VARCHAR, partition INTEGER, {", ".join(f'"{name}" BIGINT' for name in FIELDS)}
)"""


def load(con: Any) -> dict[Partition, Position]:
    """Return the stored positions."""
    names = ", ".join(f'"{name}"' for name in FIELDS)
    rows = con.execute(f"SELECT topic, partition, {names} FROM positions").fetchall()
    return {(topic, partition): Position(*values) for topic, partition, *values in rows}


def save(con: Any, changed: dict[Partition, Position]) -> None:
    """Store positions, in the caller's transaction."""
    marks = ", ".join("?" * (2 + len(FIELDS)))
    for place, position in changed.items():
        con.execute("DELETE FROM positions WHERE topic = ? AND partition = ?", place)
        values = [*place, *(getattr(position, name) for name in FIELDS)]
        con.execute(f"INSERT INTO positions VALUES ({marks})", values)
