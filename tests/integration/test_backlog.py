"""Folds whose input Kafka has dropped: they read the archive first, then go on in Kafka."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import OFFSET_END, TopicPartition

from streamops.core.processor import Record
from streamops.errors import TransportError
from streamops.hosts import backlog, kafka
from streamops.hosts.backlog import ReadArchive
from streamops.hosts.kafka import KafkaHost
from streamops.hosts.services import run_control, run_fold
from streamops.kafka.admin import connect, create_topics, settle
from streamops.kafka.offsets import first_offsets
from streamops.operate.folder import ServiceSettings
from streamops.operate.services import archive_of, meter
from streamops.settings import Settings
from streamops.views.archiver import archive_until_end
from tests.hosting import (
    PATIENCE_S,
    SERVICES,
    Run,
    events_on,
    fold,
    new_settings,
    running,
    until_concluded,
    write,
)
from tests.recorded import CONCLUDED, conclusions, make_detector, one_more_epoch, recording

PARTITIONS = 2
INPUT = ("predictions", "labels")
METERED = ("outcomes", "summaries")


@pytest.fixture
def settings(bootstrap: str, namespace: str, tmp_path: Path) -> Settings:
    made = new_settings(bootstrap, namespace, tmp_path, PARTITIONS)
    return msgspec.structs.replace(made, control="kafka")


def reading(settings: Settings) -> ReadArchive:
    return archive_of(ServiceSettings(settings=settings))


def metering(settings: Settings, stop: threading.Event) -> None:
    """METER as a stack runs it."""
    meter(ServiceSettings(settings=settings))(stop)


def drop(settings: Settings, *topics: str, before: int = OFFSET_END) -> None:
    """Drop what stands before an offset, as retention does."""
    places = [
        TopicPartition(settings.topic(topic), partition, before)
        for topic in topics
        for partition in range(settings.partitions)
    ]
    admin = connect({"bootstrap.servers": settings.bootstrap})
    settle(admin.delete_records(places))


def forget(settings: Settings) -> None:
    shutil.rmtree(settings.data / "state", ignore_errors=True)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def folded_and_archived(settings: Settings) -> None:
    """Fold the recording by METER, archive everything, forget the checkpoints."""
    write(settings, recording(settings.partitions).rows)
    with running(settings, [fold("meter")]):
        until(lambda: is_metered(settings))
    archive_until_end(settings)
    forget(settings)


def is_metered(settings: Settings, times: int = 1) -> bool:
    wanted = {topic: len(recording(settings.partitions).concluded[topic]) for topic in METERED}
    return all(len(events_on(settings, topic)) >= n * times for topic, n in wanted.items())


def check(settings: Settings, topics: tuple[str, ...] = METERED, times: int = 1) -> None:
    """Every conclusion stands there `times` times, the same bytes under the same stamp."""
    for topic in topics:
        events = events_on(settings, topic)
        wanted = recording(settings.partitions).concluded[topic]
        assert conclusions(events) == wanted, topic
        assert len(events) == len(wanted) * times, topic


def test_meter_folds_the_same_from_the_archive_as_it_did_from_kafka(settings):
    folded_and_archived(settings)
    check(settings)
    drop(settings, *INPUT)
    with running(settings, [metering]):
        until(lambda: is_metered(settings, 2))
    check(settings, times=2)


@pytest.mark.parametrize("dropped", [("labels",), ("predictions",)], ids=str)
def test_one_topic_from_the_archive_and_the_other_from_kafka_keep_pace(
    settings, dropped, monkeypatch
):
    """Neither is read more than a slice beyond the epochs it may be ahead (EPOCHS 6)."""
    monkeypatch.setattr(kafka, "EPOCHS_AHEAD_MAX", 2)
    monkeypatch.setattr(kafka, "CHUNK", 20)
    monkeypatch.setattr(backlog, "SLICE", 20)
    folded_and_archived(settings)
    drop(settings, *dropped)
    ahead: list[int] = []
    whole = KafkaHost._keep_pace

    def watched(host: KafkaHost) -> None:
        ahead.extend(i.ahead for h in host.hosts.values() for i in h.fold.inboxes.values())
        whole(host)

    monkeypatch.setattr(KafkaHost, "_keep_pace", watched)
    with running(settings, [metering]):
        until(lambda: is_metered(settings, 2))
    check(settings, times=2)
    assert max(ahead) < recording(PARTITIONS).last_epoch // 2


def test_it_leaves_the_archive_in_the_middle_of_an_epoch(settings):
    folded_and_archived(settings)
    drop(settings, *INPUT, before=101)
    with running(settings, [metering]):
        until(lambda: is_metered(settings, 2))
    check(settings, times=2)


def test_what_kafka_drops_meanwhile_is_read_from_the_archive_too(settings, monkeypatch):
    folded_and_archived(settings)
    drop(settings, *INPUT, before=50)
    read = reading(settings)

    def dropping(topic: str, partition: int, first: int, next: int) -> Iterator[Record]:
        yield from read(topic, partition, first, next)
        drop(settings, *INPUT, before=90)

    run: Run = lambda given, stop: run_fold(given, "meter", stop, read_archive=dropping)  # noqa: E731
    with running(settings, [run]):
        until(lambda: is_metered(settings, 2))
    check(settings, times=2)


def slow(settings: Settings, seen: list[int]) -> ReadArchive:
    """A reader that takes its time; `seen` grows with what it gave."""
    read = reading(settings)

    def reader(topic: str, partition: int, first: int, next: int) -> Iterator[Record]:
        for record in read(topic, partition, first, next):
            seen.append(record.offset)
            time.sleep(0.002)
            yield record

    return reader


def test_dropped_in_the_middle_it_goes_on_in_the_archive(settings, monkeypatch):
    """As by kill -9: a checkpoint stands below what Kafka holds."""
    monkeypatch.setattr(backlog, "SLICE", 20)
    monkeypatch.setattr(kafka, "CHECKPOINT_EVERY_S", 0.1)
    folded_and_archived(settings)
    drop(settings, *INPUT)
    seen: list[int] = []
    total = sum(first_offsets(settings, [(t, p) for t in INPUT for p in range(2)]).values())
    run: Run = lambda given, stop: run_fold(  # noqa: E731
        given, "meter", stop, read_archive=slow(settings, seen)
    )
    with running(settings, [run], drop=True):
        until(lambda: len(seen) > total // 2)
    seen.clear()
    with running(settings, [run]):
        write(settings, one_more_epoch(PARTITIONS))
        until(lambda: has_more(settings))
    assert 0 < len(seen) < total, "it went on where the checkpoint stood"
    for topic in METERED:
        logged = conclusions(events_on(settings, topic))
        wanted = recording(PARTITIONS).concluded[topic]
        assert {key: logged[key] for key in wanted} == wanted


def has_more(settings: Settings) -> bool:
    """Whether every METER closed the epoch after the recording's."""
    epoch = recording(settings.partitions).last_epoch + 1
    ids = conclusions(events_on(settings, "summaries"))
    return all(f"close/meter/{p}/{epoch}/summaries/0" in ids for p in range(settings.partitions))


