"""The confluent host on a real broker: shared work, resuming, and what ends it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import OFFSET_END, TopicPartition

from streamops.core.monitor import Monitor
from streamops.core.processor import Refusal
from streamops.errors import ConfigError, TransportError
from streamops.events import EpochClosed, EpochConcluded, Event
from streamops.hosts import control, kafka
from streamops.hosts.checkpoint import Store
from streamops.hosts.kafka import KafkaHost
from streamops.hosts.memory import MemoryHost, make_fold
from streamops.hosts.services import run_control, run_fold
from streamops.hosts.spill import Spill
from streamops.kafka.admin import connect, settle
from streamops.settings import Settings
from tests.hosting import (
    SERVICES,
    Run,
    events_on,
    fold,
    new_settings,
    running,
    until_concluded,
    write,
)
from tests.recorded import (
    CONCLUDED,
    Row,
    conclusions,
    make_detector,
    one_more_epoch,
    recording,
    refusals,
)

PARTITIONS = 2
# What an epoch without input adds: closes to every partition behind METER, else to their own.
ADDED = {
    "outcomes": PARTITIONS**2,
    "summaries": PARTITIONS**2,
    "metrics": 2 * PARTITIONS,
    "alerts": 0,
    "retraining": 0,
    "deployments": 0,
    "progress": PARTITIONS,
}


@pytest.fixture
def settings(bootstrap: str, namespace: str, tmp_path: Path) -> Settings:
    made = new_settings(bootstrap, namespace, tmp_path, PARTITIONS)
    return msgspec.structs.replace(made, control="kafka")


def elsewhere(run: Run, data: Path) -> Run:
    """The same service with a folder of its own, as on another machine."""
    return lambda settings, stop: run(msgspec.structs.replace(settings, data=data), stop)


def test_two_workers_share_the_partitions_and_conclude_the_same(settings, tmp_path):
    recorded = recording(PARTITIONS)
    second = elsewhere(fold("meter", "1"), tmp_path / "other")
    with running(settings, [*SERVICES.values(), second]):
        write(settings, recorded.rows)
        until_concluded(settings, recorded.last_epoch)
    for topic in CONCLUDED:
        assert conclusions(events_on(settings, topic)) == recorded.concluded[topic], topic
    held = [
        {path.name for path in (data / "state").glob("meter-*")}
        for data in (settings.data, tmp_path / "other")
    ]
    assert set.union(*held) == {"meter-0", "meter-1"}


def test_a_clean_stop_leaves_nothing_to_send_again(settings):
    recorded = recording(PARTITIONS)
    with running(settings, SERVICES.values()):
        write(settings, recorded.rows)
        until_concluded(settings, recorded.last_epoch)
    before = {topic: len(events_on(settings, topic)) for topic in CONCLUDED}
    with running(settings, SERVICES.values()):
        write(settings, one_more_epoch(PARTITIONS))
        until_concluded(settings, recorded.last_epoch + 1)
    before = {t: n + ADDED[t] for t, n in before.items()}
    assert {topic: len(events_on(settings, topic)) for topic in CONCLUDED} == before


def test_a_strangers_garbage_on_a_derived_topic_is_dead_lettered(settings):
    """It lies in no epoch; memory refuses it in the same words."""
    recorded = recording(PARTITIONS)
    garbage = [Row(topic, 0, b"x", b"garbage") for topic in ("outcomes", "summaries", "metrics")]
    with running(settings, SERVICES.values()):
        write(settings, garbage)
        write(settings, recorded.rows)
        until_concluded(settings, recorded.last_epoch)
    assert conclusions(events_on(settings, "alerts")) == recorded.concluded["alerts"]
    host = MemoryHost(partitions=PARTITIONS, make_detector=make_detector)
    for row in [*garbage, *recorded.rows]:
        host.append(row.topic, row.key.decode(), row.value, partition=row.partition)
    host.run()
    found = refusals(events_on(settings, "dlq"))
    assert found == refusals(host.events("dlq"))
    assert len(found) == len(recorded.refused) + len(garbage)


def test_another_semantics_is_refused(settings, monkeypatch):
    recorded = recording(PARTITIONS)
    with running(settings, SERVICES.values()):
        write(settings, recorded.rows)
        until_concluded(settings, recorded.last_epoch)
    monkeypatch.setattr(Monitor, "semantics", Monitor.semantics + 1)
    with pytest.raises(ConfigError, match=r"checkpoint of monitor/\d has semantics 5, this versi"):
        run_control(settings, threading.Event())


def drop_what_a_checkpoint_names(settings: Settings) -> None:
    """Fold a recording, write more labels, and have retention drop every label."""
    recorded = recording(PARTITIONS)
    with running(settings, SERVICES.values()):
        write(settings, recorded.rows)
        until_concluded(settings, recorded.last_epoch)
    write(settings, [Row("labels", p, b"x", b"{}") for p in range(PARTITIONS)])
    places = [TopicPartition(settings.topic("labels"), p, OFFSET_END) for p in range(PARTITIONS)]
    admin = connect({"bootstrap.servers": settings.bootstrap})
    settle(admin.delete_records(places))


def rounds_until(host: KafkaHost, deadline: float) -> None:
    while time.monotonic() < deadline:
        host._round()


def test_an_offset_that_retention_dropped_is_named_not_skipped(settings):
    drop_what_a_checkpoint_names(settings)
    with pytest.raises(TransportError, match=r"labels partition \d: offsets \d+ to \d+ are gone"):
        run_fold(settings, "meter", threading.Event())


def test_it_is_named_when_it_shows_in_the_round_of_the_assignment(settings, monkeypatch):
    """Retention drops it a moment after the start of the partition was asked for: the client ends
    fetching there, and refuses to seek; the reason comes with a message."""
    drop_what_a_checkpoint_names(settings)
    monkeypatch.setattr(kafka, "first_offsets", lambda settings, places: {})
    host = KafkaHost(
        settings, "meter", lambda p: make_fold("meter", p, PARTITIONS, skew_max_ms=None)
    )
    places = [TopicPartition(settings.topic(t), p) for t in host.topics for p in range(PARTITIONS)]
    try:
        host._take_over(host.consumer, places)
        deadline = time.monotonic() + 90
        while not host._is_astray:
            assert time.monotonic() < deadline, "nothing was refused"
            host._read_again()
        with pytest.raises(TransportError, match="is gone from Kafka before it was read"):
            rounds_until(host, deadline)
    finally:
        host._drop(list(host.hosts))
        host.consumer.close()


def test_a_worker_that_its_group_forgot_ends(settings, monkeypatch):
    """After a broker's pause METER stood still for 240 s: its partitions were taken away, and the
    client was never told which it has next."""
    monkeypatch.setattr(kafka, "FORGOTTEN_S", 0.5)
    host = KafkaHost(
        settings, "meter", lambda p: make_fold("meter", p, PARTITIONS, skew_max_ms=None)
    )
    places = [TopicPartition(settings.topic(t), p) for t in host.topics for p in range(PARTITIONS)]
    try:
        host._on_assign(host.consumer, places)
        host._on_revoke(host.consumer, places)
        host._on_assign(host.consumer, places)
        began = time.monotonic()
        # Told which it has, it works on, however long ago that was.
        rounds_until(host, began + 2)
        host._on_revoke(host.consumer, places)
        with pytest.raises(TransportError, match=r"was not told for .* which partitions it has"):
            rounds_until(host, began + 90)
    finally:
        host._drop(list(host.hosts))
        host.consumer.close()


def test_what_ends_one_fold_ends_the_control_plane(settings, monkeypatch):
    """Both run in one process: its supervisor starts both again."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(Monitor, "step", broken)
    recorded = recording(PARTITIONS)
    with running(settings, [fold("meter"), fold("detect")]):
        write(settings, recorded.rows)
        with pytest.raises(ZeroDivisionError):
            run_control(settings, threading.Event())
    progress = events_on(settings, "progress")
    assert not any(isinstance(event, EpochConcluded) for event in progress)


