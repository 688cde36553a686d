"""The report as one HTML document that loads nothing.

Each section names the duty it serves: Articles 12 and 19 of Regulation (EU) 2024/1689 (AI Act),
and what validators of models ask for. Whether a duty is met is for people to judge; the report says
what the log holds and what was checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files

import msgspec

from streamops.audit.retrains import Retrain
from streamops.web.markup import Markup, Node, tag
from streamops.web.pages.alert import allowed, kind, severity, state
from streamops.web.pages.layout import badge, command, facts, table
from streamops.web.reads.alerts import AlertRow
from streamops.web.report.gather import Fact, Lineage, Report
from streamops.web.report.plots import figure, within
from streamops.web.units import count, measured, moment, name_of

VERIFIED = "verified"
FACT_COLUMNS = ("time (UTC)", "what", "version", "detail", "stands on")
ALERT_COLUMNS = ("raised (UTC)", "severity", "what", "#measured", "limit", "state", "verify")
TOPIC_COLUMNS = ("topic", "#records", "first stored (UTC)", "last stored (UTC)")
RETRAIN_COLUMNS = (
    "asked (UTC)", "strategy", "trigger", "#seconds", "#rows", "verdict", "#later rows", "#new",
    "#old", "#regret",
)  # fmt: skip
DUTIES = (
    ("Events are recorded over the system's lifetime", "AI Act Art. 12(1)", "log"),
    ("Situations that may present a risk, substantial changes", "AI Act Art. 12(2)(a)", "alerts"),
    ("Post-market monitoring", "AI Act Art. 12(2)(b)", "performance"),
    ("Monitoring of operation by deployers", "AI Act Art. 12(2)(c)", "timeline"),
    ("Logs are kept, at least six months unless other law says otherwise", "AI Act Art. 19(1)",
     "log"),
    ("Human oversight: who approved, silenced, paused, rolled back", "model risk", "people"),
    ("What each version was made from", "model risk", "lineage"),
    ("Changes of a model and whether they paid", "model risk", "retrains"),
    ("Records are unaltered", "model risk", "chain"),
)  # fmt: skip


def document(report: Report) -> bytes:
    """Return the whole file."""
    sections = (
        ("summary", "Summary", summary(report)),
        ("duties", "What serves which duty", duties()),
        ("performance", "Performance and drift", performance(report)),
        ("alerts", "Alerts and their verification", alerts(report)),
        ("people", "What people decided", people(report)),
        ("lineage", "Versions and data lineage", lineage(report)),
        ("configurations", "Configurations", configurations(report)),
        ("retrains", "Retrain ledger", ledger(report)),
        ("chain", "Chain state", chain(report)),
        ("log", "What the archive holds", log(report)),
        ("timeline", "Timeline", timeline(report)),
    )
    contents = [tag("li", tag("a", title, href=f"#{name}")) for name, title, _ in sections]
    body = tag(
        "body",
        tag("h1", f"Report on {report.model}"),
        tag("p", *heading(report), class_="note"),
        tag("ol", contents, class_="toc"),
        [tag("section", tag("h2", title), *parts, id=name) for name, title, parts in sections],
    )
    html = tag("html", head(f"Report on {report.model}"), body, lang="en")
    return b"<!doctype html>\n" + html.encode()


def head(title: str) -> Markup:
    """Return the head with the style in it."""
    style = files("streamops.web.report").joinpath("report.css").read_text()
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{title} · streamops"),
        tag("style", Markup(style)),
    )


def heading(report: Report) -> Iterator[Node]:
    """Yield what span of which archive this is, and when it was looked at."""
    yield "Event time from "
    yield moment(report.since) if report.since else "the beginning"
    yield " to "
    yield moment(report.until) if report.until else "the end"
    yield [" of ", command(report.archive), ", made ", moment(report.made_at), " (UTC)."]


def summary(report: Report) -> tuple[Node, ...]:
    """Return the numbers a reader looks for first."""
    failed = len(unverified(report))
    resolved = len([a for a in report.alerts if a.resolved_at is not None])
    serving = [v.version for v in report.versions if v.stage == "Production"]
    promoted = len([r for r in report.ledger.retrains if r.verdict == "promoted"])
    proof: Node = badge("every alert recomputed to the same bytes", "good")
    if failed:
        proof = badge(f"{failed} alerts not verified", "bad")
    elif not report.alerts:
        proof = "no alert to verify"
    return (
        facts(
            ("in Production at the archive's end", ", ".join(serving) or "none"),
            ("closed panes, predictions, labels in them", [
                count(report.totals.panes), ", ", count(report.totals.predictions), ", ",
                count(report.totals.labelled),
            ]),
            ("alerts raised, resolved since", f"{len(report.alerts)}, {resolved}"),
            ("their proofs", proof),
            ("chain of sealed records", held(report)),
            ("challengers asked for, promoted", f"{len(report.ledger.retrains)}, {promoted}"),
            ("decisions of people", str(len(report.people))),
        ),
    )  # fmt: skip


def duties() -> tuple[Node, ...]:
    """Return which section serves which duty."""
    rows = (
        (about, source, tag("a", f"section {section}", href=f"#{section}"))
        for about, source, section in DUTIES
    )
    return (
        table("Duties", ("duty", "source", "see"), rows, empty=""),
        tag(
            "p",
            "AI Act: Regulation (EU) 2024/1689. The report states what the log holds and what was "
            "recomputed from it; whether a duty is met is for people to judge.",
            class_="note",
        ),
    )


def performance(report: Report) -> tuple[Node, ...]:
    """Return the charts of the span."""
    drawn = [within(chart, report.since, report.until) for chart in report.charts.charts]
    figures = [figure(chart, report.charts) for chart in drawn if chart is not None]
    if not figures:
        return (tag("p", "No pane was evaluated in this span.", class_="empty"),)
    bands = "Shaded: the version in Production. ▼: an alert. A gap: insufficient data."
    found = f"Detectors on errors spoke {report.detections} times."
    return (tag("p", bands, " ", found, class_="note"), *figures)


def alerts(report: Report) -> tuple[Node, ...]:
    """Return the alerts, oldest first, each with its verdict."""
    verdicts = {v.id: v.status for v in report.verification.alerts} if report.verification else {}
    rows = (alert_row(a, verdicts) for a in reversed(report.alerts))
    empty = "No alert was raised in this span."
    parts: list[Node] = [table("Alerts", ALERT_COLUMNS, rows, empty=empty)]
    bad = unverified(report)
    if bad:
        parts.append(tag("p", tag("b", "Not verified:")))
        parts.append(tag("ul", [tag("li", command(name), ": ", why) for name, why in bad]))
    if report.verification is not None:
        found = report.verification
        parts.append(
            tag(
                "p",
                f"{len(found.alerts)} alerts of all models since the span's first were recomputed "
                f"from {found.records:,} raw and derived records, and compared byte for byte. "
                f"{len(found.findings)} findings outside.",
                class_="note",
            )
        )
        parts.append(tag("ul", [tag("li", text) for text in found.findings[:50]]))
    return tuple(parts)


def alert_row(alert: AlertRow, verdicts: Mapping[str, str]) -> tuple[Node, ...]:
    """Return an alert's line."""
    verdict = verdicts.get(alert.alert_id, "not recomputed")
    return (
        moment(alert.raised_at),
        severity(alert.severity),
        about(alert),
        measured(alert.metric, alert.value),
        allowed(alert),
        state(alert),
        badge(verdict, "good" if verdict == VERIFIED else "bad"),
    )


