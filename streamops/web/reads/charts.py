"""What a chart shows: series over panes, versions as bands, alerts as marks.

Rule 1: at most so many points as asked for, never above 2,000. Beyond that neighbouring panes are
        one point: the worst of a drift, the mean (weighted by rows) of anything else, and the
        answer says how many panes a point is.
Rule 2: insufficient data is null, and so is a pane that isn't there: a gap, never 0.
Rule 3: where two versions had the same pane, the one with more rows is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from streamops.web.reads.rows import one, read

POINTS_MAX = 2000
POINTS = 800
FEATURES_MAX = 6
MARKS_MAX = 500


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """A line: its values over the chart's times; `dashed` for what others are held against."""

    name: str
    values: tuple[float | None, ...]
    dashed: bool = False


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """Series over the same times.

    unit   share, distance, ms, s, per_s, label (the target's own unit)
    times  seconds since 1970 of the starts of panes, rising
    panes_per_point  1, or how many neighbouring panes are one point, and `fold`: worst or mean
    marks  which alert kinds belong here
    """

    name: str
    title: str
    unit: str
    times: tuple[float, ...]
    series: tuple[Series, ...]
    panes_per_point: int
    fold: str
    marks: tuple[str, ...]


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """The time a version was in Production; `until` is none while it is."""

    version: str
    since: float
    until: float | None


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """An alert at the end of the last pane it rests on."""

    time: float
    alert_id: str
    kind: str
    severity: str
    title: str


class Charts(msgspec.Struct, frozen=True, kw_only=True):
    """All charts of a page. `newest`: append time of the newest metrics in them."""

    model: str
    segment: str
    charts: tuple[Chart, ...]
    bands: tuple[Band, ...]
    marks: tuple[Mark, ...]
    newest: datetime | None


class Wanted(NamedTuple):
    """One chart to read: its metrics, from which cut; `worst`: of panes that are one point."""

    name: str
    title: str
    unit: str
    cut: str
    metrics: tuple[str, ...]
    worst: bool = False
    marks: tuple[str, ...] = ()
    reference: bool = False


UNITS = {"log_loss": "distance", "brier": "distance", "mae": "label", "rmse": "label"}
DRIFT_MARKS = ("data_drift", "quality")
QUALITY_MARKS = ("performance", "concept_drift")

POINTS_OF = """
WITH own AS (
    SELECT pane_start, pane_end, cut, metric, feature, n, reference,
        CASE WHEN cut = 'closed' OR status = 'evaluated' OR metric = 'coverage' THEN value END
            AS value
    FROM metric_values
    WHERE model = ? AND segment = ? AND cut <> 'restated' AND list_contains(?, metric)
        AND list_contains(?, feature)
    QUALIFY row_number() OVER (
        PARTITION BY pane_start, cut, metric, feature
        ORDER BY status = 'evaluated' DESC, n DESC, version
    ) = 1
),
placed AS (
    SELECT *, (dense_rank() OVER (PARTITION BY cut ORDER BY pane_start) - 1) // ? AS point FROM own
)
SELECT CAST(point AS BIGINT) AS point, cut, metric, feature,
    epoch_ms(min(pane_start)) / 1000 AS time, epoch_ms(max(pane_end)) / 1000 AS until,
    sum(value * n) / nullif(sum(n) FILTER (value IS NOT NULL), 0) AS mean, max(value) AS worst,
    max(reference) AS reference
FROM placed GROUP BY point, cut, metric, feature ORDER BY time, metric, feature
"""
COUNT = """
SELECT count(DISTINCT pane_start) FROM metrics_evaluated
WHERE model = ? AND segment = ? AND epoch <= (SELECT epoch FROM concluded)
"""
TOP = """
SELECT feature FROM drift_by_feature WHERE model = ? AND segment = ? AND psi IS NOT NULL
GROUP BY feature ORDER BY max(psi) DESC, feature LIMIT ?
"""
BANDS = """
SELECT version, epoch_ms(time) / 1000 AS since,
    lead(epoch_ms(time) / 1000) OVER (ORDER BY revision) AS until
FROM stages_changed
WHERE model = ? AND after = 'Production' AND epoch <= (SELECT epoch FROM concluded)
ORDER BY revision
"""
MARKS = """
SELECT epoch_ms(time) / 1000 AS time, id AS alert_id, kind, severity,
    concat_ws(' ', severity, kind, nullif(feature, ''), metric, round(value, 3)) AS title
FROM alerts_raised
WHERE model = ? AND (segment = ? OR ? = 'all') AND epoch <= (SELECT epoch FROM concluded)
ORDER BY time DESC, id LIMIT ?
"""


class Point(msgspec.Struct, frozen=True):
    """One metric over the panes that are one point of a chart."""

    point: int
    cut: str
    metric: str
    feature: str
    time: float
    until: float
    mean: float | None
    worst: float | None
    reference: float | None


def model_charts(
    con: Any, model: str, *, segment: str = "all", measure: str = "", points: int = POINTS
) -> Charts:
    """Read the charts of a model's page; `measure` is the quality metric, accuracy or mae if empty.

    points  most points a chart, up to 2,000
    """
    measure = measure or main_measure(con, model)
    features = [name for (name,) in con.execute(TOP, [model, segment, FEATURES_MAX]).fetchall()]
    return charts_of(con, model, segment, wanted_of(measure), features, points)


