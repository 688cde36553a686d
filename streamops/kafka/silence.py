"""Consumers that fall silent for good, and how one tells.

librdkafka may stop fetching, without an error, after its only broker woke from a pause (its issues
5178 and 5301). Silence alone tells nothing: a topic may have nothing to say. Waiting records do.

Rule 1: a consumer that heard nothing for SILENT_S though records wait beyond where it stands, at
        two looks, is dead; its holder makes another where it stood, or ends the process.
Rule 2: what waits is asked over another client. A broker that gives no answer is away, not silent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from streamops.errors import TransportError
from streamops.kafka.offsets import Place, next_offsets
from streamops.settings import Settings

SILENT_S = 10.0
PATIENCE_S = 2.0


class Silence:
    """What one consumer heard last.

    positions  return where the consumer reads next, by place: shortly named topic and partition
    """

    def __init__(self, settings: Settings, positions: Callable[[], Mapping[Place, int]]) -> None:
        self._settings, self._positions = settings, positions
        self._passed = dict[Place, int]()
        self._heard = time.monotonic()
        self._is_suspect = False

    def pass_end(self, place: Place, offset: int) -> None:
        """Note that a partition was read to its end: no record tells of markers there."""
        self._passed[place] = offset

    def passed(self, place: Place) -> int:
        """Return the end up to which a partition was read; 0 before the first."""
        return self._passed.get(place, 0)

    def is_dead(self, heard: bool) -> bool:
        """Tell whether the consumer must be given up; `heard` where it just gave something."""
        now = time.monotonic()
        if heard:
            self._heard, self._is_suspect = now, False
        elif now - self._heard > SILENT_S:
            waits, self._heard = self._waits(), time.monotonic()
            dead, self._is_suspect = waits and self._is_suspect, waits
            return dead
        return False

    def _waits(self) -> bool:
        positions = self._positions()
        try:
            ends = next_offsets(self._settings, positions, PATIENCE_S)
        except TransportError:
            return False
        return any(end > max(positions[p], self.passed(p)) for p, end in ends.items())
