"""Panes by the second in which their next cut falls due, so that a tick looks at those alone.

Rule 1: this only names candidates; `cuts` decides. It may name one that isn't due, never miss one.
Rule 2: it follows from the state alone: it is made again for another state, and where a
        configuration is activated, for that may move what is due.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from streamops.core.due import Due
from streamops.core.meter_state import MeterState, config_of
from streamops.core.panes import PaneKey
from streamops.core.times import SECOND_US


class PaneDue:
    """What is to be closed, to mature, to be restated. Panes and spans are whole seconds long."""

    def __init__(self, state: MeterState) -> None:
        self.revision = state.revision
        self._close, self._mature, self._restate = Due[PaneKey](), Due[PaneKey](), Due[PaneKey]()
        for key in state.panes.keys() - state.closed:
            self.opened(state, key)
        self.closed(state, state.closed - state.matured)
        self.matured(state, state.matured | (state.after.keys() - state.panes.keys()))

    def as_configured(self, state: MeterState) -> PaneDue:
        """Return this, or another where something was activated since."""
        return self if self.revision == state.revision else PaneDue(state)

    def opened(self, state: MeterState, key: PaneKey) -> None:
        """Note a pane that is to be closed."""
        lateness_s = config_of(state, key).allowed_lateness_s
        self._close.add(key.end_us + lateness_s * SECOND_US, key)

    def closed(self, state: MeterState, keys: Iterable[PaneKey]) -> None:
        """Note panes that are to mature."""
        for key in keys:
            maturity_s = config_of(state, key).maturity_s
            self._mature.add(key.end_us + maturity_s * SECOND_US, key)

    def matured(self, state: MeterState, keys: Iterable[PaneKey]) -> None:
        """Note panes that are to be restated, and what came behind a cut without a pane."""
        for key in keys:
            horizon_s = config_of(state, key).horizon_s
            self._restate.add(key.end_us + horizon_s * SECOND_US, key)

    def to_close(self, tick_us: int) -> list[PaneKey]:
        """Hand over what predictions' tick has reached."""
        return list(chain(*self._close.take(tick_us)))

    def to_mature(self, tick_us: int) -> list[PaneKey]:
        """Hand over what labels' tick has reached."""
        return list(chain(*self._mature.take(tick_us)))

    def to_restate(self, tick_us: int) -> list[PaneKey]:
        """Hand over what labels' tick has reached."""
        return list(chain(*self._restate.take(tick_us)))


class LastDue:
    """The due panes of the state that was returned last, so that they are at hand for the next."""

    def __init__(self) -> None:
        self._known: tuple[MeterState, PaneDue] | None = None

    def take(self, state: MeterState) -> PaneDue:
        """Hand over what is known of this very state, or make it; it is kept no longer."""
        known, self._known = self._known, None
        return known[1] if known is not None and known[0] is state else PaneDue(state)

    def keep(self, state: MeterState, due: PaneDue | None) -> None:
        """Keep what belongs to a state."""
        self._known = None if due is None else (state, due)
