"""A version that can answer, and how well answers met their labels.

Rule 1: an artifact is self-contained: estimator, columns with their categories, classes. Rows go in
        as features, answers come out as JSON values of the labels' own type.
Rule 2: a score is P(positive) in a binary task, P(predicted class) in a multiclass one, None in a
        regression.
Rule 3: metrics are those of `core.performance`, so a gate and a monitor mean the same by a name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
import numpy as np

from streamops.core import performance
from streamops.core.profile import category_text
from streamops.errors import InputError
from streamops.training import artifacts
from streamops.training.frames import Row, to_label, to_matrix, to_named
from streamops.values import FeatureProfile, Value

Task = Literal["binary", "multiclass", "regression"]
Runner = Literal["skops", "river"]


class Answer(NamedTuple):
    """What a model said of one row; the score as in Rule 2."""

    prediction: Value
    score: float | None


class About(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an artifact knows besides its estimator.

    columns   in the order of the estimator's inputs
    classes   labels as they came, by the estimator's codes 0..k-1; empty in a regression
    positive  text of a binary task's positive class
    """

    task: Task
    columns: tuple[FeatureProfile, ...]
    classes: tuple[Value, ...] = ()
    positive: str = ""


class Model(Protocol):
    """A version ready to answer."""

    @property
    def about(self) -> About: ...

    def answer(self, rows: Sequence[Row]) -> list[Answer]:
        """Return one answer a row, in order."""
        ...


class SklearnModel:
    """An estimator of codes 0..k-1 (or of numbers) over a matrix of the columns."""

    def __init__(self, about: About, estimator: Any) -> None:
        self.about = about
        self.estimator = estimator

    def answer(self, rows: Sequence[Row]) -> list[Answer]:
        """Return one answer a row, in order."""
        if not rows:
            return []
        matrix = to_matrix(rows, self.about.columns)
        if self.about.task == "regression":
            return [Answer(_finite(float(v)), None) for v in self.estimator.predict(matrix)]
        if not hasattr(self.estimator, "predict_proba"):
            return [
                Answer(self.about.classes[int(c)], None) for c in self.estimator.predict(matrix)
            ]
        return self._classified(np.asarray(self.estimator.predict_proba(matrix), dtype=np.float64))

    def _classified(self, shares: Any) -> list[Answer]:
        classes, codes = self.about.classes, [int(code) for code in self.estimator.classes_]
        best = np.argmax(shares, axis=1)
        scores = shares[np.arange(len(best)), best]
        if self.about.task == "binary":
            names = [category_text(classes[code]) for code in codes]
            sure = self.about.positive in names
            scores = shares[:, names.index(self.about.positive)] if sure else np.zeros(len(best))
        return [
            Answer(classes[codes[place]], min(1.0, max(0.0, score)))
            for place, score in zip(best.tolist(), scores.tolist(), strict=True)
        ]

    def save(self, folder: Path) -> str:
        """Store the model; return its SHA-256 (hex)."""
        about = msgspec.json.encode(self.about, order="deterministic").decode()
        return artifacts.save(folder, {"about": about, "estimator": self.estimator})


class RiverModel:
    """A learner frozen at an epoch; it reads rows by name and speaks classes' texts."""

    def __init__(self, about: About, learner: Any) -> None:
        self.about = about
        self.learner = learner
        self._labels = {category_text(value): value for value in about.classes}

    def answer(self, rows: Sequence[Row]) -> list[Answer]:
        """Return one answer a row, in order; before any learning, the first class or 0."""
        return [self._answer(to_named(row, self.about.columns)) for row in rows]

    def _answer(self, row: dict[str, float | str]) -> Answer:
        if self.about.task == "regression":
            return Answer(_finite(float(self.learner.predict_one(row) or 0.0)), None)
        shares: dict[str, float] = self.learner.predict_proba_one(row)
        if not shares:
            return Answer(self.about.classes[0], None)
        text = max(sorted(shares), key=lambda name: shares[name])
        wanted = self.about.positive if self.about.task == "binary" else text
        return Answer(self._labels[text], min(1.0, max(0.0, shares.get(wanted, 0.0))))


