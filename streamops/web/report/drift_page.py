"""Two tables compared, as one HTML document that loads nothing: for a person to look at."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from streamops.core.sight import words
from streamops.operate.two_tables import BinCount, ColumnDrift, Comparison
from streamops.web.markup import Markup, Node, tag
from streamops.web.pages.layout import badge, facts, table
from streamops.web.report.page import head
from streamops.web.units import count, number

COLUMNS = (
    "#", "column", "drift", "severity", "#evidence", "what", "#since row", "#PSI",
    "#beyond chance", "#at least", "#missing before", "#missing now", "test",
)  # fmt: skip
ALARMS = (
    "#pane",
    "starts",
    "#until pane",
    "#alarms",
    "column",
    "what",
    "test",
    "#evidence",
    "changed since",
    "#row",
)
DRAWN_MAX, ALARMS_MAX = 100, 500
WIDTH, HEIGHT, BASE, LEFT = 760, 150, 128, 44
BEFORE, NOW = "#8a929b", "#0072b2"
LEGEND = (
    "Bars: share of rows in each bin, grey the reference, blue the current table. "
    "Line: evidence after each pane, in powers of ten (cut off above); dashed: what an alarm takes."
)


def document(found: Comparison, reference: Path, current: Path) -> bytes:
    """Return the whole file."""
    found = msgspec.structs.replace(found, columns=ranked(found))
    drawn = found.columns[:DRAWN_MAX]
    body = tag(
        "body",
        tag("h1", f"{current.name} against {reference.name}"),
        *summary(found),
        tag("section", tag("h2", "Columns, strongest first"), *columns(found), id="columns"),
        alarms(found),
        tag("section", tag("h2", "Reference and current"), tag("p", LEGEND, class_="note"),
            [section(rank, c, found) for rank, c in enumerate(drawn, 1)], id="bins"),
        beyond(len(found.columns) - len(drawn)),
    )  # fmt: skip
    html = tag("html", head(f"Drift of {current.name}"), body, lang="en")
    return b"<!doctype html>\n" + html.encode()


def ranked(found: Comparison) -> tuple[ColumnDrift, ...]:
    """Return the columns by evidence, those that alarmed first."""
    return tuple(sorted(found.columns, key=lambda c: (not c.drifted, -c.evidence, c.name)))


def summary(found: Comparison) -> Iterator[Node]:
    """Yield what a reader looks for first."""
    drifted = len([c for c in found.columns if c.drifted])
    verdict = badge(f"{drifted} of {len(found.columns)} columns drifted", "bad")
    if not drifted:
        verdict = badge("no column drifted", "good")
    yield facts(
        ("verdict", verdict),
        ("rows of the reference, of the current table", [
            count(found.reference_rows), ", ", count(found.current_rows)
        ]),
        (f"panes of {found.pane_s:,} s by {found.time}" if found.time
         else "panes, in the order of rows", count(found.panes)),
        ("chance of any false alarm, at most", f"{found.false_alarms:g}"),
        ("evidence that an alarm takes", number(found.alarm_at, "distance")),
        ("only in the reference", ", ".join(found.gone) or "none"),
        ("only in the current table", ", ".join(found.new) or "none"),
    )  # fmt: skip


def columns(found: Comparison) -> Iterator[Node]:
    """Yield the columns' table."""
    rows = (row(rank, column) for rank, column in enumerate(found.columns, 1))
    yield table("Columns", COLUMNS, rows, empty="")
    yield tag(
        "p",
        "Severity follows the lower 95% bound of what PSI is beyond chance, in the pane that "
        "alarmed or in the whole table. It says how large a change is; the evidence says how sure.",
        class_="note",
    )


def alarms(found: Comparison) -> Markup | None:
    """Return every alarm by pane, where panes have times."""
    told = [(alarm, c.name) for c in found.columns for alarm in c.alarms]
    if not found.time or not told:
        return None
    told.sort(key=lambda pair: (pair[0].pane, pair[1]))
    rows = [
        (
            count(a.pane), moment_of(a.start), count(a.until), count(a.alarms), name,
            f"{a.stream} {a.direction}".strip(), a.test,
            number(a.evidence, "distance"), moment_of(a.since), count(a.since_row),
        )
        for a, name in told[:ALARMS_MAX]
    ]  # fmt: skip
    return tag(
        "section",
        tag("h2", "Alarms, pane by pane"),
        table("Alarms", ALARMS, rows, empty=""),
        id="alarms",
    )


