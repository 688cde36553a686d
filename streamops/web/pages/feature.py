"""A feature in one pane beside its reference profile, and its distances over time."""

from __future__ import annotations

from collections.abc import Iterator

from streamops.web.markup import Markup, Node, link, path, tag
from streamops.web.pages.layout import charts, page, panel, table
from streamops.web.reads.bins import Bin, FeaturePage, PaneChoice
from streamops.web.units import count, measured, name_of, number, span

COLUMNS = ("Bin", "#Pane", "#Share", "#Reference", "#Share of reference")
METRIC_COLUMNS = ("Metric", "#Pane", "#Reference", "#Rows")
WIDTH, HEIGHT, FOOT, HEAD, SIDE = 960, 260, 74, 14, 44
LABEL_CHARS = 14


def feature_page(found: FeaturePage) -> bytes:
    """Return a feature's page."""
    source = path(
        "api", "models", found.model, "features", found.feature, "charts", segment=found.segment
    )
    model = path("models", found.model, segment=found.segment)
    return page(
        f"{found.feature} · {found.model}",
        tag("h1", found.feature, tag("small", f" {found.kind} feature")),
        panel("bins", "One pane against the reference", *bins(found), newest=found.newest),
        charts(source, f"Charts of {found.feature}"),
        panel("numbers", "Numbers of the pane", metrics(found), newest=found.newest),
        trail=((found.model, model), (found.feature, address(found, found.pane))),
    )


def address(found: FeaturePage, pane: PaneChoice | None) -> str:
    """Return the address of this feature in a pane."""
    asked = {} if pane is None else {"pane": pane.pane_start.isoformat(), "version": pane.version}
    own = ("models", found.model, "features", found.feature)
    return path(*own, segment=found.segment, **asked)


def bins(found: FeaturePage) -> Iterator[Node]:
    """Yield the choice of a pane, the picture and its numbers."""
    yield chooser(found)
    if found.pane is None:
        yield tag(
            "p",
            "No pane with predictions is closed yet; below is the reference alone.",
            class_="empty",
        )
    else:
        shown = span(found.pane.pane_start, found.pane_end)
        rows = f"{count(found.rows)} rows against {count(found.reference_rows)} of the reference"
        yield tag("p", "Pane ", shown, f", version {found.pane.version}: {rows}.", class_="note")
    yield legend()
    yield picture(found)
    lines = (
        (b.label, count(b.count), number(b.share, "share"), count(b.reference_count),
         number(b.reference_share, "share"))
        for b in found.bins
    )  # fmt: skip
    numbers = table("Bins", COLUMNS, lines, empty="The reference has no bins.")
    yield tag("details", tag("summary", "The same as numbers"), numbers)


def chooser(found: FeaturePage) -> Markup | None:
    """Return the form that chooses a pane, with its neighbours as links."""
    if found.pane is None:
        return None
    at = found.panes.index(found.pane)
    newer = found.panes[at - 1] if at else None
    older = found.panes[at + 1] if at + 1 < len(found.panes) else None
    options = [
        tag(
            "option", f"{p.pane_start:%Y-%m-%d %H:%M:%S} · {p.version} · {p.rows} rows",
            value=f"{p.pane_start.isoformat()} {p.version}", selected=p == found.pane,
        )
        for p in found.panes
    ]  # fmt: skip
    return tag(
        "form",
        step("← older", found, older),
        tag("label", "Pane ", tag("select", options, name="shown")),
        tag("input", type="hidden", name="segment", value=found.segment),
        tag("button", "Show", type="submit"),
        step("newer →", found, newer),
        method="get",
        action=path("models", found.model, "features", found.feature),
        class_="chooser",
    )


def step(text: str, found: FeaturePage, pane: PaneChoice | None) -> Markup:
    """Return the link to a neighbouring pane, or the text alone at an end."""
    return link(text, address(found, pane)) if pane else tag("span", text, class_="none")


