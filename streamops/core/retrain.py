"""Retrain policy: when challengers are asked for, from which outcomes, and why not.

Rule 1: a request is a pure function of the panes seen: cool-down and budget count mature panes,
        never time on a clock. A cause that is held back says so once.
Rule 2: requests of one cause compete: the gate waits for all their answers.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from streamops.config import RetrainPolicy, Strategy
from streamops.core.model_state import PANES_MAX, ModelState, Retraining, is_answered
from streamops.core.policy import RuleState
from streamops.core.times import micros, moment
from streamops.events import Event, MetricEvaluated, RetrainRequested, RetrainSkipped
from streamops.values import MetricRef, Proof

Reason = Literal["cool-down", "budget", "too few labels", "paused", "request open"]


class Cause(msgspec.Struct, frozen=True):
    """Why challengers are wanted: an id, a sentence, where the change is put, and which ones."""

    id: str
    reason: str
    since_us: int | None
    strategies: tuple[Strategy, ...]


def saw_pane(state: Retraining, event: MetricEvaluated, epoch: int) -> Retraining:
    """Count a mature pane of the champion."""
    labelled = next((m.n for m in event.metrics if m.name == "label_delay_p50_s"), 0)
    epochs = (*state.epochs[-PANES_MAX:], (micros(event.pane_start), epoch, labelled))
    return msgspec.structs.replace(
        state, panes=state.panes + 1, labels=state.labels + labelled, epochs=epochs
    )


def cause_of(model: ModelState, event: MetricEvaluated) -> Cause | None:
    """Return what asks for challengers now: a raised alert first, then the schedule."""
    policy, done = model.config.retrain, model.retraining
    last = done.asked[-1] if done.asked else 0
    again = policy.repeat_panes and done.panes - last >= policy.repeat_panes
    opened = [
        (rule.since_us, rule.alert_id)
        for rule in open_rules(model)
        if again or rule.alert_id not in done.causes
    ]
    if opened:
        since_us, alert = min(opened)
        reason = f"{len(opened)} open alert(s), first {alert}"
        return Cause(alert, reason, since_us, policy.strategies)
    name = f"{event.model}/{event.version}/{done.panes}"
    if policy.every_panes and done.panes - last >= policy.every_panes:
        reason = f"every {policy.every_panes} panes"
        return Cause(f"schedule/{name}", reason, None, policy.scheduled)
    if policy.every_labels and done.labels >= policy.every_labels:
        reason = f"every {policy.every_labels} labels"
        return Cause(f"labels/{name}", reason, None, policy.scheduled)
    return None


def open_rules(model: ModelState) -> list[RuleState]:
    """Return the rules with an open alert of a kind that asks, by fingerprint."""
    kinds = model.config.retrain.kinds
    return [
        model.rules[key]
        for key in sorted(model.rules)
        if model.rules[key].alert_id and model.rules[key].kind in kinds
    ]


def held_back(model: ModelState) -> tuple[Reason, str] | None:
    """Return why no request may be made now, or None."""
    policy, done = model.config.retrain, model.retraining
    if done.paused:
        return "paused", "a person paused retraining"
    if not all(is_answered(model, ask) for ask in model.asks.values()):
        return "request open", "an earlier request has no answer yet"
    if done.asked and done.panes - done.asked[-1] < policy.cooldown_panes:
        waited = done.panes - done.asked[-1]
        return "cool-down", f"{waited} of {policy.cooldown_panes} panes since the last request"
    used = budget_used(done, policy)
    if used >= policy.budget:
        return "budget", f"{used} of {policy.budget} in {policy.budget_panes} panes"
    labels = _labelled(done)
    if labels < policy.min_labels:
        return "too few labels", f"{labels} of {policy.min_labels}"
    return None


def budget_used(done: Retraining, policy: RetrainPolicy) -> int:
    """Return how many requests stand in the budget's window."""
    return len([pane for pane in done.asked if done.panes - pane < policy.budget_panes])


def requests(
    model: ModelState, cause: Cause, ref: MetricRef, epoch: int, us: int
) -> list[RetrainRequested]:
    """Return one request a strategy."""
    policy, done = model.config.retrain, model.retraining
    ranges = {
        "recent": _recent_epoch(done, policy),
        "since_change": _since_epoch(done, cause),
        "all": 0,
        "online": 0,
    }
    return [
        RetrainRequested(
            id=f"retrain/{model.config.model}/{done.panes}/{strategy}",
            time=moment(us),
            model=model.config.model,
            strategy=strategy,
            cause=cause.id,
            reason=cause.reason,
            champion_version=model.champion,
            first_epoch=ranges[strategy],
            last_epoch=epoch,
            labels=_labelled(done),
            holdout_rows=policy.holdout_rows,
            metric=model.config.gate.metric,
            recent_rows=policy.recent_rows,
            since=None if cause.since_us is None else moment(cause.since_us),
            used=budget_used(done, policy) + 1,
            budget=policy.budget,
            config_hash=model.config_hash,
            trainer=policy.trainer,
            refit=policy.refit,
            evidence=Proof(metrics=(ref,)),
        )
        for strategy in cause.strategies
        if strategy != "since_change" or _is_dated(done, policy, ranges[strategy], cause)
    ]


def skipped(
    model: ModelState, cause: Cause, why: tuple[Reason, str], ref: MetricRef, us: int
) -> tuple[ModelState, list[Event]]:
    """Say why a cause was held back, once a cause and reason."""
    said = f"{cause.id}/{why[0]}"
    if model.retraining.held_back == said:
        return model, []
    event = RetrainSkipped(
        id=f"skipped/{model.config.model}/{model.retraining.panes}",
        time=moment(us),
        model=model.config.model,
        cause=cause.id,
        reason=why[0],
        detail=why[1],
        evidence=Proof(metrics=(ref,)),
    )
    done = msgspec.structs.replace(model.retraining, held_back=said)
    return msgspec.structs.replace(model, retraining=done), [event]


def asked(model: ModelState) -> Retraining:
    """Note that requests were made at this pane, on account of every alert that is open."""
    done = model.retraining
    return msgspec.structs.replace(
        done,
        asked=(*done.asked[-1000:], done.panes),
        labels=0,
        held_back="",
        causes=tuple(rule.alert_id for rule in open_rules(model)),
    )


def _is_dated(done: Retraining, policy: RetrainPolicy, first_epoch: int, cause: Cause) -> bool:
    """Tell whether the change has a date, and enough labels came after it to learn and to judge."""
    labels = 0
    for _, epoch, labelled in done.epochs:
        labels += labelled if epoch >= first_epoch else 0
    return cause.since_us is not None and labels >= 2 * policy.holdout_rows


def _labelled(done: Retraining) -> int:
    total = 0
    for _, _, labelled in done.epochs:
        total += labelled
    return total


def _recent_epoch(done: Retraining, policy: RetrainPolicy) -> int:
    rows = 0
    for _, epoch, labelled in reversed(done.epochs):
        rows += labelled
        if rows >= policy.recent_rows + policy.holdout_rows:
            return epoch
    return 0


def _since_epoch(done: Retraining, cause: Cause) -> int:
    if cause.since_us is None:
        return 0
    earlier = [epoch for start, epoch, _ in done.epochs if start <= cause.since_us]
    return max(earlier, default=0)
