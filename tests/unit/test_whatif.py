"""History under another configuration: nothing differs where nothing was changed."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from functools import cache
from pathlib import Path

import msgspec
import pytest

from streamops import codec
from streamops.audit.difference import EVER, Mark, Span, alert_marks, differ, first_since
from streamops.audit.whatif import Fold, recorded_events, what_if
from streamops.config import ModelConfig
from streamops.core.times import moment
from streamops.errors import ConfigError
from streamops.events import AlertRaised, ConfigActivated, MetricEvaluated, RetrainRequested
from tests.story import PANE_S, archive, at, make_counting, play


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive(played(), tmp_path_factory.mktemp("archive"))


@cache
def played():
    return play()


def configs() -> dict[str, ModelConfig]:
    found = [e for e in played().events("lifecycle") if isinstance(e, ConfigActivated)]
    return {event.config.model: event.config for event in found}


def with_psi_above(limit: float) -> ModelConfig:
    given = configs()["churn"]
    rules = [
        msgspec.structs.replace(rule, above=limit) if rule.metric == "psi" else rule
        for rule in given.rules
    ]
    return msgspec.structs.replace(given, rules=tuple(rules))


def test_the_recorded_configuration_gives_what_is_recorded(folder):
    found = what_if(folder, configs().values(), make_detector=make_counting)
    assert found.alerts.is_none
    assert found.retrains.is_none
    assert found.alerts.recorded > 5
    assert found.retrains.recorded > 1
    assert found.unanswered == 0


def test_it_concludes_the_same_bytes_under_the_recorded_configuration(folder):
    fold = Fold(folder, configs(), make_counting)
    concluded = Counter(codec.conclusion(out.event) for out in fold.run() if out.topic == "alerts")
    recorded = Counter({codec.conclusion(e) for e in played().events("alerts")})
    assert concluded == recorded


def test_half_the_limit_gains_the_alerts_of_the_panes_that_lie_between(folder):
    """Counted by hand: the panes whose psi is above .1 begin earlier than those above .2."""
    found = what_if(folder, [with_psi_above(0.02)], make_detector=make_counting)
    psi = {
        metric.pane_start: value.value
        for metric in played().events("metrics")
        if isinstance(metric, MetricEvaluated)
        and (metric.model, metric.segment) == ("churn", "all")
        for value in metric.metrics
        if (value.name, value.feature) == ("psi", "x") and metric.version == "v1"
    }
    first = {limit: min(at for at, value in psi.items() if value > limit) for limit in (0.02, 0.2)}
    assert first[0.02] < first[0.2]
    marks = [*found.alerts.gained, *(move.other for move in found.alerts.moved)]
    assert first[0.02] in {mark.at for mark in marks if "psi x" in mark.says}
    assert not found.alerts.is_none


def test_an_alert_that_no_pane_reaches_is_lost_and_asks_for_nothing(folder):
    calm = [
        msgspec.structs.replace(rule, above=1e9) if rule.metric == "psi" else rule
        for rule in configs()["churn"].rules
    ]
    given = msgspec.structs.replace(configs()["churn"], rules=tuple(calm))
    found = what_if(folder, [given], make_detector=make_counting)
    raised = [e for e in recorded_events(folder, "alerts") if isinstance(e, AlertRaised)]
    drifts = [e for e in raised if e.model == "churn" and e.metric == "psi"]
    lost = [mark for mark in found.alerts.lost if "psi" in mark.says]
    assert {mark.id for mark in lost} == {event.id for event in drifts}


def test_a_request_that_nobody_was_asked_is_closed_as_unanswered(folder):
    """Else it would stay open, and no later cause could ask."""
    eager = msgspec.structs.replace(
        configs()["calm"],
        retrain=msgspec.structs.replace(
            configs()["calm"].retrain, every_panes=2, cooldown_panes=0, min_labels=1
        ),
    )
    found = what_if(folder, [eager], make_detector=make_counting)
    asked = [
        e
        for e in played().events("retraining")
        if isinstance(e, RetrainRequested) and e.model == "calm"
    ]
    assert found.unanswered == len(found.retrains.gained) > 2
    assert found.retrains.recorded == len(asked)


def test_a_span_bounds_what_is_compared(folder):
    given = [with_psi_above(0.02)]
    whole = what_if(folder, given, make_detector=make_counting)
    late = Span(since=at(6 * PANE_S), until=at(9 * PANE_S))
    part = what_if(folder, given, span=late, make_detector=make_counting)
    inside = alert_marks(recorded_events(folder, "alerts"), {"churn"}, EVER)
    assert part.alerts.recorded == len([m for m in inside if late.has(m.at)]) < len(inside)
    assert part.records == whole.records


def test_it_says_when_an_incident_would_have_been_known(folder):
    began = at(0)
    found = what_if(folder, [with_psi_above(0.02)], incident=began, make_detector=make_counting)
    recorded, other = found.known
    assert recorded is not None
    assert other is not None
    assert began < other.known < recorded.known
    assert first_since([recorded], recorded.known) is None


def test_a_model_that_was_never_configured_is_named(folder):
    strange = msgspec.structs.replace(configs()["churn"], model="chrun")
    with pytest.raises(ConfigError, match="model is 'chrun', which was never configured"):
        what_if(folder, [strange], make_detector=make_counting)


def mark(id_: str, minute: int, what: str = "f", severity: str = "minor") -> Mark:
    time = moment(minute * 60_000_000)
    known = time + timedelta(minutes=1)
    return Mark(id=id_, what=what, at=time, known=known, says=what, severity=severity)


def test_what_is_left_of_one_fingerprint_moved_in_time_and_the_rest_was_gained_or_lost():
    recorded = [mark("a", 1), mark("b", 5), mark("c", 9), mark("z", 3, "g")]
    other = [mark("a2", 1, severity="major"), mark("b2", 4), mark("y", 2, "h")]
    found = differ(recorded, other)
    assert (found.same, found.recorded, found.other) == (1, 4, 3)
    assert [(m.recorded.id, m.other.id) for m in found.moved] == [("b", "b2")]
    assert [m.id for m in found.gained] == ["y"]
    assert [m.id for m in found.lost] == ["c", "z"]
    assert [m.other.severity for m in found.regraded] == ["major"]
