"""The events' own form: the rules that their file's first lines promise."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime

import msgspec
import pytest

from streamops import codec, config, events, values
from streamops.topics import load_topics

KINDS = pytest.mark.parametrize("kind", codec.EVENT_TYPES, ids=lambda kind: kind.__name__)
STRUCTS = [
    kind
    for module in (events, values, config)
    for kind in vars(module).values()
    if inspect.isclass(kind) and issubclass(kind, msgspec.Struct) and kind is not msgspec.Struct
]


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
def test_every_struct_is_frozen_and_says_what_it_means(kind: type[msgspec.Struct]):
    assert kind.__struct_config__.frozen
    assert kind.__doc__
    assert not kind.__doc__.startswith(kind.__name__)


@KINDS
def test_an_event_is_tagged_by_its_name_and_derives_from_event_alone(kind: type[events.Event]):
    assert (kind.__struct_config__.tag_field, kind.__struct_config__.tag) == ("type", kind.__name__)
    assert kind.__bases__ == (events.Event,)


@KINDS
def test_defaults_are_left_out_on_the_wire(kind: type[events.Event]):
    assert kind.__struct_config__.omit_defaults
    assert kind.__struct_fields__[:2] == ("id", "time")


@KINDS
def test_whoever_reads_a_type_finds_it_on_a_topic(kind: type[events.Event]):
    declared = {name for spec in load_topics().values() for name in spec.events}
    assert kind.__name__ in declared


@KINDS
def test_evidence_comes_with_a_stamp(kind: type[events.Event]):
    fields = kind.__struct_fields__
    if "evidence" in fields:
        assert fields.index("stamp") == fields.index("evidence") - 1


def test_an_event_cannot_be_changed():
    tick = events.Tick(id="t", time=datetime(2026, 5, 1, tzinfo=UTC), epoch=1)
    with pytest.raises(AttributeError, match="immutable"):
        tick.epoch = 2


def test_a_field_that_is_left_out_has_its_default():
    label = events.LabelArrived(
        id="l", time=datetime(2026, 5, 1, tzinfo=UTC), prediction_id="p", label=0
    )
    assert set(msgspec.to_builtins(label)) == {"type", "id", "time", "prediction_id", "label"}
