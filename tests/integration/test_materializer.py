"""The views on a real broker: counts, repeats, crashes, deletion, queries."""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from streamops import codec
from streamops.errors import InputError, TransportError
from streamops.events import (
    AlertRaised,
    AlertResolved,
    EpochConcluded,
    Event,
    LabelArrived,
    OutcomeJoined,
    PredictionMade,
    StageChanged,
    Tick,
)
from streamops.kafka import silence
from streamops.kafka.admin import create_topics
from streamops.kafka.clients import make_producer
from streamops.settings import Settings
from streamops.values import Stamp
from streamops.views.archiver import archive_until_end
from streamops.views.materializer import Materializer, run_materializer
from streamops.views.queries import query
from streamops.views.sandbox import Limits, run_query

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
WRITES = """
import sys
from pathlib import Path
from streamops.settings import Settings
from streamops.views import materializer
materializer.BATCH = 150
views = materializer.Materializer(Settings(bootstrap=sys.argv[1], namespace=sys.argv[2],
                                           data=Path(sys.argv[3]), driven=True))
while True:
    count = views.run_once()
    if count:
        print(count, flush=True)
"""


@pytest.fixture
def settings(bootstrap: str, namespace: str, tmp_path: Path) -> Settings:
    create_topics({"bootstrap.servers": bootstrap}, namespace, 2)
    return Settings(
        bootstrap=bootstrap, namespace=namespace, data=tmp_path, partitions=2, driven=True
    )


@pytest.fixture
def produce(settings: Settings):
    producer = make_producer(settings, "test")

    def send(topic: str, *items: Event | bytes, partition: int = 0) -> None:
        for item in items:
            value = item if isinstance(item, bytes) else codec.encode(item)
            producer.produce(settings.topic(topic), value, b"k", partition)
        assert producer.flush(30) == 0

    return send


@pytest.fixture
def views(settings: Settings):
    materializer = Materializer(settings)
    yield materializer
    materializer.close()


def made(n: int) -> PredictionMade:
    return PredictionMade(
        id=f"p{n:06d}",
        time=NOON + timedelta(seconds=n),
        model="m",
        version="1",
        prediction=n % 3 == 0,
        score=0.5,
        features=msgspec.Raw(b'{"x":%d}' % n),
    )


def joined(n: int, ordinal: int, epoch: int = 0) -> OutcomeJoined:
    return OutcomeJoined(
        id=f"outcome/p{n:06d}",
        time=NOON,
        prediction_id=f"p{n:06d}",
        model="m",
        version="1",
        prediction=True,
        label=True,
        label_time=NOON,
        stamp=Stamp("meter/0", epoch, ordinal),
    )


def tick(epoch: int) -> Tick:
    return Tick(id=f"tick/{epoch}", time=NOON + timedelta(hours=epoch), epoch=epoch)


def concluded(epoch: int, partition: int = 0) -> EpochConcluded:
    source = f"controller/{partition}"
    return EpochConcluded(
        id=f"concluded/{partition}/{epoch}",
        time=NOON,
        partition=partition,
        epoch=epoch,
        stamp=Stamp(source, epoch, 0),
    )


def raised(fingerprint: str, revision: int, epoch: int) -> AlertRaised:
    return AlertRaised(
        id=f"alert/{fingerprint}/{revision}",
        time=NOON,
        fingerprint=fingerprint,
        revision=revision,
        kind="data_drift",
        severity="minor",
        model="m",
        version="1",
        segment="all",
        feature="x",
        rule="r",
        metric="psi",
        value=0.4,
        limit=0.2,
        pane_start=NOON,
        config_hash="c",
        stamp=Stamp("controller/0", epoch, revision),
    )


def rows(views: Materializer, sql: str) -> list[tuple[object, ...]]:
    with views.cursor() as con:
        return con.execute(sql).fetchall()


