"""Drift tests of segments: what they learn, share and find, and the alerts that name them."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from streamops.audit.verify import verify
from streamops.audit.whatif import what_if
from streamops.config import Rule, check_config, config_hash, segments_tested
from streamops.core import error_tests, pane_rules, segment_drift
from streamops.core.budget import alarm_at, streams_of
from streamops.core.model_state import ModelState
from streamops.core.monitor import Monitor, MonitorState
from streamops.core.policy import RuleState
from streamops.core.profile import numeric_profile
from streamops.core.seal_leaves import can_load, leaves_of, load_state, places_of, semantics_of
from streamops.core.segment_drift import LEARNED
from streamops.errors import ConfigError
from streamops.events import AlertRaised, ConfigActivated, PaneSummarized
from streamops.values import FeatureCounts, PaneRows, Stamp
from tests.builders import activated, at, config, evaluated, profile, rule, version
from tests.story import archive, make_counting, play

BUDGET = 3000.0
COLUMN = numeric_profile("x", np.linspace(-2.5, 2.5, 2000).tolist(), bins=20)
RULE = rule("x moves", metric="drift", feature="x", segment="*")
SETTINGS = config(rules=(RULE,), segments={"country": ("de",)}, false_alarms_per_month=BUDGET)


def counted(values, column=COLUMN):
    """Counts of values as METER makes them."""
    at_ = 1 + np.searchsorted(np.array(column.edges), values, side="right")
    at_ = np.where(values < column.low, 0, at_)
    at_ = np.where(values > column.high, len(column.counts) - 2, at_)
    return tuple(np.bincount(at_, minlength=len(column.counts)).tolist())


class Service:
    """MONITOR with one version, an epoch a pane, its state saved and read again in between."""

    def __init__(self, settings=SETTINGS, column=COLUMN):
        known = version(profile=profile(features=(column,), score=None))
        self.settings, self.column, self.number = settings, column, 0
        self.monitor = Monitor()
        self.state = self.monitor.initial()
        self._fold(activated(settings, 1), activated(known, 2))

    def _fold(self, *events):
        self.state, said = evaluated(self.monitor, self.state, *events)
        return said

    def pane(self, values, segment="country=de", version="v1"):
        start = self.number * 10
        counts = FeatureCounts("x", counted(np.asarray(values), self.column), ())
        summary = PaneSummarized(
            id=f"pane/{self.number}", time=at(start + 10), model="m", version=version,
            segment=segment, pane_start=at(start), cut="closed", features=(counts,),
            config_hash=config_hash(self.settings), profile_hash="p", predictions=len(values),
            stamp=Stamp("meter/0", self.number, 0),
        )  # fmt: skip
        self.number += 1
        (said,) = self._fold(summary)
        return said


def test_a_segment_far_from_all_rows_is_no_drift_and_a_shift_in_it_is_found_and_dated():
    service, chance = Service(), np.random.default_rng(3)
    limit = alarm_at(streams_of(SETTINGS, 1), 30 * 8640, BUDGET)
    assert limit == 4 * 86.4, "two segments: x and whether it is missing"
    for n in range(LEARNED + 30):
        said = service.pane(chance.normal(1.0, 0.5, 100))
        assert (said.drift, said.semantics, said.evidence.panes) == ((), 5, n + 1)
    for _ in range(4):
        said = service.pane(chance.normal(1.4, 0.5, 100))
        if said.drift:
            break
    (alarm,) = said.drift
    assert (alarm.feature, alarm.test, alarm.alarm_at) == ("x", "e-SR", limit)
    assert alarm.since >= at(10 * (LEARNED + 28))
    assert [m.value for m in said.metrics if m.name == "drift"] == [alarm.evidence]


@pytest.mark.parametrize("dependent", [False, True])
def test_segments_that_do_not_drift_keep_the_budget(dependent):
    alarms = panes = 0
    column = replace(COLUMN, rows=PaneRows(dispersion=4.0)) if dependent else COLUMN
    for seed in range(2):
        service, chance = Service(column=column), np.random.default_rng(seed)
        for n in range(LEARNED + 40):
            mean = chance.normal(0, 0.3) if dependent else 0.0
            said = service.pane(chance.normal(mean, 0.5, 60))
            alarms, panes = alarms + len(said.drift), panes + (n >= LEARNED)
    (tests,) = service.state.segments.values()
    assert tests.columns[0].rows.panes == (LEARNED if dependent else 0)
    # 80 panes of two streams at A = 345.6 expect less than half an alarm.
    assert alarms <= 2, f"{alarms} alarms in {panes} panes"


def test_panes_that_move_more_than_rows_explain_are_the_observations():
    """The profile has its rows independent; the segment's first panes show otherwise."""
    column = replace(COLUMN, rows=PaneRows(is_independent=True))
    service, chance = Service(column=column), np.random.default_rng(5)
    for _ in range(LEARNED):
        service.pane(chance.normal(chance.normal(0, 0.5), 0.5, 100))
    (tests,) = service.state.segments.values()
    assert tests.columns[0].rows.panes == LEARNED
    for _ in range(20):
        assert service.pane(chance.normal(chance.normal(0, 0.5), 0.5, 100)).drift == ()
    found = [service.pane(chance.normal(2.5, 0.5, 100)).drift for _ in range(6)]
    assert any(found)
    assert next(d for d in found if d)[0].test == "t-SR"


