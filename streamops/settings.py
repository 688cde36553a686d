"""A process's own settings: addresses, names and paths. All else is a fact on the log."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

DEFAULT_NAMESPACE = "streamops"


def keys_beside(data: Path) -> Path:
    """Return where the key store of a data folder lies."""
    return data.with_name(f"{data.name}.keys")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where a process finds its broker and keeps its files.

    bootstrap   Kafka's address, host:port[,host:port]
    namespace   prefix of topics, groups, client ids and state folders
    data        folder of this namespace: state, views, archive, artifacts, logs
    kafka       further client settings (security), as confluent-kafka names them
    partitions  partitions of every topic that scales; fixed for a namespace
    driven      a driver (simulate, backfill) is the only ticker; times may be any year's
    interval_s  seconds between live ticks
    skew_max_ms how far a record's time may be ahead of its append time; not used when driven
    held_mb     memory for records of epochs not folded yet, MiB a worker; the rest is on disk
    seal_every  state is sealed at the end of every so many epochs, 0: never; fixed for a namespace
    control     host of MONITOR and CONTROLLER: faust, or kafka like the data plane
    disk_floor_mb  free space below which nothing is taken and writers pause, MiB; 0: never
    meter_workers  processes of METER that a stack runs; at most one a partition
    personal    features about persons: the gateway encrypts them in what it logs
    personal_ids  features whose values stand for persons: it replaces them by pseudonyms
    """

    bootstrap: str
    namespace: str = DEFAULT_NAMESPACE
    data: Path = Path(".streamops")
    kafka: dict[str, str] = {}
    partitions: int = 4
    driven: bool = False
    interval_s: float = 1.0
    skew_max_ms: int = 60_000
    held_mb: int = 64
    seal_every: int = 0
    control: Literal["faust", "kafka"] = "faust"
    disk_floor_mb: int = 1024
    meter_workers: int = 1
    personal: tuple[str, ...] = ()
    personal_ids: tuple[str, ...] = ()

    @property
    def skew_ms(self) -> int | None:
        """The skew check's bound, None where there is none (EPOCHS 3)."""
        return None if self.driven else self.skew_max_ms

    @property
    def held_bytes(self) -> int:
        """Memory for records of epochs that are not folded yet, bytes."""
        return self.held_mb << 20

    @property
    def spill(self) -> Path:
        """Folder of what workers hold on disk for a while."""
        return self.data / "spill"

    @property
    def archive(self) -> Path:
        """Folder of the Parquet archive."""
        return self.data / "archive"

    @property
    def artifacts(self) -> Path:
        """Folder of model artifacts, by SHA-256."""
        return self.data / "artifacts"

    @property
    def keys(self) -> Path:
        """The key store of persons: beside the data folder, so that no copy of that holds it."""
        return keys_beside(self.data)

    @property
    def views(self) -> Path:
        """The DuckDB file."""
        return self.data / "views.duckdb"

    def topic(self, name: str) -> str:
        """Return the topic's name in this namespace."""
        return f"{self.namespace}.{name}"

    def short(self, topic: str) -> str:
        """Return the topic's name without the namespace."""
        return topic.removeprefix(f"{self.namespace}.")
