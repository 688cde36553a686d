"""The retrain ledger: what each retrain was asked for, cost and brought, read from the archive.

Rule 1: facts come from the log: the first answer to a request counts, as it did in the fold.
Rule 2: cost is what the log shows: the rows learned, and the seconds between the append times of
        RunStarted and of its end. No clock of a trainer's plays a part.
Rule 3: regret is what the decision lost on the outcomes that came after it (`audit/regret.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from streamops.audit.in_clear import InClear
from streamops.audit.namespace import namespace_of
from streamops.audit.regret import Decision, Regret, regrets
from streamops.events import (
    AlertRaised,
    CandidateScored,
    Event,
    GateEvaluated,
    ModelRegistered,
    RetrainRequested,
    RunCompleted,
    RunFailed,
    RunStarted,
    StageChanged,
)
from streamops.values import GateCheck
from streamops.views.archive import ArchiveLog
from streamops.views.log import to_record

Verdict = Literal["open", "failed", "refused", "passed", "promoted"]
TOPICS = ("retraining", "lifecycle", "deployments", "alerts")


class Retrain(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request for a challenger and what became of it.

    trigger   kind of the alert behind it; else `schedule`, `labels`, or the cause's first word
    seconds   of training, by append times; none while it runs
    rows      learned from
    decided   epoch of the gate's verdict
    checks    those that failed
    regret    none where no outcome came after the decision
    """

    request: str
    time: datetime
    model: str
    strategy: str
    trigger: str
    cause: str
    reason: str
    champion: str
    first_epoch: int
    last_epoch: int
    labels: int
    verdict: Verdict
    seconds: float | None = None
    rows: int | None = None
    version: str = ""
    decided: int | None = None
    checks: tuple[GateCheck, ...] = ()
    error: str = ""
    regret: Regret | None = None


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """What the retrains of one trigger cost and brought.

    gain  rows-weighted mean of new against old on later outcomes, over those promoted; in the
          gate's metric, above 0 where the new model was better
    """

    trigger: str
    requests: int
    promoted: int
    seconds: float
    rows: int
    gain: float | None
    later_rows: int


