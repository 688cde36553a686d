"""What many predictions of one pane add to it, features aside.

Rule 1: `tally.count_prediction`, one by one, is the definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from streamops.core.binning import ROWS_MAX, bin_column
from streamops.core.panes import LATENCY_EDGES_MS, Pane, add_bins, bump, note_evidences
from streamops.core.processor import Record
from streamops.core.profile import bin_of
from streamops.core.tally import count_prediction
from streamops.values import FeatureProfile, ModelVersion

# Below it they cost more together than one by one.
PANE_MIN = 32
_NUMBERS = {float, int, type(None)}
_LATENCY_EDGES = np.array(LATENCY_EDGES_MS)


def count_predictions(
    pane: Pane, records: Sequence[Record], version: ModelVersion | None, *, is_scored: bool
) -> None:
    """Count all but features; `is_scored`: the scores are counted with those."""
    note_evidences(pane, "predictions", [r.offset for r in records], [r.value for r in records])
    events: list[Any] = [record.event for record in records]
    if is_scored:
        version = None
    if len(events) < PANE_MIN:
        for event in events:
            count_prediction(pane, event, version)
        return
    pane.predictions += len(events)
    _count_latencies(pane, [e.latency_ms for e in events if e.latency_ms is not None])
    profile = None if version is None else version.profile.score
    if version is None or profile is None:
        return
    if version.task == "regression":
        _count_scores(pane, profile, [event.prediction for event in events])
    else:
        _count_scores(pane, profile, [event.score for event in events])


def _count_latencies(pane: Pane, values: Sequence[float]) -> None:
    if values:
        at = np.searchsorted(_LATENCY_EDGES, np.array(values), side="left")
        size = len(LATENCY_EDGES_MS) + 1
        add_bins(pane.latency, np.bincount(at, minlength=size).tolist())


def _count_scores(pane: Pane, profile: FeatureProfile, values: Sequence[Any]) -> None:
    size = len(profile.counts)
    if profile.kind != "numeric" or not set(map(type, values)) <= _NUMBERS:
        for value in values:
            at, amount, _ = bin_of(profile, value)
            bump(pane.score, at, 1, size)
            bump(pane.score_sums, at, amount, size)
        return
    for first in range(0, len(values), ROWS_MAX):
        places = bin_column(profile, values[first : first + ROWS_MAX])
        amounts = np.zeros(size, dtype=np.int64)
        np.add.at(amounts, places.at, places.amounts)
        add_bins(pane.score, np.bincount(places.at, minlength=size).tolist())
        add_bins(pane.score_sums, amounts.tolist())
