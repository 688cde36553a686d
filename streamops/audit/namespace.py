"""What a replay must know of a namespace: its partitions, and whether times were checked.

Rule 1: facts first. `namespace.json` beside the raw files, then the TopologyActivated record; the
        partitions that were ticked are the last resort.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import msgspec

from streamops.audit.records import PartitionReader
from streamops.errors import ConfigError, TransportError
from streamops.events import TopologyActivated
from streamops.settings import Settings
from streamops.views.archive import NAMESPACE_FILE, ArchiveLog

LOOK = 2000
RAW = ("lifecycle", "predictions", "labels", "progress")


class Namespace(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of a namespace.

    partitions   of every topic that scales
    driven       its driver was the only ticker, and no time was checked against the append time
    skew_max_ms  how far a time could be ahead of its append time; not used when driven
    seal_every   states are sealed at the end of every so many epochs; 0: never
    """

    partitions: int
    driven: bool = False
    skew_max_ms: int = Settings(bootstrap="").skew_max_ms
    seal_every: int = 0

    @property
    def skew_ms(self) -> int | None:
        """The skew check's bound, None where there was none (EPOCHS 3)."""
        return None if self.driven else self.skew_max_ms


def namespace_of(archive: Path) -> Namespace:
    """Return the facts of the archive's namespace; ConfigError where there is no archive."""
    log = ArchiveLog(archive)
    held = [p for topic in RAW for p in log.partitions(topic)]
    if not held:
        raise ConfigError(
            f"archive is {str(archive)!r}, which has no raw/topic=predictions; give the folder "
            "that `streamops run archiver` writes"
        )
    found = _written(archive / NAMESPACE_FILE) or _recorded(archive)
    return found or Namespace(partitions=max(held) + 1)


def _written(path: Path) -> Namespace | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Namespace)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise TransportError(f"{path} can't be read ({error}); restore or delete it") from error


def _recorded(archive: Path) -> Namespace | None:
    for topic in RAW:
        for record in islice(iter(PartitionReader(archive, topic, 0)), LOOK):
            event = record.event
            if isinstance(event, TopologyActivated):
                return Namespace(
                    partitions=event.partitions,
                    driven=event.driven,
                    seal_every=event.seal_every,
                )
    return None
