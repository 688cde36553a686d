"""What the views say of a model's story, row by row, over a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamops import codec
from streamops.events import (
    DatasetVersioned,
    EpochConcluded,
    Event,
    MetricEvaluated,
    ModelRegistered,
    OutcomeJoined,
    PaneSummarized,
    PredictionMade,
    RunCompleted,
    RunStarted,
    Tick,
    TopologyActivated,
)
from streamops.kafka.admin import create_topics
from streamops.kafka.broker import EmbeddedBroker
from streamops.kafka.clients import make_producer
from streamops.settings import Settings
from streamops.values import Metric, Performance, Stamp
from streamops.views.materializer import Materializer
from tests.builders import version

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def after(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


def data(name: str, content: str, hours: float) -> DatasetVersioned:
    return DatasetVersioned(
        id=f"{name}/{content}", time=after(hours), dataset=name, version=content[:4],
        content_hash=content, rows=10,
    )  # fmt: skip


def run(name: str, dataset: str, hours: float) -> RunStarted:
    return RunStarted(
        id=f"{name}/started", time=after(hours), model="m", run_id=name, dataset=dataset,
        code_commit="c0ffee",
    )  # fmt: skip


def completed(name: str, first: int, last: int) -> RunCompleted:
    return RunCompleted(
        id=f"{name}/completed", time=after(2), model="m", run_id=name, rows=7, first_epoch=first,
        last_epoch=last,
    )  # fmt: skip


def registered(name: str, run_id: str) -> ModelRegistered:
    made = version(name, model="m")
    return ModelRegistered(id=f"{name}/registered", time=NOON, version=made, run_id=run_id)


def made(n: int, version_: str) -> PredictionMade:
    return PredictionMade(
        id=f"p{n}", time=after(n), model="m", version=version_, prediction=1, score=0.5,
        features=msgspec.Raw(b"{}"),
    )  # fmt: skip


def joined(n: int, version_: str, epoch: int) -> OutcomeJoined:
    return OutcomeJoined(
        id=f"outcome/p{n}", time=after(n), prediction_id=f"p{n}", model="m", version=version_,
        prediction=1, label=0, label_time=after(n), stamp=Stamp("meter/0", epoch, n),
    )  # fmt: skip


def pane(cut: Any, source: int, **fields: Any) -> PaneSummarized:
    return PaneSummarized(
        id=f"pane/{cut}/{source}", time=after(1), model="m", version="1", segment="all",
        pane_start=NOON, cut=cut, config_hash="c", profile_hash="p",
        stamp=Stamp(f"meter/{source}", 1, 50 if cut == "closed" else 51), **fields,
    )  # fmt: skip


def metrics(cut: Any, *found: Metric, ordinal: int) -> MetricEvaluated:
    return MetricEvaluated(
        id=f"metric/{cut}", time=after(1), model="m", version="1", segment="all", pane_start=NOON,
        cut=cut, config_hash="c", metrics=found, stamp=Stamp("monitor/0", 1, ordinal),
    )  # fmt: skip


def story() -> Iterator[tuple[str, int, Event]]:
    """A first version on a named data set, a challenger on outcomes, a person's on the newest."""
    for topic in ("predictions", "labels"):
        yield topic, 0, TopologyActivated(id="topology", time=NOON, partitions=1, interval_s=0)
        yield topic, 0, Tick(id="tick/0", time=NOON, epoch=0)
    yield "data", 0, data("train", "aaaa1", -3)
    yield "data", 0, data("train", "bbbb2", -1)
    yield "data", 0, data("train", "cccc3", 3)
    yield "data", 0, data("m/outcomes?epochs=1-2&strategy=all", "dddd4", 1)
    yield "lifecycle", 0, run("first", "train@aaaa", -2)
    yield "lifecycle", 0, run("second", "m/outcomes?epochs=1-2&strategy=all", 1)
    yield "lifecycle", 0, run("third", "train", 2)
    yield "lifecycle", 0, completed("first", 0, 0)
    yield "lifecycle", 0, completed("second", 1, 2)
    for n, name in enumerate(("first", "second", "third", ""), start=1):
        yield "lifecycle", 0, registered(str(n), name)
        yield "predictions", 0, made(n, str(n))
    yield "outcomes", 0, joined(1, "1", 1)
    yield "outcomes", 0, joined(2, "2", 2)
    yield "outcomes", 0, joined(3, "3", 3)
    counted = Performance(labelled=3, corrections=1, duplicates=2)
    for source in (0, 1):
        yield "summaries", 0, pane("closed", source, predictions=5)
        yield "summaries", 0, pane("mature", source, predictions=5, performance=counted)
    yield (
        "metrics",
        0,
        metrics(
            "closed", Metric("psi", "x", 0.25, None, 9), Metric("ks", "x", 0.5, None, 9), ordinal=0
        ),
    )
    yield (
        "metrics",
        0,
        metrics(
            "mature",
            Metric("accuracy", "", 0.75, 0.9, 6),
            Metric("coverage", "", 0.6, None, 10),
            Metric("f1", "", None, None, 6),
            ordinal=1,
        ),
    )
    yield "progress", 0, concluded()


