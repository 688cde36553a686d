"""The golden log concludes the same bytes, in replay and in memory, in any order of partitions."""

from __future__ import annotations

import random

import pytest

from streamops import codec
from streamops.audit.replay import replay, run_replay
from streamops.cli import main
from streamops.errors import EXIT_CONFIG, TransportError
from streamops.hosts.decoding import to_record
from streamops.hosts.memory import MemoryHost
from streamops.views.archive import ArchiveLog
from streamops.views.log import MemoryLog
from tests.replay.golden import EXPECTED, GOLDEN, RAW, expected, replayed
from tests.story import archive, make_counting, play, raw

TOPICS = ("outcomes", "summaries", "metrics", "alerts", "retraining", "deployments", "dlq")


def said(host: MemoryHost) -> dict[str, list[bytes]]:
    return {topic: sorted(map(codec.conclusion, host.events(topic))) for topic in TOPICS}


def of_topics(found: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
    return {topic: found.get(topic, []) for topic in TOPICS}


@pytest.fixture(scope="module")
def golden() -> dict[str, list[bytes]]:
    return of_topics(replayed(GOLDEN))


def test_the_golden_log_still_means_the_same():
    written = {path.name: path.read_bytes() for path in sorted(EXPECTED.iterdir())}
    assert expected() == written


def test_the_golden_log_has_something_to_say():
    assert (EXPECTED / "alerts.ndjson").read_bytes().count(b"AlertRaised") >= 3
    assert b"RetrainRequested" in (EXPECTED / "retraining.ndjson").read_bytes()
    assert b'"passed":false' in (EXPECTED / "deployments.ndjson").read_bytes()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_memory_host_concludes_the_same_in_any_order(golden, seed):
    log = ArchiveLog(GOLDEN)
    host = MemoryHost(partitions=2, make_detector=make_counting)
    for topic in RAW:
        for partition in range(2):
            rows = [to_record(*record[:6]) for record in log.read(topic, partition)]
            host.log[(topic, partition)] = rows
    chance = random.Random(seed)
    host.run(lambda places: chance.choice(places))
    assert said(host) == golden


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_replay_concludes_what_the_first_run_did(partitions, tmp_path):
    host = play(partitions, panes=8)
    archive(host, tmp_path, rows=100)
    assert of_topics(replayed(tmp_path)) == said(host)


def test_a_replay_is_asked_for_topics_that_it_concludes_on(capsys):
    assert main(["replay", "--archive", str(GOLDEN), "--topics", "alerts,nonsense"]) == EXIT_CONFIG
    said = capsys.readouterr().err
    assert "--topics has 'nonsense'; use some of alerts,deployments,dlq,metrics,outcomes" in said
    assert "predictions" not in said


def test_a_replay_reads_raw_topics_only_and_reports_how_far_it_is():
    log = ArchiveLog(GOLDEN)
    records = [r for t in RAW for p in range(2) for r in log.read(t, p)]
    seen: list[tuple[int, int]] = []
    outputs = list(
        replay(
            MemoryLog(records),
            partitions=2,
            skew_ms=None,
            make_detector=make_counting,
            on_progress=lambda *done: seen.append(done),
        )
    )
    assert outputs
    assert seen[-1] == (len(records), len(records))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_lost_raw_record_stops_a_replay(tmp_path):
    host = play(panes=2)
    archive(host, tmp_path, rows=50)
    (tmp_path / "raw" / "topic=labels" / "partition=0" / f"{50:020d}.parquet").unlink()
    with pytest.raises(TransportError, match="labels-0: offsets 50 to 99 are missing"):
        run_replay(tmp_path, make_detector=make_counting)


def test_records_of_the_story_survive_the_archive(tmp_path):
    host = play(panes=2)
    archive(host, tmp_path, rows=50)
    kept = list(ArchiveLog(tmp_path).read("predictions", 0))
    assert kept == [raw(record) for record in host.log[("predictions", 0)]]
