"""The page and its API over views that were stored without a broker."""

from __future__ import annotations

import hashlib
import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient
from prometheus_client.parser import text_string_to_metric_families

from streamops import codec
from streamops.core.profile import category_profile, numeric_profile
from streamops.events import (
    AlertRaised,
    EpochConcluded,
    MetricEvaluated,
    ModelRegistered,
    StageChanged,
    TopologyActivated,
    VersionActivated,
)
from streamops.settings import Settings
from streamops.values import Metric, MetricRef, ModelVersion, Proof, ReferenceProfile, Stamp
from streamops.views.log import RawRecord
from streamops.web.app import create_app
from streamops.web.assets import assets
from streamops.web.door import POLICY
from streamops.web.markup import Markup, path, tag
from streamops.web.reads.bins import bins_of, labels_of
from streamops.web.reads.charts import with_gaps
from streamops.web.serve import serving
from streamops.web.units import measured, name_of, number
from streamops.web.watch import STALL_S, Watch
from tests.story import play
from tests.web_views import StoredViews, raws

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
PANE = timedelta(minutes=1)
EVIL = "<script>alert(1)</script>"
ODD = "a/b c?d=1&e%2F#ü"


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """A client over the story's views."""
    views = StoredViews(tmp_path_factory.mktemp("views"), raws(play()))
    yield from serve(views, "story")


def serve(views: StoredViews, namespace: str = "ns", **given: Any):
    settings = Settings(bootstrap="none", namespace=namespace, data=Path("none"))
    with TestClient(create_app(views, settings, **given), base_url="http://127.0.0.1") as client:
        yield client
    views.close()


class Book:
    """Records for one partition of each topic, by hand."""

    def __init__(self) -> None:
        self.records: list[RawRecord] = []
        topology = TopologyActivated(id="t", time=NOON, partitions=1, driven=True)
        self.add("lifecycle", topology)

    def add(self, topic: str, *events: Any) -> None:
        for event in events:
            offset = len([r for r in self.records if r.topic == topic])
            value = codec.encode(event)
            self.records.append(RawRecord(topic, 0, offset, 1_777_636_800_000, b"k", value))

    def version(self, model: str, feature: str) -> None:
        """A champion with one feature."""
        profile = ReferenceProfile(rows=10, features=(numeric_profile(feature, [1.0, 2.0] * 5),))
        version = ModelVersion(
            model=model,
            version="v1",
            task="binary",
            positive="1",
            profile=profile,
            profile_hash="p",
        )
        self.add("lifecycle", ModelRegistered(id="r", time=NOON, version=version))
        activated = VersionActivated(
            id="va", time=NOON, revision=1, first_pane=NOON, version=version
        )
        self.add("predictions", activated)
        changed = StageChanged(
            id="s", time=NOON, model=model, version="v1", before="Development", after="Production",
            revision=1, cause="c", stamp=Stamp("controller/0", 0, 0),
        )  # fmt: skip
        self.add("deployments", changed)

    def pane(self, n: int, model: str, *metrics: Metric, cut: str = "closed", **given: Any) -> None:
        """One evaluated pane."""
        start = NOON + n * PANE
        fields: dict[str, Any] = {
            "id": f"metric/{cut}/{n}", "time": start + PANE, "model": model, "version": "v1",
            "segment": "all", "pane_start": start, "cut": cut, "config_hash": "h",
            "metrics": metrics, "stamp": Stamp("monitor/0", n, len(self.records)), **given,
        }  # fmt: skip
        self.add("metrics", MetricEvaluated(**fields))

    def conclude(self, epoch: int = 10_000) -> list[RawRecord]:
        done = EpochConcluded(id=f"c/{epoch}", time=NOON, partition=0, epoch=epoch)
        self.add("progress", done)
        return self.records


def alert(model: str, feature: str, **given: Any) -> AlertRaised:
    fields: dict[str, Any] = {
        "id": "alert/1", "time": NOON + PANE, "fingerprint": f"{model}/{feature}", "revision": 1,
        "kind": "data_drift", "severity": "major", "model": model, "version": "v1",
        "segment": "all", "feature": feature, "rule": "drifts", "metric": "psi", "value": 0.7,
        "limit": 0.2, "pane_start": NOON, "config_hash": "h",
        "stamp": Stamp("controller/0", 1, 0),
        "evidence": Proof(metrics=(MetricRef(id="metric/closed/0", stamp=Stamp("monitor/0", 0, 1),
                                             offset=0),)),
        **given,
    }  # fmt: skip
    return AlertRaised(**fields)


