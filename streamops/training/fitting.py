"""Fitting one model in this process: what the training child runs.

Rule 1: equal rows, labels and parameters give an equal artifact: fixed seed, one thread, no early
        stopping, no set or hash order (the child has PYTHONHASHSEED=0).
Rule 2: a model that never saw two classes is a constant one.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamops.core.profile import category_text
from streamops.errors import ConfigError, InputError
from streamops.training.frames import Columns, Row, column_profiles, to_label, to_matrix
from streamops.training.modules import current_folder
from streamops.training.scoring import About, SklearnModel, Task
from streamops.values import Value

DEFAULT_MODEL = "hist_gradient_boosting"
MAX_ITER = 60
SEED = 0


def fit(
    rows: Sequence[Row],
    labels: Sequence[Value],
    *,
    task: Task,
    columns: Columns,
    model: str = DEFAULT_MODEL,
    positive: str = "",
) -> SklearnModel:
    """Return a model fitted to rows and labels.

    model  `hist_gradient_boosting`, or `module:function`: the function gets (X, y), X rows x
           columns as float64 with NaN where missing, y class codes 0..k-1 (classes sorted by text)
           or numbers, and returns a fitted estimator of the reviewed list
    positive  text of a binary task's positive class; empty: the last class found
    Raises InputError for no rows or an impossible label, ConfigError for an unknown model.
    """
    if not rows:
        raise InputError("rows is empty; give at least one labelled row to train on")
    profiles = column_profiles(rows, columns)
    classes, targets = _targets(labels, task)
    about = About(
        task=task,
        columns=profiles,
        classes=classes,
        positive=(positive or str(category_text(classes[-1]))) if task == "binary" else "",
    )
    matrix = to_matrix(rows, profiles)
    return SklearnModel(about, _estimator(matrix, targets, task, model))


def task_of(labels: Sequence[Value]) -> Task:
    """Return the task that labels suggest: fractions are a regression, two classes are binary."""
    texts = {category_text(value) for value in labels}
    if None in texts or (len(texts) > 20 and not any(isinstance(v, str | bool) for v in labels)):
        return "regression"
    return "binary" if len(texts) <= 2 else "multiclass"


def _targets(
    labels: Sequence[Value], task: Task
) -> tuple[tuple[Value, ...], NDArray[np.float64] | NDArray[np.int64]]:
    if task == "regression":
        return (), np.array([to_label(value, task) for value in labels], dtype=np.float64)
    found: dict[str, Value] = {}
    texts = [str(to_label(value, task)) for value in labels]
    for text, value in zip(texts, labels, strict=True):
        found.setdefault(text, value)
    names = sorted(found, key=_by_number)
    codes = {text: at for at, text in enumerate(names)}
    return tuple(found[name] for name in names), np.array([codes[t] for t in texts], dtype=np.int64)


def _by_number(text: str) -> tuple[int, float, str]:
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text


def _estimator(matrix: NDArray[np.float64], targets: NDArray[Any], task: Task, model: str) -> Any:
    if model != DEFAULT_MODEL:
        return _made_by(model, matrix, targets)
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    settings = {"max_iter": MAX_ITER, "early_stopping": False, "random_state": SEED}
    if matrix.shape[1] == 0 or len(np.unique(targets)) < 2:
        constant = DummyRegressor() if task == "regression" else DummyClassifier()
        return constant.fit(matrix, targets)
    boosting = (
        HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    )
    return boosting(**settings).fit(_with_a_value(matrix), targets)


def _made_by(model: str, matrix: NDArray[np.float64], targets: NDArray[Any]) -> Any:
    made = load_function(model)(matrix, targets)
    if not hasattr(made, "predict"):
        raise ConfigError(
            f"model is {model!r}, which returned a {type(made).__name__}; return a fitted estimator"
        )
    return made


def _with_a_value(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix with 0 in place of each column that is missing in every row.

    The estimator refuses such a column; one of a single value splits nothing, so whatever comes in
    it later changes no answer.
    """
    return np.where(np.isnan(matrix).all(axis=0), 0.0, matrix)


def check_model(model: str) -> None:
    """Raise ConfigError for a model that a training child of this process would not find."""
    if model == DEFAULT_MODEL:
        return
    # What a module prints as it is loaded is no result of the command.
    with current_folder(), contextlib.redirect_stdout(sys.stderr):
        load_function(model)


def load_function(model: str) -> Any:
    """Return the training function that `module:function` names; raises ConfigError."""
    module, _, name = model.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # a module of the user's raises what it likes
        raise ConfigError(
            f"model is {model!r}, which can't be loaded ({type(error).__name__}: {error}); give "
            f"{DEFAULT_MODEL!r} or module:function, importable from here"
        ) from None
    if not callable(found):
        raise ConfigError(f"model is {model!r}, which is not a function; give module:function")
    return found
