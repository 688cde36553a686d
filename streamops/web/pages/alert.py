"""Alerts as tables, and one alert with its proof."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streamops.config import DRIFT_METRICS, Rule
from streamops.values import RawEvidence, Span
from streamops.web.markup import Markup, Node, link, path, tag
from streamops.web.pages.causes import causes
from streamops.web.pages.layout import badge, command, facts, model_link, page, panel, table
from streamops.web.reads.alerts import AlertPage, AlertRow, OpenAlert, ProofMetric
from streamops.web.units import count, measured, moment, name_of, span

OPEN_COLUMNS = ("Severity", "Model", "Kind", "What", "#Measured", "#Allowed", "Raised", "Proof")
COLUMNS = ("State", "Severity", "Kind", "What", "#Measured", "#Allowed", "Raised", "Proof")
METRIC_COLUMNS = ("Record", "Metrics at", "Pane", "#Value", "#Rows", "Cut")
SUMMARY_COLUMNS = ("Summary", "Source", "#Offset", "Raw records", "#Records", "Chain (SHA-256)")
PREDICTION_COLUMNS = ("Prediction", "Time", "Answer")
REASONS = {"silence": "silenced", "snooze": "snoozed", "group": "in a group"}
NO_ALERT = "No open alert. Rules are set in a configuration: "


def open_table(alerts: Iterable[OpenAlert]) -> Markup:
    """Return the open alerts of all models."""
    rows = (
        (
            severity(a.severity), model_link(a.model), kind(a.kind), [what(a), quiet(a)],
            measured(a.metric, a.value), allowed(a), moment(a.raised_at), proof(a.alert_id),
        )
        for a in alerts
    )  # fmt: skip
    empty = [NO_ALERT, command("streamops init"), ", ", command("streamops apply FILE"), "."]
    return table("Open alerts", OPEN_COLUMNS, rows, empty=empty)


def alerts_table(alerts: Iterable[AlertRow]) -> Markup:
    """Return a model's alerts, open or resolved."""
    rows = (
        (
            [state(a), told(a)], severity(a.severity), kind(a.kind), what(a),
            measured(a.metric, a.value),
            allowed(a), moment(a.raised_at), proof(a.alert_id),
        )
        for a in alerts
    )  # fmt: skip
    return table("Alerts", COLUMNS, rows, empty="No alert was raised for this model.")


def alert_page(found: AlertPage) -> bytes:
    """Return an alert with all that it rests on."""
    alert = found.alert
    title = f"{kind(alert.kind)} alert"
    return page(
        title,
        tag("h1", title, " ", severity(alert.severity), " ", state(alert)),
        tag("p", sentence(alert), class_="lead"),
        panel("alert", "Alert", about(found)),
        panel("causes", "What explains it", *causes(found)),
        panel("rule", "Rule", rule(found.definition)),
        panel("proof", "Proof", *proof_of(found)),
        panel("predictions", "Predictions", *predictions(found)),
        trail=((alert.model, path("models", alert.model)),),
    )


def about(found: AlertPage) -> Markup:
    """Return the alert's own fields."""
    a, place = found.alert, found.place
    return facts(
        ("Model", [model_link(a.model), " version ", a.version]),
        ("What", what(a)),
        ("Segment", a.segment),
        ("Measured", measured(a.metric, a.value)),
        ("Allowed", allowed(a)),
        ("At acceptance", "–" if a.reference is None else measured(a.metric, a.reference)),
        ("Change put at", moment(a.since)),
        ("Last pane begins", moment(a.pane_start)),
        ("Raised", moment(a.raised_at)),
        ("State", [state(a), f" {a.resolved_as}" if a.resolved_as else ""]),
        ("Paged", paged(a)),
        ("Fingerprint", command(found.fingerprint)),
        ("Id", command(a.alert_id)),
        ("Configuration", command(found.config_hash)),
        ("On the log", f"{place.topic}-{place.partition}, offset {place.offset}"),
    )


def rule(definition: Rule | None) -> Markup:
    """Return the rule as configured."""
    if definition is None:
        return tag("p", "The configuration with this hash is not in the views.", class_="empty")
    limits = [("above", definition.above), ("below", definition.below)]
    limit = ", ".join(f"{side} {value:g}" for side, value in limits if value is not None)
    against = " from the reference" if definition.relative else ""
    return facts(
        ("Name", definition.name),
        ("Metric", name_of(definition.metric)),
        ("Limit", f"{limit}{against}" if limit else limit_of_test(definition)),
        ("Raised after", f"{definition.raise_after} panes in a row"),
        ("Resolved after", f"{definition.resolve_after} panes in a row"),
        ("Fewest rows", count(definition.minimum)),
    )


def limit_of_test(definition: Rule) -> str:
    """Return where the limit of a rule without one comes from."""
    if definition.metric in DRIFT_METRICS:
        return "follows from the false alarms allowed a month"
    return "the detector's own"


def proof_of(found: AlertPage) -> Iterator[Node]:
    """Yield what lets anyone compute the alert again: metrics, summaries, raw offsets."""
    yield tag(
        "p",
        "Anyone can compute this alert again from these records: ",
        command("streamops verify --all"),
        ".",
        class_="note",
    )
    rows = (metric_row(m) for m in found.metrics)
    empty = "The alert rests on lifecycle records only."
    yield table("Metrics", METRIC_COLUMNS, rows, empty=empty)
    for metric in found.metrics:
        yield from behind(metric)
    if found.lifecycle:
        yield tag("p", "Lifecycle read: ", spans(found.lifecycle))


