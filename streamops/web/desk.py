"""What the routes share: a connection a request, the last look, the namespace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote

from litestar.di import NamedDependency

from streamops.settings import Settings
from streamops.web.reads.overview import Overview, overview
from streamops.web.source import Source
from streamops.web.watch import Look, Watch

T = TypeVar("T")


class NotThere(Exception):
    """What was asked for is not in the views; the message says what."""


class Desk:
    """Reads for the routes. Every method may be called by any thread."""

    def __init__(self, source: Source, settings: Settings, watch: Watch) -> None:
        self.source, self.settings, self.watch = source, settings, watch

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

    def both(self) -> tuple[Overview, Look]:
        """Return the overview and the last look."""
        return self.overview(), self.watch.last()


# How a route asks for the desk.
Own = NamedDependency[Desk]


def part(text: str) -> str:
    """Return a part of a path, decoded; the door leaves them as they were sent."""
    return unquote(text)
