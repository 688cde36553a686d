"""The live overview: models, open alerts, topics, and how old all of it is."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import msgspec

from streamops.views.log import Partition
from streamops.web.reads.alerts import OpenAlert, open_alerts
from streamops.web.reads.rows import one, read

OPEN_MAX = 50
SERVING = "Production"


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """A model at a glance.

    champion     version in Production, empty without one
    versions     stage -> number of versions
    open_alerts  of the model, all kinds; suppressed: reason -> how many of them paged nobody
    metric, value, reference  the champion's quality in its own last mature pane, and at acceptance;
                 no metric before it has one, value is none for insufficient data
    pane_start, pane_end, predictions  the last closed pane of all traffic
    newest       append time of the model's newest metrics
    """

    model: str
    champion: str = ""
    versions: dict[str, int] = {}
    open_alerts: int = 0
    suppressed: dict[str, int] = {}
    metric: str = ""
    value: float | None = None
    reference: float | None = None
    pane_start: datetime | None = None
    pane_end: datetime | None = None
    predictions: int | None = None
    newest: datetime | None = None


class TopicCard(msgspec.Struct, frozen=True, kw_only=True):
    """A topic's records as read so far.

    open_epoch  of a topic that ticks cut; none for others
    lag         records not yet read, none while the broker gives no answer
    """

    topic: str
    partitions: int
    records: int
    events: int
    repeats: int
    unreadable: int
    open_epoch: int | None
    lag: int | None = None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Everything on the first page.

    concluded_epoch  -1 before the first conclusion
    concluded_at     append time of the newest conclusion: open alerts are those of then
    newest           append time of the newest prediction or tick
    """

    namespace: str
    concluded_epoch: int
    concluded_at: datetime | None
    newest: datetime | None
    models: tuple[ModelCard, ...]
    alerts: tuple[OpenAlert, ...]
    alerts_total: int
    topics: tuple[TopicCard, ...]


class Quality(msgspec.Struct, frozen=True):
    """The last mature value of what a model is judged by."""

    model: str
    metric: str
    value: float | None
    reference: float | None


class Traffic(msgspec.Struct, frozen=True):
    """A model's last closed pane."""

    model: str
    pane_start: datetime
    pane_end: datetime
    predictions: int | None


class Newest(msgspec.Struct, frozen=True):
    """Append time of a model's newest metrics."""

    model: str
    newest: datetime


class StageCount(msgspec.Struct, frozen=True):
    """How many versions of a model are in a stage, and the last of them."""

    model: str
    stage: str
    versions: int
    last: str


