"""Sums beyond 64 bits, for which MessagePack has no integers: a state is written with them as text.

Rule 1: a pane without such a sum is written as it always was, to the byte.
Rule 2: who reads a state back takes text for a number (`strict=False`); nothing else in it is text
        where a number belongs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from streamops.core.meter_state import MeterState
from streamops.core.panes import Pane, PaneKey

LEAST, MOST = -(1 << 63), (1 << 63) - 1
_TOTALS = ("log_loss", "brier", "absolute_error", "squared_error")


def packable(state: Any) -> Any:
    """Return what is to be written of a state; of any but METER's, itself."""
    if not isinstance(state, MeterState):
        return state
    panes, after = packable_panes(state.panes), packable_panes(state.after)
    if panes is state.panes and after is state.after:
        return state
    return replace(state, panes=panes, after=after)


def packable_panes(panes: Mapping[PaneKey, Pane]) -> Mapping[PaneKey, Pane]:
    """Return panes as they are to be written; themselves where no sum is wide."""
    wide = {key: pane for key, pane in panes.items() if _is_wide(pane)}
    return {**panes, **{key: _written(pane) for key, pane in wide.items()}} if wide else panes


def _is_wide(pane: Pane) -> bool:
    if any(getattr(pane, name) > MOST for name in _TOTALS):
        return True
    return any(sums and not LEAST <= min(sums) <= max(sums) <= MOST for sums in _lists(pane))


def _lists(pane: Pane) -> list[list[int]]:
    return [*pane.sums, pane.score_sums]


def _written(pane: Pane) -> Pane:
    """Return a copy whose wide sums are text; only ever encoded."""
    changes: dict[str, Any] = {name: _text(getattr(pane, name)) for name in _TOTALS}
    *sums, score_sums = ([_text(each) for each in some] for some in _lists(pane))
    return replace(pane, **changes, sums=sums, score_sums=score_sums)


def _text(number: int) -> int | str:
    return number if LEAST <= number <= MOST else str(number)
