"""What an epoch's metrics mean, and what is decided at its end.

Rule 1: rules judge the champion (or, without one, whatever version there is); a challenger's
        metrics are kept on the log and raise nothing.
Rule 2: at the epoch's end, in this order: answered causes go through the gate, wanted promotions
        are decided, then the retrain policy may ask, at most once a model and epoch.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from streamops.config import Rule
from streamops.core import gate, policy, registry, retrain
from streamops.core.answers import replace_rules
from streamops.core.model_state import Ask, ModelState
from streamops.core.policy import RuleState
from streamops.core.processor import Record
from streamops.core.times import moment
from streamops.core.workbook import Workbook
from streamops.events import (
    CandidateScored,
    DriftDetected,
    EvaluationRequested,
    GateEvaluated,
    MetricEvaluated,
)
from streamops.values import GateCheck, MetricRef


def metric(book: Workbook, record: Record, event: MetricEvaluated) -> None:
    """Put a pane's metrics to the model's rules."""
    model = book.get(event.model)
    if event.cut == "restated" or event.version != (model.champion or event.version):
        return
    ref = _ref(record, event)
    if event.cut == "mature" and event.segment == "all":
        done = retrain.saw_pane(model.retraining, event, book.epoch)
        book.put(replace(model, retraining=done))
        book.matured[event.model] = (event, ref)
    if event.status != "evaluated":
        return
    for rule in model.config.rules:
        for found in policy.matching(rule, event):
            state, silent = _rule_state(book, event.model, rule, found.feature)
            verdict = policy.judge(rule, state, event, found, ref, silent)
            _keep(book, event.model, rule, verdict)


def drift(book: Workbook, record: Record, event: DriftDetected) -> None:
    """Raise where a rule says so: the champion's detector found a drift."""
    model = book.get(event.model)
    if event.level != "drift" or event.version != (model.champion or event.version):
        return
    for rule in model.config.rules:
        if rule.kind == "concept_drift" and rule.metric == event.detector:
            book.drifted.add((event.model, rule.name))
            state, silent = _rule_state(book, event.model, rule, "")
            verdict = policy.detected(rule, state, event, _ref(record, event), silent)
            _keep(book, event.model, rule, verdict)


def decide(book: Workbook) -> None:
    """Take the epoch's decisions, model by model."""
    for name in sorted(book.models):
        _calm(book, name)
        _gate(book, name)
        _promotions(book, name)
        _retrain(book, name)


def open_requests(models: dict[str, ModelState]) -> Iterator[str]:
    """Yield the ids of requests without a final answer (or whose version isn't delivered yet)."""
    for model in models.values():
        for ask in model.asks.values():
            if not _answered(model, ask):
                yield ask.id


def _ref(record: Record, event: MetricEvaluated | DriftDetected) -> MetricRef:
    assert event.stamp is not None, "a derived record has a stamp"
    return MetricRef(id=event.id, stamp=event.stamp, offset=record.offset)


def _rule_state(book: Workbook, name: str, rule: Rule, feature: str) -> tuple[RuleState, bool]:
    model = book.get(name)
    key = policy.fingerprint(name, rule, feature)
    state = model.rules.get(key, RuleState(rule.name, feature, rule.segment, rule.kind))
    return state, model.silences.get(key, 0) > book.us


def _keep(book: Workbook, name: str, rule: Rule, verdict: policy.Verdict) -> None:
    state, events = verdict
    model = book.get(name)
    key = policy.fingerprint(name, rule, state.feature)
    book.put(replace(model, rules={**model.rules, key: state}), events)


def _calm(book: Workbook, name: str) -> None:
    seen = book.matured.get(name)
    if seen is None:
        return
    for rule in book.get(name).config.rules:
        if rule.kind == "concept_drift" and (name, rule.name) not in book.drifted:
            state, _ = _rule_state(book, name, rule, "")
            if state.alert_id:
                _keep(book, name, rule, policy.quieter(rule, state, *seen))


def _answered(model: ModelState, ask: Ask) -> bool:
    if ask.failed:
        return True
    entry = model.entries.get(ask.version)
    return ask.scored is not None and entry is not None and entry.delivered


