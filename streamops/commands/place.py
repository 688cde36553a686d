"""Where a command finds its stack: options, environment, then what the data folder recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter, Token

from streamops.errors import ConfigError
from streamops.operate.folder import Folder
from streamops.settings import DEFAULT_NAMESPACE, Settings
from streamops.topics import topic_name

DEFAULT_DATA = Path(".streamops/live")
PARTITIONS_EMBEDDED = 4
PARTITIONS_CLUSTER = 24
# Ten minutes of embedded ticks.
SEAL_EVERY = 600
INTERVAL_EMBEDDED_S = 1.0
INTERVAL_CLUSTER_S = 5.0
# Far beyond what Kafka bears on a topic, or any count that is meant.
PARTITIONS_MAX = 10_000
COUNT_MAX = 1_000_000_000

# Not every client of ours is librdkafka's: these would send some of them elsewhere.
ADDRESSES = frozenset({"bootstrap.servers", "metadata.broker.list"})

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON alone on stdout.")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Place:
    """Options of every command that needs a broker or a data folder."""

    data: Annotated[Path, Parameter(env_var="STREAMOPS_DATA", help="Data folder of the stack.")] = (
        DEFAULT_DATA
    )
    namespace: Annotated[
        str | None,
        Parameter(env_var="STREAMOPS_NAMESPACE", help="Prefix of topics and groups."),
    ] = None
    bootstrap: Annotated[
        str | None,
        Parameter(
            env_var="STREAMOPS_BOOTSTRAP",
            help="host:port of an existing Kafka; without it, the folder's own broker.",
        ),
    ] = None
    kafka_config: Annotated[
        Path | None,
        Parameter(
            env_var="STREAMOPS_KAFKA_CONFIG",
            help="Client settings (security), key=value lines as librdkafka names them.",
        ),
    ] = None

    def template(
        self,
        partitions: int | None = None,
        seal_every: int | None = None,
        interval_s: float | None = None,
        personal: str | None = None,
        personal_ids: str | None = None,
        **more: Any,
    ) -> Settings:
        """What a stack is started with: options, then what its folder recorded, then defaults."""
        recorded = self._recorded()
        own = Settings(
            bootstrap=self.bootstrap or "",
            namespace=self.namespace or (recorded.namespace if recorded else DEFAULT_NAMESPACE),
            kafka=kafka_of(self.bootstrap, self.kafka_config),
            data=self.data.absolute(),
            partitions=partitions or self._partitions(recorded),
            seal_every=self._seal_every(recorded) if seal_every is None else seal_every,
            interval_s=self._interval_s(recorded) if interval_s is None else interval_s,
            personal=marked(personal, recorded.personal if recorded else ()),
            personal_ids=marked(personal_ids, recorded.personal_ids if recorded else ()),
            **more,
        )
        topic_name(own.namespace, "alerts")  # refuses a namespace Kafka can't take
        return own

    def settings(self, partitions: int | None = None) -> Settings:
        """How to reach what runs; ConfigError when no broker is named or recorded."""
        recorded = self._recorded()
        if self.bootstrap is not None:
            return self.template(partitions)
        if recorded is None:
            raise ConfigError(
                f"no broker is known in {self.data}: start one with `streamops up`, name its "
                "folder with --data, or an existing Kafka with --bootstrap host:port"
            )
        named = msgspec.structs.replace(
            recorded,
            namespace=self.namespace or recorded.namespace,
            partitions=partitions or recorded.partitions,
        )
        if self.kafka_config is None:
            return named
        return msgspec.structs.replace(named, kafka=read_kafka_config(self.kafka_config))

    def _recorded(self) -> Settings | None:
        found = Folder(self.data).read_settings()
        return found.settings if found else None

    def _interval_s(self, recorded: Settings | None) -> float:
        if recorded is not None and self.namespace in (None, recorded.namespace):
            return recorded.interval_s
        return INTERVAL_CLUSTER_S if self.bootstrap else INTERVAL_EMBEDDED_S

    def _seal_every(self, recorded: Settings | None) -> int:
        if recorded is not None and self.namespace in (None, recorded.namespace):
            return recorded.seal_every
        return SEAL_EVERY

    def _partitions(self, recorded: Settings | None) -> int:
        if recorded is not None and self.namespace in (None, recorded.namespace):
            return recorded.partitions
        return PARTITIONS_CLUSTER if self.bootstrap else PARTITIONS_EMBEDDED


HERE = Place()


def marked(given: str | None, recorded: tuple[str, ...]) -> tuple[str, ...]:
    """Features that are marked: those given, separated by commas; else those of the last start.

    A start that forgets to name them must not log them in the clear.
    """
    if given is None:
        return recorded
    return tuple(name.strip() for name in given.split(",") if name.strip())


def whole(_: type[int], tokens: Sequence[Token]) -> int:
    """An option's whole number; without this 1.5 would be taken, rounded."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is no whole number") from None


def kafka_of(bootstrap: str | None, file: Path | None) -> dict[str, str]:
    """The client settings of an existing Kafka; ConfigError where none is named: the embedded
    broker takes clients without any."""
    if file is not None and not bootstrap:
        raise ConfigError(f"kafka-config is {file}, and no --bootstrap names the Kafka it is for")
    return read_kafka_config(file)


def read_kafka_config(file: Path | None) -> dict[str, str]:
    """The settings in a file of key=value lines, # before a comment; ConfigError names the line."""
    if file is None:
        return {}
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"kafka-config {file} can't be read: {error}") from error
    found = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"{file}, line {number} has no '=': write key=value")
        if key.strip() in ADDRESSES:
            raise ConfigError(
                f"{file}, line {number} has {key.strip()}: take it out, and give --bootstrap"
            )
        found[key.strip()] = value.strip()
    return found
