"""Lifecycle: what people and effects said, taken as given.

Rule 1: an event that can't be applied (an unknown version, say) is refused with the reason; it
        never stops the fold.
Rule 2: the first final answer to a request counts (EPOCHS 22).
"""

from __future__ import annotations

from msgspec.structs import replace

from streamops.core import policy, registry
from streamops.core.model_state import Ask, Entry, ModelState
from streamops.core.times import micros, moment
from streamops.core.workbook import Workbook
from streamops.events import (
    ActivationDelivered,
    AlertSilenced,
    AlertSilenceRequested,
    CandidateScored,
    ConfigActivated,
    ConfigApplied,
    Event,
    MetricReported,
    ModelRegistered,
    PromotionApproved,
    PromotionRequested,
    RetrainingPaused,
    RollbackRequested,
    RunCompleted,
    RunFailed,
    RunStarted,
    TopologyActivated,
    VersionActivated,
)

RECORDED = (
    RunStarted,
    RunCompleted,
    ConfigApplied,
    TopologyActivated,
    VersionActivated,
    MetricReported,
)


def take(book: Workbook, event: Event | object) -> str | None:
    """Apply one lifecycle event; return why it can't be applied, or None."""
    match event:
        case ModelRegistered():
            return _registered(book, event)
        case ActivationDelivered():
            return _delivered(book, event)
        case CandidateScored():
            return _scored(book, event)
        case RunFailed():
            return _failed(book, event)
        case PromotionRequested():
            return _wanted(book, event)
        case PromotionApproved():
            return _approved(book, event)
        case RollbackRequested():
            model = book.get(event.model)
            book.put(*_replaced(book, model, event))
        case RetrainingPaused():
            model = book.get(event.model)
            done = replace(model.retraining, paused=event.paused)
            book.put(replace(model, retraining=done))
        case AlertSilenceRequested():
            _silence(book, event)
        case ConfigActivated():
            _configured(book, event)
        case _ if not isinstance(event, RECORDED):
            return f"type is {type(event).__name__}; it doesn't belong on lifecycle"
    return None


def _registered(book: Workbook, event: ModelRegistered) -> str | None:
    model = book.get(event.version.model)
    if event.version.version in model.entries:
        return None
    entry = Entry(event.version, request_id=event.request_id)
    asks = model.asks
    if event.request_id in asks and not asks[event.request_id].version:
        ask = replace(asks[event.request_id], version=event.version.version)
        asks = {**asks, event.request_id: ask}
    book.put(replace(model, entries={**model.entries, event.version.version: entry}, asks=asks))
    return None


def _delivered(book: Workbook, event: ActivationDelivered) -> str | None:
    model = book.get(event.model)
    entry = model.entries.get(event.version)
    if entry is not None:
        delivered = replace(entry, delivered=True)
        book.put(replace(model, entries={**model.entries, event.version: delivered}))
    return None


def _scored(book: Workbook, event: CandidateScored) -> str | None:
    model = book.get(event.model)
    if event.version not in model.entries:
        return f"version is {event.version!r}; register it before scoring it"
    ask = model.asks.get(event.request_id)
    asks = model.asks
    if ask is not None and ask.scored is None and not ask.failed:
        asks = {**asks, event.request_id: replace(ask, scored=event, version=event.version)}
    book.put(replace(model, asks=asks, scores={**model.scores, event.version: event}))
    return None


def _failed(book: Workbook, event: RunFailed) -> str | None:
    model = book.get(event.model)
    ask = model.asks.get(event.request_id)
    if ask is not None and ask.scored is None and not ask.failed:
        failed: Ask = replace(ask, failed=True)
        book.put(replace(model, asks={**model.asks, event.request_id: failed}))
    return None


def _wanted(book: Workbook, event: PromotionRequested) -> str | None:
    model = book.get(event.model)
    entry = model.entries.get(event.version)
    if entry is None:
        known = ", ".join(sorted(model.entries)) or "none"
        return f"version is {event.version!r}; registered versions of {event.model}: {known}"
    if entry.stage == "Production":
        return None
    book.put(replace(model, wanted={**model.wanted, event.version: event.actor}))
    return None


def _approved(book: Workbook, event: PromotionApproved) -> str | None:
    model = book.get(event.model)
    entry = model.entries.get(event.version)
    if entry is None or entry.stage != "Staging":
        found = "unknown" if entry is None else entry.stage
        return f"version {event.version!r} is {found}; only one in Staging can be approved"
    book.put(*registry.promote(model, event.version, event.id, book.us, event.actor))
    replace_rules(book, book.get(event.model))
    return None


def _replaced(
    book: Workbook, model: ModelState, event: RollbackRequested
) -> tuple[ModelState, list[Event]]:
    model, outputs = registry.roll_back(model, event.id, book.us, event.actor, event.reason)
    model, resolved = without_alerts(book, model, "version replaced")
    return model, [*outputs, *resolved]


def replace_rules(book: Workbook, model: ModelState) -> None:
    """Resolve the alerts of the version that left Production."""
    book.put(*without_alerts(book, model, "version replaced"))


def without_alerts(
    book: Workbook, model: ModelState, reason: str
) -> tuple[ModelState, list[Event]]:
    """Return the model with every rule at rest, and a resolve for each open alert."""
    outputs: list[Event] = []
    rules: dict[str, policy.RuleState] = {}
    for key in sorted(model.rules):
        state = model.rules[key]
        if state.alert_id:
            state, resolved = policy.resolve(state, model.config.model, book.us, reason)
            outputs += resolved
        rules[key] = replace(state, breaches=0, goods=0, refs=())
    return replace(model, rules=rules), outputs


def _silence(book: Workbook, event: AlertSilenceRequested) -> None:
    model = book.get(event.model)
    state = model.rules.get(event.fingerprint)
    revision = 1 if state is None else state.revision + 1
    if state is not None:
        rules = {**model.rules, event.fingerprint: replace(state, revision=revision)}
        model = replace(model, rules=rules)
    if not event.acknowledge:
        until = {**model.silences, event.fingerprint: micros(event.until)}
        model = replace(model, silences=until)
    silenced = AlertSilenced(
        id=f"silenced/{event.id}",
        time=moment(book.us),
        fingerprint=event.fingerprint,
        revision=revision,
        model=event.model,
        actor=event.actor,
        until=event.until,
        acknowledge=event.acknowledge,
    )
    book.put(model, [silenced])


def _configured(book: Workbook, event: ConfigActivated) -> None:
    model = book.get(event.config.model)
    if event.revision <= model.config_revision:
        return
    kept = {rule.name for rule in event.config.rules}
    gone = replace(model, rules={k: s for k, s in model.rules.items() if s.rule not in kept})
    _, resolved = without_alerts(book, gone, "configuration changed")
    book.put(
        replace(
            model,
            config=event.config,
            config_hash=event.config_hash,
            config_revision=event.revision,
            rules={k: s for k, s in model.rules.items() if s.rule in kept},
        ),
        resolved,
    )
