"""Alerts that end because what they were about is gone: its version, or its rule."""

from __future__ import annotations

from msgspec.structs import replace

from streamops.core import holds, policy
from streamops.core.model_state import ModelState
from streamops.core.workbook import Workbook
from streamops.events import Event


def replace_rules(book: Workbook, model: ModelState) -> None:
    """Resolve the alerts of the version that left Production; its snoozes end with them."""
    book.put(*without_alerts(book, model, "version replaced"))
    holds.version_replaced(book, model.config.model)


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
