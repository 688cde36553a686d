"""Laws of the codec: nothing is lost on the wire, and nothing but InputError comes of bad bytes."""

from __future__ import annotations

import math
from datetime import timedelta, timezone

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamops import codec
from streamops.errors import InputError
from streamops.events import Event, LabelArrived, MetricReported, OutcomeJoined, PredictionMade
from streamops.values import Stamp
from tests.event_strategies import TIMES, any_event, event_of

RAW_FEATURES = (PredictionMade, OutcomeJoined)
NOT_FINITE = st.sampled_from([math.nan, math.inf, -math.inf])
JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


def decoded_or_refused(value: bytes) -> Event | None:
    """The event, or None for a refusal; any other exception fails the test."""
    try:
        return codec.decode(value)
    except InputError:
        return None


@pytest.mark.parametrize("kind", codec.EVENT_TYPES, ids=lambda k: k.__name__)
def test_decode_undoes_encode(kind: type[Event]):
    @settings(max_examples=25)
    @given(event_of(kind))
    def law(event: Event):
        value = codec.encode(event)
        assert codec.decode(value) == event
        assert codec.encode(codec.decode(value)) == value

    law()


@given(any_event)
def test_messagepack_says_the_same(event):
    unpacked = codec.decode(codec.pack(event))
    if isinstance(event, RAW_FEATURES):
        assert codec.read_features(unpacked.features) == codec.read_features(event.features)
        unpacked = msgspec.structs.replace(unpacked, features=event.features)
    assert unpacked == event


@given(any_event)
def test_the_conclusion_is_the_event_without_stamp_and_evidence(event):
    bare = {n: None for n in ("stamp", "evidence") if n in event.__struct_fields__}
    assert codec.conclusion(event) == codec.encode(msgspec.structs.replace(event, **bare))


STAMPED = [kind for kind in codec.EVENT_TYPES if "stamp" in kind.__struct_fields__]


@given(st.sampled_from(STAMPED).flatmap(event_of))
def test_a_stamp_is_put_behind_the_conclusion(event):
    """What is encoded once is what would be encoded with the stamp in it."""
    stamp = Stamp("meter/0", 7, 3)
    wanted = codec.encode(msgspec.structs.replace(event, stamp=stamp))
    assert codec.stamped(event, codec.conclusion(event), stamp) == wanted


@given(any_event, TIMES, st.integers(-14 * 60, 14 * 60))
def test_times_of_other_zones_become_utc(event, moment, minutes):
    zone = timezone(timedelta(minutes=minutes))
    names = [n for n in event.__struct_fields__ if hasattr(getattr(event, n), "tzinfo")]
    utc = msgspec.structs.replace(event, **dict.fromkeys(names, moment))
    abroad = msgspec.structs.replace(event, **dict.fromkeys(names, moment.astimezone(zone)))
    assert codec.encode(codec.decode(codec.encode(abroad))) == codec.encode(utc)


@given(any_event, st.data())
def test_a_time_without_a_zone_is_refused(event, data):
    names = [n for n in event.__struct_fields__ if hasattr(getattr(event, n), "tzinfo")]
    name = data.draw(st.sampled_from(names))
    naive = msgspec.structs.replace(event, **{name: getattr(event, name).replace(tzinfo=None)})
    with pytest.raises(InputError, match=f"{name} is .* without a zone"):
        codec.decode(codec.encode(naive))


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(value):
    decoded_or_refused(value)


@given(any_event, st.booleans(), st.data())
def test_damaged_events_raise_nothing_else(event, packed, data):
    value = bytearray(codec.pack(event) if packed else codec.encode(event))
    for _ in range(data.draw(st.integers(1, 3))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    read = decoded_or_refused(bytes(value[: data.draw(st.integers(1, len(value)))]))
    if read is not None:
        assert decoded_or_refused(codec.encode(read)) is not None


@given(st.sampled_from(codec.EVENT_TYPES), JUNK, JUNK, st.booleans())
def test_junk_in_known_types_raises_nothing_else(kind, time, features, packed):
    fields = dict.fromkeys(kind.__struct_fields__, features)
    junk = {**fields, "type": kind.__name__, "id": "a", "time": time}
    try:
        value = (msgspec.msgpack if packed else msgspec.json).encode(junk)
    except (OverflowError, UnicodeEncodeError):
        return  # MessagePack has no such integer
    decoded_or_refused(value)


@given(event_of(PredictionMade), NOT_FINITE, st.sampled_from(["prediction", "score", "latency_ms"]))
def test_a_prediction_in_messagepack_is_finite(event, number, name):
    with pytest.raises(InputError, match=name):
        codec.decode(codec.pack(msgspec.structs.replace(event, **{name: number})))


@given(event_of(PredictionMade), NOT_FINITE)
def test_features_in_messagepack_are_finite(event, number):
    packed = msgspec.msgpack.encode({"age": 3.0, "income": number})
    wire = msgspec.structs.replace(event, features=msgspec.Raw(packed))
    with pytest.raises(InputError, match=r"features\.income is"):
        codec.decode(msgspec.msgpack.encode(wire))


@given(event_of(LabelArrived), event_of(MetricReported), NOT_FINITE)
def test_labels_and_reports_in_messagepack_are_finite(label, report, number):
    with pytest.raises(InputError, match="label is"):
        codec.decode(codec.pack(msgspec.structs.replace(label, label=number)))
    with pytest.raises(InputError, match="value is"):
        codec.decode(codec.pack(msgspec.structs.replace(report, value=number)))


LABEL_TEXT = (
    b'{"type":"LabelArrived","id":"l","time":"2026-01-01T00:00:00Z","prediction_id":"p","label":1}'
)
# Lines that together are three events, and alone are none.
SPREAD = [
    LABEL_TEXT[:27],
    LABEL_TEXT[27:],
    LABEL_TEXT + LABEL_TEXT,
    LABEL_TEXT[:-1] + b',"x":{}',
    b"[" + LABEL_TEXT,
    b"",
    b" " + LABEL_TEXT,
    LABEL_TEXT.replace(b",", b",\n"),
    LABEL_TEXT.replace(b"00Z", b"00+02:00"),
    LABEL_TEXT.replace(b"00Z", b"00"),
    b'"\xff"',
]


@example(SPREAD[:3])
@given(st.lists(st.just(LABEL_TEXT) | st.sampled_from(SPREAD), max_size=20))
def test_decoding_together_is_decoding_one_by_one(values):
    """Whatever stands beside a value: it must not matter how a client cut its chunks."""
    together = [e if isinstance(e, Event) else str(e) for e in codec.decode_all(values)]
    assert together == [read_or_told(value) for value in values]


def read_or_told(value):
    try:
        return codec.decode(value)
    except InputError as error:
        return str(error)
