"""The live overview."""

from __future__ import annotations

from streamops.web.markup import Markup, Node, tag
from streamops.web.pages.alert import open_table
from streamops.web.pages.layout import age, badge, command, facts, model_link, page, panel, table
from streamops.web.pages.prediction import search
from streamops.web.reads.overview import ModelCard, Overview, TopicCard
from streamops.web.units import count, measured, name_of, span

TOPIC_COLUMNS = ("Topic", "#Records", "#Events", "#Repeats", "#Unreadable", "#Open epoch", "#Lag")
START = "log predictions with the SDK, or play a table: "


def overview_page(found: Overview) -> bytes:
    """Return the first page."""
    return page(
        "Overview",
        tag("h1", "Overview"),
        search(),
        panel("models", "Models", models(found.models)),
        panel(
            "alerts",
            f"Open alerts ({found.alerts_total})",
            open_table(found.alerts),
            newest=found.concluded_at,
        ),
        panel(
            "topics",
            "Log",
            tag("p", log_line(found), class_="note"),
            table("Topics", TOPIC_COLUMNS, map(topic_row, found.topics), empty="Nothing was read."),
            newest=found.newest,
        ),
    )


def models(cards: tuple[ModelCard, ...]) -> Markup:
    """Return a card for each model."""
    if not cards:
        how = [START, command("streamops simulate FILE.csv"), "."]
        return tag("p", "No model yet: ", how, class_="empty")
    return tag("ul", [tag("li", card(c)) for c in cards], class_="cards")


def card(model: ModelCard) -> Node:
    """Return what is known of a model at a glance."""
    quality: Node = "no labels judged yet"
    if model.metric:
        quality = [measured(model.metric, model.value), accepted(model)]
    return [
        tag("h3", model_link(model.model), alerts_badge(model), suppressed_badge(model)),
        facts(
            ("Champion", model.champion or "none: promote a version"),
            (name_of(model.metric or "quality"), quality),
            ("Last pane", pane(model)),
            ("Versions", ", ".join(f"{n} {stage}" for stage, n in sorted(model.versions.items()))),
        ),
        freshness(model),
    ]


def accepted(model: ModelCard) -> Node:
    """Return the value the champion was accepted with."""
    if model.reference is None:
        return None
    return tag("small", " at acceptance ", measured(model.metric, model.reference))


def pane(model: ModelCard) -> Node:
    """Return the last closed pane: when, and how many predictions."""
    if model.pane_start is None:
        return "none closed yet"
    return [span(model.pane_start, model.pane_end), ", ", count(model.predictions), " predictions"]


def alerts_badge(model: ModelCard) -> Markup:
    """Return how many alerts are open."""
    n = model.open_alerts
    return badge(f"{n} open", "bad") if n else badge("no open alert", "good")


def suppressed_badge(model: ModelCard) -> Markup | None:
    """Return how many of them paged nobody."""
    n = sum(model.suppressed.values())
    return badge(f"{n} of them paged nobody", "quiet") if n else None


def freshness(model: ModelCard) -> Node:
    """Return how old the newest metrics are."""
    return tag("p", age(model.newest), class_="note") if model.newest else None


def log_line(found: Overview) -> str:
    """Return where the log stands, in words."""
    where = f"Namespace {found.namespace}. "
    if found.concluded_epoch < 0:
        return where + "No epoch is concluded yet: the views that join topics are still empty."
    return where + f"Concluded up to epoch {found.concluded_epoch}."


def topic_row(topic: TopicCard) -> tuple[Node, ...]:
    """Return a topic's line; a lag that isn't known says so."""
    numbers = (topic.records, topic.events, topic.repeats, topic.unreadable)
    epoch = "–" if topic.open_epoch is None else count(topic.open_epoch)
    lag = "broker gives no answer" if topic.lag is None else count(topic.lag)
    return topic.topic, *map(count, numbers), epoch, lag
