"""A version described from an estimator that a user fitted."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from streamops.errors import InputError
from streamops.training.own import version_of
from streamops.training.scoring import open_model

ROWS = [{"x": float(n), "even": n % 2 == 0} for n in range(100)]
MATRIX = np.array([[row["x"], row["even"]] for row in ROWS])


def version(estimator, labels, **more):
    return version_of(
        estimator, ROWS[:80], labels[:80], held_out=(ROWS[80:], labels[80:]), model="m",
        version="1", **more,
    )  # fmt: skip


def test_a_stored_version_answers_as_its_estimator(tmp_path):
    labels = [row["even"] for row in ROWS]
    estimator = LogisticRegression(max_iter=1000).fit(MATRIX, labels)
    made = version(estimator, labels, artifacts=tmp_path)
    assert (made.task, made.positive) == ("binary", "true")
    assert made.profile.rows == 80
    assert made.profile.performance["accuracy"] == 1.0
    assert sum(made.profile.score.counts) == 20
    answers = open_model(tmp_path, made.artifact).answer(ROWS[80:])
    assert [answer.prediction for answer in answers] == labels[80:]


def test_the_positive_class_can_be_chosen():
    labels = [row["even"] for row in ROWS]
    estimator = LogisticRegression(max_iter=1000).fit(MATRIX, labels)
    chosen = version(estimator, labels, positive=False)
    assert (chosen.positive, chosen.artifact) == ("false", "")


def test_three_classes_are_codes():
    labels = [int(row["x"]) // 34 for row in ROWS]
    made = version(LogisticRegression(max_iter=1000).fit(MATRIX, labels), labels)
    assert (made.task, made.positive) == ("multiclass", "")
    assert made.profile.performance["accuracy"] > 0.5


def test_a_numeric_target_is_measured_by_its_errors():
    labels = [row["x"] / 3 for row in ROWS]
    made = version(LinearRegression().fit(MATRIX, labels), labels)
    assert made.task == "regression"
    assert made.profile.performance["mae"] == pytest.approx(0, abs=1e-5)


def test_classes_that_are_no_codes_are_refused():
    labels = ["yes" if row["even"] else "no" for row in ROWS]
    estimator = LogisticRegression(max_iter=1000).fit(MATRIX, labels)
    with pytest.raises(InputError, match=r"classes are \['no', 'yes'\]; fit the estimator on"):
        version(estimator, labels)


def test_no_rows_are_refused():
    with pytest.raises(InputError, match="held-out rows 0"):
        version_of(None, ROWS, [1] * 100, held_out=([], []), model="m", version="1")
