"""Looking back on a real broker: what was answered then is answered again, later, as of then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from streamops.kafka.admin import create_topics
from streamops.kafka.clients import base_conf, make_producer
from streamops.settings import Settings
from streamops.views.asof import AsOf
from streamops.views.log import RawRecord
from streamops.views.materializer import Materializer
from streamops.views.queries import Question, answer_question
from tests.story import play
from tests.web_views import raws

QUESTIONS = (
    "SELECT model, version, stage, revision FROM current_models ORDER BY ALL",
    "SELECT alert_id, silenced, acknowledged FROM alerts_open ORDER BY ALL",
    "SELECT model, pane_start, version, segment, accuracy FROM performance_by_pane ORDER BY ALL",
    "SELECT topic, type, events FROM topic_counts ORDER BY ALL",
    "SELECT prediction_id, label, version FROM lineage ORDER BY ALL",
    "SELECT epoch FROM concluded",
)


@pytest.fixture
def settings(broker, namespace, tmp_path) -> Settings:
    return Settings(
        bootstrap=broker.bootstrap, namespace=namespace, data=tmp_path, partitions=2, driven=True
    )


def publish(records: list[RawRecord], settings: Settings) -> None:
    producer = make_producer(settings, "test")
    for raw in records:
        producer.produce(settings.topic(raw.topic), raw.value, raw.key, partition=raw.partition)
        producer.poll(0)
    assert producer.flush(60) == 0


def last_append(views: Materializer) -> datetime:
    """The greatest append time that is stored."""
    with views.cursor() as con:
        names = con.execute(
            "SELECT table_name FROM duckdb_columns() WHERE column_name = 'append_time' "
            "AND table_name IN (SELECT table_name FROM duckdb_tables())"
        ).fetchall()
        times = ", ".join(f'(SELECT max(append_time) FROM "{name}")' for (name,) in names)
        return con.execute(f"SELECT greatest({times})").fetchone()[0].replace(tzinfo=UTC)


def test_what_was_answered_then_is_answered_again(settings):
    create_topics(base_conf(settings, "test"), settings.namespace, settings.partitions)
    story = raws(play(panes=8))
    middle = sorted(raw.append_ms for raw in story)[len(story) // 2]
    publish([raw for raw in story if raw.append_ms <= middle], settings)
    views = Materializer(settings)
    try:
        views.run_to_end()
        then = [answer_question(views.snapshot(), Question(sql)) for sql in QUESTIONS]
        point = last_append(views)
        # The rest has a later append time: the broker's clock has moved on by a millisecond.
        while datetime.now(UTC) <= point + timedelta(milliseconds=2):
            views.run_once()
        publish([raw for raw in story if raw.append_ms > middle], settings)
        views.run_to_end()
        again = [
            answer_question(views.snapshot(), Question(sql, AsOf(recorded=point)))
            for sql in QUESTIONS
        ]
        now = [answer_question(views.snapshot(), Question(sql)) for sql in QUESTIONS]
    finally:
        views.close()
    assert again == then
    assert all(a != b for a, b in zip(now, then, strict=True))