def predictions(found: AlertPage) -> Iterator[Node]:
    """Yield some predictions that it counts, each with a link to what became of it."""
    rows = ((link(p.id, path("predictions", p.id)), moment(p.time), command(p.prediction))
            for p in found.predictions)  # fmt: skip
    yield tag("p", "The first that its last pane counted.", class_="note")
    yield table("Predictions", PREDICTION_COLUMNS, rows, empty="None of them is in the views.")


def metric_row(metric: ProofMetric) -> tuple[Node, ...]:
    """Return a metrics record's line."""
    known = metric.metric
    value: Node = "–" if known is None else measured(known.name, known.value)
    rows: Node = "–" if known is None else count(known.n)
    if metric.outcomes is not None:
        rows = count(metric.outcomes.outcomes)
    where = f"offset {metric.offset} ({metric.source}, epoch {metric.epoch})"
    window = span(metric.pane_start, metric.pane_end)
    return command(metric.id), where, window, value, rows, metric.cut or metric.kind


def behind(metric: ProofMetric) -> Iterator[Node]:
    """Yield what one metrics record was folded from."""
    if metric.summaries:
        rows = (
            (command(s.id), s.stamp.source, s.offset, spans(s.raw.spans), count(s.raw.records),
             chain(s.raw))
            for s in metric.summaries
        )  # fmt: skip
        yield tag("h3", "Summaries behind ", command(metric.id))
        yield table(f"Summaries behind {metric.id}", SUMMARY_COLUMNS, rows, empty="None.")
    if metric.outcomes is not None:
        o = metric.outcomes
        yield facts(
            ("Outcomes", count(o.outcomes)),
            ("Epochs", f"{o.first_epoch} to {o.last_epoch}"),
            ("Chain (SHA-256)", command(o.chain)),
        )


def chain(raw: RawEvidence) -> Markup:
    """Return the start of a hash, the whole on hovering."""
    return tag("code", f"{raw.chain[:16]}…", title=raw.chain)


def spans(found: Iterable[Span]) -> str:
    """Return offset ranges in words."""
    return ", ".join(f"{s.topic}-{s.partition} [{s.first}, {s.next})" for s in found)


def sentence(a: AlertRow) -> Node:
    """Return the alert in one sentence."""
    value: Node = measured(a.metric, a.value)
    if a.kind == "concept_drift":
        return [
            name_of(a.metric), " found a change in the errors of ", a.model, " ", a.version,
            "; its error rate was ", f"{a.value * 100:.1f} %", ".",
        ]  # fmt: skip
    where = "" if a.segment == "all" else f" in {a.segment}"
    return [
        what(a),
        f" of {a.model} {a.version}{where} was ",
        value,
        "; allowed: ",
        allowed(a),
        ".",
    ]


def what(a: AlertRow | OpenAlert) -> Node:
    """Return what was measured: the metric, its feature with a link, its segment."""
    feature: Node = None
    if a.feature:
        href = path(
            "models", a.model, "features", a.feature,
            pane=a.pane_start.isoformat(), version=a.version, segment=a.segment,
        )  # fmt: skip
        feature = [" of ", link(a.feature, href)]
    segment = None if a.segment == "all" else f" in {a.segment}"
    return tag("span", name_of(a.metric), feature, segment)


def allowed(a: AlertRow | OpenAlert) -> Node:
    """Return the limit with its direction; a detector has none."""
    if a.kind == "concept_drift":
        return "–"
    return [f"{'≤' if a.value > a.limit else '≥'} ", measured(a.metric, a.limit)]


def quiet(a: OpenAlert) -> Node:
    """Return why it paged nobody, for how many it paged, or that someone silenced or saw it."""
    if not a.silenced and a.silenced_until is not None:
        return badge("silenced", "quiet")
    return [told(a), badge("seen", "quiet") if a.acknowledged else None]


def told(a: AlertRow | OpenAlert) -> Node:
    """Return why an alert paged nobody, or for how many more it paged."""
    if a.silenced:
        return badge(REASONS.get(a.reason, a.reason), "quiet")
    return badge(f"and {a.members} more", "quiet") if a.members else None


def paged(a: AlertRow) -> Node:
    """Return who was told of an alert, in words."""
    if not a.silenced:
        return f"yes, with {a.members} more" if a.members else "yes"
    by: Node = command(a.held_by)
    if a.reason in ("group", "flapping"):
        by = link("the alert that paged in its place", path("alerts", a.held_by))
    return ["no, ", REASONS.get(a.reason, a.reason), ": ", by]


def kind(name: str) -> str:
    """Return an alert's kind in words."""
    return name.replace("_", " ").capitalize()


def severity(name: str) -> Markup:
    """Return a severity; the number of strokes says it without colour."""
    strokes = {"minor": "!", "moderate": "!!", "major": "!!!"}.get(name, "")
    return badge(f"{strokes} {name}", name)


def state(a: AlertRow) -> Markup:
    """Return whether an alert is open."""
    if a.resolved_at is None:
        return badge("open", "bad")
    return tag("span", badge("resolved", "good"), " ", moment(a.resolved_at))


def proof(alert_id: str) -> Markup:
    """Return the link to an alert's proof."""
    return link("proof", path("alerts", alert_id))
