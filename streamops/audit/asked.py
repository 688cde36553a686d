"""Which alerts of an archive a verification is asked for."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from streamops.audit.records import PartitionReader
from streamops.events import AlertRaised


class Asked(NamedTuple):
    """Which alerts are to be verified: the one of an id, those from a time on, or all."""

    alert: str = ""
    since: datetime | None = None

    @property
    def is_all(self) -> bool:
        """Whether every alert is asked for."""
        return not self.alert and self.since is None

    def names(self, event: AlertRaised) -> bool:
        """Tell whether an alert is asked for."""
        if self.alert:
            return event.id == self.alert
        return self.since is None or event.time >= self.since

    def recorded(self, archive: Path, partitions: int) -> list[AlertRaised]:
        """Return the alerts that are asked for and stand in the archive."""
        readers = (PartitionReader(archive, "alerts", p) for p in range(partitions))
        events = (record.event for reader in readers for record in reader)
        return [e for e in events if isinstance(e, AlertRaised) and self.names(e)]
