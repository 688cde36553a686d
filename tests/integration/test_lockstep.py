"""The driver of a lock-step run on a real broker."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from streamops.hosts.memory import BROADCAST
from streamops.kafka.admin import create_topics
from streamops.kafka.clients import make_consumer
from streamops.operate import lockstep
from streamops.operate.lockstep import Lockstep
from streamops.settings import Settings

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
PARTITIONS = 2


def test_a_tick_that_the_client_gave_up_is_sent_again(bootstrap, namespace, tmp_path, monkeypatch):
    """As after a broker's pause: for a while it doesn't know the topics."""
    settings = Settings(
        bootstrap=bootstrap,
        namespace=namespace,
        data=tmp_path,
        partitions=PARTITIONS,
        driven=True,
        kafka={"topic.metadata.propagation.max.ms": 1, "topic.metadata.refresh.interval.ms": 500},
    )
    conf = {"bootstrap.servers": bootstrap}
    create_topics(conf, namespace, PARTITIONS)
    driver = Lockstep(settings)
    admin, name = AdminClient(conf), settings.topic("labels")
    admin.delete_topics([name])[name].result(30)
    while name in admin.list_topics(timeout=30).topics:
        time.sleep(0.1)
    gave_up = threading.Event()
    monkeypatch.setattr(lockstep.LOG, "warning", lambda *_: gave_up.set())

    def make_again() -> None:
        assert gave_up.wait(30), "the client didn't give up"
        create_topics(conf, namespace, PARTITIONS)

    late = threading.Thread(target=make_again)
    late.start()
    driver.tick(NOON)
    late.join()
    consumer = make_consumer(settings, "test")
    ends = [end(consumer, settings.topic(t), p) for t in BROADCAST for p in range(PARTITIONS)]
    consumer.close()
    driver.close()
    assert min(ends) >= 1


def end(consumer: Consumer, topic: str, partition: int) -> int:
    return consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)[1]