def test_an_event_is_a_row_with_its_place(views, produce):
    produce("predictions", made(1), made(2), partition=1)
    views.run_to_end()
    found = rows(
        views,
        "SELECT id, time, prediction, features->>'x', topic, partition, \"offset\" "
        "FROM predictions ORDER BY id",
    )
    start = NOON.replace(tzinfo=None)
    assert found == [
        ("p000001", start + timedelta(seconds=1), "false", "1", "predictions", 1, 0),
        ("p000002", start + timedelta(seconds=2), "false", "2", "predictions", 1, 1),
    ]


def test_repeats_vanish_within_a_batch_and_between(views, produce):
    first = [joined(n, ordinal=n) for n in range(5)]
    produce("outcomes", *first, *first[2:])
    produce("predictions", made(1), made(1))
    views.run_to_end()
    produce("outcomes", *first, joined(5, ordinal=5), joined(0, ordinal=0, epoch=1))
    produce("predictions", made(1), made(2))
    views.run_to_end()
    assert rows(views, "SELECT count(*) FROM outcomes") == [(7,)]
    assert rows(views, "SELECT id FROM predictions ORDER BY id") == [("p000001",), ("p000002",)]
    position = "SELECT records, events, repeats, unreadable FROM positions WHERE partition = 0 AND "
    assert rows(views, f"{position} topic = 'outcomes'") == [(15, 7, 8, 0)]
    assert rows(views, f"{position} topic = 'predictions'") == [(4, 2, 2, 0)]
    assert rows(views, "FROM topic_counts") == [
        ("outcomes", "OutcomeJoined", 7),
        ("predictions", "PredictionMade", 2),
    ]


def test_a_broadcast_is_kept_for_each_partition_and_counted_once(views, produce):
    for partition in (0, 1):
        produce("lifecycle", tick(0), tick(0), partition=partition)
        produce("predictions", made(1), partition=partition)
    views.run_to_end()
    assert rows(views, "SELECT partition, count(*) FROM ticks GROUP BY ALL ORDER BY ALL") == [
        (0, 1),
        (1, 1),
    ]
    assert views.counts() == {"PredictionMade": 1}
    assert views.counts(["labels"]) == {}


def test_a_bad_record_is_told_apart_from_its_neighbours(views, produce):
    bad = codec.encode(made(2)).replace(b'{"x":2}', b'{"x":"\xff"}')
    huge = codec.encode(made(3)).replace(b'{"x":3}', b'{"x":"\\ud800"}')
    far = codec.encode(tick(7)).replace(b'"epoch":7', b'"epoch":9223372036854775807')
    produce("predictions", made(1), b"no JSON", bad, joined(1, 1), far, made(4), huge, b"")
    views.run_to_end()
    stored = {i for (i,) in rows(views, "SELECT id FROM predictions")}
    assert {"p000001", "p000004"} <= stored <= {"p000001", "p000003", "p000004"}
    reasons = rows(views, 'SELECT "offset", reason FROM records_unreadable ORDER BY 1')
    assert [offset for offset, _ in reasons if offset != 6] == [1, 2, 3, 7]
    assert "topic predictions holds PredictionMade" in dict(reasons)[3]
    total = "SELECT sum(records) - sum(events) - sum(repeats) - sum(unreadable) FROM positions"
    assert rows(views, total) == [(0,)]


def test_raw_records_are_put_into_the_epoch_their_partition_has_open(views, produce):
    #  epoch      0  | 1 tick(1) | 1      3
    produce("predictions", made(0), tick(0), made(1), tick(1), made(2))
    views.run_to_end()
    produce("predictions", tick(1), tick(0), made(3), tick(3), made(4))
    views.run_to_end()
    found = rows(views, "SELECT id, epoch FROM predictions ORDER BY id")
    assert found == [(f"p{n:06d}", epoch) for n, epoch in enumerate((0, 0, 1, 1, 3))]


