"""Which alerts of an archive a verification is asked for."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from streamops.audit.records import PartitionReader
from streamops.events import AlertRaised


class Asked(NamedTuple):
    """Which alerts are meant: those of some ids, of a span of time, of a model; or all.

    alerts        ids; empty for any
    since, until  event times [since, until); None for no bound
    model         empty for any
    """

    alerts: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    model: str = ""

    @property
    def is_all(self) -> bool:
        """Whether every alert is asked for."""
        return self == Asked()

    def names(self, event: AlertRaised) -> bool:
        """Tell whether an alert is asked for."""
        return (
            (not self.alerts or event.id in self.alerts)
            and (self.since is None or event.time >= self.since)
            and (self.until is None or event.time < self.until)
            and (not self.model or event.model == self.model)
        )

    def recorded(self, archive: Path, partitions: int) -> list[AlertRaised]:
        """Return the alerts that are asked for and stand in the archive."""
        readers = (PartitionReader(archive, "alerts", p) for p in range(partitions))
        events = (record.event for reader in readers for record in reader)
        return [e for e in events if isinstance(e, AlertRaised) and self.names(e)]
