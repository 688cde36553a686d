"""What became of one prediction, read from the archive beside the views: a page's slow read.

Rule 1: it may take seconds where the archive has no index, so it waits in a line of its own: it
        takes no thread that other pages are read by, and blocks no event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from streamops.audit.biography import Biography, biography
from streamops.errors import ConfigError

AT_ONCE = 2


class Lives:
    """Looks predictions up, a few at once."""

    def __init__(self, archive: Path, read: Callable[[Path, str], Biography] = biography) -> None:
        self.archive, self._look_up = archive, read
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="life")

    async def of(self, id_: str) -> Biography | None:
        """Return a prediction's life, None where the archive, or it in there, isn't.

        Raises TransportError where the archive lacks a file.
        """
        return await asyncio.wrap_future(self._threads.submit(self._read, id_))

    def close(self) -> None:
        """Begin no other read; those that have begun end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _read(self, id_: str) -> Biography | None:
        try:
            return self._look_up(self.archive, id_)
        except ConfigError:
            return None
