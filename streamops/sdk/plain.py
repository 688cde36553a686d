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
    values = {
        name: None if value is None else plain_value(f"features.{name}", value)
        for name, value in features.items()
    }
    try:
        return msgspec.Raw(_ENCODER.encode(values))
    except (TypeError, UnicodeEncodeError) as error:
        raise InputError(f"features can't be written: {error}; send a dict by name") from None


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
