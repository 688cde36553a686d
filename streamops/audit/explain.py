"""Explain: the chain behind one alert in words, read from the archive, link by link."""

from __future__ import annotations

from pathlib import Path

import msgspec

from streamops.audit.namespace import namespace_of
from streamops.config import DRIFT_METRICS, ModelConfig, Rule, config_hash
from streamops.errors import ConfigError
from streamops.events import (
    AlertRaised,
    AlertResolved,
    ConfigActivated,
    DriftDetected,
    Event,
    MetricEvaluated,
)
from streamops.values import Drift, Metric, MetricRef, SummaryRef
from streamops.views.archive import ArchiveLog
from streamops.views.log import to_record


class MetricStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One metric or detector record that the alert rests on.

    at         topic, partition and offset
    pane       start and end, UTC; for a detector since when, and at which outcome's time
    values     the numbers the rule judged
    summaries  what MONITOR merged, each with its raw offset ranges
    outcomes   how many outcomes a detector had read
    panes      how many panes of the version a drift test had read, and what it found in this one
    """

    id: str
    at: str
    pane: tuple[str, str]
    values: tuple[Metric, ...] = ()
    summaries: tuple[SummaryRef, ...] = ()
    outcomes: int = 0
    error_rate: float | None = None
    platform: str = ""
    panes: int = 0
    drift: tuple[Drift, ...] = ()


class Explanation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An alert and everything it follows from. `rule` is None where its configuration is gone."""

    alert: AlertRaised
    at: str
    rule: Rule | None
    metrics: tuple[MetricStep, ...]
    resolved: AlertResolved | None = None


def explain(archive: Path, alert_id: str) -> Explanation:
    """Return the chain behind an alert.

    Raises ConfigError where the archive has no such alert, TransportError where it lacks a record
    that the alert's proof names.
    """
    log = ArchiveLog(archive)
    partitions = namespace_of(archive).partitions
    found: tuple[AlertRaised, str] | None = None
    resolved: AlertResolved | None = None
    for partition in range(partitions):
        for record in map(to_record, log.read("alerts", partition)):
            event = record.event
            if isinstance(event, AlertRaised) and event.id == alert_id:
                found = event, f"alerts-{partition} offset {record.offset}"
            elif isinstance(event, AlertResolved) and event.alert_id == alert_id:
                resolved = event
    if found is None:
        raise ConfigError(
            f"alert is {alert_id!r}, which {str(archive)!r} doesn't hold; `streamops alerts` lists "
            "those there are"
        )
    alert, at = found
    rule = _rule(log, partitions, alert)
    refs = () if alert.evidence is None else alert.evidence.metrics
    steps = tuple(_step(log, ref, alert) for ref in refs)
    return Explanation(alert=alert, at=at, rule=rule, metrics=steps, resolved=resolved)


def as_text(found: Explanation) -> str:
    """Return an explanation as lines a person reads from the top."""
    alert, rule = found.alert, found.rule
    about = f"{alert.model} version {alert.version}, segment {alert.segment}"
    feature = f", feature {alert.feature}" if alert.feature else ""
    lines = [
        f"{alert.id}",
        f"  {alert.severity} {alert.kind} of {about}{feature}, raised at {alert.time.isoformat()}",
        f"  stands on {found.at}",
        f"Rule {alert.rule!r} of configuration {alert.config_hash[:12]}: "
        + ("(its configuration is not in the archive)" if rule is None else _rule_text(rule)),
        _measured(alert),
        f"It rests on {len(found.metrics)} record(s) of metrics:",
    ]
    for step in found.metrics:
        lines += _step_lines(step)
    if found.resolved is not None:
        ended = found.resolved
        lines.append(f"Resolved at {ended.time.isoformat()}: {ended.reason}")
    return "\n".join(lines)


def _measured(alert: AlertRaised) -> str:
    if alert.kind == "concept_drift":
        return f"  error rate {alert.value:.6g} when the detector spoke"
    if alert.since is not None:
        return (
            f"  evidence {alert.value:.6g}, an alarm takes {alert.limit:.6g}; "
            f"the change is put at {alert.since.isoformat()}"
        )
    reference = "" if alert.reference is None else f", reference {alert.reference:.6g}"
    return f"  measured {alert.metric} = {alert.value:.6g}, limit {alert.limit:.6g}{reference}"


