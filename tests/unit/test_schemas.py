"""Schemas, samples and the events' page say what the types say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamops import codec
from streamops.events import Event, OutcomeJoined, PredictionMade
from streamops.schemas import SCHEMAS, reference, schema_of, stale, write
from tests.sample_events import PACKED, SAMPLES, is_complete, sample_of, stored

KINDS = pytest.mark.parametrize("kind", codec.EVENT_TYPES, ids=lambda kind: kind.__name__)


def test_no_generated_file_is_stale():
    assert stale() == [], "run python -m streamops.schemas"


def test_writing_mends_what_is_changed_missing_or_left_over(tmp_path: Path):
    write(tmp_path)
    assert stale(tmp_path) == []
    changed, missing, left = (
        tmp_path / SCHEMAS / n for n in ("Tick.json", "Sealed.json", "Old.json")
    )
    changed.write_text("{}")
    missing.unlink()
    left.write_text("{}")
    wrong = sorted(SCHEMAS / p.name for p in (changed, missing, left))
    assert stale(tmp_path) == wrong
    assert write(tmp_path) == wrong
    assert stale(tmp_path) == []
    assert not left.exists()


def test_the_command_checks_and_exits():
    done = subprocess.run(
        [sys.executable, "-m", "streamops.schemas", "--check"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


@KINDS
def test_a_schema_names_its_type_and_what_is_required(kind: type[Event]):
    schema = schema_of(kind)
    assert schema["properties"]["type"] == {"enum": [kind.__name__]}
    assert set(schema["required"]) >= {"type", "id", "time"}
    assert schema["properties"]["time"]["format"] == "date-time"
    assert set(schema["properties"]) == {"type", *kind.__struct_fields__}


@pytest.mark.parametrize("kind", [PredictionMade, OutcomeJoined])
def test_features_are_an_object_of_plain_values(kind):
    values = schema_of(kind)["properties"]["features"]["additionalProperties"]["anyOf"]
    assert {v["type"] for v in values} == {"string", "integer", "number", "boolean", "null"}


@KINDS
def test_each_type_has_a_sample_with_every_field(kind: type[Event]):
    versions = stored(kind)
    assert versions, "run python -m tests.sample_events"
    assert is_complete(versions[-1], kind), "a field is new: run python -m tests.sample_events"


@pytest.mark.parametrize("path", sorted(SAMPLES.iterdir()), ids=lambda path: path.name)
def test_every_sample_ever_written_is_read(path: Path):
    event = codec.decode(path.read_bytes())
    assert type(event).__name__ == path.name.split(".")[0]
    if path.suffix == ".json":
        assert fits(json.loads(path.read_bytes()), schema_of(type(event)), {}) == []


@pytest.mark.parametrize("kind", PACKED, ids=lambda kind: kind.__name__)
def test_a_packed_sample_says_what_the_json_one_says(kind):
    for packed, plain in zip(stored(kind, "msgpack"), stored(kind), strict=True):
        assert codec.is_msgpack(packed.read_bytes())
        assert codec.decode(packed.read_bytes()) == codec.decode(plain.read_bytes())


def test_a_sample_that_lacks_a_field_is_seen(tmp_path: Path):
    bare = tmp_path / "LabelArrived.1.json"
    bare.write_bytes(b'{"type":"PredictionFailed","id":"a","time":"2026-05-01T12:00:00Z",'
                     b'"model":"m","version":"1","error":"e"}')  # fmt: skip
    kind = type(codec.decode(bare.read_bytes()))
    assert not is_complete(bare, kind)
    bare.write_bytes(codec.encode(sample_of(kind)))
    assert is_complete(bare, kind)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"model": None}, "model"),
        ({"score": 1.5}, "score"),
        ({"features": {"a": [1]}}, "features"),
        ({"type": "Tick"}, "type"),
    ],
)
def test_what_readers_refuse_does_not_fit_the_schema(changes, fault):
    sample = json.loads(stored(PredictionMade)[-1].read_bytes())
    assert fault in fits({**sample, **changes}, schema_of(PredictionMade), {})[0]


def test_the_page_shows_every_type_with_its_topic():
    page = reference()
    for kind in codec.EVENT_TYPES:
        part = page.partition(f"## {kind.__name__}\n")[2].partition("\n## ")[0]
        assert "On `" in part, f"no topic declares {kind.__name__}"
        assert kind.__doc__.strip().splitlines()[0] in part


def fits(value: Any, schema: dict[str, Any], defs: dict[str, Any], path: str = "$") -> list[str]:
    """Faults of a value under the part of JSON Schema that the generated files use."""
    defs = schema.get("$defs", defs)
    if "$ref" in schema:
        return fits(value, defs[schema["$ref"].rpartition("/")[2]], defs, path)
    if "anyOf" in schema:
        tried = [fits(value, member, defs, path) for member in schema["anyOf"]]
        return [] if [] in tried else tried[0]
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{path} is {value!r}"]
    if not isinstance(value, TYPES[schema["type"]]) or (
        isinstance(value, bool) and schema["type"] != "boolean"
    ):
        return [f"{path} is {value!r}, not {schema['type']}"]
    low, high = schema.get("minimum"), schema.get("maximum")
    if (low is not None and value < low) or (high is not None and value > high):
        return [f"{path} is {value!r}, outside {low} to {high}"]
    return [
        fault
        for part in parts_of(value, schema, path)
        for fault in fits(part[0], part[1], defs, part[2])
    ]


def parts_of(
    value: Any, schema: dict[str, Any], path: str
) -> list[tuple[Any, dict[str, Any], str]]:
    """Each item of a value with its schema and path; a missing field has a schema nothing fits."""
    if isinstance(value, list):
        firsts = schema.get("prefixItems", [])
        rest = [schema.get("items", {})] * (len(value) - len(firsts))
        return [
            (v, s, f"{path}[{i}]")
            for i, (v, s) in enumerate(zip(value, firsts + rest, strict=True))
        ]
    if not isinstance(value, dict):
        return []
    known = schema.get("properties", {})
    parts = [
        (v, known.get(k, schema.get("additionalProperties")), f"{path}.{k}")
        for k, v in value.items()
    ]
    missing = [
        (None, {"enum": ["a value"]}, f"{path}.{k}")
        for k in schema.get("required", [])
        if k not in value
    ]
    return [part for part in parts if isinstance(part[1], dict)] + missing


TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}
