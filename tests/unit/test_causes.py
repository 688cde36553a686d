"""causes: what explains an alert, ranked, and how the page and its JSON show it."""

from __future__ import annotations

import pytest

from streamops.audit.causes import CAUSES_MAX, ranked, words
from streamops.quiet import Noise
from streamops.values import Drift, Metric, Stamp
from streamops.web.markup import path
from tests.unit.test_web import NOON, PANE, Book, alert, serve
from tests.web_views import StoredViews


def drift(feature, evidence, pane=0, metric="drift", **given):
    fields = {"stream": "values", "test": "t-SR", "direction": "mean", "age": 1, **given}
    return Drift(
        metric=metric, feature=feature, evidence=evidence, alarm_at=10_000.0,
        since=NOON + pane * PANE, psi=0.4, psi_least=0.2, **fields,
    )  # fmt: skip


def evidence(feature, value):
    return Metric("drift", feature, value, None, 500)


def test_causes_are_ranked_by_evidence_and_those_that_alarmed_come_first():
    alarms = [drift("a", 2e4), drift("b", 9e9, pane=1), drift("b", 3e4), drift("c", 2e4)]
    pane = [evidence("a", 5e4), evidence("d", 900.0), evidence("e", 99.0), evidence("f", None)]
    found = ranked(alarms, pane)
    # d is beyond the square root of what an alarm takes, e is not; of two alarms the stronger.
    assert [(c.feature, c.alarmed) for c in found] == [
        ("b", True), ("a", True), ("c", True), ("d", False)
    ]  # fmt: skip
    assert (found[0].evidence, found[0].since) == (9e9, NOON + PANE)
    many = [drift(f"x{n:02}", 2e4 + n) for n in range(30)]
    assert [c.feature for c in ranked(many)] == ["x29", "x28", "x27", "x26", "x25"]
    assert len(ranked(many)) == CAUSES_MAX
    assert ranked([], pane) == ()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "a (mean, PSI at least 0.2, since 2026-"),
        ({"stream": "missing", "direction": ""}, "a (missing values, PSI at least 0.2, since"),
        ({"metric": "label_drift", "feature": ""}, "the labels (mean, "),
        ({"metric": "score_drift", "feature": ""}, "the score (mean, "),
    ],
)
def test_a_cause_in_words(given, expected):
    (cause,) = ranked([drift(**{"feature": "a", "evidence": 2e4, **given})])
    assert words(cause).startswith(expected)


@pytest.fixture
def group(tmp_path):
    """Price drifts, demand a pane later as a member of its group; accuracy falls in the south."""
    book = Book()
    book.version("m", "price")
    book.pane(0, "m", evidence("price", 8e5), drift=(drift("price", 8e5),))
    book.pane(1, "m", evidence("demand", 3e7), drift=(drift("demand", 3e7, pane=1),))
    book.pane(60, "m", evidence("other", 9e9), drift=(drift("other", 9e9, pane=60),))
    book.pane(1, "m", Metric("accuracy", "", 0.7, 0.9, 200), cut="mature")
    for segment, value, n in (("north", 0.88, 100), ("south", 0.5, 90), ("west", 0.95, 10)):
        book.pane(1, "m", Metric("accuracy", "", value, 0.9, n), cut="mature",
                  id=f"metric/{segment}", segment=f"region={segment}")  # fmt: skip
    drifted = {"metric": "drift", "value": 8e5, "limit": 1e4}
    book.add(
        "alerts",
        alert("m", "price", **drifted, noise=Noise(group="alert/1", members=("m/demand",))),
        alert("m", "demand", **drifted, id="alert/2", pane_start=NOON + PANE, silenced=True,
              fingerprint="m/demand", stamp=Stamp("controller/0", 2, 0),
              noise=Noise(reason="group", by="alert/1", group="alert/1")),
        alert("m", "", id="alert/3", kind="performance", metric="accuracy", value=0.7, limit=0.8,
              reference=0.9, pane_start=NOON + PANE, fingerprint="m/accuracy",
              stamp=Stamp("controller/0", 2, 1)),
    )  # fmt: skip
    yield from serve(StoredViews(tmp_path, book.conclude()))


def test_the_features_of_a_group_are_ranked_together_with_their_change_points(group):
    for name in ("alert/1", "alert/2"):
        found = group.get(path("api", "alerts", name)).json()["causes"]
        shown = [(c["feature"], c["evidence"], c["psi_least"]) for c in found["features"]]
        assert shown == [("demand", 3e7, 0.2), ("price", 8e5, 0.2)]
    assert found["features"][0]["since"] == (NOON + PANE).isoformat().replace("+00:00", "Z")
    page = group.get(path("alerts", "alert/1")).text
    assert page.index(">demand</a>") < page.index(">price</a>", page.index("What explains it"))
    assert "PSI at least" in page


def test_the_segments_of_a_performance_alert_are_ranked_by_what_they_add(group):
    found = group.get(path("api", "alerts", "alert/3")).json()["causes"]
    assert [c["feature"] for c in found["features"]] == ["demand", "price"]
    # 90 rows x 0.4 in the south against 100 x 0.02 in the north; the west is better than it was.
    assert [(s["segment"], s["rows"]) for s in found["segments"]] == [
        ("region=south", 90), ("region=north", 100)
    ]  # fmt: skip
    assert found["segments"][0]["share"] == pytest.approx(36 / 38)
    page = group.get(path("alerts", "alert/3")).text
    assert "region=south" in page
    assert "95%" in page


def test_an_alert_that_nothing_explains_says_so(tmp_path):
    book = Book()
    book.version("m", "price")
    book.pane(0, "m", Metric("psi", "price", 0.7, None, 500))
    book.add("alerts", alert("m", "price"))
    for client in serve(StoredViews(tmp_path, book.conclude())):
        assert client.get(path("api", "alerts", "alert/1")).json()["causes"] == {
            "features": [], "segments": []
        }  # fmt: skip
        assert "No drift test spoke" in client.get(path("alerts", "alert/1")).text
