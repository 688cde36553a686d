"""Commands of people: promote, approve, roll back, pause, silence.

Rule 1: a command is obeyed once, however often its event is sent.
Rule 2: one that can't be obeyed is refused with the reason, and may be sent again.
"""

from __future__ import annotations

from msgspec.structs import replace

from streamops.core import holds, registry
from streamops.core.incidents import replace_rules
from streamops.core.model_state import COMMANDS_MAX
from streamops.core.times import micros
from streamops.core.workbook import Workbook
from streamops.events import (
    AlertSilenceRequested,
    PromotionApproved,
    PromotionRequested,
    RetrainingPaused,
    RollbackRequested,
)

Command = (
    PromotionRequested
    | PromotionApproved
    | RollbackRequested
    | RetrainingPaused
    | AlertSilenceRequested
)


def obey(book: Workbook, event: Command) -> str | None:
    """Obey a command; return why it can't be, or None."""
    if event.id in book.get(event.model).commands:
        return None
    why = _obey(book, event)
    if why is None:
        model = book.get(event.model)
        commands = (*model.commands[1 - COMMANDS_MAX :], event.id)
        book.put(replace(model, commands=commands))
    return why


def _obey(book: Workbook, event: Command) -> str | None:
    match event:
        case PromotionRequested():
            return _wanted(book, event)
        case PromotionApproved():
            return _approved(book, event)
        case RollbackRequested():
            return _rolled_back(book, event)
        case RetrainingPaused():
            _paused(book, event)
        case AlertSilenceRequested():
            return _silence(book, event)
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


def _paused(book: Workbook, event: RetrainingPaused) -> None:
    model = book.get(event.model)
    done = replace(model.retraining, paused=event.paused)
    book.put(replace(model, retraining=done))


def _rolled_back(book: Workbook, event: RollbackRequested) -> str | None:
    model = book.get(event.model)
    if not model.former:
        return f"model is {event.model!r}; it has no former champion to bring back"
    book.put(*registry.roll_back(model, event.id, book.us, event.actor, event.reason))
    replace_rules(book, book.get(event.model))
    return None


def _silence(book: Workbook, event: AlertSilenceRequested) -> str | None:
    if event.hold is not None:
        return holds.take(book, event, event.hold)
    model = book.get(event.model)
    if not event.acknowledge:
        until = {**model.silences, event.fingerprint: micros(event.until)}
        model = replace(model, silences=until)
    holds.said(book, model, event.fingerprint, event, f"silenced/{event.id}")
    return None
