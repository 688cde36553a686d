"""What a simulation ends with: one object, and a page a person can read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.table import Table as Grid

from streamops.core.processor import Record
from streamops.events import (
    AlertRaised,
    CheckpointSealed,
    Event,
    GateEvaluated,
    LabelArrived,
    MetricEvaluated,
    OutcomeJoined,
    PaneSummarized,
    PredictionMade,
    RecordRefused,
    RetrainRequested,
    RunCompleted,
    RunFailed,
    StageChanged,
)
from streamops.kafka.follow import Follower
from streamops.operate.tally import Score
from streamops.settings import Settings

# All but `checkpoints`, which is compacted and no part of the log.
COUNTED = (
    "predictions", "labels", "outcomes", "summaries", "metrics", "lifecycle", "data", "alerts",
    "retraining", "deployments", "progress", "dlq", "audit",
)  # fmt: skip
SHOWN_MAX = 12
E = TypeVar("E", bound=Event)
Identity = tuple[str, str, str]


class AlertLine(msgspec.Struct, frozen=True, kw_only=True):
    """One alert, as the summary names it."""

    id: str
    kind: str
    feature: str
    pane_start: str
    severity: str


class Retrains(msgspec.Struct, frozen=True, kw_only=True):
    """Requests; runs that ended well, or failed; candidates that the gate refused or promoted."""

    requested: int
    run: int
    failed: int
    refused: int
    promoted: int


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts recomputed from the archive, and whether every one matched."""

    alerts: int
    ok: bool


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What stands on the topics after a run, each record once; `counts` by `topic/type`."""

    counts: dict[str, int]
    outcomes: int
    panes: int
    refused: int
    alerts: tuple[AlertLine, ...]
    retrains: Retrains


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The whole result of a simulation (docs/reference/simulate.md)."""

    rows: int
    predictions: int
    labels: int
    outcomes: int
    panes: int
    refused: int
    alerts: tuple[AlertLine, ...]
    retrains: Retrains
    score: Score
    verified: Verified
    views_match_topics: bool
    seconds: float
    peak_pss_mb: int
    seal: str = ""


def read_facts(settings: Settings) -> Facts:
    """Read the topics to their end, each record once.

    A repeat has the same stamp; without one, the same id in the same partition.
    """
    seen: dict[Identity, Event] = {}
    with closing(Follower(settings, "summary", COUNTED)) as follower:
        for record in follower.to_end():
            event = record.event
            if isinstance(event, Event):
                slim = event if not isinstance(event, _HEAVY) else _slim(event)
                seen.setdefault(_identity(record, event), slim)
    return _facts(seen)


def _identity(record: Record, event: Event) -> Identity:
    stamp = getattr(event, "stamp", None)
    which = str(stamp) if stamp is not None else f"{record.partition}/{event.id}"
    return record.topic, type(event).__name__, which


_HEAVY = (PredictionMade, LabelArrived, OutcomeJoined, PaneSummarized, CheckpointSealed)


def _slim(event: Event) -> Event:
    corrected = isinstance(event, OutcomeJoined) and event.correction
    return Event(id="correction" if corrected else "", time=event.time)


def _facts(seen: dict[Identity, Event]) -> Facts:
    counts = Counter(f"{topic}/{kind}" for topic, kind, _ in seen)
    events = list(seen.values())
    corrections = len([e for e in events if type(e) is Event and e.id])
    raised = sorted(_of(events, AlertRaised), key=lambda a: (a.time, a.id))
    panes = {(e.model, e.pane_start) for e in _of(events, MetricEvaluated) if e.cut == "closed"}
    promoted = [e for e in _of(events, StageChanged) if e.after == "Production" and e.replaced]
    return Facts(
        counts=dict(sorted(counts.items())),
        outcomes=counts["outcomes/OutcomeJoined"] - corrections,
        panes=len(panes),
        refused=len(_of(events, RecordRefused)),
        alerts=tuple(_line(alert) for alert in raised),
        retrains=Retrains(
            requested=len(_of(events, RetrainRequested)),
            run=len([e for e in _of(events, RunCompleted) if e.last_epoch]),
            failed=len([e for e in _of(events, RunFailed) if e.request_id]),
            refused=len([e for e in _of(events, GateEvaluated) if not e.passed]),
            promoted=len(promoted),
        ),
    )


def _of(events: Iterable[Event], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def _line(alert: AlertRaised) -> AlertLine:
    return AlertLine(
        id=alert.id,
        kind=alert.kind,
        feature=alert.feature,
        pane_start=alert.pane_start.isoformat(),
        severity=alert.severity,
    )


def print_summary(
    summary: Summary, console: Console, *, where: str, page: str = "", command: str = "streamops"
) -> None:
    """Print the result for a person. `command`: what calls this streamops."""
    score, retrains = summary.score, summary.retrains
    console.rule("[bold]streamops: what happened")
    console.print(
        f"{summary.rows:,} rows streamed → {summary.predictions:,} predictions, "
        f"{summary.labels:,} labels, {summary.outcomes:,} outcomes in {summary.panes} panes; "
        f"{summary.refused} refused"
    )
    console.print(_alert_grid(summary.alerts))
    if len(summary.alerts) > SHOWN_MAX:
        console.print(f"… and {len(summary.alerts) - SHOWN_MAX} more (--json has all)")
    console.print(
        f"Retrains: {retrains.requested} asked, {retrains.run} run, {retrains.failed} failed, "
        f"{retrains.refused} refused by the gate, {retrains.promoted} promoted"
    )
    console.print(
        f"{score.metric}: first model left alone [bold]{score.first_model:.3f}[/], "
        f"as operated [bold]{score.operated:.3f}[/], "
        f"repeating the previous label {score.previous_label:.3f}"
    )
    verdict = "[green]every one matches[/]" if summary.verified.ok else "[red]NOT all match[/]"
    console.print(f"{summary.verified.alerts} alerts recomputed from the archive: {verdict}")
    views = "equal" if summary.views_match_topics else "[red]DIFFER from[/]"
    console.print(
        f"Views {views} the topics' counts · {summary.seconds:.0f} s · "
        f"peak {summary.peak_pss_mb} MB"
    )
    if summary.seal:
        console.print("Sealed; whoever keeps this line can tell if the archive is altered:")
        console.print(summary.seal, soft_wrap=True, highlight=False, markup=False)
    console.print(f"Next: {command} verify --all --archive {where}/archive"
                  + (f" · page {page}" if page else ""), soft_wrap=True)  # fmt: skip


def _alert_grid(alerts: tuple[AlertLine, ...]) -> Grid:
    kinds = Counter(alert.kind for alert in alerts)
    title = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())) or "none"
    grid = Grid("when", "what", "feature", "severity", title=f"{len(alerts)} alerts: {title}")
    rank = {"major": 0, "moderate": 1, "minor": 2}
    strongest = sorted(alerts, key=lambda a: (rank[a.severity], a.pane_start))[:SHOWN_MAX]
    for alert in sorted(strongest, key=lambda a: a.pane_start):
        grid.add_row(alert.pane_start[:16], alert.kind, alert.feature, alert.severity)
    return grid
