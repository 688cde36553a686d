"""Topics as `topics/*.toml` declares them: one file a topic.

A namespace prefixes every topic, so a replayed history meets no live one. The declarations lie in
the checkout's `topics/`; an installed package carries the same files as `streamops/_topics`.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from streamops.errors import ConfigError

PACKAGED = Path(__file__).parent / "_topics"
CHECKOUT = Path(__file__).parent.parent / "topics"

UNLIMITED = -1
NAMESPACE_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

# Checkpoints alone may lose an older value: every other topic is evidence.
COMPACTED = frozenset({"checkpoints"})
# Read behind a join: what Kafka drops before the horizon has passed can't be joined any more.
JOINED = frozenset({"predictions", "labels"})


class TopicSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one topic must be on any cluster.

    name          without namespace
    key           in words: what the record key is, and so what shares a partition
    partitions    "namespace" (the count fixed for the namespace) or a count of its own
    retention_ms  how long a record is kept after its append time, milliseconds; -1 for ever
    cleanup       "delete" keeps every record of the retention, "compact" the last of each key
    max_bytes     largest record batch the broker takes
    events        type tags of the events it holds
    writers       who may write to it
    """

    name: str
    key: str
    partitions: Literal["namespace"] | int
    retention_ms: int
    cleanup: Literal["delete", "compact"]
    max_bytes: int
    events: tuple[str, ...]
    writers: tuple[str, ...]

    def partition_count(self, namespace_partitions: int) -> int:
        """Partitions in a namespace whose count is `namespace_partitions`."""
        return namespace_partitions if self.partitions == "namespace" else self.partitions

    def settings(self) -> dict[str, str]:
        """The topic's configuration as Kafka spells it."""
        return {
            "cleanup.policy": self.cleanup,
            "max.message.bytes": str(self.max_bytes),
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": str(self.retention_ms),
        }


def topic_name(namespace: str, topic: str) -> str:
    """`NAMESPACE.TOPIC`, the name on the cluster; ConfigError for a namespace Kafka can't take."""
    if not isinstance(namespace, str) or not NAMESPACE_PATTERN.fullmatch(namespace):
        raise ConfigError(
            f"namespace is {namespace!r}: use 1 to 63 of a-z, 0-9, - and _, "
            "beginning with a letter or digit"
        )
    return f"{namespace}.{topic}"


def topics_folder() -> Path:
    """The folder of declarations: the installed copy, else the checkout's."""
    for folder in (PACKAGED, CHECKOUT):
        if any(folder.glob("*.toml")):
            return folder
    raise ConfigError(f"no topic declarations in {PACKAGED} or {CHECKOUT}: install streamops again")


@cache
def load_topics(folder: Path | None = None) -> dict[str, TopicSpec]:
    """All declarations by topic name, in the order of names; ConfigError names a bad file."""
    files = sorted((folder or topics_folder()).glob("*.toml"))
    return {file.stem: load_topic(file) for file in files}


def load_topic(file: Path) -> TopicSpec:
    """One declaration, checked; ConfigError names the file and the field."""
    try:
        spec = msgspec.toml.decode(file.read_bytes(), type=TopicSpec)
    except (msgspec.DecodeError, OSError) as error:
        raise ConfigError(f"{file}: {error}") from error
    for problem in faults(spec, file.stem):
        raise ConfigError(f"{file}: {problem}")
    return spec


def faults(spec: TopicSpec, stem: str) -> list[str]:
    """What in a declaration contradicts the rules of the log, one sentence each."""
    found = []
    if spec.name != stem:
        found.append(f"name is {spec.name!r}, must be the file's, {stem!r}")
    if spec.partitions != "namespace" and spec.partitions < 1:
        found.append(f"partitions is {spec.partitions}, must be at least 1")
    if spec.cleanup == "compact" and spec.name not in COMPACTED:
        found.append("cleanup is 'compact', but every record of this topic is evidence: 'delete'")
    if spec.retention_ms != UNLIMITED and spec.retention_ms < 1:
        found.append(f"retention_ms is {spec.retention_ms}, must be -1 (for ever) or above 0")
    if spec.max_bytes < 1024:
        found.append(f"max_bytes is {spec.max_bytes}, must be at least 1024")
    if not spec.events or not spec.writers:
        found.append("events and writers must each name at least one")
    return found
