"""alarms: what an alarm of a drift test raises, how long it stays open, and what it says.

Timelines show one pane a character: `x` an alarm, `.` none, `?` a pane without evidence. Below it
stands what the pane brought: `R` raised, `r` resolved.
"""

from __future__ import annotations

import pytest

from streamops.events import AlertRaised, AlertResolved
from streamops.values import Drift
from tests.builders import Desk, activated, at, config, mature, metric, of_type, rule


def alarm(pane, age=1, **fields):
    """An alarm of t-SR on x in pane number `pane`, of 10 s."""
    given = {"metric": "drift", "feature": "x", "stream": "values", "psi_least": 0.0, **fields}
    return Drift(
        test="t-SR",
        direction="mean",
        evidence=5000.0,
        alarm_at=1000.0,
        age=age,
        since=at((pane - age + 1) * 10),
        psi=0.3,
        **given,
    )


def pane(desk, *drifts, name="drift", feature="x", value=3.0, n=500):
    found = metric(name, value, feature, n=n)
    return desk.epoch(metrics=[mature(desk.number, found, cut="closed", drift=drifts)])


def desk(**fields):
    return Desk(activated(config(rules=(rule("d", metric="drift", **fields),)), 1))


@pytest.mark.parametrize(
    ("age", "timeline", "marks"),
    [
        (1, "x..", "R r"),
        (1, "xx.x..", "R    r"),
        (3, "x.....x", "R      "),
        (3, "x......x", "R     rR"),
        (1, "x?.?.", "R   r"),
        (1, "..?x", "   R"),
    ],
)
def test_an_alert_stays_open_as_long_as_the_test_would_take_to_alarm_again_twice(
    age, timeline, marks
):
    under, kinds = desk(), {AlertRaised: "R", AlertResolved: "r"}
    seen = ""
    for shown in timeline:
        drifts = [alarm(under.number, age)] if shown == "x" else []
        found = pane(under, *drifts, value=None if shown == "?" else 3.0)
        seen += "".join(kinds[type(e)] for e in found if type(e) in kinds) or " "
    assert seen == marks


def test_an_alert_says_what_the_test_found_and_since_when():
    under = desk()
    pane(under)
    (found,) = of_type(pane(under, alarm(under.number, age=2)), AlertRaised)
    assert (found.kind, found.metric, found.feature, found.rule) == (
        "data_drift",
        "drift",
        "x",
        "d",
    )
    assert (found.value, found.limit, found.reference) == (5000.0, 1000.0, None)
    assert found.since == at((under.number - 2) * 10)
    assert found.pane_start == at((under.number - 1) * 10)
    assert len(found.evidence.metrics) == 1


@pytest.mark.parametrize(
    ("least", "severity"), [(0.0, "minor"), (0.1, "moderate"), (0.2, "moderate"), (0.25, "major")]
)
def test_severity_follows_the_least_that_the_change_can_be(least, severity):
    under = desk(moderate=0.1, major=0.25)
    (found,) = of_type(pane(under, alarm(0, psi_least=least)), AlertRaised)
    assert found.severity == severity


def test_values_and_missing_values_of_a_feature_are_one_alert():
    under = desk()
    both = alarm(0), alarm(0, stream="missing", psi_least=0.4)
    assert len(of_type(pane(under, *both), AlertRaised)) == 1
    assert of_type(pane(under, alarm(1, stream="missing")), AlertRaised) == []


def test_a_test_of_the_score_is_another_rule():
    drift = rule("d", metric="drift")
    score = rule("s", kind="score_drift", metric="score_drift", feature="")
    under = Desk(activated(config(rules=(drift, score)), 1))
    found = pane(under, alarm(0, metric="score_drift", feature=""), name="score_drift", feature="")
    assert [e.rule for e in of_type(found, AlertRaised)] == ["s"]


def test_a_pane_below_the_rules_minimum_raises_nothing():
    under = desk(minimum=100)
    assert of_type(pane(under, alarm(0), n=99), AlertRaised) == []
