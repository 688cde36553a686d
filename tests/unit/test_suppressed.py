"""Alerts that page nobody, from the log to where people look: proof, what-if, views, page, CLI."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from litestar.testing import TestClient
from prometheus_client.parser import text_string_to_metric_families

from streamops import codec
from streamops.audit.replay import run_replay
from streamops.audit.verify import verify
from streamops.audit.whatif import what_if
from streamops.cli import main
from streamops.config import NoisePolicy
from streamops.events import AlertRaised, AlertSilenceRequested, ConfigActivated, Sealed
from streamops.quiet import Hold
from streamops.settings import Settings
from streamops.web.app import create_app
from streamops.web.markup import path
from tests.story import PANE_S, archive, at, make_counting, play
from tests.web_views import StoredViews, raws

MAINTENANCE, PLAIN = "churn/~maintenance/*/*/x", "churn/x drifts/all/x"


def said(name, actor, until, **hold):
    return AlertSilenceRequested(
        id=actor,
        time=at(0),
        model="churn",
        actor=actor,
        fingerprint=name,
        until=at(until * PANE_S),
        reason=f"{actor} knows",
        hold=Hold(**hold) if hold else None,
    )


SAID = (
    said(MAINTENANCE, "ann", 4, how="maintenance", since=at(3 * PANE_S)),
    said(PLAIN, "bob", 9),
    said("churn/~silence/quality/*", "cyd", 99, how="silence", kind="quality"),
)


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """The story with all kinds of quiet, archived, stored and served."""
    host = play(panes=12, seal_every=3, noise=NoisePolicy(group_panes=6), said=SAID)
    folder = tmp_path_factory.mktemp("quiet")
    views = StoredViews(folder, raws(host))
    settings = Settings(bootstrap="none", namespace="ns", data=Path("none"))
    with TestClient(create_app(views, settings), base_url="http://127.0.0.1") as client:
        yield SimpleNamespace(
            host=host,
            client=client,
            data=folder,
            archive=archive(host, folder / "archive"),
            views=views,
            alerts=[e for e in host.events("alerts") if isinstance(e, AlertRaised)],
        )
    views.close()


def rows(story, sql):
    return story.views.cursor().execute(sql).fetchall()


def test_every_alert_verifies_with_the_reason_it_paged_nobody(story):
    found = verify(story.archive, make_detector=make_counting)
    assert (found.ok, found.findings) == (True, ())
    assert {alert.id for alert in found.alerts} == {alert.id for alert in story.alerts}
    member = next(a for a in story.alerts if a.rule == "german accuracy")
    assert member.noise.reason == "group"
    alone = verify(story.archive, alert=member.id, make_detector=make_counting)
    assert (alone.ok, alone.findings) == (True, ())
    assert alone.start_epoch > 0, "from a sealed state that knows its incident"


def test_a_seal_names_the_semantics_that_its_state_needs(story):
    seals = [e for e in story.host.events("progress") if isinstance(e, Sealed)]
    assert {e.semantics for e in seals if e.source.startswith("controller/")} == {3, 4}


def test_a_replay_says_the_same(story):
    again = run_replay(story.archive, make_detector=make_counting, topics=("alerts",))
    recorded = story.host.events("alerts")
    assert sorted(map(codec.conclusion, again)) == sorted(map(codec.conclusion, recorded))


def test_what_if_without_it_tells_of_each(story):
    active = [e.config for e in story.host.events("lifecycle") if isinstance(e, ConfigActivated)]
    loud = [msgspec.structs.replace(config, noise=None) for config in active]
    found = what_if(story.archive, loud, make_detector=make_counting).alerts
    assert (found.recorded, found.other, found.same) == (len(story.alerts),) * 3
    paging = len([alert for alert in story.alerts if not alert.silenced])
    grouped = [alert for alert in story.alerts if alert.noise and alert.noise.reason == "group"]
    assert found.pages == (paging, paging + len(grouped))
    assert {mark.what for mark in found.told} == {alert.fingerprint for alert in grouped}
    assert found.hushed == ()
    assert not found.is_none


def test_suppressed_and_paging_are_all(story):
    held = rows(story, "SELECT alert_id FROM alerts_suppressed")
    paged = rows(story, "SELECT id FROM alerts_raised WHERE NOT silenced")
    assert sorted(id_ for (id_,) in held + paged) == sorted(alert.id for alert in story.alerts)
    assert len(held) > 4
    assert len(paged) > 1


def test_the_view_says_why_and_by_whom(story):
    found = rows(story, "SELECT DISTINCT reason, held_by, actor, why FROM alerts_suppressed")
    assert ("maintenance", MAINTENANCE, "ann", "ann knows") in found
    assert ("silence", PLAIN, "bob", "bob knows") in found
    incidents = {by for reason, by, *_ in found if reason == "group"}
    assert incidents <= {alert.id for alert in story.alerts if not alert.silenced}


def test_the_page_says_it_too(story):
    grouped = next(a for a in story.alerts if a.noise and a.noise.reason == "group")
    leader = next(a for a in story.alerts if a.noise and a.noise.members)
    text = story.client.get("/models/churn").text
    assert "in a group" in text
    assert f"and {len(leader.noise.members)} more" in text
    assert "Silences in force" in text
    assert "cyd knows" in text
    assert "bob knows" not in text, "that one is over"
    text = story.client.get(path("alerts", grouped.id)).text
    assert "the alert that paged in its place" in text
    assert path("alerts", grouped.noise.by) in text
    text = story.client.get(path("alerts", leader.id)).text
    assert f"yes, with {len(leader.noise.members)} more" in text


def test_open_ones_are_counted(story):
    families = text_string_to_metric_families(story.client.get("/metrics").text)
    samples = [s for f in families for s in f.samples if s.name == "streamops_alerts_suppressed"]
    counted = {s.labels["reason"]: s.value for s in samples if s.labels["model"] == "churn"}
    still = rows(story, "SELECT reason, count(*) FROM alerts_suppressed WHERE is_open GROUP BY 1")
    assert counted == dict(still)
    assert sum(counted.values()) > 0
    assert f"{sum(counted.values()):g} of them paged nobody" in story.client.get("/").text


def test_silences_are_listed(story, tmp_path, capsys):
    shutil.copy(story.views.snapshot(), tmp_path / "views.duckdb")
    assert main(["silences", "churn", "--all", "--data", str(tmp_path), "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert listed.keys() == {MAINTENANCE, PLAIN, "churn/~silence/quality/*"}
    assert [name for name, row in listed.items() if row["in_force"]] == ["churn/~silence/quality/*"]
    assert (listed[PLAIN]["how"], listed[PLAIN]["actor"]) == ("silence", "bob")
    assert main(["silences", "calm", "--data", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
