"""What many predictions of one pane add to it, features aside.

Rule 1: `tally.count_prediction`, one by one, is the definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from streamops.core.binning import ROWS_MAX, bin_column
from streamops.core.columns import Groups, Indices, pick
from streamops.core.panes import (
    LATENCY_EDGES_MS,
    Pane,
    add_bins,
    bump,
    note_evidences,
)
from streamops.core.profile import bin_of
from streamops.values import FeatureProfile, ModelVersion

# Below it they cost more together than one by one.
PANE_MIN = 32
_NUMBERS = {float, int, type(None)}
_LATENCY_EDGES = np.array(LATENCY_EDGES_MS)
_LATENCY_BINS = len(LATENCY_EDGES_MS) + 1


class Columns(Protocol):
    """What predictions bring, a column each."""

    offsets: Sequence[int]
    values: Sequence[bytes]
    column: dict[str, Sequence[Any]]


def count_predictions(
    pane: Pane, run: Columns, rows: Indices, version: ModelVersion | None
) -> None:
    """Count some rows, all but features and latencies; their scores where a version is given."""
    note_evidences(pane, "predictions", pick(run.offsets, rows), pick(run.values, rows))
    pane.predictions += len(rows)
    profile = None if version is None else version.profile.score
    if version is not None and profile is not None:
        name = "prediction" if version.task == "regression" else "score"
        _count_scores(pane, profile, pick(run.column[name], rows))


def count_latencies(places: Sequence[tuple[Pane, Indices]], run: Columns) -> None:
    """Count the latencies of each pane's rows."""
    values = np.array(run.column["latency_ms"], dtype=np.float64)
    # One that wasn't told is not a number, and lands behind the last edge.
    at = _LATENCY_EDGES.searchsorted(values)
    known = Groups([rows for _, rows in places]).where(~np.isnan(values))
    for (pane, _), counts in zip(places, known.histograms(at, _LATENCY_BINS), strict=True):
        if any(counts):
            add_bins(pane.latency, counts)


def _count_scores(pane: Pane, profile: FeatureProfile, values: Sequence[Any]) -> None:
    size = len(profile.counts)
    odd = profile.kind != "numeric" or not set(map(type, values)) <= _NUMBERS
    if odd or len(values) < PANE_MIN:
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
