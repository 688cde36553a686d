"""policy: hysteresis, cool-down, limits, silences and detectors, pane by pane.

Timelines show one pane a character: `x` beyond the limit, `.` within it, `-` between the limit and
`resolve`, `?` without a value. Below it stands what the pane brought: `R` raised, `r` resolved.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streamops.config import config_hash
from streamops.core import pane_rules
from streamops.core.meter_state import default_config
from streamops.core.model_state import EARLIER_MAX
from streamops.core.policy import fingerprint
from streamops.events import AlertRaised, AlertResolved, AlertSilenced, AlertSilenceRequested
from tests.builders import (
    MODEL,
    Desk,
    activated,
    at,
    config,
    drift,
    mature,
    metric,
    of_type,
    rule,
)

VALUES = {"x": 0.3, ".": 0.0, "-": 0.15, "?": None}


def desk(*rules):
    return Desk(activated(config(rules=rules), 1))


def play(found, timeline):
    """Fold a timeline of PSI values of feature x; return the marks below it."""
    marks = ""
    for shown in timeline:
        events = found.pane(metric("psi", VALUES[shown], "x"))
        kinds = {AlertRaised: "R", AlertResolved: "r"}
        marks += "".join(kinds[type(e)] for e in events if type(e) in kinds) or " "
    return marks


@pytest.mark.parametrize(
    ("settings", "timeline", "marks"),
    [
        ({}, "x..x..", "R rR r"),
        ({}, ".xxx.x..", " R     r"),
        ({"raise_after": 3}, "xx.xxx", "     R"),
        ({"raise_after": 2}, "x?x", "  R"),
        ({"resolve_after": 1}, "x.x.", "RrRr"),
        ({"resolve_after": 3}, "x..x...", "R     r"),
        ({"resolve_after": 2}, "x.?.", "R  r"),
        ({"resolve": 0.1}, "x--..", "R   r"),
        ({"resolve": 0.1}, "x.-..", "R   r"),
        ({"resolve": 0.15}, "x--", "R r"),
        ({"cooldown_panes": 2}, "x..xxx", "R r  R"),
        ({"cooldown_panes": 2, "raise_after": 2}, "xx..xxx", " R r  R"),
        ({"minimum": 101}, "xxx", "   "),
        ({"minimum": 100}, "x", "R"),
        ({"above": 0.3}, "x", " "),
        ({"above": 0.29999}, "x", "R"),
    ],
)
def test_a_timeline(settings, timeline, marks):
    assert play(desk(rule(**settings)), timeline) == marks


def test_an_alert_says_what_it_rests_on():
    found = desk(rule(raise_after=2, moderate=0.05, major=0.2))
    found.pane(metric("psi", 0.21, "x"))
    (raised, _) = found.pane(metric("psi", 0.3, "x", n=77))
    assert (raised.fingerprint, raised.revision, raised.severity) == ("m/psi/all/x", 1, "moderate")
    assert (raised.value, raised.limit, raised.pane_start) == (0.3, 0.2, at(20))
    assert [p.id for p in raised.evidence.metrics] == ["metric/v1/1/mature", "metric/v1/2/mature"]


@pytest.mark.parametrize(
    ("value", "severity"), [(0.26, "minor"), (0.5, "moderate"), (0.75, "major"), (9.0, "major")]
)
def test_severity_grows_with_the_distance(value, severity):
    found = desk(rule(above=0.25, moderate=0.25, major=0.5))
    (raised, _) = found.pane(metric("psi", value, "x"))
    assert raised.severity == severity


@pytest.mark.parametrize(("value", "raises"), [(0.75, False), (0.7499, True), (0.9, False)])
def test_a_relative_limit_is_below_the_reference(value, raises):
    accuracy = rule(kind="performance", metric="accuracy", feature="", below=-0.25, relative=True)
    events = desk(accuracy).pane(metric("accuracy", value, reference=1.0))
    assert len(of_type(events, AlertRaised)) == raises
    if raises:
        assert (events[0].limit, events[0].reference) == (0.75, 1.0)


def test_a_relative_limit_without_a_reference_judges_nothing():
    accuracy = rule(kind="performance", metric="accuracy", feature="", below=-0.25, relative=True)
    assert len(desk(accuracy).pane(metric("accuracy", 0.1))) == 1


def test_each_feature_is_an_alert_of_its_own_and_one_may_be_named():
    found = desk(rule(), rule("only c", feature="c"))
    events = found.pane(metric("psi", 1.0, "x"), metric("psi", 1.0, "c"), metric("psi", 1.0))
    prints = [e.fingerprint for e in of_type(events, AlertRaised)]
    assert prints == ["m/psi/all/x", "m/psi/all/c", "m/only c/all/c"]


def test_a_rule_judges_its_own_segment_and_evaluated_panes_only():
    found = desk(rule(segment="country=de"))
    assert len(found.pane(metric("psi", 1.0, "x"))) == 1
    assert len(found.pane(metric("psi", 1.0, "x"), segment="country=de", status="mixed")) == 1
    assert len(found.pane(metric("psi", 1.0, "x"), segment="country=de", status="coverage")) == 1
    assert len(found.pane(metric("psi", 1.0, "x"), segment="country=de", cut="restated")) == 1
    assert len(found.pane(metric("psi", 1.0, "x"), segment="country=de")) == 2


# Silence and acknowledgement ---------------------------------------------------------------------


def silence(until, **fields):
    given = {"id": "s", "fingerprint": "m/psi/all/x", **fields}
    return AlertSilenceRequested(time=at(0), model=MODEL, actor="ann", until=at(until), **given)


def test_a_silenced_alert_is_raised_and_says_so():
    found = desk(rule())
    (said, _) = found.epoch([silence(45)])
    assert (said.revision, said.until, said.actor) == (1, at(45), "ann")
    (raised, _) = found.pane(metric("psi", 1.0, "x"))
    assert raised.silenced
    assert raised.revision == 2, "consumers act on a higher revision only"


@pytest.mark.parametrize(("until", "silenced"), [(30.001, True), (30, False)])
def test_a_silence_ends_at_its_time(until, silenced):
    found = desk(rule())
    found.epoch([silence(until)])
    (raised, _) = found.pane(metric("psi", 1.0, "x"))  # the epoch that ends at 30
    assert raised.silenced is silenced


def test_nothing_is_silent_in_the_year_1950():
    found = desk(rule())
    old = replace(mature(0, metric("psi", 1.0, "x")), time=at(-6e8), pane_start=at(-6e8 - 10))
    found.state = replace(found.state, time_us=-(10**15))
    found.number = -60_000_000
    assert not of_type(found.epoch(metrics=[old]), AlertRaised)[0].silenced


def test_acknowledging_hides_nothing():
    found = desk(rule())
    found.pane(metric("psi", 1.0, "x"))
    (said, _) = found.epoch([silence(1e6, acknowledge=True)])
    assert (said.acknowledge, said.revision) == (True, 2)
    assert found.state.models[MODEL].silences == {}
    found.pane(metric("psi", 0.0, "x"))
    (resolved, _) = found.pane(metric("psi", 0.0, "x"))
    assert resolved.revision == 3


def test_a_silence_sent_twice_is_said_once():
    found = desk(rule())
    events = found.epoch([silence(45), silence(45)])
    assert len(of_type(events, AlertSilenced)) == 1


# Detectors ---------------------------------------------------------------------------------------

CONCEPT = {"kind": "concept_drift", "metric": "adwin", "feature": ""}


def test_a_detectors_drift_raises_once_and_quiet_panes_resolve_it():
    found = desk(rule("cd", **CONCEPT))
    (raised, _) = found.epoch(metrics=[drift(15)])
    assert (raised.kind, raised.pane_start, raised.time) == ("concept_drift", at(10), at(15))
    assert (raised.value, raised.fingerprint) == (0.5, "m/cd/all")
    assert len(found.epoch(metrics=[drift(16)])) == 1
    assert len(found.pane()) == 1
    (resolved, _) = found.pane()
    assert (resolved.alert_id, resolved.reason) == (raised.id, "recovered")


def test_a_warning_or_another_detector_raises_nothing():
    found = desk(rule("cd", **CONCEPT))
    events = found.epoch(metrics=[drift(1, level="warning"), drift(2, detector="ddm")])
    assert len(events) == 1


def test_another_drift_begins_the_quiet_again():
    found = desk(rule("cd", **CONCEPT))
    found.epoch(metrics=[drift(15)])
    found.pane()
    found.epoch(metrics=[drift(35), mature(3)])
    assert len(found.pane()) == 1
    assert len(found.pane()) == 2


def test_a_detector_cools_down_too():
    #  drift at 5, quiet panes 1 and 2 (to 30): resolved at 30; cool-down of 2 panes to 50
    found = desk(rule("cd", cooldown_panes=2, **CONCEPT))
    found.epoch(metrics=[drift(5)])
    found.epoch(metrics=[mature(1)])
    assert len(of_type(found.epoch(metrics=[mature(2)]), AlertResolved)) == 1
    assert len(found.epoch(metrics=[drift(49.9)])) == 1
    assert len(found.epoch(metrics=[drift(50)])) == 2


# Configuration -----------------------------------------------------------------------------------


def configured(found, revision, *rules):
    return found.epoch([activated(config(rules=rules), revision)])


def test_a_rule_that_stays_keeps_its_open_alert_and_streak():
    found = desk(rule())
    found.pane(metric("psi", 1.0, "x"))
    assert len(configured(found, 2, rule(above=0.5))) == 1
    assert len(found.pane(metric("psi", 1.0, "x"))) == 1


@pytest.mark.parametrize(
    "changed",
    [None, {"feature": "c"}, {"segment": "s=1"}, {"kind": "quality"}, {"metric": "js"}],
    ids=str,
)
def test_a_rule_that_goes_or_judges_something_else_ends_its_alerts(changed):
    found = desk(rule())
    (raised, _) = found.pane(metric("psi", 1.0, "x"))
    kept = () if changed is None else (rule(**changed),)
    (resolved, _) = configured(found, 2, *kept)
    assert (resolved.alert_id, resolved.reason) == (raised.id, "configuration changed")


def test_a_rule_that_comes_back_goes_on_counting_revisions():
    found = desk(rule())
    found.pane(metric("psi", 1.0, "x"))
    (resolved, _) = configured(found, 2)
    configured(found, 3, rule())
    (raised, _) = found.pane(metric("psi", 1.0, "x"))
    assert (resolved.revision, raised.revision) == (2, 3)


def test_an_older_configuration_counts_for_nothing():
    found = desk(rule())
    assert len(configured(found, 1)) == 1
    assert len(found.pane(metric("psi", 1.0, "x"))) == 2


OLD, NEW = config(rules=(rule(above=0.5),)), config(rules=(rule(above=0.2),))


def under(found, settings, value=0.3):
    """Fold a pane that was counted under a configuration; return the alerts it raised."""
    events = found.pane(metric("psi", value, "x"), config_hash=config_hash(settings))
    return of_type(events, AlertRaised)


@pytest.mark.parametrize(("counted", "raised"), [(OLD, 0), (NEW, 1)], ids=["old", "new"])
def test_a_pane_is_judged_by_the_rules_it_was_counted_under(counted, raised):
    found = Desk(activated(OLD, 1))
    found.epoch([activated(NEW, 2)])
    alerts = under(found, counted)
    assert len(alerts) == raised
    assert all((a.limit, a.config_hash) == (0.2, config_hash(NEW)) for a in alerts)


def test_panes_on_their_way_while_the_rules_are_loosened_still_raise():
    found = Desk(activated(NEW, 1))
    found.epoch([activated(OLD, 2)])
    (alert,) = under(found, NEW)
    assert (alert.limit, alert.config_hash) == (0.2, config_hash(NEW))


def test_the_default_configuration_is_an_earlier_one_too():
    found = Desk(activated(config(rules=()), 1))
    default, hash_ = default_config(MODEL)
    assert pane_rules.of_pane(found.state.models[MODEL], hash_) == ()
    found = Desk()
    found.epoch([activated(config(rules=(*default.rules, rule())), 1)])
    assert pane_rules.of_pane(found.state.models[MODEL], hash_) == default.rules


def test_one_configuration_applied_over_and_over_pushes_no_other_out():
    found = Desk(activated(OLD, 1))
    for revision in range(2, 2 + 2 * EARLIER_MAX):
        found.epoch([activated(NEW, revision)])
    assert under(found, OLD) == []


def test_a_rule_that_a_person_took_out_raises_nothing_for_earlier_panes():
    found = Desk(activated(NEW, 1))
    found.epoch([activated(config(rules=()), 2)])
    assert under(found, NEW) == []


def test_a_rule_that_is_new_does_not_judge_earlier_panes():
    found = Desk(activated(config(rules=()), 1))
    found.epoch([activated(NEW, 2)])
    assert under(found, config(rules=())) == []
    assert len(under(found, NEW)) == 1


def test_a_configuration_long_ago_is_forgotten_in_the_order_it_came():
    found = Desk()
    for revision in range(1, EARLIER_MAX + 3):
        found.epoch([activated(config(rules=(rule(above=revision / 100),)), revision)])
    limits = [rules[0].above for _, rules in found.state.models[MODEL].earlier]
    assert limits == [n / 100 for n in range(2, EARLIER_MAX + 2)]


def test_a_fingerprint_names_model_rule_segment_and_feature():
    assert fingerprint("m", rule("r", segment="s=1"), "x") == "m/r/s=1/x"
    assert fingerprint("m", rule("r"), "") == "m/r/all"