# Pages and their JSON ----------------------------------------------------------------------------


def test_the_overview_shows_each_model_with_its_champion_and_quality(story):
    page = story.get("/").text
    found = story.get("/api/overview").json()
    assert [m["model"] for m in found["models"]] == ["calm", "churn"]
    for model in found["models"]:
        assert f'<a href="/models/{model["model"]}">' in page
        assert f"<dd>{model['champion']}</dd>" in page
    calm, churn = found["models"]
    assert f"{calm['value'] * 100:.1f} %" in page
    assert (churn["champion"], churn["metric"]) == ("v15", "")  # it came in the last panes
    assert page.count("no labels judged yet") == 1
    topics = {t["topic"]: t for t in found["topics"]}
    assert topics["predictions"]["unreadable"] == 1
    assert topics["predictions"]["repeats"] > 0
    assert all(
        t["records"] == t["events"] + t["repeats"] + t["unreadable"] for t in topics.values()
    )


def test_a_new_champion_is_not_shown_with_the_quality_of_the_one_before(tmp_path):
    book = Book()
    book.version("m", "x")
    book.pane(0, "m", Metric("accuracy", "", 0.25, 0.9, 50), cut="mature")
    changed = StageChanged(
        id="s2", time=NOON + PANE, model="m", version="v2", before="Staging", after="Production",
        revision=2, cause="c", replaced="v1", stamp=Stamp("controller/0", 1, 0),
    )  # fmt: skip
    left = StageChanged(
        id="s3", time=NOON + PANE, model="m", version="v1", before="Production", after="Archived",
        revision=2, cause="c", stamp=Stamp("controller/0", 1, 1),
    )  # fmt: skip
    book.add("deployments", changed, left)
    for client in serve(StoredViews(tmp_path, book.conclude())):
        (model,) = client.get("/api/overview").json()["models"]
        assert (model["champion"], model["metric"], model["value"]) == ("v2", "", None)
        assert "25.0 %" not in client.get("/").text


def test_an_empty_namespace_says_what_to_do_next(tmp_path):
    for client in serve(StoredViews(tmp_path, [])):
        page = client.get("/").text
        assert "streamops simulate FILE.csv" in page
        assert "No epoch is concluded yet" in page
        assert client.get("/api/overview").json()["concluded_epoch"] == -1
        assert client.get("/models/none").status_code == 404


def test_a_model_page_links_every_alert_to_its_proof(story):
    page = story.get("/models/churn").text
    alerts = story.get("/api/alerts", params={"model": "churn"}).json()
    assert alerts["total"] == len(alerts["alerts"]) > 0
    for found in alerts["alerts"]:
        href = path("alerts", found["alert_id"])
        assert f'href="{href}"' in page
        assert story.get(href).status_code == 200


def test_charts_carry_series_bands_and_marks(story):
    found = story.get("/api/models/churn/charts").json()
    charts = {c["name"]: c for c in found["charts"]}
    assert list(charts)[:2] == ["quality", "drift"]
    assert [s["name"] for s in charts["quality"]["series"]] == ["accuracy", "at acceptance"]
    assert {s["name"] for s in charts["drift"]["series"]} == {"x", "plan"}
    assert found["bands"][0]["version"] == "v1"
    assert [b["until"] for b in found["bands"]][:-1] == [b["since"] for b in found["bands"]][1:]
    assert found["bands"][-1]["until"] is None
    alerts = story.get("/api/alerts", params={"model": "churn"}).json()
    assert {m["alert_id"] for m in found["marks"]} == {a["alert_id"] for a in alerts["alerts"]}
    for chart in charts.values():
        assert chart["times"] == sorted(set(chart["times"]))
        assert {len(s["values"]) for s in chart["series"]} == {len(chart["times"])}


def test_the_charts_of_a_feature_have_its_own_marks_only(story):
    x = story.get("/api/models/churn/features/x/charts").json()
    plan = story.get("/api/models/churn/features/plan/charts").json()
    assert len(x["marks"]) > 0
    assert plan["marks"] == []
    assert [s["name"] for s in x["charts"][0]["series"]] == ["psi", "js", "ks"]


