"""Samples of every event type, each field set; what was ever written must be readable for ever.

    python -m tests.sample_events

adds topics/samples/TYPE.N.json (and .msgpack for what applications may send so) for each type
whose newest sample doesn't show every field. It never changes a sample that is there.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect as inspect

from streamops import codec
from streamops.events import Event, LabelArrived, PredictionMade

SAMPLES = Path(__file__).parent.parent / "topics" / "samples"
PACKED = (PredictionMade, LabelArrived)

NOON = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)
FEATURES = msgspec.Raw(b'{"age":41,"income":3250.5,"married":true,"plan":"basic","since":null}')

# By field name, where any text or number would read oddly.
NAMED: dict[str, Any] = {
    "model": "churn",
    "version": "2",
    "champion_version": "1",
    "replaced": "1",
    "restored": "1",
    "dataset": "customers",
    "actor": "ada",
    "source": "meter/0",
    "kind": "data_drift",
    "rule": "income drifts",
    "feature": "income",
    "segment": "all",
    "metric": "psi",
    "unit": "EUR",
    "topic": "predictions",
    "platform": "river 0.25.1, Linux-x86_64",
    "detector": "adwin",
    "detectors": "cusum:make",
    "detector_code": "0f" * 32,
    "deployment_step": "stage/churn/3",
    "reason": "income moved",
}


def sample_of(kind: type[Event]) -> Event:
    """An event of the type with no field at its default."""
    event = example(inspect.type_info(kind), "")
    assert isinstance(event, kind)
    return event


def example(info: inspect.Type, name: str) -> Any:
    """A value of a type; `name` is the field it is for."""
    match info:
        case inspect.StructType():
            return info.cls(**{f.name: example(f.type, f.name) for f in info.fields})
        case inspect.UnionType():
            return example(next(t for t in info.types if t != inspect.NoneType()), name)
        case inspect.VarTupleType():
            return (example(info.item_type, name),)
        case inspect.TupleType():
            return tuple(example(item, name) for item in info.item_types)
        case inspect.DictType():
            return {"country": example(info.value_type, name)}
        case inspect.LiteralType():
            return NAMED[name] if NAMED.get(name) in info.values else info.values[-1]
        case inspect.StrType():
            return NAMED.get(name, f"{name.replace('_', '-')}-1")
    return SCALARS[type(info)]


SCALARS: dict[type, Any] = {
    inspect.BoolType: True,
    inspect.IntType: 7,
    inspect.FloatType: 0.75,
    inspect.BytesType: b"\x00raw",
    inspect.RawType: FEATURES,
    inspect.DateTimeType: NOON,
}


def stored(kind: type[Event], suffix: str = "json") -> list[Path]:
    """The type's samples, oldest first."""
    return sorted(
        SAMPLES.glob(f"{kind.__name__}.*.{suffix}"), key=lambda p: int(p.name.split(".")[1])
    )


def is_complete(sample: Path, kind: type[Event]) -> bool:
    """Whether a sample shows every field of the type as it is today, nested ones too."""
    shown = codec.decode(sample.read_bytes())
    return isinstance(shown, kind) and fields_shown(shown) >= fields_shown(sample_of(kind))


def fields_shown(value: object, path: str = "") -> set[str]:
    """Paths of the fields that are not at their default."""
    found: set[str] = set()
    if isinstance(value, msgspec.Struct):
        for field in msgspec.structs.fields(value):
            item = getattr(value, field.name)
            default = field.default
            if field.default_factory is not msgspec.NODEFAULT:
                default = field.default_factory()
            if item != default:
                found |= {f"{path}.{field.name}"} | fields_shown(item, f"{path}.{field.name}")
    elif isinstance(value, tuple):
        for item in value:
            found |= fields_shown(item, f"{path}[]")
    return found


def add_missing() -> list[Path]:
    """Write a sample for each type whose newest one is not complete; returns the new files."""
    added: list[Path] = []
    for kind in codec.EVENT_TYPES:
        versions = stored(kind)
        if versions and is_complete(versions[-1], kind):
            continue
        event, stem = sample_of(kind), f"{kind.__name__}.{len(versions) + 1}"
        forms = {"json": codec.encode(event)}
        if kind in PACKED:
            forms["msgpack"] = codec.pack(event)
        for suffix, value in forms.items():
            path = SAMPLES / f"{stem}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(value)
            added.append(path)
    return added


if __name__ == "__main__":
    for path in add_missing():
        print(f"wrote {path.name}", file=sys.stderr)
