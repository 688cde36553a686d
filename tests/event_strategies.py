"""Hypothesis strategies for events, made from the types themselves: no event is forgotten.

event_of(PredictionMade)   one type, every field drawn within its declared range
any_event                  any type the log can hold
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import msgspec.inspect as inspect
from hypothesis import strategies as st

from streamops.codec import EVENT_TYPES
from streamops.events import Event

# Years 1 and 9999 leave no room for a zone's shift; the boundary has its own example.
TIMES = st.datetimes(
    datetime(1900, 1, 1),  # noqa: DTZ001
    datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
FEATURES = st.dictionaries(
    TEXT, st.one_of(st.none(), st.booleans(), INTEGERS, NUMBERS, TEXT), max_size=4
)


def event_of(kind: type[Event]) -> st.SearchStrategy[Event]:
    """Events of one type."""
    return values_of(inspect.type_info(kind))


def values_of(info: inspect.Type) -> st.SearchStrategy[Any]:
    """Values of any type an event is made of; an unknown kind of type is an error."""
    match info:
        case inspect.StructType():
            fields = {field.name: values_of(field.type) for field in info.fields}
            return st.builds(info.cls, **fields)
        case inspect.UnionType():
            return st.one_of([values_of(member) for member in info.types])
        case inspect.VarTupleType():
            return st.lists(values_of(info.item_type), max_size=2).map(tuple)
        case inspect.TupleType():
            return st.tuples(*(values_of(item) for item in info.item_types))
        case inspect.DictType():
            keys, values = values_of(info.key_type), values_of(info.value_type)
            return st.dictionaries(keys, values, max_size=2)
        case inspect.LiteralType():
            return st.sampled_from(info.values)
        case inspect.FloatType():
            return st.floats(info.ge, info.le, allow_nan=False, allow_infinity=False)
        case inspect.StrType(pattern=str()):
            return st.sampled_from(["adwin", "bf_sr", "cusum:make", "a.b_1:C"])
        case inspect.IntType():
            return INTEGERS
        case inspect.RawType():
            return FEATURES.map(lambda features: msgspec.Raw(msgspec.json.encode(features)))
    return SCALARS[type(info)]


SCALARS: dict[type, st.SearchStrategy[Any]] = {
    inspect.StrType: TEXT,
    inspect.BoolType: st.booleans(),
    inspect.BytesType: st.binary(max_size=8),
    inspect.DateTimeType: TIMES,
    inspect.NoneType: st.none(),
}

any_event = st.sampled_from(EVENT_TYPES).flatmap(event_of)