def test_the_bins_of_a_pane_are_added_over_its_source_partitions(story):
    found = story.get("/api/models/churn/features/x").json()
    shown = [b["count"] for b in found["bins"]]
    sql = (
        "SELECT features FROM panes_summarized WHERE model = 'churn' AND cut = 'closed' "
        f"AND segment = 'all' AND version = '{found['pane']['version']}' "
        f"AND pane_start = '{found['pane']['pane_start'].rstrip('Z')}'"
    )
    rows = story.post("/api/sql", json={"sql": sql}).json()["rows"]
    assert len(rows) == 2
    parts = [{f[0]: f[1] for f in msgspec.json.decode(text)} for (text,) in rows]
    assert shown == [sum(part["x"][n] for part in parts) for n in range(len(shown))]
    assert found["rows"] == sum(shown) == found["pane"]["rows"]


def test_an_earlier_pane_can_be_chosen_by_time_or_by_the_form(story):
    found = story.get("/api/models/churn/features/x").json()
    old = found["panes"][-1]
    asked = {"pane": old["pane_start"], "version": old["version"]}
    assert story.get("/api/models/churn/features/x", params=asked).json()["pane"] == old
    page = story.get(
        "/models/churn/features/x", params={"shown": f"{old['pane_start']} {old['version']}"}
    ).text
    assert f"version {old['version']}: {old['rows']} rows" in page
    for odd in ("yesterday", "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"):
        assert story.get(f"/models/churn/features/x?pane={odd}").status_code == 400


def test_a_proof_names_metrics_summaries_and_raw_offsets(story):
    alerts = story.get("/api/alerts", params={"model": "churn"}).json()["alerts"]
    one = next(a for a in alerts if a["kind"] == "data_drift")
    found = story.get(path("api", "alerts", one["alert_id"])).json()
    assert found["definition"]["name"] == one["rule"]
    (metric,) = found["metrics"]
    assert metric["metric"][2] == one["value"]
    assert len(metric["summaries"]) == 2
    page = story.get(path("alerts", one["alert_id"])).text
    assert found["config_hash"] in page
    for summary in metric["summaries"]:
        topic, partition, first, after = summary["raw"]["spans"][0]
        assert f"{topic}-{partition} [{first}, {after})" in page


def test_a_detectors_proof_names_its_outcomes(story):
    alerts = story.get("/api/alerts", params={"model": "churn"}).json()["alerts"]
    one = next(a for a in alerts if a["kind"] == "concept_drift")
    (metric,) = story.get(path("api", "alerts", one["alert_id"])).json()["metrics"]
    assert metric["kind"] == "DriftDetected"
    assert metric["outcomes"]["outcomes"] > 0
    assert metric["outcomes"]["chain"] in story.get(path("alerts", one["alert_id"])).text


def test_alerts_come_page_by_page_newest_first(story):
    every = story.get("/api/alerts").json()["alerts"]
    times = [a["raised_at"] for a in every]
    assert times == sorted(times, reverse=True)
    second = story.get("/api/alerts", params={"limit": 2, "offset": 2}).json()
    assert second["alerts"] == every[2:4]
    still_open = story.get("/api/alerts", params={"open": "true"}).json()
    assert {a["alert_id"] for a in still_open["alerts"]} == {
        a["alert_id"] for a in every if a["resolved_at"] is None
    }
    assert story.get("/api/alerts", params={"limit": 5000}).status_code == 400
    assert story.get("/api/alerts", params={"offset": 2**63 - 1}).json()["alerts"] == []
    assert story.get("/api/alerts", params={"offset": 2**63}).status_code == 400


# What isn't there --------------------------------------------------------------------------------


def test_insufficient_data_is_a_gap_and_never_zero(tmp_path):
    book = Book()
    book.version("m", "x")
    book.pane(0, "m", Metric("psi", "x", 0.1, None, 50))
    book.pane(1, "m", Metric("psi", "x", None, None, 3))
    book.pane(4, "m", Metric("psi", "x", 0.3, None, 50))
    low = (Metric("coverage", "", 0.1, None, 50), Metric("accuracy", "", 0.5, None, 5))
    book.pane(4, "m", *low, cut="mature", status="coverage")
    for client in serve(StoredViews(tmp_path, book.conclude())):
        found = client.get("/api/models/m/charts").json()
        charts = {c["name"]: c for c in found["charts"]}
        minutes = [(t - NOON.timestamp()) / 60 for t in charts["drift"]["times"]]
        assert minutes == [0, 1, 2, 4]  # nothing came for panes 2 and 3: one point, empty
        assert charts["drift"]["series"][0]["values"] == [0.1, None, None, 0.3]
        assert charts["quality"]["series"] == []
        assert charts["coverage"]["series"][0]["values"] == [0.1]
        page = client.get("/").text
        assert "insufficient data" in page
        assert "0.0 %" not in page


