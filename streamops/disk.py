"""Free space of a folder against its floor: who fills a disk stops before it is full.

A full disk ends Kafka, and then everything. So below the floor nothing is taken: the SDK and the
gateway refuse, ticks wait, folds, views and archive pause; above it all go on (decision 020).

Rule 1: everyone looks for himself, at most once a second; nobody must be told.
Rule 2: the embedded broker's floor stands in a file beside its log, which clients on the machine
        find too, and which is read again when it changes.
Rule 3: what can't be looked at is not low.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from streamops.errors import TransportError
from streamops.metrics import Sample
from streamops.settings import Settings

LOG = logging.getLogger(__name__)
FLOOR_NAME = "disk.json"
EVERY_S = 1.0


class Floor(msgspec.Struct, frozen=True):
    """Least free space of a folder's disk, MiB."""

    folder: str
    floor_mb: int


class Disk:
    """One folder's disk, looked at at most once a second; any thread may ask.

    floor  what holds unless the file says otherwise
    file   where a floor stands that may change; none for a fixed one
    """

    def __init__(self, floor: Floor, file: Path | None = None) -> None:
        self.floor, self._file = floor, file
        self.free_mb: int | None = None
        self._looked = -EVERY_S
        self._is_low = False

    def is_low(self) -> bool:
        """Whether less is free than the floor asks for."""
        now = time.monotonic()
        if now - self._looked >= EVERY_S:
            self._looked = now
            self._look()
        return self._is_low

    def check(self) -> None:
        """Raise TransportError where less is free than the floor asks for."""
        if self.is_low():
            raise TransportError(self.reason())

    def reason(self) -> str:
        """Folder, free space, floor, and the way out."""
        return (
            f"{self.floor.folder} has {self.free_mb} MiB free, below the floor of "
            f"{self.floor.floor_mb} MiB (disk_floor_mb): nothing is taken until there is room; "
            "free some space on that disk, or start with a lower --disk-floor-mb"
        )

    def samples(self) -> Iterator[Sample]:
        """Yield free space and floor, bytes."""
        self.is_low()
        if self.free_mb is not None:
            yield Sample("streamops_disk_free_bytes", (), float(self.free_mb << 20))
            yield Sample("streamops_disk_floor_bytes", (), float(self.floor.floor_mb << 20))

    def _look(self) -> None:
        if self._file is not None:
            self.floor = read_floor(self._file) or self.floor
        try:
            self.free_mb = shutil.disk_usage(self.floor.folder).free >> 20
        except OSError:
            self.free_mb = None
        was = self._is_low
        self._is_low = self.free_mb is not None and self.free_mb < self.floor.floor_mb
        if self._is_low and not was:
            LOG.warning("paused: %s", self.reason())
        if was and not self._is_low:
            LOG.warning("%s has %s MiB free: going on", self.floor.folder, self.free_mb)


def read_floor(file: Path) -> Floor | None:
    """The floor in a file; None where there is none that can be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Floor)
    except (OSError, msgspec.DecodeError):
        return None


def write_floor(file: Path, floor: Floor) -> None:
    """Write a floor for everyone on the machine to read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(floor))
    fresh.replace(file)


def floor_file(data: Path) -> Path:
    """Where the floor of a data folder's own broker stands."""
    return data / "broker" / FLOOR_NAME


def broker_disk(settings: Settings) -> Disk | None:
    """The disk of the data folder's own broker; None where it has none."""
    file = floor_file(settings.data)
    floor = read_floor(file)
    return None if floor is None else Disk(floor, file)


def disk_of(settings: Settings) -> Disk:
    """The broker's disk where the data folder has one, else the data folder's own."""
    own = Disk(Floor(str(settings.data), settings.disk_floor_mb))
    return broker_disk(settings) or own
