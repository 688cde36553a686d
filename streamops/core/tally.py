"""How one prediction, or one label, adds to a pane.

Rule 1: only integers are added: counts, and fixed-point terms of losses (numeric, performance).
Rule 2: what a version's profile doesn't know is counted (other, missing, faults), never dropped.
"""

from __future__ import annotations

from typing import Any

from streamops.core import performance
from streamops.core.join_rows import Pending
from streamops.core.panes import (
    DELAY_EDGES_S,
    LATENCY_EDGES_MS,
    TENTHS,
    Pane,
    bump,
    count_pair,
    delay_bin,
    latency_bin,
)
from streamops.core.profile import bin_of, category_text
from streamops.events import PredictionMade
from streamops.values import ModelVersion, Value


def count_prediction(pane: Pane, event: PredictionMade, version: ModelVersion | None) -> None:
    """Count a prediction: number, score, latency."""
    pane.predictions += 1
    if event.latency_ms is not None:
        bump(pane.latency, latency_bin(event.latency_ms), 1, len(LATENCY_EDGES_MS) + 1)
    if version is None or version.profile.score is None:
        return
    profile = version.profile.score
    value = event.prediction if version.task == "regression" else event.score
    at, amount, _ = bin_of(profile, value)
    bump(pane.score, at, 1, len(profile.counts))
    bump(pane.score_sums, at, amount, len(profile.counts))


def count_features(pane: Pane, features: dict[str, Any], version: ModelVersion) -> None:
    """Count the feature values in the bins of the version's profile."""
    profiles = version.profile.features
    if not pane.counts:
        pane.counts = [[0] * len(p.counts) for p in profiles]
        pane.sums = [[0] * len(p.counts) for p in profiles]
    pane.counts, pane.sums = [list(c) for c in pane.counts], [list(c) for c in pane.sums]
    for profile, counts, sums in zip(profiles, pane.counts, pane.sums, strict=True):
        at, amount, fault = bin_of(profile, features.get(profile.name))
        counts[at] += 1
        sums[at] += amount
        pane.faults += fault


def count_label(
    pane: Pane, entry: Pending, label: Value, label_us: int, version: ModelVersion | None
) -> None:
    """Count a prediction's first label: confusion or errors, losses, delay, label distribution."""
    pane.labelled += 1
    bump(pane.delay, delay_bin(max(0, label_us - entry.time_us)), 1, len(DELAY_EDGES_S) + 1)
    if version is not None and version.profile.label is not None:
        profile = version.profile.label
        bump(pane.labels, bin_of(profile, label)[0], 1, len(profile.counts))
    if _is_regression(entry.prediction, version):
        _count_errors(pane, entry.prediction, label)
    else:
        _count_classes(pane, entry, label, version)


def _is_regression(prediction: Value, version: ModelVersion | None) -> bool:
    if version is not None:
        return version.task == "regression"
    return isinstance(prediction, float) and category_text(prediction) is None


def _count_errors(pane: Pane, prediction: Value, label: Value) -> None:
    if isinstance(prediction, str) or isinstance(label, str):
        pane.faults += 1
        return
    pane.measured += 1
    pane.absolute_error += performance.absolute_error_term(float(prediction), float(label))
    pane.squared_error += performance.squared_error_term(float(prediction), float(label))


def _count_classes(pane: Pane, entry: Pending, label: Value, version: ModelVersion | None) -> None:
    predicted, true = category_text(entry.prediction), category_text(label)
    if predicted is None or true is None:
        pane.faults += 1
        return
    count_pair(pane, predicted, true)
    if entry.score is None or version is None or version.task != "binary":
        return
    positive = true == version.positive
    pane.scored += 1
    pane.log_loss += performance.log_loss_term(entry.score, positive)
    pane.brier += performance.brier_term(entry.score, positive)
    if not pane.calibration:
        pane.calibration = [[0, 0] for _ in range(TENTHS)]
    cell = pane.calibration[min(TENTHS - 1, int(entry.score * TENTHS))]
    cell[0] += 1
    cell[1] += positive


def is_error(entry_prediction: Value, label: Value) -> bool:
    """Tell whether a class prediction was wrong (for the error stream of detectors)."""
    if type(entry_prediction) is int and type(label) is int:
        return entry_prediction != label
    return category_text(entry_prediction) != category_text(label)