QUALITY = """
WITH champion AS (
    SELECT model, arg_max(version, since) AS version FROM current_models
    WHERE stage = 'Production' GROUP BY model
),
last AS (
    SELECT e.model, max(e.pane_start) AS pane_start FROM metrics_evaluated e
    LEFT JOIN champion c ON c.model = e.model
    WHERE e.cut = 'mature' AND e.segment = 'all' AND e.epoch <= (SELECT epoch FROM concluded)
        AND e.version = coalesce(c.version, e.version)
    GROUP BY e.model
),
chosen AS (
    SELECT m.*, row_number() OVER (PARTITION BY m.model ORDER BY m.n DESC, m.metric) AS place
    FROM metric_values m JOIN last l ON l.model = m.model AND l.pane_start = m.pane_start
    LEFT JOIN champion c ON c.model = m.model
    WHERE m.cut = 'mature' AND m.segment = 'all' AND m.metric IN ('accuracy', 'mae')
        AND m.version = coalesce(c.version, m.version)
)
SELECT model, metric, CASE WHEN status = 'evaluated' THEN value END AS value, reference
FROM chosen WHERE place = 1
"""
TRAFFIC = """
WITH last AS (
    SELECT model, max(pane_start) AS pane_start FROM panes_summarized
    WHERE cut = 'closed' AND segment = 'all' AND epoch <= (SELECT epoch FROM concluded)
    GROUP BY model
)
SELECT p.model, p.pane_start, max(p.time) AS pane_end, CAST(sum(p.predictions) AS BIGINT)
    AS predictions
FROM panes_summarized p JOIN last l ON l.model = p.model AND l.pane_start = p.pane_start
WHERE p.cut = 'closed' AND p.segment = 'all' GROUP BY p.model, p.pane_start
"""
STAGES = """
SELECT model, stage, count(*) AS versions, arg_max(version, since) AS last
FROM current_models GROUP BY model, stage ORDER BY model, stage
"""
NEWEST = "SELECT model, max(append_time) AS newest FROM metrics_evaluated GROUP BY model"
NEWEST_RECORD = """
SELECT max(newest) FROM (
    SELECT max(append_time) AS newest FROM predictions UNION ALL SELECT max(append_time) FROM ticks
)
"""
TOPICS = """
SELECT topic, count(*) AS partitions, CAST(sum(records) AS BIGINT) AS records,
    CAST(sum(events) AS BIGINT) AS events, CAST(sum(repeats) AS BIGINT) AS repeats,
    CAST(sum(unreadable) AS BIGINT) AS unreadable,
    CASE WHEN topic IN ('predictions', 'labels', 'lifecycle') THEN max(open_epoch) END AS open_epoch
FROM positions GROUP BY topic ORDER BY topic
"""


def overview(con: Any, namespace: str, lags: dict[Partition, int] | None) -> Overview:
    """Read the overview; `lags` are records not yet read, none while that is not known."""
    alerts = open_alerts(con)
    return Overview(
        namespace=namespace,
        concluded_epoch=concluded(con),
        concluded_at=one(con, "SELECT max(append_time) FROM epochs_concluded"),
        newest=one(con, NEWEST_RECORD),
        models=models(con, alerts),
        alerts=tuple(alerts[:OPEN_MAX]),
        alerts_total=len(alerts),
        topics=topics(con, lags),
    )


def concluded(con: Any) -> int:
    """Return the last epoch that every partition of the controller has concluded, -1 before."""
    return int(one(con, "SELECT coalesce(max(epoch), -1) FROM concluded"))


def models(con: Any, alerts: list[OpenAlert]) -> tuple[ModelCard, ...]:
    """Read all models, by name."""
    stages = read(con, StageCount, STAGES)
    quality = {q.model: q for q in read(con, Quality, QUALITY)}
    traffic = {t.model: t for t in read(con, Traffic, TRAFFIC)}
    newest = {n.model: n.newest for n in read(con, Newest, NEWEST)}
    names = sorted({s.model for s in stages} | traffic.keys())
    return tuple(
        ModelCard(
            model=name,
            champion=next((s.last for s in stages if (s.model, s.stage) == (name, SERVING)), ""),
            versions={s.stage: s.versions for s in stages if s.model == name},
            open_alerts=len([a for a in alerts if a.model == name]),
            suppressed=dict(Counter(a.reason for a in alerts if a.model == name and a.silenced)),
            newest=newest.get(name),
            **fields_of(quality.get(name)),
            **fields_of(traffic.get(name)),
        )
        for name in names
    )


def fields_of(part: Quality | Traffic | None) -> dict[str, Any]:
    """Return what a part adds to its model's card."""
    if part is None:
        return {}
    return {name: value for name, value in msgspec.structs.asdict(part).items() if name != "model"}


def topics(con: Any, lags: dict[Partition, int] | None) -> tuple[TopicCard, ...]:
    """Read the topics that have a position, with their lag."""
    found = read(con, TopicCard, TOPICS)
    if lags is None:
        return tuple(found)
    behind: dict[str, int] = {}
    for (topic, _), lag in lags.items():
        behind[topic] = behind.get(topic, 0) + lag
    return tuple(msgspec.structs.replace(t, lag=behind.get(t.topic, 0)) for t in found)
