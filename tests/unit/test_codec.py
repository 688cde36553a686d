"""The codec's boundaries: what stands just inside an event, and what just outside."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from streamops import codec
from streamops.errors import InputError
from streamops.events import LabelArrived, PredictionMade, Tick

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def made(**changes: object) -> bytes:
    """JSON of a prediction with some fields changed; None leaves a field out."""
    fields = {
        "type": "PredictionMade",
        "id": "p1",
        "time": "2026-05-01T12:00:00Z",
        "model": "m",
        "version": "1",
        "prediction": 1,
        **changes,
    }
    return msgspec.json.encode({k: v for k, v in fields.items() if v is not None})


def test_defaults_are_omitted_and_keys_have_one_order():
    event = LabelArrived(id="l", time=NOON, prediction_id="p", label=True)
    assert codec.encode(event) == (
        b'{"type":"LabelArrived","id":"l","time":"2026-05-01T12:00:00Z",'
        b'"prediction_id":"p","label":true}'
    )


def test_a_number_keeps_its_kind():
    kinds = [type(codec.decode(made(prediction=v)).prediction) for v in (1, 1.5, True, "a")]
    assert kinds == [int, float, bool, str]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"not json", "can't be read"),
        (b"[]", "can't be read"),
        (b"{}", "type"),
        (b'{"type":"Unheard"}', "Unheard"),
        (b"\x80", "type"),
        (made(model=None), "model"),
        (made(model=3), r"\$\.model"),
        (made(time="yesterday"), r"\$\.time"),
        (made(time="2026-05-01T12:00:00"), "time is 2026-05-01T12:00:00 without a zone"),
        (made(time="0001-01-01T00:00:00+05:00"), "outside the years"),
        (made(score=1.0000001), r"\$\.score"),
        (made(score=-0.0000001), r"\$\.score"),
        (made(latency_ms=-1), r"\$\.latency_ms"),
        (made(prediction=[1]), r"\$\.prediction"),
        (made().replace(b'"prediction":1', b'"prediction":NaN'), "can't be read"),
        (made().replace(b'"prediction":1', b'"prediction":1e999'), "out of range"),
        (made().replace(b'"prediction":1', b'"prediction":null'), r"\$\.prediction"),
        (b"[" * 5000, "can't be read"),
    ],
)
def test_what_is_no_event_is_refused_with_its_reason(value, reason):
    with pytest.raises(InputError, match=reason):
        codec.decode(value)


@pytest.mark.parametrize("score", [0, 1, 0.5])
def test_the_bounds_of_a_score_belong_to_it(score):
    assert codec.decode(made(score=score)).score == score


@pytest.mark.parametrize("first", [0x80, 0x8F, 0xDE, 0xDF])
def test_a_maps_first_byte_says_messagepack(first):
    assert codec.is_msgpack(bytes([first]))


@pytest.mark.parametrize("first", [0x7B, 0x7F, 0x90, 0xDD, 0xE0])
def test_any_other_byte_does_not(first):
    assert not codec.is_msgpack(bytes([first]))
    assert not codec.is_msgpack(b"")


def test_a_packed_map_of_each_size_is_read():
    tick = {"type": "Tick", "id": "t", "time": "2026-05-01T12:00:00Z", "epoch": 3}
    small = msgspec.msgpack.encode(tick)
    large = msgspec.msgpack.encode({**tick, **{f"unknown{i}": i for i in range(20)}})
    assert (small[0], large[0]) == (0x84, 0xDE)
    assert codec.decode(small) == codec.decode(large) == Tick(id="t", time=NOON, epoch=3)


def test_features_that_json_cannot_say_are_refused():
    odd = msgspec.msgpack.encode({"a": msgspec.msgpack.Ext(3, b"x")})
    event = PredictionMade(
        id="p", time=NOON, model="m", version="1", prediction=1, features=msgspec.Raw(odd)
    )
    with pytest.raises(InputError, match="features can't be read"):
        codec.decode(msgspec.msgpack.encode(event))


def test_packing_refuses_features_that_are_no_object():
    event = PredictionMade(
        id="p", time=NOON, model="m", version="1", prediction=1, features=msgspec.Raw(b"[1]")
    )
    with pytest.raises(InputError, match="features can't be read"):
        codec.pack(event)


def test_as_type_insists():
    label = codec.encode(LabelArrived(id="l", time=NOON, prediction_id="p", label=1))
    assert codec.as_type(label, LabelArrived).prediction_id == "p"
    with pytest.raises(InputError, match="type is LabelArrived; expected Tick"):
        codec.as_type(label, Tick)


def test_every_event_type_can_be_decoded():
    from streamops import events

    declared = {
        kind.__name__
        for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, events.Event) and kind is not events.Event
    }
    assert {kind.__name__ for kind in codec.EVENT_TYPES} == declared
