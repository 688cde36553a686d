"""The archiver on a real broker: it goes on where its files end, and loses nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from confluent_kafka import Producer

from streamops.audit.record_chain import verify_chain
from streamops.audit.seal_line import line_of, read_line
from streamops.audit.seal_request import ask_for_seal
from streamops.errors import TransportError
from streamops.events import CheckpointSealed
from streamops.kafka.admin import create_topics
from streamops.settings import Settings
from streamops.views import archiver as archiver_module
from streamops.views.archive import ArchiveLog, file_name, raw_folder
from streamops.views.archiver import (
    Archiver,
    Roll,
    archive_until_end,
    run_archiver,
    seal_until_end,
)
from streamops.views.consistent_cut import consistent_cut
from streamops.views.key_index import KeyIndex
from streamops.views.log import KafkaLog
from streamops.views.seal import SealPace
from streamops.views.seal_events import seals_on
from streamops.views.typed import typed_rows

PLACES = [("alerts", 0), ("metrics", 0), ("predictions", 0)]


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
    blocks = KeyIndex(settings.archive).blocks(("predictions", 0))
    assert [(block.first, block.next, len(block.rows)) for block in blocks] == [
        (0, 30, 30), (30, 50, 20),
    ]  # fmt: skip


def test_a_full_buffer_becomes_a_file(settings, produce):
    produce("predictions", 0, 25)
    archiver = Archiver(settings, Roll(rows=10))
    ends = archiver.cut()
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
    ends = archiver.cut()
    while not archiver.reached(ends):
        archiver.run_once()
    archiver.close()
    assert files(settings, "predictions") == [file_name(0)]


def test_told_to_stop_it_archives_what_the_log_holds(settings, produce):
    """What is concluded may be read first: without the rest it would stand without its inputs."""
    produce("predictions", 0, 5_000)
    produce("metrics", 0, 1)
    stop = threading.Event()
    stop.set()
    run_archiver(settings, stop)
    same_as_kafka(settings)


def test_what_stands_behind_a_cut_waits_in_its_buffer(settings, produce):
    produce("predictions", 0, 10)
    produce("metrics", 0, 5)
    archiver = Archiver(settings)
    archiver.end_at(archiver.cut())
    produce("metrics", 5, 9)
    produce("predictions", 10, 20)
    while not archiver.reached(archiver.cut()):
        archiver.run_once()
    archiver.flush()
    archive = ArchiveLog(settings.archive)
    assert archive.held("metrics", 0) == (0, 5)
    assert archive.held("predictions", 0) == (0, 10)
    archiver.end_at({})
    archiver.flush()
    archiver.close()
    same_as_kafka(settings)


def test_what_waits_behind_a_cut_is_bounded(settings, produce):
    """Beyond the roll's total nothing else can be written; beyond four times it, all is."""
    archiver = Archiver(settings, Roll(total=5_000))
    archiver.end_at(archiver.cut())
    for first, end, kept in ((0, 80, 0), (80, 200, 1)):
        produce("predictions", first, end)
        while not archiver.reached(archiver.cut()):
            archiver.run_once()
        assert len(files(settings, "predictions")) == kept
    archiver.end_at({})
    archiver.flush()
    archiver.close()
    same_as_kafka(settings)


def test_a_cut_holds_what_its_conclusions_rest_on(settings, produce):
    """Each metric is written once its prediction stands, while cuts are taken."""
    done = threading.Event()

    def conclude() -> None:
        for n in range(10_000):
            if done.is_set():
                break
            produce("predictions", n, n + 1)
            produce("metrics", n, n + 1)

    writer = threading.Thread(target=conclude)
    writer.start()
    try:
        cuts = [consistent_cut(settings, PLACES, 30) for _ in range(40)]
    finally:
        done.set()
        writer.join()
    assert all(cut["metrics", 0] <= cut["predictions", 0] for cut in cuts)
    assert cuts[-1]["metrics", 0] > cuts[0]["metrics", 0]


def test_what_was_only_buffered_is_read_again(settings, produce):
    produce("predictions", 0, 30)
    archiver = Archiver(settings)
    ends = archiver.cut()
    while not archiver.reached(ends):
        archiver.run_once()
    archiver.close()
    assert files(settings, "predictions") == []
    archive_until_end(settings)
    same_as_kafka(settings)


def test_a_typed_file_that_fails_leaves_none_missing(settings, produce, monkeypatch):
    """The start mends a partition's last file only: none is written behind one that lacks."""
    produce("predictions", 0, 30)
    kept = archiver_module.store_typed

    def refuse(*_: object) -> None:
        monkeypatch.setattr(archiver_module, "store_typed", kept)
        raise TransportError("the disk is full")

    monkeypatch.setattr(archiver_module, "store_typed", refuse)
    archiver = Archiver(settings, Roll(rows=10, idle_s=0))

    def read_on() -> None:
        for first in (30, 40, 50):
            ends = archiver.cut()
            while not archiver.reached(ends):
                archiver.run_once()
            produce("predictions", first, first + 10)

    with pytest.raises(TransportError, match="disk is full"):
        read_on()
    archiver.close()
    archive_until_end(settings)
    same_as_kafka(settings)
    for path, cover in ArchiveLog(settings.archive).files("predictions", 0):
        first, rows = cover.first, cover.next - cover.first
        assert typed_rows(settings.archive, ("predictions", 0), first) == rows, path


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
        ends = archiver.cut()
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


