"""What many predictions add to their panes, features aside.

Rule 1: `tally.count_prediction`, one by one, is the definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from streamops.core.binning import ROWS_MAX, bin_column
from streamops.core.columns import Groups, Indices, pick
from streamops.core.evidences import note_all
from streamops.core.panes import (
    LATENCY_EDGES_MS,
    Pane,
    add_bins,
    bump,
)
from streamops.core.profile import bin_of
from streamops.values import FeatureProfile, ModelVersion

# Below it they cost more together than one by one.
PANE_MIN = 32
_NUMBERS = {float, int, type(None)}
_LATENCY_EDGES = np.array(LATENCY_EDGES_MS)
_LATENCY_BINS = len(LATENCY_EDGES_MS) + 1

# A pane, its rows, and the version whose scores are counted with them.
Place = tuple[Pane, Indices, ModelVersion | None]


class Columns(Protocol):
    """What predictions bring, a column each."""

    offsets: Sequence[int]
    values: Sequence[bytes]
    column: dict[str, Sequence[Any]]


def count_predictions(places: Sequence[Place], run: Columns) -> None:
    """Count the rows of some panes, all but features; their scores where a version is given."""
    groups = Groups([rows for _, rows, _ in places])
    panes = [pane for pane, _, _ in places]
    note_all(panes, "predictions", groups, run.offsets, run.values)
    for pane, rows, version in places:
        pane.predictions += len(rows)
        profile = None if version is None else version.profile.score
        if version is not None and profile is not None:
            name = "prediction" if version.task == "regression" else "score"
            _count_scores(pane, profile, pick(run.column[name], rows))
    _count_latencies(panes, groups, run)


def _count_latencies(panes: Sequence[Pane], groups: Groups, run: Columns) -> None:
    values = np.array(run.column["latency_ms"], dtype=np.float64)
    # One that wasn't told is not a number, and lands behind the last edge.
    is_told = ~np.isnan(values)
    if not is_told.any():
        return
    at = _LATENCY_EDGES.searchsorted(values)
    known = groups.where(is_told)
    for pane, counts in zip(panes, known.histograms(at, _LATENCY_BINS), strict=True):
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
