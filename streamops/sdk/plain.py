"""Values as the log takes them: text, numbers and truth values, finite, nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from streamops.errors import InputError
from streamops.values import Value

INT_MIN, INT_MAX = -(2**63), 2**63 - 1

_ENCODER = msgspec.json.Encoder(order="deterministic")


def plain_value(name: str, value: object) -> Value:
    """The value as Python's own type; NumPy's scalars are unwrapped.

    Raises InputError naming the field for NaN, an infinity, an integer beyond 64 bits, or another
    type.
    """
    if type(value) is str or type(value) is bool:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    item = getattr(value, "item", None)
    if item is not None and getattr(value, "shape", None) == ():
        value = item()
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name} is {value}; send a finite number, or None where it is missing")
    if isinstance(value, int) and not INT_MIN <= value <= INT_MAX:
        raise InputError(f"{name} is {value}, beyond 64 bits; send it as text or as a float")
    if isinstance(value, (str, int, float)):
        return value
    raise InputError(
        f"{name} is {value!r} of type {type(value).__name__}; send a number, a text, True or False"
    )


def plain_features(features: Mapping[str, object]) -> msgspec.Raw:
    """Feature values as canonical JSON; None is a missing value. Raises InputError as above."""
    # What has columns and values needn't be a Mapping: a row of a data frame is none.
    if not callable(getattr(features, "items", None)):
        raise not_a_dict("features", features)
    values = {
        name: None if value is None else plain_value(f"features.{name}", value)
        for name, value in features.items()
    }
    try:
        return msgspec.Raw(_ENCODER.encode(values))
    except (TypeError, UnicodeEncodeError) as error:
        raise InputError(f"features can't be written: {error}; send a dict by name") from None


def plain_segments(segments: Mapping[str, str] | None) -> dict[str, str]:
    """Segment -> value as a dict of its own; none is empty. Raises InputError for anything else."""
    if segments is None:
        return {}
    if not isinstance(segments, Mapping):
        raise not_a_dict("segments", segments)
    for name, value in segments.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InputError(f"segments holds {name!r}: {value!r}; send a text by a text")
    return dict(segments)


def not_a_dict(name: str, value: object) -> InputError:
    """What to raise for a value that has no names."""
    kind = type(value).__name__
    return InputError(f"{name} is {value!r:.200} of type {kind}; send a dict by name")


def plain_number(name: str, value: object) -> float:
    """The number as a float. Raises InputError for a text too."""
    number = plain_value(name, value)
    if isinstance(number, str):
        raise InputError(f"{name} is {number!r}; send a number")
    return float(number)


def plain_score(score: object | None) -> float | None:
    """The score as a float; None stays. Raises InputError outside 0..1."""
    if score is None:
        return None
    number = plain_number("score", score)
    if not 0 <= number <= 1:
        raise InputError(f"score is {number}; send a probability, 0 to 1, or leave it out")
    return number
