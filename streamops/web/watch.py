"""Where the owner of the views stands against the broker, looked at by one thread.

Rule 1: a request never waits for the broker: it reads the last look.
Rule 2: alive means progress. Behind and not moving for STALL_S is stalled; a broker that gives no
        answer is not our death, and is said.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal

import msgspec

from streamops.errors import TransportError
from streamops.views.log import Partition
from streamops.web.source import Source

# One question a partition: often enough for a lag, rare enough for the broker.
EVERY_S = 5.0
STALL_S = 60.0

Status = Literal["starting", "current", "behind", "stalled", "no broker"]


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The state at one moment.

    revision   records read in all; it grows whenever there is something new to show
    lags       records not yet read, a partition; none while the broker gives no answer
    moved_s    seconds since the last record was read, or since the start
    """

    status: Status = "starting"
    revision: int = 0
    lags: dict[Partition, int] | None = None
    moved_s: float = 0.0
    reason: str = ""

    @property
    def lag(self) -> int | None:
        """Records not yet read in all partitions, none where that isn't known."""
        return None if self.lags is None else sum(self.lags.values())


class Watch:
    """Looks every EVERY_S seconds until `stop`.

    clock  a monotonic clock's seconds
    """

    def __init__(self, source: Source, clock: Callable[[], float] = time.monotonic) -> None:
        self._source, self._clock = source, clock
        self._moved_at, self._revision = clock(), 0
        self._ends: dict[Partition, int] | None = None
        self._reason, self._looked = "", False

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set."""
        while not stop.is_set():
            self.look()
            stop.wait(EVERY_S)

    def look(self) -> Look:
        """Ask the broker now, and return what is so."""
        try:
            self._ends, self._reason = self._source.ends(), ""
        except TransportError as error:
            self._ends, self._reason = None, str(error)
        self._looked = True
        return self.last()

    def last(self) -> Look:
        """Return what is so by the last look at the broker and the positions now."""
        now, at = self._clock(), self._source.positions()
        revision, ends = sum(at.values()), self._ends
        lags = ends and {place: max(0, end - at.get(place, 0)) for place, end in ends.items()}
        if revision != self._revision:
            self._moved_at, self._revision = now, revision
        moved_s = now - self._moved_at
        return Look(
            status=self._status(lags, moved_s),
            revision=revision,
            lags=lags,
            moved_s=round(moved_s, 3),
            reason=self._reason,
        )

    def _status(self, lags: dict[Partition, int] | None, moved_s: float) -> Status:
        if not self._looked:
            return "starting"
        if lags is None:
            return "no broker"
        if not any(lags.values()):
            return "current"
        return "stalled" if moved_s >= STALL_S else "behind"