def _finite(answer: float) -> float:
    if not math.isfinite(answer):
        raise InputError(f"the model answers {answer}; look for features far out of range")
    return answer


def open_model(folder: Path, artifact: str, runner: str = "skops") -> Model:
    """Return the stored model of a version.

    folder    the namespace's artifacts
    artifact  the hash that ModelRegistered names, and its `runner`
    Raises InputError or TransportError as `artifacts.load` and `load_keyed` do.
    """
    if runner == "river":
        model: RiverModel = artifacts.load_keyed(folder, artifact)
        return model
    stored = artifacts.load(folder, artifact)
    about = msgspec.json.decode(stored["about"], type=About)
    return SklearnModel(about, stored["estimator"])


# Metrics ------------------------------------------------------------------------------------------


def score_answers(
    answers: Sequence[Answer], labels: Sequence[Value], task: str, positive: str = ""
) -> dict[str, float]:
    """Return metric -> value of answers against their labels; an undefined ratio is left out.

    binary: accuracy, precision, recall, f1, log_loss, brier; multiclass: accuracy and macro
    precision, recall, f1; regression: mae, rmse in the label's unit (quantum 2^-20).
    """
    if not answers:
        return {}
    if task == "regression":
        return _errors(answers, labels)
    pairs: dict[tuple[str, str], int] = {}
    for answer, label in zip(answers, labels, strict=True):
        pair = str(to_label(answer.prediction, task)), str(to_label(label, task))
        pairs[pair] = pairs.get(pair, 0) + 1
    if task == "multiclass":
        return _known(performance.multiclass(pairs))
    return _known({**performance.binary(pairs, positive), **_losses(answers, labels, positive)})


def _losses(
    answers: Sequence[Answer], labels: Sequence[Value], positive: str
) -> dict[str, float | None]:
    log_loss = brier = scored = 0
    for answer, label in zip(answers, labels, strict=True):
        if answer.score is not None:
            scored += 1
            log_loss += performance.log_loss_term(answer.score, category_text(label) == positive)
            brier += performance.brier_term(answer.score, category_text(label) == positive)
    return {
        "log_loss": performance.mean_term(log_loss, scored),
        "brier": performance.mean_term(brier, scored),
    }


def _errors(answers: Sequence[Answer], labels: Sequence[Value]) -> dict[str, float]:
    absolute = squared = 0
    for answer, label in zip(answers, labels, strict=True):
        pair = _number(answer.prediction), _number(label)
        absolute += performance.absolute_error_term(*pair)
        squared += performance.squared_error_term(*pair)
    n, quantum = len(answers), performance.ERROR_QUANTUM
    return _known(
        {
            "mae": performance.mean_term(absolute, n, quantum),
            "rmse": performance.rmse(squared, n),
        }
    )


def _number(value: Value) -> float:
    """A regression's answer or label; InputError for a text, as of a version of another task."""
    return float(to_label(value, "regression"))


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def score_segments(
    candidate: Sequence[Answer],
    champion: Sequence[Answer],
    labels: Sequence[Value],
    segments: Sequence[Sequence[str]],
    task: str,
    metric: str,
    positive: str = "",
) -> dict[str, tuple[float, float, int]]:
    """Return segment -> (candidate, champion, rows) in the gate's metric.

    segments  the segments that each row counts in; one where either has no value is left out
    """
    rows: dict[str, list[int]] = {}
    for at, names in enumerate(segments):
        for name in names:
            rows.setdefault(name, []).append(at)
    found: dict[str, tuple[float, float, int]] = {}
    for name, places in sorted(rows.items()):
        truth = [labels[at] for at in places]
        ours = score_answers([candidate[at] for at in places], truth, task, positive).get(metric)
        theirs = score_answers([champion[at] for at in places], truth, task, positive).get(metric)
        if ours is not None and theirs is not None:
            found[name] = (ours, theirs, len(places))
    return found