def wanted_of(measure: str) -> tuple[Wanted, ...]:
    """Return the charts of a model's page, from top to bottom."""
    unit = UNITS.get(measure, "share")
    latency = ("latency_p50_ms", "latency_p95_ms", "latency_p99_ms")
    return (
        Wanted("quality", measure, unit, "mature", (measure,), marks=QUALITY_MARKS, reference=True),
        Wanted("drift", "PSI by feature", "distance", "closed", ("psi",), True, DRIFT_MARKS),
        Wanted("score", "PSI of the score", "distance", "closed", ("score_psi",), True,
               ("score_drift",)),
        Wanted("label", "PSI of the label", "distance", "mature", ("label_psi",), True,
               ("label_drift",)),
        Wanted("coverage", "Label coverage", "share", "mature", ("coverage",)),
        Wanted("traffic", "Requests", "per_s", "closed", ("throughput_per_s",),
               marks=("throughput",)),
        Wanted("errors", "Failed requests", "share", "closed", ("error_rate",),
               marks=("error_rate",)),
        Wanted("latency", "Latency", "ms", "closed", latency, True, ("latency",)),
    )  # fmt: skip


def feature_charts(
    con: Any, model: str, feature: str, *, segment: str = "all", points: int = POINTS
) -> Charts:
    """Read the charts of a feature's page: distances from the reference, missing values."""
    rates = ("missing_rate", "new_category_rate")
    distances = ("psi", "js", "ks")
    wanted = (
        Wanted(
            "distance",
            "Distance from the reference",
            "distance",
            "closed",
            distances,
            True,
            ("data_drift",),
        ),
        Wanted("rates", "Missing and new values", "share", "closed", rates, marks=("quality",)),
    )
    found = charts_of(con, model, segment, wanted, [feature], points)
    own = "SELECT id FROM alerts_raised WHERE model = ? AND feature = ?"
    mine = {id_ for (id_,) in con.execute(own, [model, feature]).fetchall()}
    return msgspec.structs.replace(found, marks=tuple(m for m in found.marks if m.alert_id in mine))


def main_measure(con: Any, model: str) -> str:
    """Return what a model is judged by: accuracy, or mae where it has none."""
    sql = (
        "SELECT bool_or(metric = 'mae') FROM metric_values WHERE model = ? AND cut = 'mature' "
        "AND metric IN ('accuracy', 'mae')"
    )
    return "mae" if one(con, sql, [model]) else "accuracy"


def charts_of(
    con: Any,
    model: str,
    segment: str,
    wanted: Sequence[Wanted],
    features: Sequence[str],
    points: int,
) -> Charts:
    """Read charts with the model's bands and marks; a chart without a pane is left out."""
    panes = int(one(con, COUNT, [model, segment]))
    width = max(1, -(-panes // max(1, min(points, POINTS_MAX))))
    metrics = sorted({name for w in wanted for name in w.metrics})
    found = read(con, Point, POINTS_OF, [model, segment, metrics, ["", *features], width])
    newest = "SELECT max(append_time) FROM metrics_evaluated WHERE model = ? AND segment = ?"
    marks = read(con, Mark, MARKS, [model, segment, segment, MARKS_MAX])
    return Charts(
        model=model,
        segment=segment,
        charts=tuple(c for w in wanted if (c := chart(w, found, features, width)) is not None),
        bands=tuple(read(con, Band, BANDS, [model])),
        marks=tuple(reversed(marks)),
        newest=one(con, newest, [model, segment]),
    )


def chart(
    wanted: Wanted, points: Sequence[Point], features: Sequence[str], width: int
) -> Chart | None:
    """Return one chart of the points that are its own; None if there are none."""
    own = [p for p in points if p.cut == wanted.cut and p.metric in wanted.metrics]
    if not own:
        return None
    times = with_gaps([(p.time, p.until) for p in own])
    by_feature = wanted.metrics == ("psi",)
    names = features if by_feature else wanted.metrics
    mine = [[p for p in own if name == (p.feature if by_feature else p.metric)] for name in names]
    series = [line(wanted, p, name, times) for p, name in zip(mine, names, strict=True)]
    if wanted.reference:
        known = {p.time: p.reference for p in own}
        values = tuple(known.get(t) for t in times)
        series.append(Series(name="at acceptance", values=values, dashed=True))
    return Chart(
        name=wanted.name,
        title=wanted.title,
        unit=wanted.unit,
        times=times,
        series=tuple(s for s in series if any(v is not None for v in s.values)),
        panes_per_point=width,
        fold="worst" if wanted.worst else "mean",
        marks=wanted.marks,
    )


def line(wanted: Wanted, own: Sequence[Point], name: str, times: Sequence[float]) -> Series:
    """Return points as a line over the chart's times."""
    values = {p.time: p.worst if wanted.worst else p.mean for p in own}
    return Series(name=name, values=tuple(values.get(t) for t in times))


def with_gaps(spans: Iterable[tuple[float, float]]) -> tuple[float, ...]:
    """Return the starts of spans, rising, with one time more in each hole between two spans."""
    times = list[float]()
    until = None
    for start, end in sorted(set(spans)):
        if times and start == times[-1]:
            continue
        if until is not None and start > until:
            times.append(until)
        times.append(start)
        until = end
    return tuple(times)
