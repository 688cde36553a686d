"""Models as applications hold them, asked for one answer: scikit-learn, river, or a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from streamops.errors import ConfigError, InputError


class Answer(NamedTuple):
    """A prediction as the model gave it, and its score, 0..1, where the model has one."""

    prediction: Any
    score: float | None


def answer(predictor: Any, features: Mapping[str, Any]) -> Answer:
    """Ask a model for one row.

    predictor  an object with `predict_one` (river) or `predict` (scikit-learn), or a function from
               features to a prediction or to (prediction, score)
    The score is the probability of the second class where there are two, else of the predicted
    class. Raises ConfigError for another object, InputError for a column that is missing.
    """
    if hasattr(predictor, "predict_one"):
        return _answer_of_river(predictor, features)
    if hasattr(predictor, "predict"):
        return _answer_of_sklearn(predictor, features)
    if callable(predictor):
        return _answer_of_function(predictor, features)
    raise ConfigError(
        f"predictor is a {type(predictor).__name__}; give a function or an object with predict"
    )


def _answer_of_function(function: Callable[..., Any], features: Mapping[str, Any]) -> Answer:
    result = function(features)
    return Answer(*result) if isinstance(result, tuple) else Answer(result, None)


def _answer_of_river(model: Any, features: Mapping[str, Any]) -> Answer:
    prediction = model.predict_one(dict(features))
    try:
        shares = model.predict_proba_one(dict(features))
    except (AttributeError, NotImplementedError):
        return Answer(prediction, None)
    scored = max(shares) if len(shares) == 2 else prediction
    return Answer(prediction, _share(shares[scored]) if scored in shares else None)


def _answer_of_sklearn(model: Any, features: Mapping[str, Any]) -> Answer:
    rows = _one_row(model, features)
    prediction = model.predict(rows)[0]
    if not hasattr(model, "predict_proba"):
        return Answer(_unwrapped(prediction), None)
    shares = model.predict_proba(rows)[0]
    score = shares[1] if len(shares) == 2 else max(shares)
    return Answer(_unwrapped(prediction), _share(score))


def _one_row(model: Any, features: Mapping[str, Any]) -> Any:
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        return [list(features.values())]
    missing = [name for name in names if name not in features]
    if missing:
        raise InputError(f"features lacks {missing[0]!r}, a column of the model; None if unknown")
    import pandas  # a model with column names was trained on a frame

    return pandas.DataFrame([{name: features[name] for name in names}])


def _unwrapped(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _share(value: float) -> float:
    return min(max(float(value), 0.0), 1.0)  # rounding may leave 0..1 by a hair