def test_each_segment_and_version_has_its_own_state_and_two_versions_are_kept():
    service, chance = Service(), np.random.default_rng(1)
    for name in ("v1", "v2", "v3"):
        service._fold(
            activated(version(name, profile=profile(features=(COLUMN,))), 5 + service.number)
        )
        for segment in ("country=de", "country=~other"):
            service.pane(chance.normal(0, 1, 50), segment, name)
    assert sorted(service.state.segments) == [
        f"m\t{v}\t{s}\tclosed" for v in ("v2", "v3") for s in ("country=de", "country=~other")
    ]
    assert service.pane(chance.normal(0, 1, 19)).evidence.panes == 0, "v1 anew, and too thin"
    assert service.state.drift == {}


def test_a_state_is_sealed_under_its_semantics_and_read_again():
    service = Service()
    assert semantics_of(service.monitor, service.state) == 2
    service.pane(np.linspace(-1, 1, 50))
    assert semantics_of(service.monitor, service.state) == Monitor.semantics == 5
    leaves = leaves_of(service.monitor, service.state)
    again = load_state(MonitorState, leaves, places_of(service.monitor, service.state))
    assert again == service.state
    assert not can_load("monitor", 3, Monitor.semantics), "judged otherwise since"


def test_a_segment_that_no_rule_names_is_not_tested_and_means_what_it_meant():
    settings = replace(SETTINGS, rules=(replace(RULE, segment="all"),))
    said = Service(settings).pane(np.linspace(-1, 1, 50))
    assert (said.semantics, said.evidence.panes) == (1, 0)


def test_the_budget_is_shared_over_segments():
    one = replace(RULE, segment="country=de")
    everywhere = (replace(RULE, name="all", segment="all"), RULE)
    streams = [
        streams_of(replace(SETTINGS, rules=rules), 3)
        for rules in ((everywhere[0],), (one,), (one, everywhere[0]), (RULE,), everywhere)
    ]
    assert streams == [6, 6, 12, 12, 18]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"rules": (replace(RULE, segment="country=fr"),)}, "use one of .*'country=de'"),
        ({"segments": {"n": tuple("abcdefghijklmnop")}}, "17; test at most 16"),
    ],
)
def test_what_can_not_be_tested_is_refused(fields, why):
    with pytest.raises(ConfigError, match=why):
        check_config(replace(SETTINGS, **fields))
    assert len(segments_tested(SETTINGS)) == 2


RULES = (
    Rule(name="x moves", kind="data_drift", metric="drift", feature="x", segment="*", minimum=20),
    Rule(name="errors", kind="concept_drift", metric="bf_sr", segment="*"),
    Rule(name="errors of all", kind="concept_drift", metric="bf_sr"),
)


def test_alerts_name_their_segments_and_are_proven_by_these_alone(tmp_path, monkeypatch):
    # The story is short.
    monkeypatch.setattr(segment_drift, "LEARNED", 3)
    monkeypatch.setattr(error_tests, "REFERENCE_BINS", {"sr_mixture": 2, "bf_sr": 2})
    host = play(partitions=1, panes=9, rules=RULES, detectors=("bf_sr",))
    alerts = [e for e in host.events("alerts") if isinstance(e, AlertRaised)]
    both = {"country=de", "country=~other"}
    assert {a.segment for a in alerts if a.rule == "x moves"} == both
    assert {a.segment for a in alerts if a.rule == "errors"} == both
    assert {a.segment for a in alerts if a.rule == "errors of all"} == {"all"}
    moved = {a.fingerprint for a in alerts if a.rule == "x moves"}
    assert moved == {f"churn/x moves/{segment}/x" for segment in both}
    folder = archive(host, tmp_path)
    found = verify(folder, make_detector=make_counting)
    assert (found.ok, found.findings) == (True, ())
    assert {a.id for a in found.alerts} == {a.id for a in alerts}
    active = [e.config for e in host.events("lifecycle") if isinstance(e, ConfigActivated)]
    without = [replace(c, rules=(replace(RULES[0], segment="all"), *RULES[1:])) for c in active]
    other = what_if(folder, without, make_detector=make_counting).alerts
    assert moved <= {mark.what for mark in other.lost}
    assert "churn/x moves/all/x" in {mark.what for mark in other.gained}


def test_each_segment_has_its_own_hysteresis_and_one_that_is_declared_no_more_is_closed():
    model = "churn"
    states = {
        s: RuleState("x moves", "x", s, "data_drift", alert_id=f"a/{s}")
        for s in ("country=de", "country=~other")
    }
    known = ModelState(
        replace(SETTINGS, model=model),
        rules={f"{model}/x moves/{s}/x": v for s, v in states.items()},
    )
    fewer = replace(known.config, segments={"country": ("fr",)})
    assert list(pane_rules.kept_states(known, fewer).values()) == [states["country=~other"]]
    assert pane_rules.kept_states(known, known.config) == known.rules
    gone = replace(known.config, rules=(replace(RULE, segment="all"),))
    assert pane_rules.kept_states(known, gone) == {}
