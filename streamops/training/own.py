"""A version made from a model you trained yourself, with the reference it will be watched by.

    version = version_of(estimator, rows, labels, held_out=others, model="demand", version="1")
    client.register(version)

With `artifacts` the model is stored too: the gateway can serve it, and challengers are compared
with it. Without, it is served elsewhere and monitored like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from streamops.core.profile import category_text
from streamops.core.times import micros
from streamops.errors import InputError
from streamops.training.fitting import task_of
from streamops.training.frames import column_profiles, infer_columns, profile_rows
from streamops.training.scoring import About, SklearnModel, Task, score_answers
from streamops.values import ModelVersion, Value
from streamops.versions import profile_hash

Rows = Sequence[Mapping[str, Any]]


def version_of(
    estimator: Any,
    rows: Rows,
    labels: Sequence[Value],
    *,
    held_out: tuple[Rows, Sequence[Value]],
    model: str,
    version: str,
    positive: Value | None = None,
    artifacts: Path | None = None,
    times: Sequence[datetime] = (),
) -> ModelVersion:
    """Describe a fitted scikit-learn estimator as a version.

    estimator  fitted on the rows' columns in their order, as numbers: a boolean is 0 or 1, a
               category its place among the categories, NaN what is missing
    rows       features it learned from, by column: the reference its input is compared with
    held_out   rows and labels it did not learn from: the reference of score and performance
    positive   positive class of a binary task; the larger one if none
    artifacts  folder of the stack's artifacts; none: the model is not stored
    times      when each of `rows` happened: what follows the clock or the calendar is then compared
               with its own hour, weekday or month; none: no season is looked for

    Raises InputError for no rows, or classes other than booleans or 0..k-1.
    """
    known = [dict(row) for row in rows]
    others, truth = [dict(row) for row in held_out[0]], list(held_out[1])
    if not known or not others:
        raise InputError(
            f"rows are {len(known)}, held-out rows {len(others)}; give at least one of each"
        )
    if len(times) not in (0, len(known)):
        raise InputError(f"times are {len(times)}, rows {len(known)}; give one a row, or none")
    columns, task = infer_columns(known), task_of(labels)
    about = _about(estimator, known, task, positive)
    trained = SklearnModel(about, estimator)
    answers = trained.answer(others)
    performance = score_answers(answers, truth, task, about.positive)
    scores = [
        float(answer.prediction) if task == "regression" else answer.score for answer in answers
    ]
    given = [score for score in scores if score is not None]
    since = [micros(time) for time in times]
    profile = profile_rows(known, list(labels), given, task, columns, performance, times_us=since)
    return ModelVersion(
        model=model,
        version=version,
        task=task,
        profile=profile,
        profile_hash=profile_hash(profile),
        positive=about.positive,
        artifact="" if artifacts is None else trained.save(artifacts),
    )


def _about(estimator: Any, rows: list[dict[str, Any]], task: Task, positive: Value | None) -> About:
    columns = column_profiles(rows, infer_columns(rows))
    if task == "regression":
        return About(task=task, columns=columns)
    classes = [value.item() for value in estimator.classes_]
    if [int(value) if isinstance(value, bool | int) else value for value in classes] != list(
        range(len(classes))
    ):
        raise InputError(
            f"classes are {classes}; fit the estimator on booleans or on codes 0..k-1, so that "
            "every part of streamops means the same class by a code"
        )
    chosen = classes[-1] if positive is None else positive
    text = str(category_text(chosen)) if task == "binary" else ""
    return About(task=task, columns=columns, classes=tuple(classes), positive=text)
