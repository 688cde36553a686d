"""Alerts of tests: of detectors on the errors, and of drift tests on the inputs.

Rule 1: a test that alarms raises at once: how long it waits is its own affair. More alarms while
        the alert is open are the same incident.
Rule 2: a test that stays silent resolves. A pane without evidence changes nothing.
"""

from __future__ import annotations

import msgspec

from streamops.config import Rule
from streamops.core.policy import (
    RuleState,
    Verdict,
    opened,
    raise_alert,
    recovered,
    severity_of,
)
from streamops.core.times import micros
from streamops.events import DriftDetected, MetricEvaluated
from streamops.values import Metric, MetricRef


def detected(
    rule: Rule, state: RuleState, event: DriftDetected, ref: MetricRef, silent: bool
) -> Verdict:
    """Take a detector's drift: raise unless open; a second one is the same incident."""
    state = msgspec.structs.replace(state, goods=0, breaches=1, since_us=micros(event.since))
    if state.alert_id or micros(event.time) < state.quiet_until_us:
        return state, []
    raised = raise_alert(
        rule,
        msgspec.structs.replace(state, revision=state.revision + 1, refs=(ref,)),
        event,
        (event.since, "detector"),
        (event.error_rate, 0.0, None),
        "moderate",
        silent,
    )
    return opened(state, raised, (ref,)), [raised]


def quieter(rule: Rule, state: RuleState, event: MetricEvaluated, ref: MetricRef) -> Verdict:
    """Take a mature pane in which the rule's detector was silent."""
    state = msgspec.structs.replace(state, goods=state.goods + 1)
    if state.alert_id and state.goods >= rule.resolve_after:
        return recovered(rule, state, event, ref)
    return state, []


def tested(
    rule: Rule,
    state: RuleState,
    event: MetricEvaluated,
    metric: Metric,
    ref: MetricRef,
    silent: bool,
) -> Verdict:
    """Take what a pane's drift tests said of one feature: perhaps raise, perhaps resolve.

    A test that alarmed begins anew. While the change lasts it would alarm again after about as many
    panes as it took; twice as many without an alarm, and `resolve_after` at least, resolve.
    """
    alarms = [d for d in event.drift if (d.metric, d.feature) == (metric.name, metric.feature)]
    if not alarms:
        return (state, []) if metric.value is None else _silent(rule, state, event, ref)
    alarm = max(alarms, key=lambda d: d.evidence)
    since_us = min(micros(d.since) for d in alarms)
    wait = max(rule.resolve_after, 2 * alarm.age)
    state = msgspec.structs.replace(state, breaches=1, goods=0, wait=wait)
    if state.alert_id or micros(event.pane_start) < state.quiet_until_us or metric.n < rule.minimum:
        return state, []
    state = msgspec.structs.replace(state, since_us=since_us)
    raised = raise_alert(
        rule,
        msgspec.structs.replace(state, revision=state.revision + 1, refs=(ref,)),
        event,
        (event.pane_start, event.cut),
        (alarm.evidence, alarm.alarm_at, None),
        severity_of(rule, max(d.psi_least for d in alarms)),
        silent,
        alarm.since,
    )
    return opened(state, raised, (ref,)), [raised]


def _silent(rule: Rule, state: RuleState, event: MetricEvaluated, ref: MetricRef) -> Verdict:
    state = msgspec.structs.replace(state, breaches=0, goods=state.goods + 1)
    if state.alert_id and state.goods >= state.wait:
        return recovered(rule, state, event, ref)
    return state, []