def test_beyond_the_points_asked_for_neighbours_are_one_point(tmp_path):
    book = Book()
    book.version("m", "x")
    for n in range(10):
        book.pane(n, "m", Metric("psi", "x", n / 10, None, 50))
        half = Metric("accuracy", "", 1.0 if n % 2 else 0.0, 0.9, 30 if n % 2 else 10)
        book.pane(n, "m", half, cut="mature")
    for client in serve(StoredViews(tmp_path, book.conclude())):
        found = client.get("/api/models/m/charts", params={"points": 5}).json()
        charts = {c["name"]: c for c in found["charts"]}
        assert charts["drift"]["panes_per_point"] == 2
        assert charts["drift"]["series"][0]["values"] == [0.1, 0.3, 0.5, 0.7, 0.9]
        assert charts["quality"]["series"][0]["values"] == [0.75] * 5
        assert client.get("/api/models/m/charts?points=2001").status_code == 400


def test_what_is_not_concluded_yet_is_not_shown(tmp_path):
    book = Book()
    book.version("m", "x")
    book.pane(0, "m", Metric("psi", "x", 0.1, None, 50))
    book.pane(1, "m", Metric("psi", "x", 0.2, None, 50))
    for client in serve(StoredViews(tmp_path, book.conclude(epoch=0))):
        (chart,) = client.get("/api/models/m/charts").json()["charts"]
        assert chart["series"][0]["values"] == [0.1]


# Strangers ---------------------------------------------------------------------------------------


def test_text_from_the_log_is_escaped_on_every_page(tmp_path):
    book = Book()
    book.version(EVIL, EVIL)
    book.pane(0, EVIL, Metric("psi", EVIL, 0.7, None, 50))
    book.add("alerts", alert(EVIL, EVIL, rule=EVIL))
    for client in serve(StoredViews(tmp_path, book.conclude())):
        pages = (
            "/", path("models", EVIL), path("models", EVIL, "features", EVIL),
            path("alerts", "alert/1"), path("models", f"{EVIL}?"),
        )  # fmt: skip
        for address in pages:
            page = client.get(address).text
            assert "&lt;script&gt;alert(1)" in page
            assert "<script>alert" not in page