def about(alert: AlertRow) -> str:
    """Return what an alert is about; no link: the report may be read where no page is."""
    found = f"{kind(alert.kind)}: {name_of(alert.metric)}"
    found += f" of {alert.feature}" if alert.feature else ""
    found += f" in {alert.segment}" if alert.segment != "all" else ""
    return f"{found}, version {alert.version}"


def unverified(report: Report) -> list[tuple[str, str]]:
    """Return the span's alerts that aren't verified, and why."""
    found = report.verification
    verdicts = {v.id: v for v in found.alerts} if found is not None else {}
    bad = []
    for alert in report.alerts:
        verdict = verdicts.get(alert.alert_id)
        if verdict is None or verdict.status != VERIFIED:
            why = "not recomputed" if verdict is None else "; ".join(verdict.reasons)
            bad.append((alert.alert_id, why or (verdict.status if verdict else "")))
    return bad


def people(report: Report) -> tuple[Node, ...]:
    """Return what people asked for and allowed."""
    empty = "Nobody approved, promoted, silenced, paused, rolled back or configured in this span."
    return (table("Decisions of people", FACT_COLUMNS, map(fact_row, report.people), empty=empty),)


def timeline(report: Report) -> tuple[Node, ...]:
    """Return the facts of the span in order."""
    rows = map(fact_row, report.timeline)
    return (table("Timeline", FACT_COLUMNS, rows, empty="Nothing happened in this span."),)


def fact_row(fact: Fact) -> tuple[Node, ...]:
    """Return a fact's line; where it stands lets anyone read the record itself."""
    place = command(f"{fact.topic}-{fact.partition}@{fact.offset}")
    return moment(fact.time), fact.what, fact.version or "", fact.detail or "", place


