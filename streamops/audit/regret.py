"""Regret: how the model that was chosen, and the one that wasn't, did on the same later outcomes.

Rule 1: later outcomes are those of the epochs after the decision, up to the next promotion of the
        model: from there on another decision rules.
Rule 2: a model answers by its recorded artifact, loaded only if its bytes have the SHA-256 on the
        log and its types are reviewed (DESIGN rule 14). What stands under a keyed hash (river) is
        never loaded: its key lies beside it, so whoever made the folder could have made both.
Rule 3: what served is judged by what it answered in fact; so is a version that can't be loaded,
        where every later outcome is its own.
Rule 4: an epoch counts once it is complete; of a prediction's labels the last of the span wins.
Rule 5: an outcome whose values about a person can't be read here is left out for all, and counted:
        else versions would be compared on different rows (`audit/in_clear.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from streamops.audit.in_clear import InClear
from streamops.core.derived_inbox import DerivedInbox, sources_of
from streamops.core.gate import gain
from streamops.core.partition import partition_of
from streamops.errors import InputError, TransportError
from streamops.events import ModelRegistered, OutcomeJoined
from streamops.training.frames import is_label
from streamops.training.outcomes import SOURCES
from streamops.training.scoring import Answer, open_model, score_answers
from streamops.values import ModelVersion
from streamops.views.archive import ArchiveLog
from streamops.views.log import to_record

Versions = dict[tuple[str, str], ModelRegistered]
UNREADABLE_RUNNERS = ("river",)


class Decision(NamedTuple):
    """A gate's verdict that outcomes came after.

    new, old  the challenger, and the champion it was judged beside
    served    the version in Production after it: new, old, or another challenger of the same cause
    after     epoch of the decision; later outcomes are of the epochs behind it
    until     last epoch of them; none: the archive's end
    """

    request: str
    model: str
    metric: str
    new: str
    old: str
    served: str
    promoted: bool
    after: int
    until: int | None


class Regret(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a decision lost.

    rows      later outcomes, of epochs (after, until]
    new, old  their value in the metric on all these rows; none where a model couldn't be asked
    as_served the value of what was answered in fact
    gain      how much better new was than old
    regret    how much better the choice that wasn't made would have been: old instead of a promoted
              new, new instead of what served; below 0 where the decision was right
    unscored  version -> why it couldn't be asked
    erased, unread  later outcomes left out: their values about a person were erased by request, or
              their key isn't here
    """

    metric: str
    rows: int
    after: int
    until: int
    new: float | None = None
    old: float | None = None
    as_served: float | None = None
    served: str = ""
    gain: float | None = None
    regret: float | None = None
    unscored: dict[str, str] = {}
    erased: int = 0
    unread: int = 0


class Span(NamedTuple):
    """The later outcomes of one decision: one a prediction, with its last label; and how many were
    left out (Rule 5)."""

    outcomes: Sequence[OutcomeJoined]
    epochs: tuple[int, int]
    erased: int = 0
    unread: int = 0


def regrets(
    log: ArchiveLog,
    partitions: int,
    artifacts: Path,
    versions: Versions,
    decisions: Sequence[Decision],
    clear: InClear,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Regret]:
    """Return request -> regret of every decision that an outcome came after."""
    found: dict[str, Regret] = {}
    done = 0
    for model in sorted({decision.model for decision in decisions}):
        own = [decision for decision in decisions if decision.model == model]
        for ending, held in reigns(complete_epochs(log, partitions, model), {d.until for d in own}):
            judge = Judge(artifacts, versions, model)
            for decision in (d for d in own if d.until == ending):
                span = in_clear(later(held, decision), clear)
                if span.outcomes or span.erased or span.unread:
                    found[decision.request] = judge.regret(decision, span)
                done += 1
                if on_progress is not None:
                    on_progress(done, len(decisions))
    return found


def reigns(
    epochs: Iterator[tuple[int, list[OutcomeJoined]]], ends: set[int | None]
) -> Iterator[tuple[int | None, dict[int, list[OutcomeJoined]]]]:
    """Yield, for each end of decisions' spans, the outcomes since the end before, by epoch."""
    waiting = sorted(end for end in ends if end is not None)
    held: dict[int, list[OutcomeJoined]] = {}
    for epoch, outcomes in epochs:
        while waiting and epoch > waiting[0]:
            yield waiting.pop(0), held
            held = {}
        held[epoch] = outcomes
    for end in waiting:
        yield end, held
        held = {}
    if None in ends:
        yield None, held


