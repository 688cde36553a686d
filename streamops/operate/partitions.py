"""What is fixed for a namespace, its partition count above all: another one is refused."""

from __future__ import annotations

from confluent_kafka import KafkaException

from streamops.errors import ConfigError
from streamops.hosts.broadcaster import other_seals
from streamops.kafka.admin import connect, partition_counts
from streamops.kafka.clients import base_conf
from streamops.settings import Settings
from streamops.topics import load_topics, topic_name


def check_recorded(wanted: Settings, recorded: Settings | None) -> None:
    """ConfigError where the same namespace was started with another count before."""
    if recorded is None or recorded.namespace != wanted.namespace:
        return
    if recorded.partitions != wanted.partitions:
        raise refusal(wanted, f"namespace {wanted.namespace}", recorded.partitions)


def check_seals(wanted: Settings, recorded: Settings | None) -> None:
    """ConfigError where the same namespace was started with seals at other epochs before."""
    if recorded is None or recorded.namespace != wanted.namespace:
        return
    if recorded.seal_every != wanted.seal_every:
        raise other_seals(wanted, recorded.seal_every)


def check_cluster(wanted: Settings) -> None:
    """ConfigError where the namespace's topics have another count on the cluster.

    ConfigError too for client settings that Kafka's client refuses; TransportError when the
    cluster doesn't answer.
    """
    try:
        counts = partition_counts(connect(base_conf(wanted, "stack")))
    except KafkaException as error:
        raise ConfigError(f"kafka settings are refused: {error.args[0].str()}") from error
    for spec in load_topics().values():
        name = topic_name(wanted.namespace, spec.name)
        count = spec.partition_count(wanted.partitions)
        if counts.get(name, count) != count:
            raise refusal(wanted, name, counts[name])


def refusal(wanted: Settings, what: str, found: int) -> ConfigError:
    """The error that says what is fixed, and the ways out."""
    return ConfigError(
        f"partitions is {wanted.partitions}, but {what} has {found}, fixed when the namespace was "
        f"made: use --partitions {found}, or another --namespace"
    )
