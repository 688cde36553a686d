"""What a report says, read from the archive: nothing is stored, nothing is taken from a live stack.

Rule 1: facts come through the same views as the page, made over the topics that tell of the
        model's life; the millions of predictions and labels stay in their files, only counted.
Rule 2: verdicts are computed while the report is made: every alert in it again from its raw
        records, every sealed record against its seal. There is no way to leave that out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from streamops.audit.namespace import namespace_of
from streamops.audit.record_chain import ChainCheck, check_segments
from streamops.audit.retrains import Retrains, retrains
from streamops.audit.seal_chain import SealChain
from streamops.audit.verdicts import Verification
from streamops.audit.verify import verify
from streamops.core.times import moment
from streamops.errors import ConfigError
from streamops.views.archive import ArchiveLog
from streamops.views.log import Partition, RawRecord
from streamops.views.positions import Position
from streamops.views.store import open_store, store
from streamops.web.reads.alerts import AlertRow, alerts
from streamops.web.reads.charts import POINTS_MAX, Charts, model_charts
from streamops.web.reads.rows import one, read

HEAVY = frozenset({"predictions", "labels", "outcomes"})
BATCH = 20_000
ALERTS_MAX = 100_000

Progress = Callable[[str], Callable[[int, int], None]]


class TopicSpan(msgspec.Struct, frozen=True, kw_only=True):
    """What the archive holds of a topic: records, and append times of the first and the last."""

    topic: str
    records: int
    first: datetime | None
    last: datetime | None


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """A fact of the model's life, and where it stands on the log."""

    time: datetime
    what: str
    version: str | None
    detail: str | None
    topic: str
    partition: int
    offset: int


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """A version, what it was made from, and its stage at the end of the span.

    environment  library -> version, as JSON
    """

    version: str
    stage: str
    since: datetime | None
    registered_at: datetime | None
    task: str | None
    artifact: str | None
    run_id: str | None
    code_commit: str | None
    environment: str | None
    dataset: str | None
    content_hash: str | None
    rows: int | None
    first_epoch: int | None
    last_epoch: int | None


