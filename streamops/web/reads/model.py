"""A model: its versions, features, segments and latest facts. Its charts are in `charts`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from streamops.core.sight import Sight, sight_of
from streamops.values import ModelVersion
from streamops.web.reads.alerts import Alerts, alerts
from streamops.web.reads.bins import version_of
from streamops.web.reads.rows import one, read

FACTS_MAX = 40
VERSIONS_MAX = 50
ALERTS_MAX = 50


class VersionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A version: stage, run, and how it did against the champion when it was a candidate.

    candidate, champion  metric -> value on the same held-out rows; empty if it wasn't scored
    passed               the gate's last verdict, none before the first
    checks               [name, value, limit, passed] of that verdict
    """

    version: str
    stage: str
    since: datetime | None
    registered_at: datetime | None
    task: str | None
    run_id: str | None
    artifact: str | None
    champion_version: str | None
    rows: int | None
    candidate: dict[str, float]
    champion: dict[str, float]
    passed: bool | None
    checks: tuple[tuple[str, float | None, float | None, bool], ...]


class FeatureRow(msgspec.Struct, frozen=True, kw_only=True):
    """A feature's drift in the last closed pane and at its worst; none is insufficient data."""

    feature: str
    psi: float | None
    js: float | None
    missing_rate: float | None
    worst_psi: float | None
    worst_pane: datetime | None


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the model's timeline."""

    time: datetime
    what: str
    version: str | None
    detail: str | None
    id: str


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """A silence, snooze or maintenance that is in force: about what, until when, who and why."""

    name: str
    how: str
    since: datetime | None
    until: datetime
    actor: str
    reason: str


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What a version was accepted on, and what that lets its tests see; columns in its order."""

    version: str
    rows: int
    columns: tuple[Sight, ...]


class ModelPage(msgspec.Struct, frozen=True, kw_only=True):
    """A model's tables. `newest`: append time of its newest metrics.

    reference  of the champion, else of the newest version; none without one
    """

    model: str
    champion: str
    task: str
    segment: str
    segments: tuple[str, ...]
    measures: tuple[str, ...]
    panes: int
    versions: tuple[VersionRow, ...]
    versions_total: int
    features: tuple[FeatureRow, ...]
    alerts: Alerts
    facts: tuple[Fact, ...]
    newest: datetime | None
    silences: tuple[Silence, ...] = ()
    reference: Reference | None = None


class RawVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A row of VERSIONS, JSON as text."""

    version: str
    stage: str
    since: datetime | None
    registered_at: datetime | None
    task: str | None
    run_id: str | None
    artifact: str | None
    champion_version: str | None
    rows: int | None
    candidate: str | None
    champion: str | None
    passed: bool | None
    checks: str | None


