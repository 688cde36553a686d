"""performance: ratios against scikit-learn, terms against exact fractions, undefined is None."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from sklearn import metrics

from streamops.core import performance

# (prediction, label) -> rows
BINARY = {("up", "up"): 40, ("up", "down"): 10, ("down", "up"): 5, ("down", "down"): 45}
QUANTUM = Fraction(1, 1 << 40)


def classes(seed, names, rows=400):
    rng = np.random.default_rng(seed)
    predicted, true = rng.choice(names, rows).tolist(), rng.choice(names, rows).tolist()
    return predicted, true, Counter(zip(predicted, true, strict=True))


def test_binary_by_hand():
    assert performance.binary(BINARY, "up") == {
        "accuracy": 0.85,
        "precision": 0.8,
        "recall": 40 / 45,
        "f1": 80 / 95,
    }


def test_precision_and_recall_are_not_mixed_up():
    swapped = {(label, prediction): count for (prediction, label), count in BINARY.items()}
    found, other = performance.binary(BINARY, "up"), performance.binary(swapped, "up")
    assert found["precision"] == other["recall"] != found["recall"] == other["precision"]


@pytest.mark.parametrize("seed", range(3))
def test_binary_against_scikit_learn(seed):
    predicted, true, confusion = classes(seed, ["no", "yes"])
    found = performance.binary(confusion, "yes")
    given = {"y_true": true, "y_pred": predicted, "pos_label": "yes"}
    assert found["accuracy"] == metrics.accuracy_score(true, predicted)
    assert found["precision"] == pytest.approx(metrics.precision_score(**given), rel=1e-14)
    assert found["recall"] == pytest.approx(metrics.recall_score(**given), rel=1e-14)
    assert found["f1"] == pytest.approx(metrics.f1_score(**given), rel=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_multiclass_against_scikit_learn(seed):
    predicted, true, confusion = classes(seed, ["a", "b", "c", "d"])
    expected = metrics.precision_recall_fscore_support(true, predicted, average="macro")
    found = performance.multiclass(confusion)
    assert found["accuracy"] == metrics.accuracy_score(true, predicted)
    assert [found[name] for name in ("precision", "recall", "f1")] == pytest.approx(
        list(expected[:3]), rel=1e-14
    )


def test_macro_leaves_out_classes_whose_ratio_is_undefined():
    """`b` is never predicted, `c` is never a label."""
    confusion = {("a", "a"): 6, ("a", "b"): 2, ("c", "a"): 2, ("d", "d"): 0}
    predicted = ["a"] * 8 + ["c"] * 2
    true = ["a"] * 6 + ["b"] * 2 + ["a"] * 2
    expected = metrics.precision_recall_fscore_support(
        true, predicted, average="macro", zero_division=np.nan
    )
    found = performance.multiclass(confusion)
    assert found["precision"] == expected[0] == (6 / 8 + 0.0) / 2
    assert found["recall"] == expected[1] == (6 / 8 + 0.0) / 2
    assert found["f1"] == pytest.approx(expected[2], rel=1e-15)


def test_an_undefined_ratio_is_none():
    nothing = {"accuracy": None, "precision": None, "recall": None, "f1": None}
    assert performance.binary({}, "yes") == nothing
    assert performance.multiclass({}) == nothing
    assert performance.multiclass({("a", "a"): 0}) == nothing
    never_said = performance.binary({("no", "yes"): 3, ("no", "no"): 1}, "yes")
    assert never_said == {"accuracy": 0.25, "precision": None, "recall": 0.0, "f1": 0.0}
    never_true = performance.binary({("yes", "no"): 3, ("no", "no"): 1}, "yes")
    assert never_true == {"accuracy": 0.25, "precision": 0.0, "recall": None, "f1": 0.0}
    absent = performance.binary({("no", "no"): 4}, "yes")
    assert absent == {"accuracy": 1.0, "precision": None, "recall": None, "f1": None}


@pytest.mark.parametrize(
    ("score", "positive", "given"),
    [
        (0.8, True, 0.8),
        (0.8, False, 0.2),
        (1.0, True, 1.0),
        (0.0, True, 1e-15),
        (1.0, False, 1e-15),
    ],
)
def test_log_loss_term(score, positive, given):
    expected = -math.log(given) * (1 << 40)
    assert performance.log_loss_term(score, positive) == pytest.approx(expected, abs=1.0)


def test_log_loss_of_a_pane_against_scikit_learn():
    rng = np.random.default_rng(2)
    scores, outcomes = rng.random(500).tolist(), (rng.random(500) < 0.4).tolist()
    total = 0
    for score, outcome in zip(scores, outcomes, strict=True):
        total += performance.log_loss_term(score, outcome)
    expected = float(metrics.log_loss(outcomes, scores))
    assert performance.mean_term(total, 500) == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize(
    ("score", "positive", "expected"),
    [(1.0, True, 0), (1.0, False, 1 << 40), (0.5, True, 1 << 38), (0.75, True, 1 << 36)],
)
def test_brier_term(score, positive, expected):
    assert performance.brier_term(score, positive) == expected


def test_brier_score_of_a_pane_against_scikit_learn():
    rng = np.random.default_rng(4)
    scores, outcomes = rng.random(500).tolist(), (rng.random(500) < 0.4).tolist()
    total = 0
    for score, outcome in zip(scores, outcomes, strict=True):
        total += performance.brier_term(score, outcome)
    expected = float(metrics.brier_score_loss(outcomes, scores))
    assert performance.mean_term(total, 500) == pytest.approx(expected, abs=1e-12)


def test_error_terms_by_hand():
    one = 1 << 20
    assert performance.absolute_error_term(3.0, 5.5) == 5 * one // 2
    assert performance.squared_error_term(3.0, 5.5) == 25 * one // 4
    assert performance.absolute_error_term(3.0, 5.5, 0.5) == 5
    assert performance.squared_error_term(3.0, 5.0, 0.5) == 8
    assert performance.absolute_error_term(2.0, 2.0) == 0


def test_error_terms_are_held_at_the_limit():
    assert performance.squared_error_term(92_681.0, 0.0) < 1 << 53
    assert performance.squared_error_term(92_682.0, 0.0) == 1 << 53
    assert performance.squared_error_term(1e200, -1e200) == 1 << 53
    assert performance.absolute_error_term(1e308, -1e308) == 1 << 53


def test_errors_of_a_pane_against_scikit_learn():
    rng = np.random.default_rng(6)
    predicted, true = rng.normal(50, 9, 300).tolist(), rng.normal(50, 9, 300).tolist()
    absolute = squared = 0
    for prediction, label in zip(predicted, true, strict=True):
        absolute += performance.absolute_error_term(prediction, label)
        squared += performance.squared_error_term(prediction, label)
    mae = performance.mean_term(absolute, 300, performance.ERROR_QUANTUM)
    assert mae == pytest.approx(metrics.mean_absolute_error(true, predicted), abs=1e-6)
    expected = float(metrics.root_mean_squared_error(true, predicted))
    assert performance.rmse(squared, 300) == pytest.approx(expected, abs=1e-6)


def test_means_of_nothing_are_none():
    assert performance.mean_term(0, 0) is None
    assert performance.rmse(0, 0) is None
    assert performance.rmse(0, 5) == 0.0


def test_the_quantum_bounds_the_error_of_a_term():
    for score in np.random.default_rng(8).random(200).tolist():
        exact = (Fraction(score) - 1) * (Fraction(score) - 1)
        term = performance.brier_term(score, True) * QUANTUM
        assert abs(term - exact) <= QUANTUM
