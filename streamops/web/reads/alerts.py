"""Alerts: those open, those of a model, and one with all that it rests on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from streamops.config import ModelConfig, Rule
from streamops.values import Metric, MetricEvidence, OutcomeEvidence, Proof, Span, SummaryRef
from streamops.web.reads.causes import About, Causes, causes_of
from streamops.web.reads.rows import one, read


class OpenAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that was raised and not resolved since.

    reason   why it paged nobody, empty where it did; members: for how many more it paged
    """

    alert_id: str
    fingerprint: str
    kind: str
    severity: str
    model: str
    version: str
    segment: str
    feature: str
    rule: str
    metric: str
    value: float
    limit: float
    reference: float | None
    pane_start: datetime
    raised_at: datetime
    silenced: bool
    acknowledged: bool
    silenced_until: datetime | None
    reason: str = ""
    members: int = 0


class AlertRow(msgspec.Struct, frozen=True, kw_only=True):
    """An alert of any time; `resolved_at` is none while it is open.

    since  where a drift test puts the change; none for other rules
    reason, held_by  why it paged nobody, and what held it: a silence by name, or the alert that
                     paged for it; empty where it paged
    members  for how many more it paged
    """

    alert_id: str
    kind: str
    severity: str
    model: str
    version: str
    segment: str
    feature: str
    rule: str
    metric: str
    value: float
    limit: float
    reference: float | None
    pane_start: datetime
    raised_at: datetime
    silenced: bool
    resolved_at: datetime | None
    resolved_as: str | None
    since: datetime | None = None
    reason: str = ""
    held_by: str = ""
    members: int = 0


class Alerts(msgspec.Struct, frozen=True, kw_only=True):
    """A page of alerts, newest first, and how many there are in all."""

    total: int
    alerts: tuple[AlertRow, ...]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a record stands on the log."""

    topic: str
    partition: int
    offset: int
    epoch: int | None


class ProofMetric(msgspec.Struct, frozen=True, kw_only=True):
    """A metrics record the alert rests on; `kind` is its event type, empty if it isn't stored.

    metric     the alert's own metric in it
    summaries  the summaries it merged, each with its raw offsets (MetricEvaluated)
    outcomes   the outcomes it was folded from (DriftDetected)
    """

    id: str
    source: str
    epoch: int
    offset: int
    kind: str = ""
    version: str = ""
    segment: str = ""
    cut: str = ""
    pane_start: datetime | None = None
    pane_end: datetime | None = None
    metric: Metric | None = None
    summaries: tuple[SummaryRef, ...] = ()
    outcomes: OutcomeEvidence | None = None


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction, as one looks it up."""

    id: str
    time: datetime
    prediction: str


class AlertPage(msgspec.Struct, frozen=True, kw_only=True):
    """An alert and its proof: rule, metrics, summaries, raw offsets.

    definition  the rule as configured under `config_hash`, none if that isn't stored
    causes      features and segments that explain it, the strongest first
    predictions the first that it counts, some; none known for a segment of all other values
    """

    alert: AlertRow
    fingerprint: str
    config_hash: str
    place: Place
    definition: Rule | None
    metrics: tuple[ProofMetric, ...]
    lifecycle: tuple[Span, ...]
    causes: Causes = Causes()
    predictions: tuple[Answered, ...] = ()


class Stored(msgspec.Struct, frozen=True):
    """A metrics record as the views hold it, JSON as text."""

    id: str
    kind: str
    version: str
    segment: str
    cut: str
    pane_start: datetime
    pane_end: datetime
    metrics: str
    evidence: str | None


class _Counted(msgspec.Struct, frozen=True):
    id: str
    time: datetime
    prediction: str
    segments: str


OPEN = """
SELECT alert_id, fingerprint, kind, severity, model, version, segment, feature, rule, metric, value,
    "limit", reference, pane_start, raised_at, silenced, acknowledged, silenced_until, reason,
    members
FROM alerts_open ORDER BY list_position(['major', 'moderate', 'minor'], severity), raised_at DESC
"""
ROWS = """
WITH resolved AS (
    SELECT alert_id, min(time) AS time, arg_min(reason, time) AS reason FROM alerts_resolved
    WHERE epoch <= (SELECT epoch FROM concluded) GROUP BY alert_id
)
SELECT a.id AS alert_id, a.kind, a.severity, a.model, a.version, a.segment, a.feature, a.rule,
    a.metric, a.value, a."limit", a.reference, a.pane_start, a.time AS raised_at, a.silenced,
    r.time AS resolved_at, r.reason AS resolved_as, a.since,
    CASE WHEN a.silenced THEN coalesce(a.noise->>'reason', 'silence') ELSE '' END AS reason,
    CASE WHEN a.silenced THEN coalesce(a.noise->>'by', a.fingerprint) ELSE '' END AS held_by,
    coalesce(json_array_length(a.noise->'members'), 0) AS members
FROM alerts_raised a LEFT JOIN resolved r ON r.alert_id = a.id
WHERE a.epoch <= (SELECT epoch FROM concluded)
"""
MINE = " AND a.model = ?"
STILL_OPEN = " AND a.id IN (SELECT alert_id FROM alerts_open)"
NEWEST_FIRST = " ORDER BY a.time DESC, a.id"
METRICS = """
SELECT id, 'MetricEvaluated' AS kind, version, segment, cut, pane_start, time AS pane_end,
    CAST(metrics AS VARCHAR) AS metrics, CAST(evidence AS VARCHAR) AS evidence
FROM metrics_evaluated WHERE list_contains(?, id)
UNION ALL
SELECT id, 'DriftDetected', version, 'all', '', since, time, '[]', CAST(evidence AS VARCHAR)
FROM drifts_detected WHERE list_contains(?, id)
"""