def concluded() -> EpochConcluded:
    return EpochConcluded(
        id="concluded/0/9", time=after(9), partition=0, epoch=9, stamp=Stamp("controller/0", 9, 0)
    )


@pytest.fixture(scope="module")
def ask(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory):
    folder: Path = tmp_path_factory.mktemp("views")
    settings = Settings(
        bootstrap=broker.bootstrap, namespace="viewrows", data=folder, partitions=1, driven=True
    )
    create_topics({"bootstrap.servers": broker.bootstrap}, "viewrows", 1)
    producer = make_producer(settings, "test")
    for topic, partition, event in story():
        producer.produce(settings.topic(topic), codec.encode(event), b"m", partition)
    assert producer.flush(30) == 0
    with closing(Materializer(settings)) as views:
        views.run_to_end()
        yield lambda sql: rows(views, sql)


def rows(views: Materializer, sql: str) -> list[tuple[object, ...]]:
    with views.cursor() as con:
        return con.execute(sql).fetchall()


def test_lineage_leads_from_a_prediction_to_the_data_its_run_named(ask):
    found = ask(
        "SELECT prediction_id, run_id, code_commit, dataset, dataset_version, dataset_hash, "
        "label, outcome_offset FROM lineage ORDER BY 1"
    )
    outcomes = "m/outcomes?epochs=1-2&strategy=all"
    assert found == [
        ("p1", "first", "c0ffee", "train", "aaaa", "aaaa1", "0", 0),
        ("p2", "second", "c0ffee", outcomes, "dddd", "dddd4", "0", 1),
        ("p3", "third", "c0ffee", "train", "bbbb", "bbbb2", "0", 2),
        ("p4", "", None, None, None, None, None, None),
    ]


def test_lineage_names_the_offsets_that_were_learned_from(ask):
    found = ask("SELECT trained_rows, trained_on FROM lineage WHERE trained_on IS NOT NULL")
    spans = [{"topic": "outcomes", "partition": 0, "first": 0, "next": 2}]
    assert found == [(7, spans)]


def test_coverage_sums_the_sources_of_a_pane(ask):
    found = ask(
        "SELECT version, predictions, labelled, coverage, corrections, duplicates "
        "FROM label_coverage"
    )
    assert found == [("1", 10, 6, 0.6, 2, 4)]


def test_performance_is_a_row_a_mature_pane(ask):
    found = ask(
        "SELECT pane_start, labelled, coverage, accuracy, accuracy_reference, f1, status "
        "FROM performance_by_pane"
    )
    assert [row[1:] for row in found] == [(6, 0.6, 0.75, 0.9, None, "evaluated")]


def test_drift_is_a_row_a_feature_and_closed_pane(ask):
    assert ask("SELECT feature, psi, ks, js, n FROM drift_by_feature") == [
        ("x", 0.25, 0.5, None, 9)
    ]


def test_metric_values_is_a_row_a_metric(ask):
    assert ask("SELECT cut, metric, feature, value, n FROM metric_values ORDER BY ALL") == [
        ("closed", "ks", "x", 0.5, 9),
        ("closed", "psi", "x", 0.25, 9),
        ("mature", "accuracy", "", 0.75, 6),
        ("mature", "coverage", "", 0.6, 10),
        ("mature", "f1", "", None, 6),
    ]