VERSIONS = """
WITH scores AS (
    SELECT version, arg_max(champion_version, time) AS champion_version,
        arg_max(rows, time) AS rows, arg_max(CAST(candidate AS VARCHAR), time) AS candidate,
        arg_max(CAST(champion AS VARCHAR), time) AS champion
    FROM candidates_scored WHERE model = $model AND epoch <= (SELECT epoch FROM concluded)
    GROUP BY version
),
verdicts AS (
    SELECT version, arg_max(passed, epoch) AS passed,
        arg_max(CAST(checks AS VARCHAR), epoch) AS checks
    FROM gates_evaluated WHERE model = $model AND epoch <= (SELECT epoch FROM concluded)
    GROUP BY version
)
SELECT m.version, m.stage, m.since, m.registered_at, m.task, m.run_id, m.artifact,
    s.champion_version, s.rows, s.candidate, s.champion, v.passed, v.checks
FROM current_models m
LEFT JOIN scores s ON s.version = m.version LEFT JOIN verdicts v ON v.version = m.version
WHERE m.model = $model
ORDER BY m.stage = 'Production' DESC, m.since DESC, m.registered_at DESC, m.version DESC
"""
FEATURES = """
WITH own AS (
    SELECT * FROM drift_by_feature WHERE model = ? AND segment = ?
)
SELECT feature, arg_max_null(psi, pane_start) AS psi, arg_max_null(js, pane_start) AS js,
    arg_max_null(missing_rate, pane_start) AS missing_rate, max(psi) AS worst_psi,
    arg_max(pane_start, psi) AS worst_pane
FROM (SELECT * FROM own QUALIFY row_number() OVER (
    PARTITION BY feature, pane_start ORDER BY n DESC, version) = 1)
GROUP BY feature ORDER BY worst_psi DESC NULLS LAST, feature
"""
FACTS = """
SELECT time, what, version, detail, id FROM model_timeline WHERE model = ?
ORDER BY time DESC, epoch DESC, topic, "offset" DESC LIMIT ?
"""
SILENCES = """
SELECT name, how, since, until, actor, reason FROM silences WHERE model = ? AND in_force
"""
SEGMENTS = """
SELECT DISTINCT segment FROM metrics_evaluated WHERE model = ? ORDER BY segment <> 'all', segment
"""
MEASURES = """
SELECT DISTINCT metric FROM metric_values
WHERE model = ? AND cut = 'mature' AND feature = '' AND value IS NOT NULL
    AND pane_start >= (SELECT max(pane_start) - INTERVAL 1 SECOND FROM metrics_evaluated
        WHERE model = ? AND cut = 'mature' AND status = 'evaluated')
"""
# In the order in which they are offered.
KNOWN_MEASURES = ("accuracy", "f1", "precision", "recall", "log_loss", "brier", "mae", "rmse")


def model_page(con: Any, model: str, segment: str = "all") -> ModelPage | None:
    """Read a model's tables; None for a model that nothing is known of."""
    versions = read(con, RawVersion, VERSIONS.replace("$model", "?"), [model] * 3)
    panes = int(
        one(
            con, "SELECT count(DISTINCT pane_start) FROM metrics_evaluated WHERE model = ?", [model]
        )
    )
    if not versions and not panes:
        return None
    measured = {name for (name,) in con.execute(MEASURES, [model, model]).fetchall()}
    serving = [v for v in versions if v.stage == "Production"]
    return ModelPage(
        model=model,
        champion=serving[0].version if serving else "",
        task=next((v.task for v in versions if v.task), ""),
        segment=segment,
        segments=tuple(name for (name,) in con.execute(SEGMENTS, [model]).fetchall()),
        measures=tuple(name for name in KNOWN_MEASURES if name in measured),
        panes=panes,
        versions=tuple(version_row(v) for v in versions[:VERSIONS_MAX]),
        versions_total=len(versions),
        features=tuple(read(con, FeatureRow, FEATURES, [model, segment])),
        alerts=alerts(con, model, limit=ALERTS_MAX),
        facts=tuple(read(con, Fact, FACTS, [model, FACTS_MAX])),
        newest=one(con, "SELECT max(append_time) FROM metrics_evaluated WHERE model = ?", [model]),
        silences=tuple(read(con, Silence, SILENCES, [model])),
        reference=reference_of(version_of(con, model, serving[0].version if serving else "")),
    )


def reference_of(version: ModelVersion | None) -> Reference | None:
    """Return what a version's reference lets its tests see."""
    if version is None:
        return None
    profile = version.profile
    columns = [sight_of(feature) for feature in profile.features]
    columns += [sight_of(profile.score, "score")] if profile.score is not None else []
    columns += [sight_of(profile.label, "label")] if profile.label is not None else []
    return Reference(version=version.version, rows=profile.rows, columns=tuple(columns))


def version_row(raw: RawVersion) -> VersionRow:
    """Return a version with its JSON read."""
    plain = msgspec.structs.asdict(raw)
    for name, empty in (("candidate", "{}"), ("champion", "{}"), ("checks", "[]")):
        plain[name] = msgspec.json.decode(plain[name] or empty)
    return msgspec.convert(plain, VersionRow)