def test_a_folder_in_use_is_a_transport_error(settings):
    store = Store(settings.data / "state" / "monitor-0")
    try:
        with pytest.raises(TransportError, match="stop the process that holds it"):
            run_fold(settings, "monitor", threading.Event())
    finally:
        store.close()


def test_a_worker_whose_place_was_taken_ends(settings, tmp_path):
    """The client never reads again after it, and says so once: the supervisor must start anew."""
    ended: list[BaseException] = []

    def first() -> None:
        try:
            run_fold(settings, "meter", threading.Event())
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=first, daemon=True)
    thread.start()
    write(settings, recording(PARTITIONS).rows)
    until(lambda: events_on(settings, "outcomes") != [])
    with running(settings, [elsewhere(fold("meter"), tmp_path / "other")]):
        thread.join(30)
    assert not thread.is_alive()
    (error,) = ended
    assert isinstance(error, TransportError)
    assert "took the place" in str(error)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_inputs_that_are_not_held_together_are_refused(settings):
    def make(partition: int):
        return make_fold("meter", partition, PARTITIONS, skew_max_ms=None)

    host = KafkaHost(settings, "meter", make)
    try:
        host._on_assign(host.consumer, [TopicPartition(settings.topic("labels"), 1)])
        with pytest.raises(TransportError, match="was given partition 1 without its predictions"):
            host._round()
    finally:
        host.consumer.close()


@pytest.mark.parametrize("host", ["faust", "kafka"])
def test_one_slow_source_is_waited_for_by_who_reads_on(settings, host, monkeypatch):
    """METER 0 is far ahead of METER 1: what completes an epoch lies behind what is held on disk."""
    monkeypatch.setattr(kafka, "EPOCHS_AHEAD_MAX", 2)
    monkeypatch.setattr(control, "EPOCHS_AHEAD_MAX", 2)
    settings = msgspec.structs.replace(settings, control=host, held_mb=0)
    spilled: list[int] = []
    monkeypatch.setattr(Spill, "close", lambda spill: spilled.append(spill.spilled))
    recorded = recording(PARTITIONS)
    memory = MemoryHost(partitions=PARTITIONS, make_detector=make_detector, names=("meter",))
    for row in recorded.rows:
        memory.append(row.topic, row.key.decode(), row.value, partition=row.partition)
    memory.run()
    metered = [
        Row(topic, record.partition, record.key, record.value)
        for (topic, _), records in memory.log.items()
        if topic in ("outcomes", "summaries")
        for record in sorted(records, key=lambda r: source_of(r.event))
    ]
    with running(settings, [fold("detect"), SERVICES["control"]]):
        write(settings, [row for row in recorded.rows if row.topic == "lifecycle"])
        write(settings, metered)
        until_concluded(settings, recorded.last_epoch)
    assert conclusions(events_on(settings, "alerts")) == recorded.concluded["alerts"]
    assert len(spilled) == (2 if host == "faust" else 3)
    assert min(spilled) > 0, "nothing of it was held in memory"


def source_of(event: Event | Refusal) -> str:
    return event.source if isinstance(event, EpochClosed) else event.stamp.source
