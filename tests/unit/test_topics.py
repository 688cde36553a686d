"""Declarations of topics: the shipped ones hold to the rules, and bad ones are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamops import events
from streamops.errors import ConfigError
from streamops.topics import CHECKOUT, UNLIMITED, load_topic, load_topics, topic_name

GOOD = """
name = "alerts"
key = "fingerprint"
partitions = "namespace"
retention_ms = -1
cleanup = "delete"
max_bytes = 4194304
events = ["AlertRaised"]
writers = ["controller"]
"""


def declare(folder: Path, text: str) -> Path:
    file = folder / "alerts.toml"
    file.write_text(text)
    return file


def test_every_topic_of_the_design_is_declared():
    assert set(load_topics()) == {
        "predictions", "labels", "outcomes", "summaries", "metrics", "lifecycle", "data", "alerts",
        "retraining", "deployments", "progress", "checkpoints", "dlq", "audit",
    }  # fmt: skip


def test_only_checkpoints_are_compacted():
    compacted = [name for name, spec in load_topics().items() if spec.cleanup == "compact"]
    assert compacted == ["checkpoints"]


def test_only_the_inputs_of_the_join_expire():
    expiring = {n for n, spec in load_topics().items() if spec.retention_ms != UNLIMITED}
    assert expiring == {"predictions", "labels"}


def test_every_topic_is_stamped_by_the_broker():
    kinds = {spec.settings()["message.timestamp.type"] for spec in load_topics().values()}
    assert kinds == {"LogAppendTime"}


def test_every_event_has_a_topic_and_every_declared_event_exists():
    declared = {event for spec in load_topics().values() for event in spec.events}
    written = {
        value.__struct_config__.tag
        for value in vars(events).values()
        if isinstance(value, type) and issubclass(value, events.Event) and value is not events.Event
    }
    assert declared == written | {"Checkpoint"}  # a checkpoint is state, not an event


def test_a_namespace_prefixes_the_topic():
    assert topic_name("demo-1", "alerts") == "demo-1.alerts"


@pytest.mark.parametrize("namespace", ["", "Demo", "a.b", "-a", "a" * 64, "a\n"])
def test_a_namespace_kafka_cannot_take_is_refused(namespace):
    with pytest.raises(ConfigError, match="namespace is"):
        topic_name(namespace, "alerts")


def test_a_count_of_its_own_stands_before_the_namespaces(tmp_path):
    own = load_topic(declare(tmp_path, GOOD.replace('"namespace"', "2")))
    assert own.partition_count(24) == 2
    assert load_topic(declare(tmp_path, GOOD)).partition_count(24) == 24


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "alerts"', 'name = "alert"', "name is 'alert'"),
        ('"namespace"', "0", "partitions is 0"),
        ('"delete"', '"compact"', "evidence"),
        ("retention_ms = -1", "retention_ms = 0", "retention_ms is 0"),
        ("4194304", "10", "max_bytes is 10"),
        ('["controller"]', "[]", "writers"),
        ("key =", "keys =", "keys"),
        ("max_bytes = 4194304", "", "max_bytes"),
        ('"fingerprint"', '"fingerprint', "alerts.toml"),
    ],
)
def test_a_bad_declaration_is_refused_with_file_and_field(tmp_path, old, new, words):
    file = declare(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ConfigError, match=words) as caught:
        load_topic(file)
    assert str(file) in str(caught.value)


def test_the_checkout_is_read_where_nothing_is_packaged():
    assert CHECKOUT.name == "topics"
    assert load_topics(CHECKOUT) == load_topics()