def _gate(book: Workbook, name: str) -> None:
    model = book.get(name)
    for cause in sorted({ask.cause for ask in model.asks.values()}):
        asks = [ask for ask in model.asks.values() if ask.cause == cause]
        if not all(_answered(model, ask) for ask in asks):
            continue
        model = replace(model, asks={i: a for i, a in model.asks.items() if a.cause != cause})
        book.put(model)
        scored = [ask.scored for ask in asks if ask.scored is not None]
        _compete(book, name, cause, scored)
        model = book.get(name)


def _compete(book: Workbook, name: str, cause: str, candidates: list[CandidateScored]) -> None:
    rules = book.get(name).config.gate
    checked = [(scored, gate.check_candidate(rules, scored)) for scored in candidates]
    good = [scored for scored, checks in checked if gate.passed(checks)]
    best = good[gate.best_of(rules, good)] if good else None
    for scored, checks in checked:
        if gate.passed(checks) and scored is not best:
            value = scored.candidate[rules.metric]
            limit = None if best is None else best.candidate[rules.metric]
            checks = (*checks, GateCheck("best of its cause", value, limit, False))
        _verdict(book, name, scored.version, checks, scored)
    if best is not None:
        _promote(book, name, best.version, cause, "controller")


def _verdict(
    book: Workbook,
    name: str,
    version: str,
    checks: tuple[GateCheck, ...],
    scored: CandidateScored | None,
) -> GateEvaluated:
    model = book.get(name)
    event = GateEvaluated(
        id=f"gate/{name}/{version}/{book.epoch}",
        time=moment(book.us),
        model=name,
        version=version,
        passed=gate.passed(checks),
        checks=checks,
        champion_version=model.champion,
        request_id="" if scored is None else scored.request_id,
        config_hash=model.config_hash,
    )
    book.put(model, [event])
    return event


def _promote(book: Workbook, name: str, version: str, cause: str, actor: str) -> None:
    model = book.get(name)
    before = model.champion
    book.put(*registry.promote(model, version, cause, book.us, actor))
    model = book.get(name)
    if model.champion != before:
        replace_rules(book, model)


def _promotions(book: Workbook, name: str) -> None:
    model = book.get(name)
    for version in sorted(model.wanted):
        entry = model.entries[version]
        if not entry.delivered:
            continue
        scored = model.scores.get(version)
        if model.champion and scored is None:
            _ask_score(book, name, version)
            continue
        actor = model.wanted[version]
        left = {v: a for v, a in model.wanted.items() if v != version}
        book.put(replace(book.get(name), wanted=left))
        rules = model.config.gate
        performance = entry.version.profile.performance
        checks = gate.check_first(rules, performance)
        if model.champion and scored is not None:
            checks = gate.check_candidate(rules, scored)
        if _verdict(book, name, version, checks, scored).passed:
            _promote(book, name, version, f"promotion/{actor}", actor)
        model = book.get(name)


def _ask_score(book: Workbook, name: str, version: str) -> None:
    model = book.get(name)
    id_ = f"evaluate/{name}/{version}"
    if id_ in model.asks:
        return
    event = EvaluationRequested(
        id=id_,
        time=moment(book.us),
        model=name,
        version=version,
        champion_version=model.champion,
        first_epoch=0,
        last_epoch=book.epoch,
        holdout_rows=model.config.retrain.holdout_rows,
        metric=model.config.gate.metric,
    )
    asks = {**model.asks, id_: Ask(id_, id_, version=version)}
    book.put(replace(model, asks=asks), [event])


def _retrain(book: Workbook, name: str) -> None:
    seen = book.matured.get(name)
    model = book.get(name)
    if seen is None or not model.champion or seen[0].version != model.champion:
        return
    event, ref = seen
    cause = retrain.cause_of(model, event)
    if cause is None:
        return
    why = retrain.held_back(model)
    if why is not None:
        book.put(*retrain.skipped(model, cause, why, ref, book.us))
        return
    wanted = retrain.requests(model, cause, ref, book.epoch, book.us)
    asks = {**model.asks, **{r.id: Ask(r.id, r.cause) for r in wanted}}
    done = retrain.asked(model.retraining)
    book.put(replace(model, asks=asks, retraining=done), list(wanted))