def test_a_joining_view_shows_concluded_epochs_only(views, produce):
    produce("alerts", raised("a", 1, epoch=1), raised("b", 1, epoch=2))
    produce("alerts", raised("b", 3, epoch=4))
    produce(
        "deployments",
        StageChanged(
            id="s", time=NOON, model="m", version="2", before="Staging", after="Production",
            revision=1, cause="c", replaced="1", stamp=Stamp("controller/0", 2, 9),
        ),
    )  # fmt: skip
    resolved = AlertResolved(
        id="r", time=NOON, fingerprint="b", revision=2, alert_id="alert/b/1", model="m",
        reason="recovered", stamp=Stamp("controller/0", 3, 0),
    )  # fmt: skip
    produce("alerts", resolved)
    open_alerts = "SELECT alert_id FROM alerts_open ORDER BY 1"
    seen = []
    for epoch in range(5):
        produce("progress", concluded(epoch))
        views.run_to_end()
        seen.append([i for (i,) in rows(views, open_alerts)])
    assert seen == [
        [],
        ["alert/a/1"],
        ["alert/a/1", "alert/b/1"],
        ["alert/a/1"],
        ["alert/a/1", "alert/b/3"],
    ]
    stages = rows(views, "SELECT version, stage FROM current_models ORDER BY 1")
    assert stages == [("1", "Archived"), ("2", "Production")]
    assert [what for (what,) in rows(views, "SELECT what FROM model_timeline")].count(
        "AlertRaised"
    ) == 3


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_no_row_is_lost_or_doubled(settings, produce, seed):
    count, chance = 6000, random.Random(seed)
    produce("predictions", *(made(n) for n in range(count)))
    produce("labels", *(label(n) for n in range(count)), partition=1)
    produce("outcomes", *(joined(n, ordinal=n) for n in range(count)))
    produce("outcomes", *(joined(n, ordinal=n) for n in range(0, count, 3)))
    for _ in range(6):
        kill_in_the_middle(settings, chance)
    views = Materializer(settings)
    before = dict(views.positions())
    assert any(before.values()), f"seed {seed}: nothing was stored before the kills"
    views.run_to_end()
    for name, topic in (("predictions", "predictions"), ("labels", "labels"), ("outcomes",) * 2):
        found = rows(views, f'SELECT count(*), count(DISTINCT id) FROM "{name}"')
        assert found == [(count, count)], f"seed {seed}: {topic}"
    assert rows(views, "SELECT sum(records), sum(repeats) FROM positions") == [
        (3 * count + count // 3, count // 3)
    ]
    views.close()


def label(n: int) -> LabelArrived:
    return LabelArrived(id=f"l{n:06d}", time=NOON, prediction_id=f"p{n:06d}", label=True)


def kill_in_the_middle(settings: Settings, chance: random.Random) -> None:
    """Let a materializer store some batches, then kill it somewhere in the next."""
    child = subprocess.Popen(
        [sys.executable, "-c", WRITES, settings.bootstrap, settings.namespace, str(settings.data)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert child.stdout is not None
    for _ in range(chance.randint(1, 5)):
        assert child.stdout.readline()
    # Waits a part of a batch's time for a line that mostly doesn't come.
    select.select([child.stdout], [], [], chance.random() * 0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()


def test_a_deleted_file_comes_back_even_of_what_kafka_dropped(settings, produce):
    produce("predictions", *(made(n) for n in range(500)))
    produce("labels", *(label(n) for n in range(300)))
    archive_until_end(settings)
    produce("predictions", *(made(n) for n in range(500, 700)))
    first = Materializer(settings)
    first.run_to_end()
    before = rows(first, "FROM predictions ORDER BY id"), rows(first, "FROM labels ORDER BY id")
    first.close()
    drop(settings, "predictions", 400)
    settings.views.unlink()
    again = Materializer(settings)
    again.run_to_end()
    after = rows(again, "FROM predictions ORDER BY id"), rows(again, "FROM labels ORDER BY id")
    again.close()
    assert len(before[0]) == 700
    assert after == before
    settings.views.unlink()
    shutil.rmtree(settings.archive)
    with pytest.raises(TransportError, match="predictions-0: offsets 0 to 399 are missing"):
        Materializer(settings).run_to_end()


def drop(settings: Settings, topic: str, below: int) -> None:
    """Let Kafka forget the records of partition 0 below an offset, as retention does."""
    admin = AdminClient({"bootstrap.servers": settings.bootstrap})
    place = TopicPartition(settings.topic(topic), 0, below)
    for future in admin.delete_records([place]).values():
        future.result(30)


def test_two_materializers_never_share_a_file(settings, views):
    views.snapshot()
    refused = subprocess.run(
        [sys.executable, "-c", WRITES, settings.bootstrap, settings.namespace, str(settings.data)],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert refused.returncode != 0
    assert b"TransportError" in refused.stderr
    assert b"stop the other process" in refused.stderr


def test_a_snapshot_stays_as_it_was(views, produce):
    produce("predictions", made(1))
    views.run_to_end()
    old = views.snapshot()
    assert views.snapshot() == old
    produce("predictions", made(2))
    views.run_to_end()
    new = views.snapshot()
    assert run_query(old, "SELECT count(*) FROM predictions").rows == [[1]]
    assert run_query(new, "SELECT count(*) FROM predictions").rows == [[2]]


def test_free_sql_harms_nobody(views, produce, tmp_path):
    produce("predictions", made(1))
    views.run_to_end()
    snapshot = views.snapshot()
    for sql in (
        "WITH x AS (SELECT 1) DELETE FROM predictions",
        "DROP TABLE predictions",
        f"COPY predictions TO '{tmp_path}/stolen.csv'",
        "SELECT * FROM read_text('/etc/hostname')",
        "SET enable_external_access = true",
        "SELECT nothing FROM nowhere",
    ):
        with pytest.raises(InputError, match="sql failed"):
            run_query(snapshot, sql)
    with pytest.raises(InputError, match=r"more than 1.5 s"):
        run_query(
            snapshot,
            "SELECT count(*) FROM range(1000000000000) a JOIN range(9) b ON a.range = b.range",
            Limits(seconds=1.5),
        )
    with pytest.raises(InputError, match=r"[Mm]emory"):
        run_query(snapshot, "SELECT list(range) FROM range(300000000)", Limits(seconds=60))
    few = run_query(snapshot, "FROM range(50)", Limits(rows=10))
    assert (len(few.rows), few.truncated) == (10, True)
    assert run_query(snapshot, "SELECT count(*) FROM predictions").rows == [[1]]


def test_sql_works_when_the_stack_is_down_even_after_a_kill(settings, produce):
    produce("predictions", *(made(n) for n in range(300)))
    child = subprocess.Popen(
        [sys.executable, "-c", WRITES, settings.bootstrap, settings.namespace, str(settings.data)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert child.stdout is not None
    stored = 0
    while stored < 300:
        stored += int(child.stdout.readline())
    with pytest.raises(TransportError, match="stop the other process"):
        query(settings, "SELECT 1")
    child.kill()
    child.wait()
    child.stdout.close()
    answer = query(settings, "SELECT count(*) AS n, min(time) AS first FROM predictions")
    assert (answer.columns, answer.rows) == (("n", "first"), [[300, "2024-05-01T12:00:00Z"]])


def test_the_service_ends_when_it_is_told(settings, produce):
    produce("predictions", made(1))
    stop = threading.Event()
    runner = threading.Thread(target=run_materializer, args=(settings, stop))
    runner.start()
    stop.set()
    runner.join(30)
    assert not runner.is_alive()
    with_file = Materializer(settings)
    with_file.run_to_end()
    assert with_file.counts() == {"PredictionMade": 1}
    with_file.close()


def test_a_client_that_fell_silent_is_made_anew_where_it_stood(views, produce, monkeypatch):
    monkeypatch.setattr(silence, "SILENT_S", 0.5)
    produce("predictions", *[made(n) for n in range(4)])
    views.run_to_end()
    produce("predictions", *[made(n) for n in range(4, 8)])
    # As after lost metadata: no partition is fetched any more, and no error tells.
    silenced = views._tail._consumer
    silenced.pause(silenced.assignment())
    views.run_to_end()
    assert views._tail._consumer is not silenced
    assert rows(views, "SELECT count(*), count(DISTINCT id) FROM predictions") == [(8, 8)]