def complete_epochs(
    log: ArchiveLog, partitions: int, model: str
) -> Iterator[tuple[int, list[OutcomeJoined]]]:
    """Yield each complete epoch and the model's outcomes in it, in their fixed order."""
    place = partition_of(model, partitions)
    sources = sources_of("outcomes", SOURCES, place, partitions)
    inbox, epoch = DerivedInbox("outcomes", next_epoch=0, sources=sources), 0
    for record in map(to_record, log.read("outcomes", place)):
        inbox.feed(record)
        while inbox.ready(epoch):
            events = (record.event for record in inbox.take(epoch)[0])
            yield epoch, [e for e in events if isinstance(e, OutcomeJoined) and e.model == model]
            epoch += 1


def later(held: dict[int, list[OutcomeJoined]], decision: Decision) -> Span:
    """Return the outcomes of a decision's span, each with the last label of the span."""
    rows: dict[str, OutcomeJoined] = {}
    epochs = [epoch for epoch in held if epoch > decision.after]
    for epoch in epochs:
        for outcome in held[epoch]:
            first = rows.setdefault(outcome.prediction_id, outcome)
            if outcome.correction:
                rows[outcome.prediction_id] = msgspec.structs.replace(first, label=outcome.label)
    return Span(list(rows.values()), (decision.after, max(epochs, default=decision.after)))


def in_clear(span: Span, clear: InClear) -> Span:
    """Return a span of the outcomes that can be read, with the number of the others."""
    found = clear.read(span.outcomes)
    return span._replace(outcomes=found.outcomes, erased=found.erased, unread=found.unread)


class Judge:
    """Asks versions of one model for answers to later outcomes; each once a span."""

    def __init__(self, artifacts: Path, versions: Versions, model: str) -> None:
        self._artifacts, self._versions, self._model = artifacts, versions, model
        self._answers: dict[tuple[str, int], list[Answer]] = {}
        self._why: dict[str, str] = {}

    def regret(self, decision: Decision, span: Span) -> Regret:
        """Return a decision's regret on its span."""
        metric, version = decision.metric, self._version(decision)
        new = self._value(decision.new, metric, version, span)
        old = self._value(decision.old, metric, version, span)
        as_served = value(as_answered(span), metric, version, span)
        chosen, other = (new, old) if decision.promoted else (as_served, new)
        asked = (decision.new, decision.old)
        return Regret(
            metric=metric,
            rows=len(span.outcomes),
            after=span.epochs[0],
            until=span.epochs[1],
            new=new,
            old=old,
            as_served=as_served,
            served=decision.served,
            gain=None if new is None or old is None else gain(metric, new, old),
            regret=None if chosen is None or other is None else gain(metric, other, chosen),
            unscored={name: self._why[name] for name in asked if name in self._why},
            erased=span.erased,
            unread=span.unread,
        )

    def _version(self, decision: Decision) -> ModelVersion:
        return self._versions[decision.model, decision.new].version

    def _value(self, name: str, metric: str, version: ModelVersion, span: Span) -> float | None:
        key = name, span.epochs[0]
        if name not in self._why and key not in self._answers:
            try:
                self._answers[key] = self._asked(name, span)
            except (InputError, TransportError) as error:
                if any(outcome.version != name for outcome in span.outcomes):
                    self._why[name] = str(error)
                self._answers[key] = as_answered(span)
        if name in self._why:
            return None
        return value(self._answers[key], metric, version, span)

    def _asked(self, name: str, span: Span) -> list[Answer]:
        registered = self._versions.get((self._model, name))
        if registered is None or not registered.version.artifact:
            raise InputError(f"version {name!r} has no artifact on the log: it only reported")
        if registered.runner in UNREADABLE_RUNNERS:
            raise InputError(
                f"version {name!r} is kept under a keyed hash, not by its content: an audit loads "
                "nothing that its own folder vouches for"
            )
        model = open_model(self._artifacts, registered.version.artifact, registered.runner)
        try:
            rows: list[dict[str, Any]] = [_ROW.decode(o.features) for o in span.outcomes]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(f"features of an outcome can't be read: {error}") from None
        return model.answer(rows)


def as_answered(span: Span) -> list[Answer]:
    """Return what was answered in fact."""
    return [Answer(outcome.prediction, outcome.score) for outcome in span.outcomes]


def value(
    answers: Sequence[Answer], metric: str, version: ModelVersion, span: Span
) -> float | None:
    """Return answers' value in a metric against the span's labels."""
    both = zip(answers, (outcome.label for outcome in span.outcomes), strict=True)
    # As the trainer does: what is no label of the task measures nothing.
    known = [(answer, label) for answer, label in both if is_label(label, version.task)]
    labels = [label for _, label in known]
    answered = [answer for answer, _ in known]
    return score_answers(answered, labels, version.task, version.positive).get(metric)


_ROW: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict)
