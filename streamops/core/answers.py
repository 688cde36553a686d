"""Lifecycle: what effects and the broadcaster said, taken as given (people: `commands`).

Rule 1: an event that can't be applied (an unknown version, say) is refused with the reason; it
        never stops the fold.
Rule 2: the first final answer to a request counts (EPOCHS 22).
"""

from __future__ import annotations

from msgspec.structs import replace

from streamops.core import pane_rules
from streamops.core.fitness import unfit
from streamops.core.incidents import without_alerts
from streamops.core.model_state import Ask, Entry
from streamops.core.workbook import Workbook
from streamops.events import (
    ActivationDelivered,
    CandidateScored,
    ConfigActivated,
    ConfigApplied,
    Event,
    MetricReported,
    ModelRegistered,
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
        case ModelRegistered() | ConfigApplied() if why := unfit(event):
            # Its request waits for nothing more: as if the run had failed.
            if isinstance(event, ModelRegistered):
                _fail(book, event.version.model, event.request_id)
            return why
        case ModelRegistered():
            return _registered(book, event)
        case ActivationDelivered():
            return _delivered(book, event)
        case CandidateScored():
            return _scored(book, event)
        case RunFailed():
            return _failed(book, event)
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
    _fail(book, event.model, event.request_id)
    return None


def _fail(book: Workbook, name: str, request_id: str) -> None:
    model = book.get(name)
    ask = model.asks.get(request_id)
    if ask is not None and ask.scored is None and not ask.failed:
        failed: Ask = replace(ask, failed=True)
        book.put(replace(model, asks={**model.asks, request_id: failed}))


def _configured(book: Workbook, event: ConfigActivated) -> None:
    model = book.get(event.config.model)
    if event.revision <= model.config_revision:
        return
    kept = pane_rules.kept_states(model, event.config)
    gone = replace(model, rules={k: s for k, s in model.rules.items() if k not in kept})
    resting, resolved = without_alerts(book, gone, "configuration changed")
    last = {key: state.revision for key, state in resting.rules.items()}
    book.put(
        replace(
            model,
            config=event.config,
            config_hash=event.config_hash,
            config_revision=event.revision,
            rules=kept,
            revisions={**model.revisions, **last},
            earlier=pane_rules.remembered(model),
        ),
        resolved,
    )
