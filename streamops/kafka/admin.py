"""Topics on a cluster: made, compared and mended as `topics/*.toml` declares them.

Every function takes the client's settings as librdkafka spells them; `bootstrap.servers` at least.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from streamops.errors import TransportError
from streamops.kafka.clients import build
from streamops.topics import JOINED, UNLIMITED, TopicSpec, load_topics, topic_name

TIMEOUT_S = 30.0
ASK_S = 1.0
POLL_S = 0.05
# No waiting mends these.
REFUSALS = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})

ClientSettings = Mapping[str, str | int | float | bool]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which the cluster is not as declared.

    topic     full name on the cluster
    setting   "exists", "partitions", "retention" (too short for the join) or Kafka's own name
    declared  what it should be
    found     what it is
    mendable  whether `apply_topics` can mend it
    """

    topic: str
    setting: str
    declared: str
    found: str
    mendable: bool

    def __str__(self) -> str:
        way_out = "streamops topics apply mends it" if self.mendable else "needs a new namespace"
        if self.setting == "retention":
            way_out = "raise retention_ms in its declaration, or lower the join's horizon"
        return (
            f"{self.topic}: {self.setting} is {self.found}, should be {self.declared} ({way_out})"
        )


def create_topics(settings: ClientSettings, namespace: str, partitions: int) -> list[str]:
    """Create the namespace's missing topics and wait until each partition has a leader.

    partitions  the count fixed for the namespace (embedded 4, cluster 24)
    Returns the names created; existing topics stay as they are. Replication is the cluster's
    default. Raises TransportError when the cluster refuses or doesn't answer.
    """
    admin = connect(settings)
    wanted = {topic_name(namespace, spec.name): spec for spec in load_topics().values()}
    missing = sorted(wanted.keys() - partition_counts(admin).keys())
    if missing:
        new = [new_topic(name, wanted[name], partitions) for name in missing]
        settle(
            admin.create_topics(new, operation_timeout=TIMEOUT_S), KafkaError.TOPIC_ALREADY_EXISTS
        )
        await_leaders(admin, missing)
    return missing


def new_topic(name: str, spec: TopicSpec, partitions: int) -> NewTopic:
    count = spec.partition_count(partitions)
    return NewTopic(name, num_partitions=count, replication_factor=-1, config=spec.settings())


def check_topics(
    settings: ClientSettings, namespace: str, partitions: int, *, join_span_ms: int = 0
) -> list[Difference]:
    """Every difference between the cluster and the declarations, by topic and setting.

    join_span_ms  join horizon and its slack: predictions and labels must be kept that long
    Raises TransportError when the cluster doesn't answer.
    """
    admin = connect(settings)
    counts = partition_counts(admin)
    wanted = {topic_name(namespace, spec.name): spec for spec in load_topics().values()}
    found = read_settings(admin, [name for name in wanted if name in counts])
    differences = []
    for name, spec in sorted(wanted.items()):
        if name not in counts:
            differences.append(difference(name, "exists", "yes", "no", mendable=True))
            continue
        count = spec.partition_count(partitions)
        if counts[name] != count:
            differences.append(difference(name, "partitions", count, counts[name], mendable=False))
        differences += compare_settings(name, spec, found[name])
        differences += compare_span(name, spec, found[name], join_span_ms)
    return differences


def apply_topics(
    settings: ClientSettings, namespace: str, partitions: int, *, join_span_ms: int = 0
) -> list[Difference]:
    """Create what is missing and set what differs; returns what could not be mended.

    Raises TransportError when the cluster refuses or doesn't answer.
    """
    create_topics(settings, namespace, partitions)
    admin = connect(settings)
    changes: dict[str, list[ConfigEntry]] = {}
    for found in check_topics(settings, namespace, partitions):
        if found.mendable:
            entry = ConfigEntry(
                found.setting, found.declared, incremental_operation=AlterConfigOpType.SET
            )
            changes.setdefault(found.topic, []).append(entry)
    resources = [
        ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        for name, entries in changes.items()
    ]
    if resources:
        settle(admin.incremental_alter_configs(resources, request_timeout=TIMEOUT_S))
        await_mended(settings, namespace, partitions)
    return check_topics(settings, namespace, partitions, join_span_ms=join_span_ms)


def await_mended(settings: ClientSettings, namespace: str, partitions: int) -> None:
    """Return once a broker shows what a controller took; after the timeout too, for it to be told.

    A controller acknowledges a change before each broker has heard of it (KRaft).
    """
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if not any(found.mendable for found in check_topics(settings, namespace, partitions)):
            return
        time.sleep(POLL_S)


def delete_namespace(settings: ClientSettings, namespace: str) -> list[str]:
    """Delete every topic of a namespace, with all its records; returns their names.

    Raises TransportError when the cluster refuses or doesn't answer.
    """
    admin = connect(settings)
    prefix = topic_name(namespace, "")
    names = sorted(name for name in partition_counts(admin) if name.startswith(prefix))
    if names:
        settle(
            admin.delete_topics(names, operation_timeout=TIMEOUT_S),
            KafkaError.UNKNOWN_TOPIC_OR_PART,
        )
    return names