PREDICTIONS = """
SELECT id, time, prediction, CAST(segments AS VARCHAR) AS segments
FROM predictions WHERE model = ? AND version = ? AND time >= ? AND time < ?
ORDER BY time, id LIMIT ?
"""
# Of a segment they are picked from the pane's first.
ANSWERED_MAX, LOOKED_AT = 10, 500


def open_alerts(con: Any) -> list[OpenAlert]:
    """Read all open alerts, the most severe first."""
    return read(con, OpenAlert, OPEN)


def alerts(
    con: Any, model: str = "", *, only_open: bool = False, limit: int = 100, offset: int = 0
) -> Alerts:
    """Read a page of alerts, newest first; all models' if none is named."""
    sql = ROWS + (MINE if model else "") + (STILL_OPEN if only_open else "")
    given: list[object] = [model] if model else []
    total = int(one(con, f"SELECT count(*) FROM ({sql})", given))
    found = read(con, AlertRow, f"{sql}{NEWEST_FIRST} LIMIT ? OFFSET ?", [*given, limit, offset])
    return Alerts(total=total, alerts=tuple(found))


def alert_page(con: Any, alert_id: str) -> AlertPage | None:
    """Read an alert with its proof; None if there is none of this id."""
    rows = read(con, AlertRow, f"{ROWS} AND a.id = ?", [alert_id])
    if not rows:
        return None
    fingerprint, hash_, evidence, *place = con.execute(
        "SELECT fingerprint, config_hash, CAST(evidence AS VARCHAR), topic, partition, "
        '"offset", epoch FROM alerts_raised WHERE id = ?',
        [alert_id],
    ).fetchone()
    proof = msgspec.json.decode(evidence, type=Proof) if evidence else Proof()
    metrics = proof_metrics(con, rows[0], proof)
    return AlertPage(
        alert=rows[0],
        fingerprint=fingerprint,
        config_hash=hash_,
        place=Place(topic=place[0], partition=place[1], offset=place[2], epoch=place[3]),
        definition=rule_of(con, hash_, rows[0].rule),
        metrics=metrics,
        lifecycle=proof.lifecycle,
        causes=causes_of(con, msgspec.convert(rows[0], About, from_attributes=True)),
        predictions=predictions_of(con, rows[0], metrics),
    )


def predictions_of(
    con: Any, alert: AlertRow, metrics: tuple[ProofMetric, ...]
) -> tuple[Answered, ...]:
    """Read the first predictions of an alert's last pane, in its segment."""
    last = next((m for m in reversed(metrics) if m.pane_start is not None), None)
    if last is None:
        return ()
    given = [alert.model, last.version, last.pane_start, last.pane_end, LOOKED_AT]
    name, _, value = alert.segment.partition("=")
    found = list[Answered]()
    for row in read(con, _Counted, PREDICTIONS, given):
        segments = msgspec.json.decode(row.segments or "{}")
        if name == "all" or str(segments.get(name)) == value:
            found.append(Answered(id=row.id, time=row.time, prediction=row.prediction))
    return tuple(found[:ANSWERED_MAX])


def rule_of(con: Any, hash_: str, name: str) -> Rule | None:
    """Read a rule as the configuration with this hash defines it."""
    sql = "SELECT CAST(config AS VARCHAR) FROM configs_activated WHERE config_hash = ? LIMIT 1"
    found = one(con, sql, [hash_])
    if found is None:
        return None
    config = msgspec.json.decode(found, type=ModelConfig)
    return next((rule for rule in config.rules if rule.name == name), None)


def proof_metrics(con: Any, alert: AlertRow, proof: Proof) -> tuple[ProofMetric, ...]:
    """Read the metrics records a proof names, in its order."""
    ids = [ref.id for ref in proof.metrics]
    stored = {found.id: found for found in read(con, Stored, METRICS, [ids, ids])}
    named = []
    for ref in proof.metrics:
        known = stored.get(ref.id)
        bare = ProofMetric(
            id=ref.id, source=ref.stamp.source, epoch=ref.stamp.epoch, offset=ref.offset
        )
        named.append(bare if known is None else with_evidence(bare, known, alert))
    return tuple(named)


def with_evidence(bare: ProofMetric, known: Stored, alert: AlertRow) -> ProofMetric:
    """Return the reference with what its record holds."""
    metrics = msgspec.json.decode(known.metrics, type=tuple[Metric, ...])
    mine = (m for m in metrics if (m.name, m.feature) == (alert.metric, alert.feature))
    summaries: tuple[SummaryRef, ...] = ()
    outcomes = None
    if known.evidence and known.kind == "MetricEvaluated":
        summaries = msgspec.json.decode(known.evidence, type=MetricEvidence).summaries
    elif known.evidence:
        outcomes = msgspec.json.decode(known.evidence, type=OutcomeEvidence)
    return msgspec.structs.replace(
        bare,
        kind=known.kind,
        version=known.version,
        segment=known.segment,
        cut=known.cut,
        pane_start=known.pane_start,
        pane_end=known.pane_end,
        metric=next(mine, None),
        summaries=summaries,
        outcomes=outcomes,
    )