def lineage(report: Report) -> tuple[Node, ...]:
    """Return each version with what it was made from."""
    columns = ("version", "stage", "registered (UTC)", "made from", "file (SHA-256)")
    rows = (
        (v.version, v.stage, moment(v.registered_at), made_from(v), command(v.artifact or "none"))
        for v in report.versions
    )
    return (
        table("Versions", columns, rows, empty="No version is registered."),
        tag("p", "Stages are those at the archive's end.", class_="note"),
    )


def made_from(version: Lineage) -> list[Node]:
    """Return run, data and code of a version."""
    parts: list[Node] = [["run ", command(version.run_id)] if version.run_id else "no run recorded"]
    if version.rows is not None:
        parts.append(f", {version.rows:,} rows")
    if version.dataset:
        parts.append([", data ", command(version.dataset)])
    if version.content_hash:
        parts.append([" (content ", command(version.content_hash), ")"])
    if version.last_epoch:
        parts.append(f", outcomes of epochs {version.first_epoch} to {version.last_epoch}")
    if version.code_commit:
        parts.append([", code ", command(version.code_commit)])
    if version.environment:
        known = msgspec.json.decode(version.environment, type=dict[str, str])
        parts.append(f", {', '.join(f'{name} {found}' for name, found in sorted(known.items()))}")
    return parts


def configurations(report: Report) -> tuple[Node, ...]:
    """Return which configuration ruled from when."""
    columns = ("rules from pane (UTC)", "#revision", "#alert rules", "applied by", "hash")
    rows = (
        (moment(c.first_pane), c.revision, c.rules, c.actor or "not recorded",
         command(c.config_hash))
        for c in report.configurations
    )  # fmt: skip
    return (table("Configurations", columns, rows, empty="No configuration is recorded."),)


def ledger(report: Report) -> tuple[Node, ...]:
    """Return the retrains of the span, and the sums of the whole history by trigger."""
    sums = (
        (t.trigger, t.requests, t.promoted, f"{t.seconds:.1f}", t.rows, digits(t.gain, "+"))
        for t in report.ledger.triggers
    )
    columns = ("trigger", "#requests", "#promoted", "#seconds", "#rows", "#gain of those promoted")
    empty = "No challenger was asked for."
    return (
        tag(
            "p",
            "New and old answer the same outcomes after the decision, by their recorded files. "
            "Regret: how much better the other choice would have been; below 0 it was right.",
            class_="note",
        ),
        table("Retrains", RETRAIN_COLUMNS, map(retrain_row, report.ledger.retrains), empty=empty),
        table("Triggers, whole history", columns, sums, empty=""),
    )


def retrain_row(found: Retrain) -> tuple[Node, ...]:
    """Return a retrain's line."""
    regret = found.regret
    later: tuple[Node, ...] = ("", "", "", "")
    if regret is not None:
        later = (regret.rows, digits(regret.new), digits(regret.old), digits(regret.regret, "+"))
    verdict: Node = found.verdict
    if found.checks:
        verdict = [found.verdict, ": ", ", ".join(check.name for check in found.checks)]
    return (
        moment(found.time),
        found.strategy,
        found.trigger,
        "" if found.seconds is None else f"{found.seconds:.1f}",
        "" if found.rows is None else found.rows,
        verdict,
        *later,
    )


def digits(value: float | None, sign: str = "") -> str:
    """Return a value in four digits, `-` for none."""
    return "-" if value is None else f"{value:{sign}.4f}"


def chain(report: Report) -> tuple[Node, ...]:
    """Return whether the sealed records are those that were sealed."""
    found = report.chain
    odd = [*map(str, found.broken), *found.unreadable, *found.altered]
    return (
        facts(
            ("chain", held(report)),
            ("seals", str(found.seals)),
            ("records under seals, behind the last", f"{found.sealed:,}, {found.unsealed:,}"),
            ("last sealed append time", moment(found.time)),
            ("line to hold it against", command(found.line) if found.line else "none"),
        ),
        tag("ul", [tag("li", text) for text in odd]) if odd else None,
        tag(
            "p",
            "Only a line that was kept elsewhere shows that the whole chain wasn't made anew: ",
            command("streamops verify-chain --against LINE"),
            ".",
            class_="note",
        ),
    )


def held(report: Report) -> Markup:
    """Return whether the chain holds; without a seal there is nothing that could."""
    found = report.chain
    if not found.ok:
        return badge(f"broken at {len(found.broken)} places", "bad")
    if not found.seals:
        return badge("no seal: nothing shows whether records were altered", "bad")
    return badge("every sealed record is there, unaltered", "good")


def log(report: Report) -> tuple[Node, ...]:
    """Return how far each topic's records reach, by the broker's clock."""
    rows = ((t.topic, count(t.records), moment(t.first), moment(t.last)) for t in report.topics)
    return (
        table("Topics", TOPIC_COLUMNS, rows, empty="The archive is empty."),
        tag("p", "Times are the broker's append times, of all models.", class_="note"),
    )
