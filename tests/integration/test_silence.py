"""Clients of a real broker that stop giving, or taking, without an error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer

from streamops.errors import TransportError
from streamops.hosts.kafka import KafkaHost
from streamops.hosts.memory import make_fold
from streamops.kafka import delivery, silence
from streamops.kafka.clients import make_producer
from streamops.kafka.delivery import does_answer, flush_all, hand_over
from streamops.kafka.follow import Follower
from streamops.kafka.ports import choose_ports
from streamops.settings import Settings
from tests.hosting import events_on, new_settings, write
from tests.recorded import Row, one_more_epoch, recording

PARTITIONS = 2


@pytest.fixture
def settings(bootstrap: str, namespace: str, tmp_path: Path) -> Settings:
    return new_settings(bootstrap, namespace, tmp_path, PARTITIONS)


def until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_a_host_whose_client_fell_silent_ends_itself(settings, monkeypatch):
    monkeypatch.setattr(silence, "SILENT_S", 0.5)
    host = KafkaHost(
        settings, "meter", lambda p: make_fold("meter", p, PARTITIONS, skew_max_ms=None)
    )
    ended = list[BaseException]()

    def run() -> None:
        try:
            host.run(threading.Event())
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    write(settings, recording(PARTITIONS).rows)
    until(lambda: events_on(settings, "outcomes"), "the host folds nothing")
    # As after lost metadata: no partition is fetched any more, and no error tells.
    host.consumer.pause(host.consumer.assignment())
    write(settings, one_more_epoch(PARTITIONS))
    thread.join(60)
    assert not thread.is_alive()
    (error,) = ended
    assert isinstance(error, TransportError)
    assert "gets no record though some wait" in str(error)


def test_a_follower_that_fell_silent_is_made_anew_where_it_stood(settings, monkeypatch):
    monkeypatch.setattr(silence, "SILENT_S", 0.5)
    rows = [Row("lifecycle", 0, b"k", b"not read by anyone %d" % n) for n in range(4)]
    with closing(Follower(settings, "test", ["lifecycle"])) as follower:
        write(settings, rows[:2])
        assert list(follower.to_end()) == []
        silenced = follower._consumer
        silenced.pause(silenced.assignment())
        write(settings, rows[2:])
        assert list(follower.to_end()) == []
        assert follower._consumer is not silenced
        assert follower._positions()[("lifecycle", 0)] == len(rows)


def test_markers_behind_the_last_record_are_not_waiting_records(settings):
    """A transaction's marker has an offset and is given to nobody."""
    producer = Producer({"bootstrap.servers": settings.bootstrap, "transactional.id": "test"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(settings.topic("data"), b"x", partition=0)
    producer.commit_transaction(30)
    with closing(Follower(settings, "test", ["data"])) as follower:
        until(lambda: list(follower.poll(0.1)) or follower._silence.passed(("data", 0)), "no end")
        until(
            lambda: list(follower.poll(0.1)) or not follower._silence.waits(follower._positions()),
            "it waits",
        )
        assert follower._positions()[("data", 0)] < follower._silence.passed(("data", 0))


def test_a_producer_that_stays_stuck_while_the_cluster_answers_is_told_of(settings, monkeypatch):
    """Here it waits for a topic that nobody makes."""
    monkeypatch.setattr(delivery, "STUCK_S", 0.5)
    waits = {"topic.metadata.propagation.max.ms": 600_000}
    producer = make_producer(msgspec.structs.replace(settings, kafka=waits), "test")
    hand_over(producer, settings.topic("nowhere"), b"x", b"k", 0, lambda *_: None)
    with pytest.raises(TransportError, match=r"1 records wait for .* the client is stuck"):
        flush_all(producer, settings)
    producer.purge()


def test_a_cluster_that_is_away_is_waited_for(settings, monkeypatch):
    monkeypatch.setattr(delivery, "STUCK_S", 0.2)
    monkeypatch.setattr(delivery, "ANSWER_S", 0.2)
    away = msgspec.structs.replace(settings, bootstrap=f"127.0.0.1:{choose_ports().port}")
    assert not does_answer(away)
    producer = make_producer(away, "test")
    hand_over(producer, away.topic("data"), b"x", b"k", 0, lambda *_: None)
    looks = list[float]()

    class Enough(Exception):
        pass

    def watch() -> None:
        looks.append(time.monotonic())
        if len(looks) > 4:
            raise Enough

    with pytest.raises(Enough):
        flush_all(producer, away, watch)
    producer.purge()


def test_a_topic_that_the_broker_does_not_know_is_a_transport_error(settings):
    quick = {"topic.metadata.propagation.max.ms": 1, "topic.metadata.refresh.interval.ms": 100}
    producer = make_producer(msgspec.structs.replace(settings, kafka=quick), "test")

    def refuses() -> bool:
        try:
            hand_over(producer, settings.topic("nowhere"), b"x", b"k", 0, lambda *_: None)
        except TransportError as error:
            return "takes no record" in str(error)
        producer.poll(0.1)
        return False

    until(refuses, "it takes records for a topic that isn't there")
