"""What the page needs of the process that owns the views; the materializer is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from streamops.views.log import Partition


class Source(Protocol):
    """The views, and where their owner stands. Every method may be called by any thread."""

    def cursor(self) -> Any:
        """Return a DuckDB connection of the caller's own, who closes it."""
        ...

    def snapshot(self) -> Path:
        """Return a copy of the file as it stands."""
        ...

    def positions(self) -> dict[Partition, int]:
        """Return the next offset of each partition."""
        ...

    def ends(self) -> dict[Partition, int]:
        """Return each partition's end in Kafka at this moment; TransportError without an answer."""
        ...