class Retrains(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger, oldest request first, and its sums by trigger."""

    retrains: tuple[Retrain, ...]
    triggers: tuple[Trigger, ...]


class Facts:
    """What the archive says of runs, by request and by version; first come, first kept."""

    def __init__(self, log: ArchiveLog) -> None:
        self.requests: dict[str, RetrainRequested] = {}
        self.started: dict[str, int] = {}
        self.ended: dict[str, tuple[RunCompleted | RunFailed, int]] = {}
        self.registered: dict[tuple[str, str], ModelRegistered] = {}
        self.answers: dict[str, ModelRegistered] = {}
        self.scored: dict[str, CandidateScored] = {}
        self.gates: dict[str, GateEvaluated] = {}
        self.promotions: dict[str, dict[int, StageChanged]] = {}
        self.alerts: dict[str, str] = {}
        for topic in TOPICS:
            for partition in log.partitions(topic):
                for record in map(to_record, log.read(topic, partition)):
                    self._take(record.event, record.append_ms)

    def _take(self, event: Event | object, append_ms: int) -> None:
        match event:
            case RetrainRequested():
                self.requests.setdefault(event.id, event)
            case RunStarted():
                self.started.setdefault(event.run_id, append_ms)
            case RunCompleted() | RunFailed():
                self.ended.setdefault(event.run_id, (event, append_ms))
            case ModelRegistered():
                name = event.version.model, event.version.version
                self.registered.setdefault(name, event)
                self.answers.setdefault(event.request_id, event)
            case CandidateScored():
                self.scored.setdefault(event.request_id, event)
            case GateEvaluated():
                self.gates.setdefault(event.request_id, event)
            case StageChanged() if event.after == "Production" and event.stamp is not None:
                self.promotions.setdefault(event.model, {}).setdefault(event.revision, event)
            case AlertRaised():
                self.alerts.setdefault(event.id, event.kind)


def retrains(
    archive: Path,
    artifacts: Path,
    *,
    model: str = "",
    on_progress: Callable[[int, int], None] | None = None,
) -> Retrains:
    """Return the ledger of an archive, of one model if it is named.

    artifacts    the namespace's folder of artifacts; what isn't there is left unscored
    on_progress  called with (decisions compared, in all)

    Raises ConfigError where the folder is no archive, TransportError where it lacks records.
    """
    partitions, log = namespace_of(archive).partitions, ArchiveLog(archive)
    facts = Facts(log)
    found = [told(facts, request) for request in asked(facts, model)]
    decisions = [d for d in (decision(facts, retrain) for retrain in found) if d is not None]
    clear = InClear(archive)
    known = regrets(log, partitions, artifacts, facts.registered, decisions, clear, on_progress)
    whole = tuple(
        msgspec.structs.replace(retrain, regret=known.get(retrain.request)) for retrain in found
    )
    return Retrains(retrains=whole, triggers=tuple(by_trigger(whole)))


def asked(facts: Facts, model: str) -> list[RetrainRequested]:
    """Return the requests, oldest first."""
    wanted = [r for r in facts.requests.values() if model in ("", r.model)]
    return sorted(wanted, key=lambda r: (r.time, r.id))


def told(facts: Facts, request: RetrainRequested) -> Retrain:
    """Return a request's line without its regret."""
    ended, ended_ms = facts.ended.get(request.id, (None, 0))
    started_ms = facts.started.get(request.id)
    answer, gate = facts.answers.get(request.id), facts.gates.get(request.id)
    version = answer.version.version if answer is not None else ""
    timed = ended is not None and started_ms is not None
    return Retrain(
        request=request.id,
        time=request.time,
        model=request.model,
        strategy=request.strategy,
        trigger=facts.alerts.get(request.cause) or request.cause.partition("/")[0],
        cause=request.cause,
        reason=request.reason,
        champion=request.champion_version,
        first_epoch=request.first_epoch,
        last_epoch=request.last_epoch,
        labels=request.labels,
        verdict=verdict(facts, request.model, version, ended, gate),
        seconds=(ended_ms - started_ms) / 1000 if timed and started_ms is not None else None,
        rows=ended.rows if isinstance(ended, RunCompleted) else None,
        version=version,
        decided=gate.stamp.epoch if gate is not None and gate.stamp is not None else None,
        checks=() if gate is None else tuple(c for c in gate.checks if not c.passed),
        error=ended.error if isinstance(ended, RunFailed) else "",
    )


def verdict(
    facts: Facts,
    model: str,
    version: str,
    ended: RunCompleted | RunFailed | None,
    gate: GateEvaluated | None,
) -> Verdict:
    """Return what became of a request."""
    if isinstance(ended, RunFailed):
        return "failed"
    if gate is None:
        return "open"
    if not gate.passed:
        return "refused"
    served = {change.version for change in facts.promotions.get(model, {}).values()}
    return "promoted" if version in served else "passed"


def decision(facts: Facts, retrain: Retrain) -> Decision | None:
    """Return what the regret is asked about; None for a request that nothing was decided on."""
    scored = facts.scored.get(retrain.request)
    if retrain.decided is None or scored is None:
        return None
    changes = [facts.promotions.get(retrain.model, {})[n] for n in _revisions(facts, retrain.model)]
    epochs = [(c.stamp.epoch, c.version) for c in changes if c.stamp is not None]
    since, ends = retrain.decided, [e for e, _ in epochs]
    if retrain.verdict == "promoted":
        since = next(e for e, version in epochs if version == retrain.version)
    served = [version for epoch, version in epochs if epoch <= since]
    return Decision(
        request=retrain.request,
        model=retrain.model,
        metric=facts.requests[retrain.request].metric,
        new=retrain.version,
        old=scored.champion_version,
        served=served[-1] if served else "",
        promoted=retrain.verdict == "promoted",
        after=since,
        until=min((e for e in ends if e > since), default=None),
    )


def _revisions(facts: Facts, model: str) -> list[int]:
    return sorted(facts.promotions.get(model, {}))


def by_trigger(found: tuple[Retrain, ...]) -> Iterator[Trigger]:
    """Yield the sums of each trigger, by name."""
    for name in sorted({retrain.trigger for retrain in found}):
        own = [retrain for retrain in found if retrain.trigger == name]
        known: list[Any] = [
            r.regret
            for r in own
            if r.verdict == "promoted" and r.regret is not None and r.regret.gain is not None
        ]
        later = sum(regret.rows for regret in known)
        gained = sum(regret.gain * regret.rows for regret in known)
        yield Trigger(
            trigger=name,
            requests=len(own),
            promoted=len([r for r in own if r.verdict == "promoted"]),
            seconds=round(sum(r.seconds or 0.0 for r in own), 3),
            rows=sum(r.rows or 0 for r in own),
            gain=gained / later if later else None,
            later_rows=later,
        )