def warm_up(settings: ClientSettings) -> None:
    """Let the cluster make its internal topics, once: the first group to join waits for seconds.

    Raises TransportError when no group can be joined.
    """
    admin = connect(settings)
    if "__consumer_offsets" in partition_counts(admin):
        return
    topic = f"streamops-warm-up-{uuid.uuid4().hex}"
    settle(admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=-1)]))
    try:
        await_leaders(admin, [topic])
        produce_once(settings, topic)
        join_once(settings, topic)
    finally:
        settle(admin.delete_topics([topic]), KafkaError.UNKNOWN_TOPIC_OR_PART)


def produce_once(settings: ClientSettings, topic: str) -> None:
    producer = Producer({**settings, "enable.idempotence": True, "log_level": 0})
    producer.produce(topic, b"warm-up")
    if producer.flush(TIMEOUT_S):
        raise TransportError(f"no record could be written within {TIMEOUT_S:.0f} s")


def join_once(settings: ClientSettings, topic: str) -> None:
    consumer = Consumer(
        {**settings, "group.id": topic, "auto.offset.reset": "earliest", "log_level": 0}
    )
    try:
        consumer.subscribe([topic])
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            message = consumer.poll(POLL_S)
            if message is not None and message.error() is None:
                return
    finally:
        consumer.close()
    raise TransportError(f"no consumer group could be joined within {TIMEOUT_S:.0f} s")


def connect(settings: ClientSettings, *, timeout_s: float | None = None) -> AdminClient:
    """An admin client that a broker has answered; keep it until its futures have ended.

    Raises ConfigError for settings that the client refuses, TransportError with what it heard when
    none answers: at once for a password or certificate that is refused, else after the timeout.
    """
    heard: list[KafkaError] = []
    admin = build(AdminClient, {"log_level": 0, **settings, "error_cb": heard.append})
    patience_s = TIMEOUT_S if timeout_s is None else timeout_s
    deadline = time.monotonic() + patience_s
    while True:
        try:
            admin.list_topics(timeout=min(ASK_S, patience_s))
            return admin
        except KafkaException as error:
            admin.poll(0)
            if time.monotonic() > deadline or any(e.code() in REFUSALS for e in heard):
                raise TransportError(_why(error.args[0], heard)) from error


def _why(error: KafkaError, heard: list[KafkaError]) -> str:
    """What kept a cluster from answering, the broker's own words first."""
    told = [e for e in heard if e.code() in REFUSALS] or [
        e for e in heard if e.code() != KafkaError._ALL_BROKERS_DOWN
    ]
    reason = told[-1] if told else error
    return f"the cluster gives no answer ({reason.str()}); check --bootstrap and --kafka-config"


def partition_counts(admin: AdminClient) -> dict[str, int]:
    """Partitions of every topic on the cluster; TransportError when it doesn't answer."""
    try:
        topics = admin.list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as error:
        raise TransportError(f"the cluster gives no answer ({error.args[0].str()})") from error
    return {name: len(topic.partitions) for name, topic in topics.items()}


def read_settings(admin: AdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """The settings of topics as the cluster has them."""
    if not names:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    answers = settle(admin.describe_configs(resources, request_timeout=TIMEOUT_S))
    return {
        resource.name: {key: str(entry.value) for key, entry in entries.items()}
        for resource, entries in answers.items()
    }


def compare_settings(name: str, spec: TopicSpec, found: Mapping[str, str]) -> list[Difference]:
    return [
        difference(name, key, declared, found.get(key, "missing"), mendable=True)
        for key, declared in spec.settings().items()
        if found.get(key) != declared
    ]


def compare_span(
    name: str, spec: TopicSpec, found: Mapping[str, str], join_span_ms: int
) -> list[Difference]:
    """Whether the cluster drops inputs of the join before the join is done with them."""
    kept = int(found["retention.ms"])
    if spec.name not in JOINED or kept == UNLIMITED or kept >= join_span_ms:
        return []
    return [difference(name, "retention", f"at least {join_span_ms}", kept, mendable=False)]


def difference(
    topic: str, setting: str, declared: object, found: object, *, mendable: bool
) -> Difference:
    return Difference(
        topic=topic, setting=setting, declared=str(declared), found=str(found), mendable=mendable
    )


def settle(futures: Mapping[Any, Any], *accepted: int) -> dict[Any, Any]:
    """Wait for an admin call's futures; TransportError for a refusal that isn't in `accepted`."""
    results = {}
    for resource, future in futures.items():
        try:
            results[resource] = future.result(TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() not in accepted:
                raise TransportError(f"{resource}: {error.args[0].str()}") from error
    return results


def await_leaders(admin: AdminClient, names: Iterable[str]) -> None:
    """Return once each partition of the topics has a leader; TransportError after the timeout."""
    waiting = set(names)
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        topics = admin.list_topics(timeout=TIMEOUT_S).topics
        waiting -= {name for name in waiting if name in topics and is_led(topics[name])}
        if not waiting:
            return
        time.sleep(POLL_S)
    raise TransportError(f"no leader for {', '.join(sorted(waiting))} in {TIMEOUT_S:.0f} s")


def is_led(topic: Any) -> bool:
    """Whether a topic's metadata shows partitions, all of them with a leader."""
    return bool(topic.partitions) and all(p.leader >= 0 for p in topic.partitions.values())
