"""The archiver on a real broker: it goes on where its files end, and loses nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from confluent_kafka import Producer

from streamops.errors import TransportError
from streamops.kafka.admin import create_topics
from streamops.settings import Settings
from streamops.views.archive import ArchiveLog, file_name, raw_folder
from streamops.views.archiver import Archiver, Roll, archive_until_end, run_archiver
from streamops.views.log import KafkaLog
from streamops.views.typed import typed_rows


@pytest.fixture
def settings(bootstrap: str, namespace: str, tmp_path: Path) -> Settings:
    create_topics({"bootstrap.servers": bootstrap}, namespace, 2)
    return Settings(bootstrap=bootstrap, namespace=namespace, data=tmp_path, partitions=2)


@pytest.fixture
def produce(settings: Settings):
    producer = Producer({"bootstrap.servers": settings.bootstrap, "linger.ms": 0})

    def send(topic: str, first: int, end: int, partition: int = 0) -> None:
        for n in range(first, end):
            producer.produce(settings.topic(topic), b'{"n":%d}' % n, b"k", partition)
        assert producer.flush(30) == 0

    return send


def files(settings: Settings, topic: str) -> list[str]:
    return sorted(p.name for p in raw_folder(settings.archive, topic, 0).glob("*.parquet"))


def same_as_kafka(settings: Settings) -> None:
    """Every partition's archive has every record of Kafka, byte for byte."""
    live, archive = KafkaLog(settings), ArchiveLog(settings.archive)
    try:
        for topic in live.topics():
            for partition in live.partitions(topic):
                kept = list(archive.read(topic, partition))
                assert kept == list(live.read(topic, partition)), (topic, partition)
    finally:
        live.close()


def test_it_goes_on_where_its_files_end(settings, produce):
    produce("predictions", 0, 30)
    produce("labels", 0, 7, partition=1)
    archive_until_end(settings)
    produce("predictions", 30, 50)
    archive_until_end(settings)
    archive_until_end(settings)
    assert files(settings, "predictions") == [file_name(0), file_name(30)]
    same_as_kafka(settings)
    assert typed_rows(settings.archive, ("predictions", 0), 30) == 20


def test_a_full_buffer_becomes_a_file(settings, produce):
    produce("predictions", 0, 25)
    archiver = Archiver(settings, Roll(rows=10))
    ends = archiver.ends()
    while not archiver.reached(ends):
        archiver.run_once()
    archiver.flush()
    archiver.close()
    assert files(settings, "predictions")[0] == file_name(0)
    same_as_kafka(settings)


def test_the_largest_buffer_is_written_when_all_together_are_too_large(settings, produce):
    produce("predictions", 0, 100)
    produce("labels", 0, 10)
    archiver = Archiver(settings, Roll(total=5_000))
    ends = archiver.ends()
    while not archiver.reached(ends):
        archiver.run_once()
    archiver.close()
    assert files(settings, "predictions") == [file_name(0)]


def test_what_was_only_buffered_is_read_again(settings, produce):
    produce("predictions", 0, 30)
    archiver = Archiver(settings)
    ends = archiver.ends()
    while not archiver.reached(ends):
        archiver.run_once()
    archiver.close()
    assert files(settings, "predictions") == []
    archive_until_end(settings)
    same_as_kafka(settings)


def test_told_to_stop_it_writes_what_it_has(settings, produce):
    archiver = threading.Thread(target=run_archiver, args=(settings, stop := threading.Event()))
    archiver.start()
    produce("predictions", 0, 30)
    stop.set()
    archiver.join(30)
    assert not archiver.is_alive()
    archive_until_end(settings)
    same_as_kafka(settings)


def test_markers_of_transactions_are_covered(settings):
    producer = Producer(
        {"bootstrap.servers": settings.bootstrap, "transactional.id": settings.namespace}
    )
    producer.init_transactions(30)
    for _ in range(2):
        producer.begin_transaction()
        producer.produce(settings.topic("predictions"), b"{}", b"k", 0)
        producer.commit_transaction(30)
        archive_until_end(settings)
    # record, marker, record, marker
    assert ArchiveLog(settings.archive).held("predictions", 0) == (0, 4)
    same_as_kafka(settings)


def test_of_two_archivers_the_later_stops_and_nothing_is_there_twice(settings, produce):
    produce("predictions", 0, 30)
    one, other = Archiver(settings), Archiver(settings)
    for archiver in (one, other):
        ends = archiver.ends()
        while not archiver.reached(ends):
            archiver.run_once()
    one.flush()
    with pytest.raises(TransportError, match="another archiver works on this archive"):
        other.flush()
    one.close()
    other.close()
    same_as_kafka(settings)


def test_a_topic_made_anew_is_told_apart(settings, produce, bootstrap):
    produce("predictions", 0, 30)
    archive_until_end(settings)
    elsewhere = Settings(
        bootstrap=bootstrap, namespace=f"{settings.namespace}x", data=settings.data
    )
    create_topics({"bootstrap.servers": bootstrap}, elsewhere.namespace, 2)
    with pytest.raises(TransportError, match="was made anew"):
        archive_until_end(elsewhere)
