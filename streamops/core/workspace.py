"""One step's working copy of METER: what changes is copied first.

Rule 1: a pane is copied before it is first changed in a step; the state passed in stays as it was.
Rule 2: what stands behind a pane's cut goes to `after`, never into the pane that was summarized.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from streamops import codec
from streamops.core.join import JoinTable
from streamops.core.meter_state import (
    ALL,
    BEGINNING_US,
    MeterState,
    config_at,
    copy_state,
    pane_of,
)
from streamops.core.output_rows import Mixed
from streamops.core.pane_due import PaneDue
from streamops.core.panes import Pane, PaneKey, copy_pane
from streamops.core.personal import Open, unopened
from streamops.core.processor import Output, Record
from streamops.core.times import micros
from streamops.events import PredictionFailed, PredictionMade


class Step(Protocol):
    """A working copy that folds records one by one: see `meter`."""

    state: MeterState
    join: JoinTable
    outputs: Mixed[Output]
    skew_max_ms: int | None
    opened: Open

    def take(self, record: Record) -> None:
        """Fold one record."""
        ...

    def pane(self, key: PaneKey, *, after: bool) -> Pane:
        """Return the pane to change."""
        ...

    def repeat(self, event: PredictionMade) -> bool:
        """Count a repeat ahead of its turn; False where that would open a pane."""
        ...


class Workspace:
    """State, join table and outputs of one step.

    due  panes by when they are due; None: all are looked at
    """

    def __init__(self, state: MeterState, join: JoinTable, due: PaneDue | None = None) -> None:
        self.state = copy_state(state)
        self.join, self.due = join, due
        self.outputs = Mixed[Output]()
        self.opened: Open = unopened
        self._owned: set[int] = set()

    def features(self, event: PredictionMade) -> dict[str, Any]:
        """Return a prediction's features by name; raises InputError where they are none."""
        return codec.read_features(msgspec.Raw(self.opened(event.id, bytes(event.features))))

    def pane(self, key: PaneKey, *, after: bool) -> Pane:
        """Return the pane to change: the open one, or what came behind its cut."""
        table = self.state.after if after else self.state.panes
        pane = table.get(key)
        if pane is None or id(pane) not in self._owned:
            if pane is None and self.due is not None:
                self._opens(self.due, key, after=after)
            pane = Pane() if pane is None else copy_pane(pane)
            table[key] = pane
            self._owned.add(id(pane))
        return pane

    def _opens(self, due: PaneDue, key: PaneKey, *, after: bool) -> None:
        if not after:
            due.opened(self.state, key)
        elif key not in self.state.panes:
            due.matured(self.state, (key,))

    def current(self, event: PredictionMade | PredictionFailed) -> Pane:
        """Return the pane where predictions' tick stands: late events and repeats count there.

        Its configuration is the one that rules that time, not the event's: else a late event would
        open a second pane beside the current one, and both would be `mixed`.
        """
        key = self._current(event)
        return self.pane(key, after=key in self.state.closed)

    def repeat(self, event: PredictionMade) -> bool:
        """Count a repeat ahead of its turn; False where that would open a pane: panes are opened in
        log order."""
        key = self._current(event)
        after = key in self.state.closed
        if key not in (self.state.after if after else self.state.panes):
            return False
        self.pane(key, after=after).repeats += 1
        return True

    def _current(self, event: PredictionMade | PredictionFailed) -> PaneKey:
        now_us = self.state.predictions_us
        if now_us == BEGINNING_US:
            now_us = micros(event.time)
        config, hash_ = config_at(self.state, event.model, now_us)
        return PaneKey(event.model, event.version, ALL, *pane_of(now_us, config), hash_)