def moment_of(at: datetime | None) -> str:
    """Return a time to the second, UTC."""
    return "–" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def row(rank: int, column: ColumnDrift) -> tuple[Node, ...]:
    """Return a column's line."""
    return (
        str(rank),
        tag("a", column.name, href=f"#column-{rank}") if rank <= DRAWN_MAX else column.name,
        badge("drifted", "bad") if column.drifted else "no",
        "–" if column.severity is None else badge(column.severity, column.severity),
        number(column.evidence, "distance"),
        f"{column.stream} {column.direction}".strip() or "–",
        "–" if column.first_row is None else count(column.first_row),
        number(column.psi, "distance"),
        number(column.psi_beyond, "distance"),
        number(column.psi_least, "distance"),
        share(column.missing_reference),
        share(column.missing_current),
        column.test,
    )


def share(value: float | None) -> str:
    """Return a share in percent."""
    return "–" if value is None else f"{value:.2%}"


def section(rank: int, column: ColumnDrift, found: Comparison) -> Markup:
    """Return a column's bins beside each other, and its evidence pane by pane."""
    said = f"drifted, {column.severity}" if column.drifted else "no drift"
    return tag(
        "figure",
        tag("figcaption", tag("b", column.name), f" {said}; {words(column.sight)}"),
        bars(column),
        evidence(column, found) if len(column.pane_evidence) > 1 else None,
        id=f"column-{rank}",
    )


def bars(column: ColumnDrift) -> Markup:
    """Return the shares of both tables in each bin that either fills."""
    filled = [b for b in column.bins if b.reference or b.current]
    before = max(math.fsum(b.reference for b in filled), 1)
    now = max(math.fsum(b.current for b in filled), 1)
    top = max((max(b.reference / before, b.current / now) for b in filled), default=1.0)
    room = (WIDTH - LEFT) / max(len(filled), 1)
    return tag(
        "svg",
        tag("line", x1=LEFT, x2=WIDTH, y1=BASE, y2=BASE, class_="grid"),
        tag("text", f"{top:.0%}", x=LEFT - 6, y=18, text_anchor="end"),
        [
            pair(LEFT + n * room, room, b, (b.reference / before, b.current / now), top)
            for n, b in enumerate(filled)
        ],
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"Share of rows in each bin of {column.name}, reference beside current",
    )


def pair(x: float, room: float, found: BinCount, shares: tuple[float, float], top: float) -> Markup:
    """Return a bin's two bars, and its name where it fits."""
    heights = [s / top * (BASE - 14) for s in shares]
    width = max(room * 0.4, 0.5)
    name = f"{found.label}: {shares[0]:.2%} before, {shares[1]:.2%} now"
    letters = int(room / 5.5)
    label = found.label if len(found.label) <= letters else f"{found.label[: letters - 1]}…"
    return tag(
        "g",
        tag("title", name),
        [
            tag("rect", x=round(x + n * width, 1), y=round(BASE - height, 1),
                width=round(width, 1), height=round(height, 1), fill=colour)
            for n, (height, colour) in enumerate(zip(heights, (BEFORE, NOW), strict=True))
        ],
        tag("text", label, x=round(x, 1), y=BASE + 14) if letters > 3 else None,
    )  # fmt: skip


def evidence(column: ColumnDrift, found: Comparison) -> Markup:
    """Return the evidence of each pane, in powers of ten, and what an alarm takes."""
    limit = math.log10(max(found.alarm_at, 10.0))
    top = 2.5 * limit  # evidence of hundreds of digits would flatten all below it
    logs = [min(math.log10(max(value, 1.0)), top) for value in column.pane_evidence]
    step = (WIDTH - LEFT) / (len(logs) - 1)
    ends = "pane 1", f"pane {len(logs)}"
    if found.pane_starts:
        ends = moment_of(found.pane_starts[0]), moment_of(found.pane_starts[-1])

    def y(value: float) -> float:
        return round(70 - value / top * 60, 1)

    path = "M" + " L".join(f"{LEFT + n * step:.1f} {y(value)}" for n, value in enumerate(logs))
    return tag(
        "svg",
        tag("line", x1=LEFT, x2=WIDTH, y1=y(limit), y2=y(limit), class_="grid",
            stroke_dasharray="4 4"),
        tag("text", f"10^{limit:.0f}", x=LEFT - 6, y=y(limit) + 4, text_anchor="end"),
        tag("g", tag("path", d=path, stroke="#d55e00"), class_="line"),
        tag("text", ends[0], x=LEFT, y=84),
        tag("text", ends[1], x=WIDTH, y=84, text_anchor="end"),
        viewBox=f"0 0 {WIDTH} 90",
        role="img",
        aria_label=f"Evidence of {column.name} over {len(logs)} panes",
    )  # fmt: skip


def beyond(more: int) -> Markup | None:
    """Return how many columns aren't drawn; they are in the table."""
    if more <= 0:
        return None
    return tag("p", f"{more} more columns are in the table and not drawn.", class_="note")
