"""A model: charts over time, versions, features, alerts, facts."""

from __future__ import annotations

from collections.abc import Iterator

from streamops.web.markup import Markup, Node, link, path, tag
from streamops.web.pages.alert import alerts_table
from streamops.web.pages.layout import badge, charts, command, page, panel, table, tabs
from streamops.web.pages.reference import reference
from streamops.web.reads.model import Fact, FeatureRow, ModelPage, VersionRow
from streamops.web.units import measured, moment, name_of

VERSION_COLUMNS = ("Version", "Stage", "Since", "As a candidate", "Gate", "Run", "Artifact")
FEATURE_COLUMNS = ("Feature", "#PSI now", "#JS now", "#Missing now", "#Worst PSI", "Worst pane")
SILENCE_COLUMNS = ("Silenced", "How", "From", "Until", "By", "Why")
FACT_COLUMNS = ("Time", "What", "Version", "Detail")


def model_page(found: ModelPage, measure: str) -> bytes:
    """Return a model's page; `measure` is the quality metric its first chart shows."""
    title = tag("h1", found.model, " ", champion(found))
    source = path("api", "models", found.model, "charts", segment=found.segment, measure=measure)
    return page(
        found.model,
        title,
        tag("div", *choices(found, measure), class_="choices"),
        drawn(found, source),
        panel("features", "Features", features(found), newest=found.newest),
        panel(
            "alerts",
            f"Alerts ({found.alerts.total})",
            alerts_table(found.alerts.alerts),
            shown(len(found.alerts.alerts), found.alerts.total),
            *silences(found),
            newest=found.newest,
        ),
        panel(
            "versions",
            f"Versions ({found.versions_total})",
            table(
                "Versions", VERSION_COLUMNS, map(version_row, found.versions),
                empty=["No version is registered: ", command("client.register(…)"), "."],
            ),
            shown(len(found.versions), found.versions_total),
            newest=found.newest,
        ),
        panel("reference", "What the reference lets tests see", *reference(found.reference)),
        panel(
            "facts",
            "Latest facts",
            table("Latest facts", FACT_COLUMNS, map(fact_row, found.facts), empty="Nothing yet."),
            newest=found.newest,
        ),
        trail=((found.model, path("models", found.model)),),
    )  # fmt: skip


def silences(found: ModelPage) -> Iterator[Node]:
    """Yield what is silenced now; nothing where nothing is."""
    rows = [
        (command(s.name), s.how, moment(s.since), moment(s.until), s.actor, s.reason)
        for s in found.silences
    ]
    if rows:
        yield table("Silences in force", SILENCE_COLUMNS, rows, empty="")


def champion(found: ModelPage) -> Markup:
    """Return the version in Production."""
    if not found.champion:
        return badge("no champion", "quiet")
    return badge(f"champion {found.champion}", "good")


def choices(found: ModelPage, measure: str) -> Iterator[Node]:
    """Yield the links to other segments and quality metrics."""
    own = ("models", found.model)
    yield tabs(
        "Segment",
        ((s, path(*own, segment=s, measure=measure), s == found.segment) for s in found.segments),
    )
    yield tabs(
        "Quality",
        (
            (name_of(m), path(*own, segment=found.segment, measure=m), m == measure)
            for m in found.measures
        ),
    )


def drawn(found: ModelPage, source: str) -> Markup:
    """Return the charts, or why there are none yet."""
    if not found.panes:
        return tag(
            "p",
            "No pane is closed yet. A pane closes when a tick passes its end; charts begin then.",
            class_="empty",
        )
    return charts(source, f"Charts of {found.model}")


def features(found: ModelPage) -> Markup:
    """Return the features, the most drifted first."""
    rows = (feature_row(found, f) for f in found.features)
    empty = "No feature was compared yet: the version has no reference profile, or no pane closed."
    return table("Features", FEATURE_COLUMNS, rows, empty=empty)


def feature_row(found: ModelPage, feature: FeatureRow) -> tuple[Node, ...]:
    """Return a feature's line."""
    own = ("models", found.model, "features", feature.feature)
    worst: Node = "–"
    if feature.worst_pane is not None:
        href = path(*own, pane=feature.worst_pane.isoformat(), segment=found.segment)
        worst = link(moment(feature.worst_pane), href)
    return (
        link(feature.feature, path(*own, segment=found.segment)),
        measured("psi", feature.psi),
        measured("js", feature.js),
        measured("missing_rate", feature.missing_rate),
        measured("psi", feature.worst_psi),
        worst,
    )


def version_row(version: VersionRow) -> tuple[Node, ...]:
    """Return a version's line."""
    return (
        version.version,
        badge(version.stage, "good" if version.stage == "Production" else "quiet"),
        moment(version.since),
        candidate(version),
        verdict(version),
        command(version.run_id) if version.run_id else "–",
        tag("code", f"{version.artifact[:12]}…", title=version.artifact)
        if version.artifact
        else "–",
    )


def candidate(version: VersionRow) -> Node:
    """Return how a candidate did beside the champion."""
    if version.rows is None:
        return "–"
    return [
        (
            name_of(name), " ", measured(name, value), against(version, name),
            f" on {version.rows} rows",
        )
        for name, value in sorted(version.candidate.items())[:1]
    ]  # fmt: skip


def against(version: VersionRow, metric: str) -> Node:
    """Return the champion's value on the same rows."""
    if metric not in version.champion:
        return None
    return [f", {version.champion_version} ", measured(metric, version.champion[metric])]


def verdict(version: VersionRow) -> Node:
    """Return the gate's verdict and, where it refused, the checks that failed."""
    if version.passed is None:
        return "–"
    if version.passed:
        return badge("passed", "good")
    failed = [
        name if value is None or limit is None else f"{name} {value:.3f}, asked {limit:.3f}"
        for name, value, limit, held in version.checks
        if not held
    ]
    return [badge("refused", "bad"), " ", "; ".join(failed)]


def fact_row(fact: Fact) -> tuple[Node, ...]:
    """Return a fact's line."""
    detail: Node = fact.detail or ""
    if fact.what == "AlertRaised":
        detail = link(detail, path("alerts", fact.id))
    return moment(fact.time), fact.what, fact.version or "", detail


def shown(rows: int, total: int) -> Node:
    """Return how many of all are shown, where that isn't all."""
    return None if rows >= total else tag("p", f"The first {rows} of {total}.", class_="note")