def legend() -> Markup:
    """Return what the two kinds of bars are; the reference is hatched, not only coloured."""
    return tag(
        "p",
        tag("span", class_="key pane"), " this pane ",
        tag("span", class_="key reference"), " reference",
        class_="legend",
    )  # fmt: skip


def picture(found: FeaturePage) -> Markup:
    """Return the bars of pane and reference side by side, shares of rows."""
    highest = max([s for b in found.bins for s in (b.share, b.reference_share) if s], default=1.0)
    top = scale(highest)
    return tag(
        "svg",
        hatch(),
        [gridline(top * n / 4, top) for n in range(5)],
        [group(n, b, len(found.bins), top) for n, b in enumerate(found.bins)],
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"Share of rows in each bin of {found.feature}, pane beside reference",
        class_="bins",
    )


def hatch() -> Markup:
    """Return the pattern of the reference's bars."""
    line = tag("path", d="M0 6 L6 0", class_="hatch")
    back = tag("rect", width=6, height=6, class_="hatched")
    pattern = tag(
        "pattern", back, line, id="hatch", width=6, height=6, patternUnits="userSpaceOnUse"
    )
    return tag("defs", pattern)


def scale(highest: float) -> float:
    """Return the first round share at or above the highest bar."""
    return next((s for s in (0.04, 0.1, 0.2, 0.4, 0.6, 0.8) if highest <= s), 1.0)


def gridline(share: float, top: float) -> Markup:
    """Return a line across with its share."""
    y = y_of(share, top)
    return tag(
        "g",
        tag("line", x1=SIDE, x2=WIDTH, y1=y, y2=y),
        tag("text", f"{share * 100:g} %", x=SIDE - 6, y=y + 4, text_anchor="end"),
        class_="grid",
    )


def y_of(share: float, top: float) -> float:
    """Return how far down a share lies."""
    return round(HEAD + (HEIGHT - FOOT - HEAD) * (1 - share / top), 2)


def group(n: int, bin: Bin, bins: int, top: float) -> Markup:
    """Return the two bars of a bin with its label."""
    slot = (WIDTH - SIDE) / bins
    x, width = SIDE + n * slot, slot * 0.36
    about = (
        f"{bin.label}: pane {percent(bin.share)} ({bin.count}), "
        f"reference {percent(bin.reference_share)} ({bin.reference_count})"
    )
    middle, foot = round(x + slot / 2, 2), HEIGHT - FOOT + 14
    short = bin.label if len(bin.label) <= LABEL_CHARS else f"{bin.label[: LABEL_CHARS - 1]}…"
    turned = f"rotate(-35 {middle} {foot})" if bins > 6 else None
    return tag(
        "g",
        tag("title", about),
        bar("pane", x + slot * 0.12, width, bin.share, top),
        bar("reference", x + slot * 0.52, width, bin.reference_share, top),
        tag(
            "text", short, x=middle, y=foot, transform=turned,
            text_anchor="end" if turned else "middle",
        ),
        class_="bin",
    )  # fmt: skip


def bar(kind: str, x: float, width: float, share: float | None, top: float) -> Markup | None:
    """Return one bar; none where there are no rows at all."""
    if share is None:
        return None
    y = y_of(share, top)
    return tag(
        "rect", class_=kind, x=round(x, 2), y=y, width=round(width, 2),
        height=round(HEIGHT - FOOT - y, 2), data_share=f"{share:.6f}",
    )  # fmt: skip


def percent(share: float | None) -> str:
    """Return a share as text."""
    return "no rows" if share is None else f"{share * 100:.1f} %"


def metrics(found: FeaturePage) -> Markup:
    """Return the feature's metrics in the pane."""
    rows = (
        (
            name_of(m.name), measured(m.name, m.value),
            "–" if m.reference is None else measured(m.name, m.reference), count(m.n),
        )
        for m in found.metrics
    )  # fmt: skip
    return table("Metrics", METRIC_COLUMNS, rows, empty="This pane was not evaluated.")
