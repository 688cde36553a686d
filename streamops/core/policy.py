"""Policy: from metrics and detections to alerts.

Rule 1: an alert's id is made of what it says (model, version, segment, feature, rule, pane, cut,
        configuration), its fingerprint of what it is about; one open alert a fingerprint.
Rule 2: hysteresis: `raise_after` panes in a row beyond the limit raise, `resolve_after` in a row
        within `resolve` resolve. A pane without a value changes no streak.
Rule 3: silence hides, it doesn't stop: a silenced alert is raised with `silenced` true.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

import msgspec

from streamops.config import Rule
from streamops.core.times import micros, moment
from streamops.events import AlertRaised, AlertResolved, DriftDetected, Event, MetricEvaluated
from streamops.values import Metric, MetricRef, Proof, Severity


class RuleState(msgspec.Struct, frozen=True, array_like=True):
    """One fingerprint.

    since_us  start of the first pane of the breaching streak; where a test puts the change
    wait      panes without another alarm of the drift test after which its alert is resolved
    """

    rule: str
    feature: str
    segment: str
    kind: str
    breaches: int = 0
    goods: int = 0
    alert_id: str = ""
    revision: int = 0
    quiet_until_us: int = -(1 << 62)
    since_us: int = 0
    refs: tuple[MetricRef, ...] = ()
    wait: int = 0


Verdict = tuple[RuleState, list[Event]]


def fingerprint(model: str, rule: Rule, feature: str) -> str:
    """Return what an alert is about: model, rule, segment and feature."""
    return "/".join((model, rule.name, rule.segment, feature)).rstrip("/")


def matching(rule: Rule, event: MetricEvaluated) -> list[Metric]:
    """Return the metrics of this event that the rule judges."""
    if rule.kind == "concept_drift" or rule.segment != event.segment:
        return []
    return [
        metric
        for metric in event.metrics
        if metric.name == rule.metric
        and (metric.feature == rule.feature or (rule.feature == "*" and metric.feature != ""))
    ]


def judge(
    rule: Rule,
    state: RuleState,
    event: MetricEvaluated,
    metric: Metric,
    ref: MetricRef,
    silent: bool,
) -> Verdict:
    """Take one pane's value: perhaps raise, perhaps resolve."""
    excess = _excess(rule, metric)
    if excess is None:
        return state, []
    start_us = micros(event.pane_start)
    if excess > 0:
        fresh, quiet = state.breaches == 0, start_us < state.quiet_until_us
        state = msgspec.structs.replace(
            state,
            breaches=state.breaches + 1,
            goods=0,
            since_us=start_us if fresh else state.since_us,
            refs=(*(() if fresh else state.refs), ref)[-rule.raise_after :],
        )
        if state.breaches >= rule.raise_after and not state.alert_id and not quiet:
            return _raise(rule, state, event, metric, excess, silent)
        return state, []
    goods = state.goods + 1 if _is_good(rule, metric) else 0
    state = msgspec.structs.replace(state, breaches=0, goods=goods)
    if state.alert_id and goods >= rule.resolve_after:
        return recovered(rule, state, event, ref)
    return state, []


def recovered(rule: Rule, state: RuleState, event: MetricEvaluated, ref: MetricRef) -> Verdict:
    """Resolve an alert whose condition ended; keep it quiet for the rule's cool-down."""
    us = micros(event.time)
    quiet_us = us + rule.cooldown_panes * (us - micros(event.pane_start))
    return resolve(state, event.model, us, "recovered", ref=ref, quiet_until_us=quiet_us)


def resolve(
    state: RuleState,
    model: str,
    us: int,
    reason: str,
    *,
    ref: MetricRef | None = None,
    quiet_until_us: int = -(1 << 62),
) -> Verdict:
    """Close the open alert at `us` and forget the streaks."""
    resolved = AlertResolved(
        id=f"resolved/{state.alert_id}",
        time=moment(us),
        fingerprint="/".join((model, state.rule, state.segment, state.feature)).rstrip("/"),
        revision=state.revision + 1,
        alert_id=state.alert_id,
        model=model,
        reason=reason,  # type: ignore[arg-type]
        evidence=Proof(metrics=() if ref is None else (ref,)),
    )
    cleared = RuleState(
        state.rule,
        state.feature,
        state.segment,
        state.kind,
        revision=state.revision + 1,
        quiet_until_us=quiet_until_us,
    )
    return cleared, [resolved]


def _excess(rule: Rule, metric: Metric) -> float | None:
    """Return how far the value is beyond the limit; None where it can't be judged."""
    value = _judged(rule, metric)
    if value is None or metric.n < rule.minimum:
        return None
    if rule.above is not None:
        return value - rule.above
    assert rule.below is not None, "check_config wants one limit"
    return rule.below - value


def _judged(rule: Rule, metric: Metric) -> float | None:
    if not rule.relative or metric.value is None:
        return metric.value
    return None if metric.reference is None else metric.value - metric.reference


def _is_good(rule: Rule, metric: Metric) -> bool:
    value = _judged(rule, metric)
    if rule.resolve is None or value is None:
        return True
    return value <= rule.resolve if rule.above is not None else value >= rule.resolve


def severity_of(rule: Rule, excess: float) -> Severity:
    """Return how bad a distance beyond the limit is."""
    if rule.major is not None and excess >= rule.major:
        return "major"
    if rule.moderate is not None and excess >= rule.moderate:
        return "moderate"
    return "minor"


def _raise(
    rule: Rule,
    state: RuleState,
    event: MetricEvaluated,
    metric: Metric,
    excess: float,
    silent: bool,
) -> Verdict:
    limit = rule.above if rule.above is not None else rule.below
    assert limit is not None, "a rule on metrics has a limit"
    assert metric.value is not None, "a metric without a value isn't judged"
    if rule.relative and metric.reference is not None:
        limit = metric.reference + limit
    raised = raise_alert(
        rule,
        msgspec.structs.replace(state, revision=state.revision + 1),
        event,
        (event.pane_start, event.cut),
        (metric.value, limit, metric.reference),
        severity_of(rule, excess),
        silent,
    )
    return opened(state, raised, state.refs), [raised]


def raise_alert(
    rule: Rule,
    state: RuleState,
    event: MetricEvaluated | DriftDetected,
    pane: tuple[datetime, str],
    value: tuple[float, float, float | None],
    severity: Severity,
    silent: bool,
    since: datetime | None = None,
) -> AlertRaised:
    """Return the alert of what was found.

    pane   its start and its cut; value: what was measured, what was allowed, the reference
    since  where a drift test puts the change
    """
    start, cut = pane
    about = (event.model, event.version, rule.segment, state.feature, rule.name, start.isoformat())
    content = "\n".join((*about, cut, event.config_hash, event.id))
    return AlertRaised(
        id=f"alert/{hashlib.sha256(content.encode()).hexdigest()[:32]}",
        time=event.time,
        fingerprint=fingerprint(event.model, rule, state.feature),
        revision=state.revision,
        kind=rule.kind,
        severity=severity,
        model=event.model,
        version=event.version,
        segment=rule.segment,
        feature=state.feature,
        rule=rule.name,
        metric=rule.metric,
        value=value[0],
        limit=value[1],
        pane_start=start,
        config_hash=event.config_hash,
        reference=value[2],
        silenced=silent,
        since=since,
        evidence=Proof(metrics=state.refs),
    )


def opened(state: RuleState, raised: AlertRaised, refs: tuple[MetricRef, ...]) -> RuleState:
    """Return the state with its alert open."""
    return msgspec.structs.replace(
        state, alert_id=raised.id, revision=raised.revision, goods=0, refs=refs
    )
