"""The driver of a lock-step run on a real broker."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from streamops import codec
from streamops.errors import TransportError
from streamops.events import EpochConcluded
from streamops.hosts.memory import BROADCAST
from streamops.kafka.admin import create_topics
from streamops.kafka.clients import make_consumer, make_producer
from streamops.operate import lockstep
from streamops.operate.lockstep import Lockstep
from streamops.settings import Settings

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
PARTITIONS = 2
LAST = 5  # epoch of a slow backlog


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


class Clock:
    """Stands in for the module `time`: seconds pass only when told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleep = time.sleep

    def monotonic(self) -> float:
        return self.now


def test_the_driver_waits_as_long_as_there_is_progress(bootstrap, namespace, tmp_path, monkeypatch):
    """And no longer, though a controller that dies again and again repeats what it said."""
    settings = Settings(bootstrap=bootstrap, namespace=namespace, data=tmp_path, partitions=1)
    create_topics({"bootstrap.servers": bootstrap}, namespace, 1)
    clock, producer, said = Clock(), make_producer(settings, "test"), []
    monkeypatch.setattr(lockstep, "time", clock)

    def conclude(epoch: int) -> None:
        said.append(epoch)
        event = EpochConcluded(id=f"e/{epoch}", time=NOON, partition=0, epoch=epoch)
        producer.produce(settings.topic("progress"), codec.encode(event), b"controller", 0)
        producer.flush(30)

    def slowly() -> None:
        heard = max((event.epoch for event in driver.concluded.values()), default=-1)
        if heard == len(said) - 1 < LAST:
            clock.now += lockstep.PATIENCE_S - 1
            conclude(heard + 1)

    def again() -> None:
        clock.now += 10
        conclude(LAST)

    driver = Lockstep(settings, slowly)
    driver.wait_concluded(LAST)
    assert clock.now > 3 * lockstep.PATIENCE_S
    driver.watch = again
    with pytest.raises(TransportError, match=r"waited 240 s for epoch 6 .* heard nothing new"):
        driver.wait_concluded(LAST + 1)
    driver.close()


def end(consumer: Consumer, topic: str, partition: int) -> int:
    return consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)[1]
