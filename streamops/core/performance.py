"""Performance of a model: exact terms for each labelled prediction, ratios for a closed pane.

Rule 1: a term is an integer number of quanta, so sums merge exactly in any order.
Rule 2: an undefined ratio is None, never 0: a model that never said "yes" has no precision.
Rule 3: a confusion maps (prediction, label) to a count, the order of `values.Performance`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from streamops.core.numeric import (
    FIXED_LIMIT_MAX,
    Floats,
    Integers,
    log,
    log_scalar,
    ordered_sum,
    to_fixed,
)
from streamops.core.statistics import mean_from_fixed

Confusion = Mapping[tuple[str, str], int]
Ratios = dict[str, float | None]

SCORE_QUANTUM = float.fromhex("0x1p-40")
ERROR_QUANTUM = float.fromhex("0x1p-20")
# ln(1e-15) is -34.54: the largest log loss a row can have.
SCORE_MIN = 1e-15
_LOG_LOSS_LIMIT = 35 << 40


def accuracy(confusion: Confusion) -> float | None:
    """Share of predictions that equal their label, 0..1; None for none."""
    right = wrong = 0
    for (prediction, label), count in confusion.items():
        if prediction == label:
            right += count
        else:
            wrong += count
    return _ratio(right, right + wrong)


def binary(confusion: Confusion, positive: str) -> Ratios:
    """accuracy, precision, recall and f1 of the class `positive` against all others, each 0..1.

    precision  true positives / predicted positives; None when none was predicted
    recall     true positives / actual positives; None when there is none
    f1         2 TP / (2 TP + FP + FN); None when the class is neither predicted nor actual
    """
    return {"accuracy": accuracy(confusion), **_class_ratios(confusion, positive)}


def multiclass(confusion: Confusion) -> Ratios:
    """accuracy, and precision, recall and f1 as plain means over classes (macro), each 0..1.

    Classes are all that were predicted or are labels. A class whose ratio is undefined (as in
    `binary`) is left out of that mean (scikit-learn: `zero_division=nan`); None when none is left.
    """
    seen = (name for pair, count in confusion.items() if count for name in pair)
    found = [_class_ratios(confusion, name) for name in sorted(set(seen))]
    means = {key: _mean([r[key] for r in found]) for key in ("precision", "recall", "f1")}
    return {"accuracy": accuracy(confusion), **means}


def _class_ratios(confusion: Confusion, name: str) -> Ratios:
    both = predicted = actual = 0
    for (prediction, label), count in confusion.items():
        both += count if prediction == name == label else 0
        predicted += count if prediction == name else 0
        actual += count if label == name else 0
    return {
        "precision": _ratio(both, predicted),
        "recall": _ratio(both, actual),
        "f1": _ratio(2 * both, predicted + actual),
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: list[float | None]) -> float | None:
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    return ordered_sum(known) / known.size if known.size else None


def log_loss_term(score: float, positive: bool) -> int:
    """-ln(probability that a score gave to what happened), in quanta of 2^-40.

    score is P(positive), 0..1; the probability is held at 1e-15 or above, so a term is at most
    34.54 nats.
    """
    given = score if positive else 1.0 - score
    return to_fixed(-log_scalar(max(given, SCORE_MIN)), SCORE_QUANTUM, _LOG_LOSS_LIMIT)


def log_loss_terms(score: Floats, positive: NDArray[np.bool_]) -> Integers:
    """`log_loss_term` of each score."""
    given = np.maximum(np.where(positive, score, 1.0 - score), SCORE_MIN)
    return to_fixed(-log(given), SCORE_QUANTUM, _LOG_LOSS_LIMIT)


def brier_terms(score: Floats, positive: NDArray[np.bool_]) -> Integers:
    """`brier_term` of each score."""
    gap = score - positive
    return to_fixed(gap * gap, SCORE_QUANTUM, 1 << 40)


def brier_term(score: float, positive: bool) -> int:
    """(score - outcome)^2, outcome 1 or 0, in quanta of 2^-40: 0..2^40 (Brier 1950)."""
    gap = score - positive
    return to_fixed(gap * gap, SCORE_QUANTUM, 1 << 40)


def absolute_error_term(prediction: float, label: float, quantum: float = ERROR_QUANTUM) -> int:
    """|prediction - label| in quanta, held at 2^53 quanta."""
    return to_fixed(abs(prediction - label), quantum, FIXED_LIMIT_MAX)


def squared_error_term(prediction: float, label: float, quantum: float = ERROR_QUANTUM) -> int:
    """(prediction - label)^2 in quanta, held at 2^53 quanta.

    With the default quantum an error above 92,681 is held: scale such labels down.
    """
    gap = prediction - label
    return to_fixed(gap * gap, quantum, FIXED_LIMIT_MAX)


def mean_term(total: int, n: int, quantum: float = SCORE_QUANTUM) -> float | None:
    """Mean of n terms that add up to `total` quanta; None for none. 0 is perfect.

    Unit: nats for log loss; none (0..1) for Brier; the label's unit, or its square, for errors,
    which need `quantum=ERROR_QUANTUM`.
    """
    return mean_from_fixed(total, n, quantum)


def rmse(total: int, n: int, quantum: float = ERROR_QUANTUM) -> float | None:
    """Root of the mean of n squared-error terms, in the label's unit; None for none."""
    mean = mean_from_fixed(total, n, quantum)
    return None if mean is None else math.sqrt(mean)
