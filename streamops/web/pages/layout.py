"""The frame of every page: head, navigation, panels, tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from streamops.web.assets import asset
from streamops.web.markup import Markup, Node, join, link, path, tag

Cell = Node


def page(title: str, *body: Node, trail: Sequence[tuple[str, str]] = ()) -> bytes:
    """Return a whole document; `trail` is the way here as (text, address)."""
    crumbs = [[" / ", link(text, href)] for text, href in trail]
    document = tag(
        "html",
        head(title),
        tag(
            "body",
            link("Skip to content", "#content", class_="skip"),
            tag(
                "header",
                tag("nav", link("streamops", "/", class_="home"), crumbs, aria_label="Path"),
                tag(
                    "span", "connecting", id="live", role="status", class_="live",
                    title="How this page keeps up with the log",
                ),
            ),
            tag("main", *body, id="content"),
            tag(
                "footer",
                "All times are UTC event time unless a panel says otherwise. ",
                link("API", "/api/overview"), " · ", link("health", "/health"), " · ",
                link("metrics", "/metrics"),
            ),
        ),
        lang="en",
    )  # fmt: skip
    return b"<!doctype html>\n" + document.encode()


def head(title: str) -> Markup:
    """Return the document's head; everything it loads is our own."""
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · streamops"),
        tag("link", rel="icon", href=asset("icon.svg"), type="image/svg+xml"),
        tag("link", rel="stylesheet", href=asset("uPlot.min.css")),
        tag("link", rel="stylesheet", href=asset("page.css")),
        tag("script", src=asset("uPlot.iife.min.js"), defer=True),
        tag("script", src=asset("charts.js"), defer=True),
        tag("script", src=asset("page.js"), defer=True),
    )


def panel(
    id: str,
    title: str,
    *body: Node,
    newest: datetime | None = None,
    aside: Node = None,
    is_live: bool = True,
) -> Markup:
    """Return a section that follows the log, unless told otherwise.

    newest  the append time its age counts from
    """
    heading = tag("div", tag("h2", title), aside, age(newest), class_="heading")
    return tag("section", heading, *body, id=id, class_="panel", data_live=is_live)


def age(newest: datetime | None) -> Markup | None:
    """Return how old a panel's data is; the page counts on."""
    if newest is None:
        return None
    seconds = max(0, round((datetime.now(UTC) - newest).total_seconds()))
    return tag(
        "span", f"data {seconds} s old", class_="age", data_since=newest.isoformat(),
        title=f"the newest record behind this was stored at {newest.isoformat()}",
    )  # fmt: skip


def table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, empty: Node
) -> Markup:
    """Return a table, or what to do next where it has no rows; a column named `#x` is numbers."""
    lines = [
        tag("tr", [cell(name, value) for name, value in zip(columns, row, strict=True)])
        for row in rows
    ]
    if not lines:
        return tag("p", empty, class_="empty")
    heads = [tag("th", name.lstrip("#"), scope="col", class_=kind(name)) for name in columns]
    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption, class_="hidden"),
            tag("thead", tag("tr", heads)),
            tag("tbody", lines),
        ),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def cell(column: str, value: Cell) -> Markup:
    """Return one cell."""
    return tag("td", value, class_=kind(column))


def kind(column: str) -> str | None:
    """Return the class of a column."""
    return "number" if column.startswith("#") else None


def facts(*pairs: tuple[str, Node]) -> Markup:
    """Return names with their values."""
    return tag("dl", [[tag("dt", name), tag("dd", value)] for name, value in pairs])


def charts(source: str, label: str) -> Markup:
    """Return where the page's script draws the charts of an address."""
    hint = tag("p", "Charts need JavaScript; ", link("their numbers as JSON", source), ".")
    return tag(
        "div", tag("noscript", hint), class_="charts", data_charts=source, aria_label=label,
        role="group",
    )  # fmt: skip


def tabs(label: str, choices: Iterable[tuple[str, str, bool]]) -> Markup | None:
    """Return links of which one is chosen, as (text, address, chosen); none for a single one."""
    found = list(choices)
    if len(found) < 2:
        return None
    return tag(
        "nav",
        tag("span", label, class_="label"),
        [link(text, href, aria_current="true" if on else None) for text, href, on in found],
        class_="tabs",
        aria_label=label,
    )


def badge(text: str, kind: str) -> Markup:
    """Return a word in a frame; its meaning is in the text, the colour only helps."""
    return tag("span", text, class_=f"badge {kind}")


def model_link(model: str, **query: str) -> Markup:
    """Return a link to a model's page."""
    return link(model, path("models", model, **query))


def command(text: str) -> Markup:
    """Return something to type."""
    return tag("code", text)


def not_found(what: str, *more: Node) -> bytes:
    """Return the page for what isn't there."""
    return page("Not found", tag("h1", "Not found"), tag("p", what), join(*more))


def refused(title: str, why: str) -> bytes:
    """Return the page for a request that can't be answered."""
    return page(title, tag("h1", title), tag("p", why))
