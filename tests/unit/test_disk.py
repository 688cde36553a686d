"""The disk's floor: who is below it is refused in clear words, and goes on above it."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka.admin import ConfigEntry

from streamops import disk
from streamops.disk import Disk, Floor, broker_disk, disk_of, floor_file, read_floor, write_floor
from streamops.errors import TransportError
from streamops.sdk.disk import BrokerDisk
from streamops.settings import Settings

HUGE_MB = 1 << 40


@pytest.fixture
def at_once(monkeypatch):
    """Every question looks."""
    monkeypatch.setattr(disk, "EVERY_S", 0.0)


def test_below_the_floor_folder_free_and_floor_are_named(tmp_path, at_once):
    low = Disk(Floor(str(tmp_path), HUGE_MB))
    with pytest.raises(TransportError) as raised:
        low.check()
    said = str(raised.value)
    assert f"{tmp_path} has {low.free_mb} MiB free" in said
    assert f"floor of {HUGE_MB} MiB (disk_floor_mb)" in said
    assert "--disk-floor-mb" in said


def test_a_floor_of_nothing_is_never_reached(tmp_path, at_once):
    Disk(Floor(str(tmp_path), 0)).check()


def test_the_file_is_read_again_and_all_goes_on(tmp_path, at_once, caplog):
    file = tmp_path / "disk.json"
    write_floor(file, Floor(str(tmp_path), HUGE_MB))
    watched = Disk(Floor(str(tmp_path), 0), file)
    assert watched.is_low()
    write_floor(file, Floor(str(tmp_path), 0))
    assert not watched.is_low()
    assert "paused" in caplog.text
    assert "going on" in caplog.text


def test_it_looks_at_most_once_a_second(tmp_path, monkeypatch):
    looks = []
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda folder: looks.append(folder))
    watched = Disk(Floor(str(tmp_path), 0))
    monkeypatch.setattr(watched, "_look", lambda: looks.append("look"))
    for _ in range(1000):
        watched.is_low()
    assert looks == ["look"]


def test_a_folder_that_is_not_there_is_not_low(tmp_path, at_once):
    assert not Disk(Floor(str(tmp_path / "gone"), HUGE_MB)).is_low()


def test_a_broken_file_leaves_the_floor_that_was(tmp_path, at_once):
    file = tmp_path / "disk.json"
    file.write_text("{")
    assert read_floor(file) is None
    assert Disk(Floor(str(tmp_path), HUGE_MB), file).is_low()


def test_a_folder_without_a_broker_has_its_own_disk(tmp_path):
    settings = Settings(bootstrap="kafka:9092", data=tmp_path, disk_floor_mb=7)
    assert broker_disk(settings) is None
    assert disk_of(settings).floor == Floor(str(tmp_path), 7)
    write_floor(floor_file(tmp_path), Floor("/elsewhere", 9))
    assert disk_of(settings).floor == Floor("/elsewhere", 9)


def test_free_space_and_floor_are_measured(tmp_path):
    found = {s.name: s.value for s in Disk(Floor(str(tmp_path), 3)).samples()}
    assert found["streamops_disk_floor_bytes"] == 3 << 20
    assert found["streamops_disk_free_bytes"] > 0


def test_a_kafka_elsewhere_is_never_asked():
    watched = BrokerDisk(Settings(bootstrap="kafka:9092"))
    watched.check()
    assert watched._admin is None


def test_a_broker_that_is_away_refuses_nothing():
    watched = BrokerDisk(Settings(bootstrap="127.0.0.1:1"))
    for _ in range(10):
        watched.check()


def test_a_question_that_two_threads_find_answered_is_read_once(monkeypatch):
    """One of them forgets the question while the other is about to read it."""

    class Answered(Future[dict[str, Any]]):
        asked = 0

        def done(self) -> bool:
            self.asked += 1
            if self.asked == 1:
                other = threading.Thread(target=watched.check)
                other.start()
                other.join()
            return True

    class Admin:
        def __init__(self, _: object) -> None: ...

        def describe_configs(self, resources: list[Any], **_: object) -> dict[Any, Any]:
            answer = Answered()
            answer.set_result({"log.dir": ConfigEntry("log.dir", "")})
            return dict.fromkeys(resources, answer)

    monkeypatch.setattr("streamops.sdk.disk.AdminClient", Admin)
    watched = BrokerDisk(Settings(bootstrap="127.0.0.1:1"))
    watched.check()  # asks
    watched.check()
