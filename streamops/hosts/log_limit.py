"""Keeps a client's log readable: an outage of 20 s gave 1,900 lines from aiokafka (measured)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable


class LogLimit(logging.Filter):
    """Lets a message of one template through once in `every_s` seconds, and counts the others.

    clock  seconds that never fall; a test gives its own
    """

    def __init__(self, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.every_s, self.clock = every_s, clock
        self._last: dict[tuple[str, str], float] = {}
        self._held_back: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is written."""
        key, now = (record.name, str(record.msg)), self.clock()
        last = self._last.get(key)
        if last is not None and now - last < self.every_s:
            self._held_back[key] = self._held_back.get(key, 0) + 1
            return False
        self._last[key] = now
        held_back = self._held_back.pop(key, 0)
        if held_back:
            record.msg = f"{record.getMessage()} ({held_back} more like it since)"
            record.args = ()
        return True


def limit_logs(prefixes: Iterable[str], limit: LogLimit, level: int = logging.WARNING) -> None:
    """Put the limit on every known logger below the prefixes; below `level` they are silent.

    A logger's filter does not hold for its children, so each gets it.
    """
    starts = tuple(prefixes)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(starts):
            logger = logging.getLogger(name)
            logger.addFilter(limit)
            logger.setLevel(max(level, logger.level))
