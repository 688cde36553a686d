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

    It holds nothing of its holder: a client in a circle of references would keep its threads and
    its thread-local key, of which a process has 1,024, until the collector comes by.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._passed = dict[Place, int]()
        self._heard = time.monotonic()
        self._is_suspect = False

    def pass_end(self, place: Place, offset: int) -> None:
        """Note that a partition was read to its end: no record tells of markers there."""
        self._passed[place] = offset

    def passed(self, place: Place) -> int:
        """Return the end up to which a partition was read; 0 before the first."""
        return self._passed.get(place, 0)

    def is_dead(self, heard: bool, positions: Callable[[], Mapping[Place, int]]) -> bool:
        """Tell whether the consumer must be given up.

        heard      it just gave something
        positions  return where it reads next, by place: shortly named topic and partition
        """
        now = time.monotonic()
        if heard:
            self._heard, self._is_suspect = now, False
        elif now - self._heard > SILENT_S:
            waits, self._heard = self.waits(positions()), time.monotonic()
            dead, self._is_suspect = waits and self._is_suspect, waits
            return dead
        return False

    def waits(self, positions: Mapping[Place, int]) -> bool:
        """Tell whether records stand beyond what was read."""
        try:
            ends = next_offsets(self._settings, positions, PATIENCE_S)
        except TransportError:
            return False
        return any(end > max(positions[p], self.passed(p)) for p, end in ends.items())