def test_names_with_slashes_and_percent_signs_have_pages(tmp_path):
    book = Book()
    book.version(ODD, ODD)
    book.pane(0, ODD, Metric("psi", ODD, 0.7, None, 50))
    book.add("alerts", alert(ODD, ODD))
    for client in serve(StoredViews(tmp_path, book.conclude())):
        assert client.get(path("api", "models", ODD)).json()["model"] == ODD
        found = client.get(path("api", "models", ODD, "features", ODD)).json()
        assert found["feature"] == ODD
        for address in re.findall(r'href="(/(?:models|alerts)[^"]*)"', client.get("/").text):
            assert client.get(address.replace("&amp;", "&")).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil", "[", "[::1"]
)
def test_a_foreign_host_name_is_refused(story, host):
    refused = story.get("/api/overview", headers={"host": host})
    assert refused.status_code == 421
    assert "STREAMOPS_WEB_HOSTS" in refused.text


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_loopback_names_are_answered(story, host):
    assert story.get("/api/state", headers={"host": host}).status_code == 200


def test_a_configured_host_name_is_answered(tmp_path):
    for client in serve(StoredViews(tmp_path, []), hosts=["views.internal"]):
        assert client.get("/", headers={"host": "views.internal"}).status_code == 200


def test_another_origin_is_refused(story):
    for origin in ("http://evil.example", "http://[", "null"):
        sent = {"origin": origin}
        assert story.post("/api/sql", json={"sql": "SELECT 1"}, headers=sent).status_code == 421
    own = {"origin": "http://127.0.0.1"}
    assert story.post("/api/sql", json={"sql": "SELECT 1"}, headers=own).status_code == 200


@pytest.mark.parametrize("address", ["/", "/nothing", "/api/nothing", "/static/page.js", "/health"])
def test_every_answer_has_the_policy(story, address):
    headers = story.get(address).headers
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"


def test_no_page_has_inline_script_or_style_or_a_foreign_address(story):
    alert_id = story.get("/api/alerts").json()["alerts"][0]["alert_id"]
    for address in ("/", "/models/churn", "/models/churn/features/x", path("alerts", alert_id)):
        page = story.get(address).text
        assert re.findall(r"<script(?![^>]* src=)", page) == []
        assert re.findall(r"<style|\sstyle=|\son\w+=", page) == []
        assert re.findall(r'(?:src|href)="(?!/|#)[^"]*"', page) == []


# SQL, health, metrics ----------------------------------------------------------------------------


def test_free_sql_runs_on_a_copy(story):
    found = story.post("/api/sql", json={"sql": "SELECT count(*) AS n FROM ticks"}).json()
    assert found["columns"] == ["n"]
    assert found["rows"][0][0] > 0
    before = story.get("/api/overview").json()["topics"]
    story.post("/api/sql", json={"sql": "DELETE FROM ticks"})
    assert story.get("/api/overview").json()["topics"] == before


def test_free_sql_looks_back(story):
    asked = {"sql": "SELECT epoch FROM concluded", "at": {"as_of_epoch": 3}}
    assert story.post("/api/sql", json=asked).json()["rows"] == [[3]]
    asked = {"sql": "SELECT count(*) FROM predictions WHERE time > '2026-05-01'", "at": {}}
    now = story.post("/api/sql", json=asked).json()["rows"]
    asked["at"] = {"for": "2026-05-01T01:50:00Z"}
    assert story.post("/api/sql", json=asked).json()["rows"] < now


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ('{"sql": "SELEC 1"}', "application/json", 400),
        ("not json", "application/json", 400),
        ('{"sql": "SELECT 1"}', "text/plain", 415),
        ('{"sql": "SELECT * FROM read_text(\'/etc/passwd\')"}', "application/json", 400),
        ('{"sql": "SELECT 1", "at": {"as_of": "2026-05-01T12:00"}}', "application/json", 400),
        ('{"sql": "SELECT 1", "at": {"as_of_epoch": -1}}', "application/json", 400),
        ('{"sql": "SELECT 1", "as_of": "2026-05-01T12:00Z"}', "application/json", 400),
        ('{"sql": "SELECT 1", "at": {"asof": "2026-05-01T12:00Z"}}', "application/json", 400),
        ('{"sql": "SELECT 1", "at": {"as_of": "1970-01-02T00:00Z"}}', "application/json", 400),
        (
            '{"sql": "SELECT 1", "at": {"as_of": "2026-05-01T12:00Z", "as_of_epoch": 1}}',
            "application/json",
            400,
        ),
    ],
)
def test_bad_sql_is_refused_with_a_reason(story, body, kind, status):
    refused = story.post("/api/sql", content=body, headers={"content-type": kind})
    assert refused.status_code == status
    assert refused.json()["detail"]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_alive_means_progress(tmp_path):
    clock, book = Clock(), Book()
    views = StoredViews(tmp_path, [], more=0)
    watch = Watch(views, clock)
    assert watch.last().status == "starting"
    assert watch.look().status == "current"
    views.add(book.conclude())
    views.more = 7
    assert watch.look().status == "behind"
    clock.now = STALL_S - 0.5
    assert watch.look().status == "behind"
    clock.now = STALL_S
    look = watch.look()
    assert (look.status, look.lag) == ("stalled", 7 * len(views.positions()))
    book.add("data", TopologyActivated(id="t2", time=NOON, partitions=1))
    views.add(book.records)
    assert watch.look().status == "behind"
    views.more = None
    look = watch.look()
    assert (look.status, look.lag) == ("no broker", None)
    assert "check the broker" in look.reason
    views.close()


def test_health_says_why_there_is_no_lag(tmp_path):
    for client in serve(StoredViews(tmp_path, [], more=None)):
        client.app.state.watch.look()
        found = client.get("/health")
        assert found.status_code == 200
        assert found.json()["status"] == "no broker"
        assert client.get("/api/state").json()["lag"] is None


def test_metrics_follow_the_overview(story):
    story.app.state.watch.look()
    families = {f.name: f for f in text_string_to_metric_families(story.get("/metrics").text)}
    found = story.get("/api/overview").json()
    records = {
        (s.labels["topic"], s.labels["outcome"]): s.value
        for s in families["streamops_views_records"].samples
    }
    for topic in found["topics"]:
        assert records[(topic["topic"], "repeats")] == topic["repeats"]
    assert families["streamops_concluded_epoch"].samples[0].value == found["concluded_epoch"]
    assert families["streamops_views_up"].samples[0].value == 1
    lags = families["streamops_views_lag_records"].samples
    assert {s.value for s in lags} == {0}


