"""What a version's reference showed, column by column: season, dependence, and what can be seen."""

from __future__ import annotations

from collections.abc import Iterator

from streamops.core.sight import Sight, words
from streamops.web.markup import Node, tag
from streamops.web.pages.layout import badge, table
from streamops.web.reads.model import Reference
from streamops.web.units import count, number

COLUMNS = ("Column", "Test", "Season", "#Panes", "#Lag-1", "#Rows as one", "What can be found")
SEASONS = {
    "hour_weekend": "hour of the day, weekends apart",
    "hour": "hour of the day",
    "weekday": "day of the week",
    "month": "month",
}
NOTE = (
    "Rows as one: so many rows say as much as one independent row. It follows from the reference "
    "alone, as does the least shift; both are good to a factor of two. Lag-1: how much a pane's "
    "mean follows the last one's; above .12, longer panes are better."
)


def reference(found: Reference | None) -> Iterator[Node]:
    """Yield the table, and what its figures mean."""
    if found is None:
        yield tag("p", "No version with a reference is activated.", class_="empty")
        return
    yield tag("p", f"Version {found.version}, {count(found.rows)} rows.", class_="note")
    yield table("Reference", COLUMNS, map(_row, found.columns), empty="It has no columns.")
    yield tag("p", NOTE, class_="note")


def _row(column: Sight) -> tuple[Node, ...]:
    name = column.name if column.role == "feature" else f"the {column.role}"
    season: Node = "none" if column.season is None else SEASONS[column.season]
    if not column.is_measured:
        season = badge("not measured", "quiet")
    return (
        name,
        column.test,
        season,
        count(column.panes) if column.panes else "–",
        "–" if column.lag_1 is None else f"{column.lag_1:.2f}",
        number(column.rows_per_independent, "distance"),
        words(column),
    )
