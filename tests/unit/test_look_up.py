"""Looking up by the archive's index finds what reading the files finds, whatever the index has."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest

from streamops import codec
from streamops.audit.biography import Biography, biography
from streamops.audit.look_up import around, by_key, outcomes_of
from streamops.core.times import micros
from streamops.errors import TransportError
from streamops.events import DriftDetected, MetricEvaluated, PredictionMade
from streamops.hosts.memory import MemoryHost
from streamops.views.archive import ArchiveLog, raw_folder
from streamops.views.key_index import KINDS, KeyIndex
from tests.story import archive, play

PREDICTIONS, METRICS = ("predictions", 0), ("metrics", 1)


@cache
def host() -> MemoryHost:
    """The story, of which a third of the outcomes and metrics stand as MessagePack."""
    found = play(panes=4)
    for place, rows in found.log.items():
        if place[0] in ("outcomes", "metrics"):
            rows[::3] = [r._replace(value=codec.pack(r.event)) for r in rows[::3]]
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive(host(), tmp_path_factory.mktemp("plain"))


@pytest.fixture
def indexed(plain: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    shutil.copytree(plain, folder)
    mend(folder)
    return folder


def mend(folder: Path) -> None:
    log, index = ArchiveLog(folder), KeyIndex(folder)
    for topic in KINDS:
        for partition in log.partitions(topic):
            index.mend((topic, partition), log)


def ids() -> list[str]:
    """Some predictions, one of them repeated."""
    made = [e.id for e in host().events("predictions") if isinstance(e, PredictionMade)]
    repeated = [id_ for id_ in made if made.count(id_) > 1]
    assert repeated
    return [made[1], made[len(made) // 2], repeated[0]]


def lives(folder: Path) -> list[Biography]:
    return [biography(folder, id_) for id_ in ids()]


def test_with_an_index_without_it_and_with_a_part_of_it_the_answer_is_the_same(plain, indexed):
    expected = lives(plain)
    assert lives(indexed) == expected
    blocks = indexed / "index" / "topic=predictions" / "partition=0.keys"
    blocks.write_bytes(blocks.read_bytes()[:-1])  # the last block is cut short
    (indexed / "index" / "topic=outcomes" / "partition=1.keys").unlink()
    (indexed / "index" / "topic=metrics" / "partition=0.keys").write_bytes(b"something else" * 9)
    assert lives(indexed) == expected


def test_a_mended_index_is_the_one_there_was(indexed):
    files = sorted((indexed / "index").rglob("*.keys"))
    before = [path.read_bytes() for path in files]
    files[0].unlink()
    files[1].write_bytes(before[1][:100])
    mend(indexed)
    assert [path.read_bytes() for path in files] == before


def test_keys_with_one_hash_are_told_apart(plain, indexed, monkeypatch):
    shutil.rmtree(indexed / "index")
    monkeypatch.setattr("streamops.views.key_index.zlib.crc32", lambda key: len(key) % 2)
    mend(indexed)
    (block, *_) = KeyIndex(indexed).blocks(PREDICTIONS)
    key = host().log[PREDICTIONS][5].key
    assert len(block.of_key(key)) > 1
    assert list(by_key(indexed, PREDICTIONS, key.decode())) == list(
        by_key(plain, PREDICTIONS, key.decode())
    )


def test_metrics_around_a_time_are_those_about_it(indexed):
    events = [r.event for r in host().log[METRICS]]
    known = [e for e in events if isinstance(e, MetricEvaluated | DriftDetected)]
    assert len(known) > 20
    for time in {e.time for e in known}:
        expected = [
            e.id
            for e in known
            if (e.pane_start if isinstance(e, MetricEvaluated) else e.since) <= time <= e.time
        ]
        found = around(indexed, METRICS, micros(time))
        assert [f.event.id for f in found] == expected


def test_a_file_that_the_index_knows_and_nobody_has_is_named(indexed):
    first = sorted(raw_folder(indexed, "predictions", 0).glob("*.parquet"))[0]
    first.unlink()
    with pytest.raises(TransportError, match=r"predictions-0: offsets 0 to 299 are missing"):
        list(by_key(indexed, PREDICTIONS, "any"))
    assert list(outcomes_of(indexed, ("outcomes", 0), "nobody's")) == []