# Serving -----------------------------------------------------------------------------------------


def test_serving_records_its_address_and_takes_it_away(tmp_path):
    import httpx

    views = StoredViews(tmp_path, [])
    settings = Settings(bootstrap="none", data=tmp_path)
    with serving(views, settings, "127.0.0.1", 0) as url:
        assert msgspec.json.decode((tmp_path / "web.json").read_bytes()) == {"url": url}
        assert (tmp_path / "web.url").read_text() == url
        assert httpx.get(f"{url}/api/state").json()["revision"] == 0
    assert not (tmp_path / "web.json").exists()
    assert threading.active_count() < 20
    views.close()


def test_the_port_of_a_killed_process_is_taken_again(tmp_path):
    views = StoredViews(tmp_path, [])
    settings = Settings(bootstrap="none", data=tmp_path)
    with serving(views, settings, "127.0.0.1", 0) as url:
        pass
    (tmp_path / "web.url").write_text(url)
    with serving(views, settings, "127.0.0.1", 0) as again:
        assert again == url
        with serving(views, settings, "127.0.0.1", 0) as other:
            assert other != url
    views.close()


# Parts -------------------------------------------------------------------------------------------


def test_markup_escapes_all_but_markup():
    made = tag("p", "<b>", Markup("<i>x</i>"), [None, 3], class_='"', hidden=True, title=None)
    assert made == '<p class="&quot;" hidden>&lt;b&gt;<i>x</i>3</p>'
    assert tag("meta", name="a") == '<meta name="a">'


def test_a_path_quotes_its_parts_and_drops_empty_questions():
    assert path("models", "a/b", segment="x=1", pane=None, version="") == (
        "/models/a%2Fb?segment=x%3D1"
    )


def test_numbers_have_units():
    assert number(0.1234, "share") == "12.3 %"
    assert measured("latency_p95_ms", 12.0) == "12.000 ms"
    assert measured("throughput_per_s", 1.5) == "1.500 /s"
    assert "insufficient data" in measured("psi", None)
    assert name_of("score_psi") == "score PSI"


def test_a_hole_between_spans_is_one_time_more():
    #  0 |---| 1 |---| 2     3 |---| 4
    assert with_gaps([(3, 4), (0, 1), (1, 2)]) == (0, 1, 2, 3)
    assert with_gaps([]) == ()


@pytest.mark.parametrize(
    "profile",
    [
        numeric_profile("x", [1.0, 2.0, 3.0, None]),
        numeric_profile("x", [5.0] * 4),
        numeric_profile("x", [None, None]),
        category_profile("c", ["a", "b", None]),
        category_profile("c", [True], kind="boolean"),
    ],
    ids=["numeric", "constant", "empty", "category", "boolean"],
)
def test_every_bin_has_a_label(profile):
    assert len(labels_of(profile)) == len(profile.counts)
    bins = bins_of(profile, ())
    assert {b.share for b in bins} == {None}
    assert [b.reference_count for b in bins] == list(profile.counts)


def test_vendored_files_are_the_ones_that_are_noted():
    folder = Path(__file__).parents[2] / "streamops" / "web" / "dashboard" / "uplot"
    noted = dict(
        re.findall(r"\| (\S+) \| `([0-9a-f]{64})` \|", (folder / "VENDORED.md").read_text())
    )
    stored = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.iterdir()
        if file.name != "VENDORED.md"
    }
    assert noted == stored


def test_an_asset_is_named_after_its_content(story):
    for name, found in assets().items():
        answer = story.get(f"/static/{name}?v={found.mark}")
        assert answer.content == found.content
        assert "immutable" in answer.headers["cache-control"]
    assert story.get("/static/..%2Fapp.py").status_code == 404


def test_every_route_is_in_the_reference(root, story):
    text = (root / "docs" / "reference" / "http-api.md").read_text()
    routes = {
        f"{method} {re.sub(r':str', '', route.path)}"
        for route in story.app.routes
        for method in getattr(route, "methods", ())
        if method in ("GET", "POST")
    }
    assert set(re.findall(r"^### (.+)$", text, re.M)) == routes
    names = set(re.findall(r"^\| `(streamops_\w+)` \|", text, re.M))
    story.app.state.watch.look()
    served = {f.name for f in text_string_to_metric_families(story.get("/metrics").text)}
    assert names == served