# Seals --------------------------------------------------------------------------------------------


def recorded(settings: Settings) -> list[CheckpointSealed]:
    """The seals on progress, repeats and all."""
    live = KafkaLog(settings)
    try:
        return list(seals_on(live))
    finally:
        live.close()


def test_sealed_to_the_end_the_archive_holds_its_seals(settings, produce):
    produce("predictions", 0, 30)
    produce("labels", 0, 7, partition=1)
    first = seal_until_end(settings)
    produce("predictions", 30, 50)
    second = seal_until_end(settings)
    assert recorded(settings) == [first, second]
    found = verify_chain(settings.archive, against=line_of(first))
    assert found.ok
    # 57 records and the first seal; the second one is behind itself.
    assert (found.seals, found.sealed, found.unsealed) == (2, 58, 1)
    same_as_kafka(settings)


def test_markers_of_transactions_are_no_missing_records(settings):
    producer = Producer(
        {"bootstrap.servers": settings.bootstrap, "transactional.id": settings.namespace}
    )
    producer.init_transactions(30)
    for is_kept in (True, False, True):
        producer.begin_transaction()
        producer.produce(settings.topic("predictions"), b"{}", b"k", 0)
        producer.flush(30)
        _ = producer.commit_transaction(30) if is_kept else producer.abort_transaction(30)
        event = seal_until_end(settings)
    assert verify_chain(settings.archive).ok
    ends = {(s.topic, s.partition): s.next for e in recorded(settings) for s in e.segments}
    # record, marker, aborted record, marker, record, marker
    assert ends["predictions", 0] == 6
    assert event.number == 3


def test_a_seal_that_a_crash_left_unsent_is_sent_once_and_the_same(settings, produce):
    produce("predictions", 0, 30)
    seal_until_end(settings)
    produce("predictions", 30, 60)
    archive_until_end(settings)
    crashed = Archiver(settings)
    event = crashed._sealer.seal(0.0)  # written beside the archive, and then the process is gone
    crashed.close()
    assert len(recorded(settings)) == 1
    for _ in range(2):
        archive_until_end(settings)
        assert recorded(settings)[1:] == [event]
    assert seal_until_end(settings).previous == event.head
    assert verify_chain(settings.archive).ok


def test_it_seals_by_itself_and_goes_on_without_its_folder(settings, produce):
    pace = SealPace(records=8, unsealed=20)
    for start in (0, 30):
        produce("predictions", start, start + 30)
        archiver = Archiver(settings, Roll(rows=10), pace)
        ends = archiver.cut()
        while not archiver.reached(ends):
            archiver.run_once()
        archiver.close()
        assert recorded(settings)
        shutil.rmtree(settings.archive / "chain")
    seal_until_end(settings)
    heads = [event.head for event in recorded(settings)]
    assert [event.previous for event in recorded(settings)] == ["", *heads[:-1]]
    assert verify_chain(settings.archive).ok


def test_a_damaged_file_stops_no_archiver_and_is_named(settings, produce):
    """Its footer is whole, its pages aren't: found while what isn't sealed yet is hashed again."""
    produce("predictions", 0, 30)
    archive_until_end(settings)
    produce("predictions", 30, 40)
    archive_until_end(settings)
    path = raw_folder(settings.archive, "predictions", 0) / file_name(0)
    data = path.read_bytes()
    path.write_bytes(data[:4] + bytes(200) + data[204:])
    produce("predictions", 40, 50)
    seal_until_end(settings)
    assert ArchiveLog(settings.archive).held("predictions", 0) == (0, 50)
    found = verify_chain(settings.archive)
    assert not found.ok
    assert [(b.topic, b.offset) for b in found.broken] == [("predictions", 0)]
    assert str(path) in found.unreadable[0]


def test_a_person_asks_for_a_seal_and_gets_its_line(settings, produce, tmp_path):
    stop = threading.Event()
    archiver = threading.Thread(target=run_archiver, args=(settings, stop))
    archiver.start()
    try:
        produce("predictions", 0, 30)
        place = ("--bootstrap", settings.bootstrap, "--namespace", settings.namespace)
        ran = command("seal", *place, "--print", "--reason", "end of quarter")
        assert ran.returncode == 0, ran.stderr
        line = ran.stdout.strip()
        assert read_line(line).number == 1
        assert verify_chain(settings.archive, against=read_line(line)).ok
        sealed = {(s.topic, s.partition): s.next for s in recorded(settings)[0].segments}
        assert sealed["predictions", 0] == 30
        checked = command("verify-chain", "--archive", str(settings.archive), "--against", line)
        assert checked.returncode == 0, checked.stderr
        assert "the chain holds and is the line's" in checked.stderr
        typo = command("verify-chain", "--archive", str(settings.archive), "--against", line[:-1])
        assert typo.returncode == 2
        assert "streamops seal --print" in typo.stderr
    finally:
        stop.set()
        archiver.join(30)
    assert not archiver.is_alive()


def test_without_an_archiver_a_request_ends_with_what_to_do(settings):
    with pytest.raises(TransportError, match="streamops run archiver"):
        ask_for_seal(settings, wait_s=0.5)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamops", *arguments], capture_output=True, text=True, timeout=120
    )
