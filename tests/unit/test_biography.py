"""The life of one prediction, beside what the story's host holds."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import msgspec
import pytest

from streamops.audit.biography import biography
from streamops.audit.biography_text import as_text
from streamops.config import DRIFT_METRICS
from streamops.errors import ConfigError
from streamops.events import (
    AlertRaised,
    DriftDetected,
    LabelArrived,
    MetricEvaluated,
    OutcomeJoined,
    PredictionMade,
)
from streamops.views.archive import ArchiveLog
from streamops.views.typed import write_typed
from tests.story import MOVED, PANE_S, archive, at, play


@cache
def played():
    return play()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive(played(), tmp_path_factory.mktemp("archive"))


def moved_prediction(country: str = "de") -> PredictionMade:
    """A labelled prediction of the first pane that drifts."""
    labelled = {e.prediction_id for e in played().events("labels") if isinstance(e, LabelArrived)}
    start, end = at(MOVED[0] * PANE_S), at((MOVED[0] + 1) * PANE_S)
    return next(
        e
        for e in played().events("predictions")
        if isinstance(e, PredictionMade)
        and e.model == "churn"
        and start <= e.time < end
        and e.id in labelled
        and e.segments["country"] == country
    )


@pytest.mark.parametrize(("country", "segment"), [("de", "country=de"), ("fr", "country=~other")])
def test_it_names_what_the_prediction_counted_in(folder, country, segment):
    made = moved_prediction(country)
    found = biography(folder, made.id)
    panes = {
        (e.id, e.segment)
        for e in played().events("metrics")
        if isinstance(e, MetricEvaluated)
        and (e.model, e.version) == (made.model, made.version)
        and e.pane_start <= made.time < e.time
        and e.segment in ("all", segment)
    }
    assert {(f.event.id, f.event.segment) for f in found.panes} == panes
    assert {segment_ for _, segment_ in panes} == {"all", segment}
    drifts = {
        e.id
        for e in played().events("metrics")
        if isinstance(e, DriftDetected)
        and (e.model, e.version) == (made.model, made.version)
        and e.since <= made.time <= e.time
    }
    assert {f.event.id for f in found.drifts} == drifts
    rest = {id_ for id_, _ in panes} | drifts
    alerts = {
        e.id
        for e in played().events("alerts")
        if isinstance(e, AlertRaised)
        and e.evidence
        and e.metric not in DRIFT_METRICS
        and rest & {r.id for r in e.evidence.metrics}
    }
    tested = {
        e.id
        for e in played().events("alerts")
        if isinstance(e, AlertRaised)
        and e.metric in DRIFT_METRICS
        and (e.model, e.version) == (made.model, made.version)
        and e.time > made.time
    }
    assert tested
    assert {f.event.id for f in found.alerts} == alerts | tested
    assert any(f.event.kind == "data_drift" for f in found.alerts)


def test_it_names_label_outcome_and_version(folder):
    made = moved_prediction()
    found = biography(folder, made.id)
    (outcome,) = [
        e
        for e in played().events("outcomes")
        if isinstance(e, OutcomeJoined) and e.prediction_id == made.id and not e.correction
    ]
    assert [msgspec.json.encode(f.event) for f in found.outcomes] == [msgspec.json.encode(outcome)]
    assert found.made[0].event.id == made.id
    assert {f.event.prediction_id for f in found.labels} == {made.id}
    assert found.version.registered is not None
    assert found.version.registered.version.version == made.version


def test_typed_files_give_the_same(folder, tmp_path):
    made = moved_prediction()
    there = tmp_path / "archive"
    shutil.copytree(folder, there)
    log = ArchiveLog(there)
    for partition in log.partitions("outcomes"):
        for _, cover in log.files("outcomes", partition):
            records = list(log.read("outcomes", partition, cover.first, cover.next))
            write_typed(there, records, ("outcomes", partition), cover.first)
    assert biography(there, made.id) == biography(folder, made.id)


def test_the_text_names_each_place(folder):
    found = biography(folder, moved_prediction().id)
    text = as_text(found)
    for place in (*found.made, *found.labels, *found.outcomes, *found.panes, *found.alerts):
        assert place.at in text
    assert "Answered by churn version v1" in text


def test_a_prediction_that_failed_and_one_without_a_label_have_a_life_too(folder):
    failed = next(e.id for e in played().events("predictions") if e.id.startswith("failed-"))
    found = biography(folder, failed)
    assert (found.labels, found.outcomes) == ((), ())
    assert "no answer: x" in as_text(found)
    assert "No label came for it." in as_text(found)


def test_a_repeat_is_told_apart_from_the_first(folder):
    seen, repeated = set[str](), ""
    for event in played().events("predictions"):
        if event.id in seen and isinstance(event, PredictionMade):
            repeated = event.id
        seen.add(event.id)
    found = biography(folder, repeated)
    assert len(found.made) == 2
    assert "a repeat, dropped" in as_text(found)


def test_an_id_that_is_nothing_is_named(folder):
    with pytest.raises(ConfigError, match="id is 'nobody', which is neither an alert nor a pred"):
        biography(folder, "nobody")
