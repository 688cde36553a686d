"""What explains an alert, as tables: features by evidence, segments by what they add."""

from __future__ import annotations

from collections.abc import Iterator

from streamops.audit.causes import Cause
from streamops.web.markup import Node, link, path
from streamops.web.pages.layout import badge, table
from streamops.web.reads.alerts import AlertPage, AlertRow
from streamops.web.units import count, measured, moment

FEATURES = ("What", "#Evidence", "#Alarm at", "Seen in", "#PSI at least", "Change put at")
SEGMENTS = ("Segment", "#Value", "#Rows", "#Share of the loss")
NOTHING = "No drift test spoke against a feature of this version at that time."
OTHERS = {"score_drift": "the score", "label_drift": "the labels"}


def causes(found: AlertPage) -> Iterator[Node]:
    """Yield the ranked features, and segments where the alert is of the whole model."""
    rows = (_feature(found.alert, cause) for cause in found.causes.features)
    yield table("Features that explain it, strongest evidence first", FEATURES, rows, empty=NOTHING)
    if found.causes.segments:
        lines = (
            (s.segment, measured(found.alert.metric, s.value), count(s.rows), f"{s.share:.0%}")
            for s in found.causes.segments
        )
        yield table("Segments that explain it", SEGMENTS, lines, empty="None.")


def _feature(alert: AlertRow, cause: Cause) -> tuple[Node, ...]:
    name: Node = OTHERS.get(cause.metric)
    if name is None:
        name = link(
            cause.feature,
            path("models", alert.model, "features", cause.feature,
                 pane=alert.pane_start.isoformat(), version=alert.version),
        )  # fmt: skip
    seen: Node = badge("not alarmed yet", "quiet")
    if cause.alarmed:
        seen = ", ".join(part for part in (cause.stream, cause.direction, cause.test) if part)
    least = "–" if cause.psi_least is None else f"{cause.psi_least:.3g}"
    limit = measured("drift", cause.alarm_at)
    return name, measured("drift", cause.evidence), limit, seen, least, moment(cause.since)