class Configured(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration and the first pane it rules; `actor` is who applied it, none if unknown."""

    config_hash: str
    first_pane: datetime
    revision: int
    actor: str | None
    rules: int
    retrain_by: str | None


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Panes of all segments in the span, and what was counted in them."""

    panes: int
    predictions: int
    labelled: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the report says.

    since, until  bounds of event time as asked for; none: no bound
    verification  of the alerts from the span's first on; none where the span has none
    """

    model: str
    archive: str
    made_at: datetime
    since: datetime | None
    until: datetime | None
    topics: tuple[TopicSpan, ...]
    totals: Totals
    charts: Charts
    timeline: tuple[Fact, ...]
    detections: int
    people: tuple[Fact, ...]
    versions: tuple[Lineage, ...]
    configurations: tuple[Configured, ...]
    alerts: tuple[AlertRow, ...]
    verification: Verification | None
    chain: ChainCheck
    ledger: Retrains


WITHIN = " AND ({column} >= ? OR ? IS NULL) AND ({column} < ? OR ? IS NULL)"
TIMELINE = """
SELECT time, what, version, detail, topic, partition, "offset" FROM model_timeline
WHERE model = ? AND what <> 'DriftDetected'
"""
PEOPLE = """
SELECT time, what, version, detail, topic, partition, "offset" FROM model_timeline
WHERE model = ? AND what IN ('PromotionRequested', 'PromotionApproved', 'RollbackRequested',
    'RetrainingPaused', 'AlertSilenced', 'ConfigApplied')
"""
DETECTIONS = "SELECT count(*) FROM drifts_detected WHERE model = ?"
VERSIONS = """
SELECT m.version, m.stage, m.since, m.registered_at, m.task, m.artifact, m.run_id,
    nullif(r.code_commit, '') AS code_commit, r.environment, r.dataset,
    r.dataset_hash AS content_hash, r.trained_rows AS rows, r.first_epoch, r.last_epoch
FROM current_models m LEFT JOIN runs r ON r.run_id = m.run_id
WHERE m.model = ?
"""
CONFIGURED = """
SELECT a.config_hash, min(a.first_pane) AS first_pane, min(a.revision) AS revision,
    (SELECT any_value(actor) FROM configs_applied p WHERE p.config_hash = a.config_hash) AS actor,
    any_value(json_array_length(a.config->'rules')) AS rules,
    any_value(CAST(a.config->'retrain' AS VARCHAR)) AS retrain_by
FROM configs_activated a WHERE a.config->>'model' = ? GROUP BY a.config_hash ORDER BY revision
"""
TOTALS = """
SELECT count(*) AS panes, CAST(coalesce(sum(predictions), 0) AS BIGINT) AS predictions,
    CAST(coalesce(sum(labelled), 0) AS BIGINT) AS labelled
FROM label_coverage WHERE model = ? AND segment = 'all'
"""
ORDER = ' ORDER BY time, topic, partition, "offset"'


def gather(
    archive: Path,
    artifacts: Path,
    model: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    on_progress: Progress = lambda what: lambda done, total: None,
) -> Report:
    """Return the report on a model over a span of event time [since, until).

    on_progress  called with what is done, returns what is called with (done, total)

    Raises ConfigError where the folder is no archive or has no such model, or the span is empty;
    TransportError where records are missing.
    """
    if since is not None and until is not None and since >= until:
        raise ConfigError(f"--until is {until.isoformat()}, not after --since: give a later one")
    namespace_of(archive)
    log = ArchiveLog(archive)
    with views_of(log) as con:
        known = [m for (m,) in con.execute("SELECT DISTINCT model FROM current_models").fetchall()]
        if model not in known:
            raise ConfigError(
                f"model is {model!r}; {archive} tells of {', '.join(sorted(known)) or 'none'}"
            )
        found = facts_of(con, model, since, until)
    shown: tuple[AlertRow, ...] = found["alerts"]
    first = min((alert.raised_at for alert in shown), default=None)
    return Report(
        model=model,
        archive=str(archive),
        made_at=datetime.now(UTC),
        since=since,
        until=until,
        topics=tuple(topic_spans(log)),
        verification=None
        if first is None
        else verify(archive, since=first, on_progress=on_progress("verifying alerts")),
        chain=check_segments(archive, SealChain(archive), on_progress("checking the chain")),
        ledger=within_ledger(
            retrains(archive, artifacts, model=model, on_progress=on_progress("comparing models")),
            since,
            until,
        ),
        **found,
    )


def facts_of(
    con: Any, model: str, since: datetime | None, until: datetime | None
) -> dict[str, Any]:
    """Read the views' part of a report."""
    given = [model, *bounds(since, until)]
    time = WITHIN.format(column="time")
    return {
        "totals": read(con, Totals, TOTALS + WITHIN.format(column="pane_start"), given)[0],
        "charts": model_charts(con, model, points=POINTS_MAX),
        "timeline": tuple(read(con, Fact, TIMELINE + time + ORDER, given)),
        "detections": int(one(con, DETECTIONS + time, given)),
        "people": tuple(read(con, Fact, PEOPLE + time + ORDER, given)),
        "versions": tuple(
            read(con, Lineage, f"{VERSIONS} ORDER BY registered_at, m.version", [model])
        ),
        "configurations": tuple(read(con, Configured, CONFIGURED, [model])),
        "alerts": tuple(
            alert
            for alert in alerts(con, model, limit=ALERTS_MAX).alerts
            if (since is None or alert.raised_at >= since)
            and (until is None or alert.raised_at < until)
        ),
    }


def bounds(since: datetime | None, until: datetime | None) -> list[datetime | None]:
    """Return what WITHIN asks for: the views' times are UTC without a zone."""
    low, high = (t and t.astimezone(UTC).replace(tzinfo=None) for t in (since, until))
    return [low, low, high, high]


def within_ledger(found: Retrains, since: datetime | None, until: datetime | None) -> Retrains:
    """Return the ledger's retrains of a span; sums by trigger stay those of the whole history."""
    kept = tuple(
        r
        for r in found.retrains
        if (since is None or r.time >= since) and (until is None or r.time < until)
    )
    return msgspec.structs.replace(found, retrains=kept)


@contextmanager
def views_of(log: ArchiveLog) -> Iterator[Any]:
    """Give a connection to views over an archive's light topics, in a folder that goes again."""
    with tempfile.TemporaryDirectory(prefix="streamops-report-") as folder:
        con = open_store(Path(folder) / "views.duckdb")
        try:
            at: dict[Partition, Position] = {}
            for topic in log.topics():
                for partition in log.partitions(topic) if topic not in HEAVY else ():
                    records = log.read(topic, partition)
                    while some := list[RawRecord](islice(records, BATCH)):
                        at.update(store(con, some, at, None))
            yield con
        finally:
            con.close()


def topic_spans(log: ArchiveLog) -> Iterator[TopicSpan]:
    """Yield what the archive holds of each topic."""
    for topic in log.topics():
        records, times = 0, list[int]()
        for partition in log.partitions(topic):
            for path, cover in log.files(topic, partition):
                gaps = sum(end - start for start, end in cover.gaps)
                records += cover.next - cover.first - gaps
                times += append_times(path)
        yield TopicSpan(
            topic=topic,
            records=records,
            first=moment(min(times) * 1000) if times else None,
            last=moment(max(times) * 1000) if times else None,
        )


def append_times(path: Path) -> list[int]:
    """Return the least and greatest append time of each row group, by the file's own statistics."""
    metadata, found = pq.read_metadata(path), list[int]()
    for group in range(metadata.num_row_groups):
        kept = metadata.row_group(group).column(1).statistics
        found += [] if kept is None or not kept.has_min_max else [kept.min, kept.max]
    return found
