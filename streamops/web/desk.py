"""What the routes share: a connection a request, the last look, the namespace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote

from litestar.concurrency import sync_to_thread
from litestar.di import NamedDependency

from streamops.audit.biography import Biography
from streamops.settings import Settings
from streamops.views.buffers import Roll
from streamops.web.lives import Lives
from streamops.web.reads.overview import Overview, overview
from streamops.web.reads.rows import one
from streamops.web.source import Source
from streamops.web.watch import Look, Watch

T = TypeVar("T")
# Whether an id was answered, or was asked for in vain.
KNOWN = """
SELECT EXISTS (FROM predictions WHERE id = ?) OR EXISTS (FROM predictions_failed WHERE id = ?)
"""


class NotThere(Exception):
    """What was asked for is not in the views; the message says what."""


class Desk:
    """Reads for the routes. Every method may be called by any thread."""

    def __init__(self, source: Source, settings: Settings, watch: Watch) -> None:
        self.source, self.settings, self.watch = source, settings, watch
        self.lives = Lives(settings.archive)

    def read(self, ask: Callable[[Any], T | None], what: str = "") -> T:
        """Return what `ask` reads through a connection of its own; NotThere where that is None."""
        con = self.source.cursor()
        try:
            con.begin()
            found = ask(con)
        finally:
            con.close()
        if found is None:
            raise NotThere(f"{what} is not in the views of {self.settings.namespace}")
        return found

    def overview(self) -> Overview:
        """Return the overview with the last known lags."""
        lags = self.watch.last().lags
        return self.read(lambda con: overview(con, self.settings.namespace, lags))

    async def life(self, id_: str) -> Biography:
        """Return what became of a prediction; NotThere where the archive doesn't have it."""
        found = await self.lives.of(id_)
        if found is None:
            raise NotThere(await sync_to_thread(self._why_absent, id_))
        return found

    def _why_absent(self, id_: str) -> str:
        what, archive = f"prediction {id_!r}", str(self.settings.archive)
        if not self.read(lambda con: one(con, KNOWN, [id_, id_])):
            return f"{what} is neither in the archive {archive!r} nor in the views"
        return (
            f"{what} is in the views, but not in the archive {archive!r}: the archiver writes a "
            f"file once no record came for {Roll().idle_s:.0f} s, and after "
            f"{Roll().age_s / 60:.0f} minutes at the latest; try again then"
        )

    def both(self) -> tuple[Overview, Look]:
        """Return the overview and the last look."""
        return self.overview(), self.watch.last()


# How a route asks for the desk.
Own = NamedDependency[Desk]


def part(text: str) -> str:
    """Return a part of a path, decoded; the door leaves them as they were sent."""
    return unquote(text)