def _rule(log: ArchiveLog, partitions: int, alert: AlertRaised) -> Rule | None:
    for partition in range(partitions):
        for record in map(to_record, log.read("lifecycle", partition)):
            event = record.event
            if isinstance(event, ConfigActivated) and event.config_hash == alert.config_hash:
                return _named(event.config, alert.rule)
    config = ModelConfig(model=alert.model)
    return _named(config, alert.rule) if config_hash(config) == alert.config_hash else None


def _named(config: ModelConfig, name: str) -> Rule | None:
    return next((rule for rule in config.rules if rule.name == name), None)


def _step(log: ArchiveLog, ref: MetricRef, alert: AlertRaised) -> MetricStep:
    partition = int(ref.stamp.source.rpartition("/")[2])
    at = f"metrics-{partition} offset {ref.offset}"
    raw = next(iter(log.read("metrics", partition, ref.offset, ref.offset + 1)), None)
    event: Event | object = None if raw is None else to_record(raw).event
    if isinstance(event, MetricEvaluated):
        about = alert.metric, alert.feature
        tested = tuple(d for d in event.drift if (d.metric, d.feature) == about)
        return MetricStep(
            id=event.id,
            at=at,
            pane=(event.pane_start.isoformat(), event.time.isoformat()),
            values=tuple(
                metric for metric in event.metrics if (metric.name, metric.feature) == about
            ),
            summaries=() if event.evidence is None else event.evidence.summaries,
            panes=0 if event.evidence is None or not tested else event.evidence.panes,
            drift=tested,
        )
    if isinstance(event, DriftDetected):
        return MetricStep(
            id=event.id,
            at=at,
            pane=(event.since.isoformat(), event.time.isoformat()),
            outcomes=event.outcomes,
            error_rate=event.error_rate,
            platform=event.platform,
        )
    return MetricStep(id=ref.id, at=f"{at}: is no metric; run `streamops verify`", pane=("", ""))


def _rule_text(rule: Rule) -> str:
    if rule.kind == "concept_drift":
        return f"detector {rule.metric} finds a change in the error stream"
    if rule.metric in DRIFT_METRICS:
        return f"the {rule.metric} test alarms, from {rule.minimum} rows on"
    times = f", {rule.raise_after} panes in a row" if rule.raise_after > 1 else ""
    return f"{rule.metric} {_limit_text(rule)}{times}, from {rule.minimum} rows on"


def _limit_text(rule: Rule) -> str:
    side, limit = ("above", rule.above) if rule.above is not None else ("below", rule.below)
    if not rule.relative:
        return f"{side} {limit:g}"
    assert limit is not None, "check_config wants one limit"
    return f"{side} its reference {'+' if limit >= 0 else '-'} {abs(limit):g}"


def _step_lines(step: MetricStep) -> list[str]:
    lines = [f"  {step.id}", f"    {step.at}"]
    if step.outcomes:
        lines.append(f"    change put at {step.pane[0]}, found at {step.pane[1]}")
        lines.append(
            f"    after {step.outcomes} outcomes, error rate {step.error_rate:.4f}; {step.platform}"
        )
    elif step.pane[0]:
        lines.append(f"    pane {step.pane[0]} to {step.pane[1]}")
    for metric in step.values:
        value = "insufficient data" if metric.value is None else f"{metric.value:.6g}"
        lines.append(f"    {metric.name} {metric.feature or 'of the pane'}: {value}, n {metric.n}")
    for found in step.drift:
        of = f"{found.test} of {found.stream}" + (f", {found.direction}" if found.direction else "")
        lines.append(f"    {of}: {found.age} panes since the change, {step.panes} read in all")
        lines.append(
            f"    PSI of this pane {found.psi:.4f} beyond chance, at least {found.psi_least:.4f}"
        )
    for ref in step.summaries:
        spans = ", ".join(f"{s.topic}-{s.partition} [{s.first}, {s.next})" for s in ref.raw.spans)
        lines.append(f"    from {ref.id}")
        lines.append(f"      {ref.raw.records} records of {spans or 'none'}")
        if ref.raw.chain:
            lines.append(f"      SHA-256 chain {ref.raw.chain[:16]}…")
    return lines