def test_a_rebalance_in_the_middle_changes_nothing(settings, tmp_path, monkeypatch):
    """The second worker begins at the start, the first drops its fold and its backlog."""
    monkeypatch.setattr(backlog, "SLICE", 20)
    folded_and_archived(settings)
    drop(settings, *INPUT)
    seen: list[int] = []
    other = msgspec.structs.replace(settings, data=tmp_path / "other")
    first: Run = lambda given, stop: run_fold(  # noqa: E731
        given, "meter", stop, read_archive=slow(settings, seen)
    )
    second: Run = lambda given, stop: run_fold(  # noqa: E731
        other, "meter", stop, instance="1", read_archive=slow(settings, [])
    )
    with running(settings, [first]):
        until(lambda: len(seen) > 40)
        with running(settings, [second]):
            write(settings, one_more_epoch(PARTITIONS))
            until(lambda: has_more(settings))
    held = {path.name for path in (other.data / "state").glob("meter-*")}
    assert len(held) == 1
    for topic in METERED:
        logged = conclusions(events_on(settings, topic))
        wanted = recording(PARTITIONS).concluded[topic]
        assert {key: logged[key] for key in wanted} == wanted


@pytest.mark.parametrize("host", ["faust", "kafka"])
def test_the_whole_chain_comes_back_from_the_archive(settings, host, monkeypatch):
    """Kafka holds nothing but `progress`; every checkpoint is lost; one more epoch is concluded."""
    monkeypatch.setattr(backlog, "SLICE", 50)
    settings = msgspec.structs.replace(settings, control=host)
    recorded = recording(PARTITIONS)
    with running(settings, SERVICES.values()):
        write(settings, recorded.rows)
        until_concluded(settings, recorded.last_epoch)
    archive_until_end(settings)
    alerts = len(events_on(settings, "alerts"))
    forget(settings)
    admin = connect({"bootstrap.servers": settings.bootstrap})
    settle(admin.delete_topics([settings.topic("checkpoints")], operation_timeout=30))
    create_topics({"bootstrap.servers": settings.bootstrap}, settings.namespace, PARTITIONS)
    drop(settings, *INPUT, *METERED, "metrics", "lifecycle")
    read = reading(settings)
    services: list[Run] = [
        metering,
        lambda given, stop: run_fold(
            given, "detect", stop, make_detector=make_detector, read_archive=read
        ),
        lambda given, stop: run_control(given, stop, read_archive=read),
    ]
    with running(settings, services):
        write(settings, one_more_epoch(PARTITIONS))
        until_concluded(settings, recorded.last_epoch + 1)
    for topic in CONCLUDED:
        logged = conclusions(events_on(settings, topic))
        wanted = recorded.concluded[topic]
        assert {key: logged[key] for key in wanted} == wanted, topic
    assert len(events_on(settings, "alerts")) == alerts, "what progress says was sent is not again"


@pytest.mark.parametrize("lost", ["all", "the end"])
def test_what_neither_holds_is_named_not_skipped(settings, lost):
    folded_and_archived(settings)
    if lost == "the end":
        write(settings, recording(PARTITIONS).rows)
    else:
        shutil.rmtree(settings.archive)
    drop(settings, "labels")
    firsts = first_offsets(settings, [("labels", p) for p in range(PARTITIONS)])
    with pytest.raises(TransportError, match="restore the archive") as raised:
        run_fold(settings, "meter", threading.Event(), read_archive=reading(settings))
    named = re.search(r"labels partition (\d): offsets 0 to (\d+) are gone", str(raised.value))
    assert named is not None
    assert int(named[2]) == firsts[("labels", int(named[1]))] - 1


def test_faust_names_what_neither_holds(settings):
    settings = msgspec.structs.replace(settings, control="faust")
    recorded = recording(PARTITIONS)
    with running(settings, SERVICES.values()):
        write(settings, recorded.rows)
        until_concluded(settings, recorded.last_epoch)
    write(settings, one_more_epoch(PARTITIONS))
    drop(settings, "lifecycle")
    with pytest.raises(
        TransportError, match=r"lifecycle partition \d: offsets \d+ to \d+ are gone"
    ):
        run_control(settings, threading.Event())
