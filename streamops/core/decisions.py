"""What an epoch's metrics mean, and what is decided at its end.

Rule 1: rules judge the champion (or, without one, whatever version there is); a challenger's
        metrics are kept on the log and raise nothing. The rules are those of the pane's own
        configuration (`pane_rules`).
Rule 2: at the epoch's end, in this order: quiet detectors resolve, promotions are decided, then the
        retrain policy may ask, at most once a model and epoch.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from streamops.config import DRIFT_METRICS, ERROR_TESTS, Rule
from streamops.core import alarms, pane_rules, policy, promotion, retrain
from streamops.core.model_state import BEGINNING_US, Ask, ModelState, is_answered
from streamops.core.policy import RuleState
from streamops.core.processor import Record
from streamops.core.workbook import Workbook
from streamops.events import DriftDetected, MetricEvaluated
from streamops.values import MetricRef


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
    for stated in pane_rules.of_pane(model, event.config_hash):
        rule = pane_rules.in_segment(stated, event.segment)
        for found in policy.matching(rule, event):
            state, silent = _rule_state(book, event.model, rule, found.feature)
            judge = alarms.tested if rule.metric in DRIFT_METRICS else policy.judge
            verdict = judge(rule, state, event, found, ref, silent)
            _keep(book, event.model, rule, verdict)


def drift(book: Workbook, record: Record, event: DriftDetected) -> None:
    """Raise where a rule says so: the champion's detector found a drift."""
    model = book.get(event.model)
    if event.level != "drift" or event.version != (model.champion or event.version):
        return
    for stated in pane_rules.of_pane(model, event.config_hash):
        rule = pane_rules.in_segment(stated, event.segment)
        if _is_about(rule, event):
            book.drifted.add((event.model, policy.fingerprint(event.model, rule, "")))
            state, silent = _rule_state(book, event.model, rule, "")
            verdict = alarms.detected(rule, state, event, _ref(record, event), silent)
            _keep(book, event.model, rule, verdict)


def _is_about(rule: Rule, event: DriftDetected) -> bool:
    """Only our tests know segments: a rule of another detector is about all rows."""
    is_same = rule.segment == event.segment or rule.metric not in ERROR_TESTS
    return rule.kind == "concept_drift" and rule.metric == event.detector and is_same


def decide(book: Workbook) -> None:
    """Take the epoch's decisions, model by model."""
    for name in sorted(book.models):
        _calm(book, name)
        promotion.decide(book, name)
        _retrain(book, name)


def open_requests(models: dict[str, ModelState]) -> Iterator[str]:
    """Yield the ids of requests without a final answer (or whose version isn't delivered yet)."""
    for model in models.values():
        for ask in model.asks.values():
            if not is_answered(model, ask):
                yield ask.id


def _ref(record: Record, event: MetricEvaluated | DriftDetected) -> MetricRef:
    assert event.stamp is not None, "a derived record has a stamp"
    return MetricRef(id=event.id, stamp=event.stamp, offset=record.offset)


def _rule_state(book: Workbook, name: str, rule: Rule, feature: str) -> tuple[RuleState, bool]:
    model = book.get(name)
    key = policy.fingerprint(name, rule, feature)
    revision = model.revisions.get(key, 0)
    fresh = RuleState(rule.name, feature, rule.segment, rule.kind, revision=revision)
    return model.rules.get(key, fresh), model.silences.get(key, BEGINNING_US) > book.us


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
        if rule.kind != "concept_drift":
            continue
        for segment in _segments(book.get(name), rule):
            own = pane_rules.in_segment(rule, segment)
            state, _ = _rule_state(book, name, own, "")
            if state.alert_id and (name, policy.fingerprint(name, own, "")) not in book.drifted:
                _keep(book, name, own, alarms.quieter(own, state, *seen))


def _segments(model: ModelState, rule: Rule) -> list[str]:
    """Segments that a rule has a state of; one at most, unless it is for each."""
    return sorted({state.segment for state in model.rules.values() if state.rule == rule.name})


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
    if not wanted:
        return
    asks = {**model.asks, **{r.id: Ask(r.id, r.cause) for r in wanted}}
    done = retrain.asked(model)
    book.put(replace(model, asks=asks, retraining=done), list(wanted))
