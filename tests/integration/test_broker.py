"""The embedded broker and the topics on it, for real."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from streamops import Client
from streamops.cli import main
from streamops.config import ModelConfig
from streamops.errors import ConfigError, TransportError
from streamops.kafka import broker as broker_module
from streamops.kafka.admin import (
    apply_topics,
    check_topics,
    connect,
    create_topics,
    delete_namespace,
    partition_counts,
    read_settings,
    settle,
)
from streamops.kafka.broker import EmbeddedBroker, await_ready
from streamops.kafka.clients import base_conf
from streamops.settings import Settings
from streamops.topics import load_topics, topic_name

DAY_MS = 86_400_000


@pytest.fixture
def conf(bootstrap: str) -> dict[str, Any]:
    return base_conf(Settings(bootstrap=bootstrap), "test")


def alter(conf: dict[str, str], topic: str, setting: str, value: str) -> None:
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = connect(conf)
    settle(admin.incremental_alter_configs([resource]))
    deadline = time.monotonic() + 90
    # The controller acknowledges before the broker has heard of it.
    while read_settings(admin, [topic])[topic][setting] != value:
        assert time.monotonic() < deadline, f"{setting} of {topic} is not {value}"
        time.sleep(0.05)


def write(conf: dict[str, str], topic: str, *values: bytes) -> None:
    producer = Producer({**conf, "enable.idempotence": True})
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(30) == 0


def read(conf: dict[str, str], topic: str, count: int) -> list[bytes]:
    consumer = Consumer({**conf, "group.id": "reader", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages = consumer.consume(count, timeout=30)
    consumer.close()
    return [message.value() for message in messages]


def test_topics_are_created_as_declared_once(conf, namespace):
    created = create_topics(conf, namespace, 3)
    assert created == sorted(topic_name(namespace, topic) for topic in load_topics())
    assert create_topics(conf, namespace, 3) == []
    assert check_topics(conf, namespace, 3) == []
    counts = partition_counts(connect(conf))
    assert {counts[name] for name in created} == {3}


def test_every_missing_topic_is_a_difference(conf, namespace):
    missing = check_topics(conf, namespace, 4)
    assert [d.setting for d in missing] == ["exists"] * len(load_topics())
    assert str(missing[0]).startswith(f"{namespace}.alerts: exists is no, should be yes")


def test_changed_settings_are_reported_and_mended(conf, namespace):
    create_topics(conf, namespace, 1)
    alerts, labels = topic_name(namespace, "alerts"), topic_name(namespace, "labels")
    alter(conf, alerts, "cleanup.policy", "compact")
    alter(conf, labels, "retention.ms", "1000")
    found = {(d.topic, d.setting, d.declared, d.found) for d in check_topics(conf, namespace, 1)}
    assert found == {
        (alerts, "cleanup.policy", "delete", "compact"),
        (labels, "retention.ms", "691200000", "1000"),
    }
    assert apply_topics(conf, namespace, 1) == []
    assert check_topics(conf, namespace, 1) == []


def test_another_partition_count_cannot_be_mended(conf, namespace):
    create_topics(conf, namespace, 2)
    left = apply_topics(conf, namespace, 3)
    assert {(d.setting, d.declared, d.found, d.mendable) for d in left} == {
        ("partitions", "3", "2", False)
    }
    assert "new namespace" in str(left[0])


def test_retention_must_span_the_join(conf, namespace):
    create_topics(conf, namespace, 1)
    assert check_topics(conf, namespace, 1, join_span_ms=8 * DAY_MS) == []
    short = check_topics(conf, namespace, 1, join_span_ms=8 * DAY_MS + 1)
    assert [d.topic for d in short] == [
        topic_name(namespace, "labels"),
        topic_name(namespace, "predictions"),
    ]
    assert "horizon" in str(short[0])


def test_check_and_apply_say_the_same_of_a_horizon_beyond_the_retention(
    bootstrap, namespace, conf, tmp_path, capsys
):
    create_topics(conf, namespace, 1)
    config = ModelConfig(model="m", pane_s=3600, horizon_s=8 * 86400)
    with Client(bootstrap, namespace=namespace) as client:
        client.apply(config)
    place = ["--bootstrap", bootstrap, "--namespace", namespace, "--partitions", "1", "--json"]
    said = []
    for command in ("check", "apply"):
        assert main(["topics", command, *place, "--data", str(tmp_path)]) == 1
        said.append(json.loads(capsys.readouterr().out))
    assert said[0] == said[1]
    assert {found["setting"] for found in said[0]} == {"retention"}


def test_deleting_a_namespace_leaves_its_neighbour(conf, namespace):
    neighbour = f"{namespace}-2"
    create_topics(conf, namespace, 1)
    create_topics(conf, neighbour, 1)
    try:
        assert len(delete_namespace(conf, namespace)) == len(load_topics())
        assert check_topics(conf, neighbour, 1) == []
    finally:
        delete_namespace(conf, neighbour)


def test_an_absent_cluster_is_a_transport_error(monkeypatch):
    monkeypatch.setattr("streamops.kafka.admin.TIMEOUT_S", 0.3)
    with pytest.raises(TransportError, match="no answer"):
        check_topics({"bootstrap.servers": "127.0.0.1:1"}, "nowhere", 1)


def test_kill_9_loses_nothing_acknowledged(broker, conf, namespace):
    create_topics(conf, namespace, 1)
    topic, address, killed = topic_name(namespace, "alerts"), broker.bootstrap, broker.pid
    write(conf, topic, b"1", b"2")
    os.kill(killed, signal.SIGKILL)
    os.waitpid(killed, 0)
    assert broker.pid is None
    broker.start()
    assert broker.bootstrap == address
    assert broker.pid != killed
    write(conf, topic, b"3")
    assert read(conf, topic, 3) == [b"1", b"2", b"3"]


def test_the_foreground_form_is_the_broker_and_ends_on_sigterm(tmp_path):
    prepared = EmbeddedBroker(tmp_path)
    prepared.prepare()
    process = subprocess.Popen([sys.executable, "-m", "streamops.kafka.broker", str(tmp_path)])
    try:
        await_ready(prepared.bootstrap, lambda: process.poll() is None, prepared.log_file)
        assert "kafka.Kafka" in Path(f"/proc/{process.pid}/cmdline").read_text()
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.wait()


def test_a_second_broker_over_the_same_folder_is_refused(broker):
    with pytest.raises(TransportError, match=r"port \d+ of 127.0.0.1 is taken"):
        EmbeddedBroker(broker.data_dir).start()


def test_a_half_formatted_folder_is_formatted_again(tmp_path):
    broker = EmbeddedBroker(tmp_path)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "meta.properties").write_text("version=1")
    broker.prepare()
    assert broker.cluster_id in (tmp_path / "log" / "meta.properties").read_text()


def test_ports_are_outside_the_range_given_to_clients(broker):
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert int(broker.bootstrap.rsplit(":", 1)[1]) < first


def test_a_full_disk_stops_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(broker_module, "DISK_FREE_MIN_BYTES", 1 << 60)
    with pytest.raises(ConfigError, match="MiB free"):
        EmbeddedBroker(tmp_path).start()


def test_a_taken_port_is_named(tmp_path):
    broker = EmbeddedBroker(tmp_path)
    broker.prepare()
    host, port = broker.bootstrap.rsplit(":", 1)
    with socket.create_server((host, int(port))), pytest.raises(TransportError, match=port):
        broker.start()


def test_an_unreadable_record_of_ports_is_named(tmp_path):
    (tmp_path / "broker.json").write_text("{")
    with pytest.raises(ConfigError, match=r"broker\.json"):
        EmbeddedBroker(tmp_path).start()
