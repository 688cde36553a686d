"""What explains an alert, out of the views: features by evidence, segments by what they add."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from streamops.audit.causes import CAUSES_MAX, Cause, ranked
from streamops.values import Drift, Metric
from streamops.web.reads.rows import one, read

# As many panes as an incident takes members in, unless told otherwise (`NoisePolicy`).
PANES_BACK = 24


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What of an alert is needed to find its causes."""

    alert_id: str
    model: str
    version: str
    segment: str
    metric: str
    value: float
    limit: float
    reference: float | None
    pane_start: datetime


class SegmentCause(msgspec.Struct, frozen=True, kw_only=True):
    """A segment in the alert's pane.

    value, rows  the alert's metric there, and the rows behind it
    share        its rows times how far it is on the wrong side of the reference (of the whole
                 pane, where there is none), over the sum of that over the segment's siblings
    """

    segment: str
    value: float
    rows: int
    share: float


class Causes(msgspec.Struct, frozen=True, kw_only=True):
    """What explains an alert, the strongest first; both may be empty.

    features  drift alarms of the version from 24 panes before it to the last alert of its group
    segments  of a metric over the segment `all`: where it is worse than it was
    """

    features: tuple[Cause, ...] = ()
    segments: tuple[SegmentCause, ...] = ()


class _Pane(msgspec.Struct, frozen=True):
    drift: str | None
    metrics: str
    pane_start: datetime


class _Segment(msgspec.Struct, frozen=True):
    segment: str
    value: float
    n: int


LAST = """
SELECT max(b.pane_start) FROM alerts_raised a
JOIN alerts_raised b ON b.id = a.id OR b.noise->>'group' = coalesce(a.noise->>'group', a.id)
WHERE a.id = ? AND b.epoch <= (SELECT epoch FROM concluded)
"""
LENGTH = """
SELECT min(time - pane_start) FROM metrics_evaluated
WHERE model = ? AND version = ? AND pane_start = ?
"""
PANES = """
SELECT CAST(drift AS VARCHAR) AS drift, CAST(metrics AS VARCHAR) AS metrics, pane_start
FROM metrics_evaluated WHERE model = ? AND version = ? AND segment = ?
    AND pane_start BETWEEN ? AND ? AND epoch <= (SELECT epoch FROM concluded)
    AND (json_array_length(drift) > 0 OR pane_start = ?)
ORDER BY pane_start, id
"""
SEGMENTS = """
SELECT segment, value, n FROM metric_values
WHERE model = ? AND version = ? AND segment <> 'all' AND pane_start = ? AND metric = ?
    AND feature = '' AND cut = 'mature' AND status = 'evaluated' AND value IS NOT NULL
    AND epoch <= (SELECT epoch FROM concluded)
ORDER BY segment
"""


def causes_of(con: Any, about: About) -> Causes:
    """Read what explains an alert."""
    return Causes(features=_features(con, about), segments=_segments(con, about))


def _features(con: Any, about: About) -> tuple[Cause, ...]:
    length = one(con, LENGTH, [about.model, about.version, about.pane_start]) or timedelta()
    last = one(con, LAST, [about.alert_id]) or about.pane_start
    given = [
        about.model,
        about.version,
        about.segment,
        about.pane_start - PANES_BACK * length,
        last,
    ]
    alarms: list[Drift] = []
    own: list[Metric] = []
    for pane in read(con, _Pane, PANES, [*given, about.pane_start]):
        alarms += msgspec.json.decode(pane.drift or "[]", type=list[Drift])
        if pane.pane_start == about.pane_start:
            own += msgspec.json.decode(pane.metrics, type=list[Metric])
    return ranked(alarms, own)


def _segments(con: Any, about: About) -> tuple[SegmentCause, ...]:
    """Rank segments by the rows they have times how much worse they are."""
    if about.segment != "all":
        return ()
    found = read(
        con, _Segment, SEGMENTS, [about.model, about.version, about.pane_start, about.metric]
    )
    base = about.value if about.reference is None else about.reference
    side = 1.0 if about.value >= about.limit else -1.0
    excess = {s.segment: s.n * max(side * (s.value - base), 0.0) for s in found}
    totals: dict[str, float] = {}
    for segment, amount in excess.items():
        name = segment.partition("=")[0]
        totals[name] = totals.get(name, 0.0) + amount
    causes = [
        SegmentCause(
            segment=s.segment,
            value=s.value,
            rows=s.n,
            share=excess[s.segment] / totals[s.segment.partition("=")[0]],
        )
        for s in found
        if excess[s.segment] > 0.0
    ]
    causes.sort(key=lambda c: (-c.share, c.segment))
    return tuple(causes[:CAUSES_MAX])
