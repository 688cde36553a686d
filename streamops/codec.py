"""Bytes to events and back; blame for a bad record is decided here, once.

JSON is what we write. MessagePack is read where the first byte is a map's (0x80-8f, de, df).
`decode` raises InputError and nothing else; its message names the field, the value and the fix.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from operator import attrgetter, itemgetter
from typing import Any, TypeVar, Union

import msgspec
from msgspec.structs import astuple

from streamops import events
from streamops.errors import InputError
from streamops.values import Stamp

E = TypeVar("E", bound=events.Event)

EVENT_TYPES: tuple[type[events.Event], ...] = (
    events.PredictionMade,
    events.PredictionFailed,
    events.LabelArrived,
    events.Tick,
    events.ConfigActivated,
    events.VersionActivated,
    events.TopologyActivated,
    events.OutcomeJoined,
    events.EpochClosed,
    events.PaneSummarized,
    events.MetricEvaluated,
    events.DriftDetected,
    events.MetricReported,
    events.RunStarted,
    events.RunCompleted,
    events.RunFailed,
    events.ModelRegistered,
    events.CandidateScored,
    events.PromotionRequested,
    events.PromotionApproved,
    events.RollbackRequested,
    events.RetrainingPaused,
    events.AlertSilenceRequested,
    events.ConfigApplied,
    events.ActivationDelivered,
    events.DatasetVersioned,
    events.ReferenceProfiled,
    events.AlertRaised,
    events.AlertResolved,
    events.AlertSilenced,
    events.RetrainRequested,
    events.RetrainSkipped,
    events.EvaluationRequested,
    events.GateEvaluated,
    events.StageChanged,
    events.RolloutStarted,
    events.RolloutStepped,
    events.RolloutFinished,
    events.RolloutRolledBack,
    events.DeploymentServed,
    events.EpochConcluded,
    events.Sealed,
    events.SealRequested,
    events.CheckpointSealed,
    events.RecordRefused,
    events.ActionTaken,
)

_ENCODER = msgspec.json.Encoder(order="deterministic")
_JSON: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Union[EVENT_TYPES])  # noqa: UP007
_PACK: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Union[EVENT_TYPES])  # noqa: UP007
_STAMPED = frozenset(t for t in EVENT_TYPES if "stamp" in t.__struct_fields__)
_EVIDENCED = frozenset(t for t in EVENT_TYPES if "evidence" in t.__struct_fields__)
_PACKER = msgspec.msgpack.Encoder(order="deterministic")
_TIMES: dict[type[events.Event], tuple[str, ...]] = {
    t: tuple(f.name for f in msgspec.structs.fields(t) if f.type in (datetime, datetime | None))
    for t in EVENT_TYPES
}
_FEATURES = msgspec.msgpack.Decoder(dict[str, Any])
_NO_FLOATS = frozenset((str, bytes, bool, int, type(None), datetime, msgspec.Raw))
_UTC_ONLY = {UTC}
_BRACE, _CLOSING_BRACE = {ord("{")}, {ord("}")}
_FIRST, _LAST = itemgetter(0), itemgetter(-1)
_ZONE = attrgetter("time.tzinfo")
# Fewer are decoded one by one as soon as one of them can't be.
TOGETHER_MIN = 4
_SEVERAL_TIMES = frozenset(t for t, names in _TIMES.items() if len(names) > 1)


def encode(event: events.Event) -> bytes:
    """Return the event's canonical JSON: keys in a fixed order, defaults omitted."""
    return _ENCODER.encode(event)


def pack(event: events.Event) -> bytes:
    """Return the event as MessagePack, for producers that prefer it.

    Raises InputError where `features` is no JSON object.
    """
    if isinstance(event, (events.PredictionMade, events.OutcomeJoined)):
        packed = _PACKER.encode(read_features(event.features))
        event = msgspec.structs.replace(event, features=msgspec.Raw(packed))
    return _PACKER.encode(event)


def conclusion(event: events.Event) -> bytes:
    """Return the canonical JSON of what is so: the event without stamp and evidence."""
    kind = type(event)
    if kind in _EVIDENCED:
        if event.evidence is None and event.stamp is None:  # type: ignore[attr-defined]
            return _ENCODER.encode(event)
        return _ENCODER.encode(msgspec.structs.replace(event, stamp=None, evidence=None))
    if kind in _STAMPED:
        return _ENCODER.encode(msgspec.structs.replace(event, stamp=None))
    return _ENCODER.encode(event)


def conclusions(some: Iterable[events.Event]) -> bytes:
    """Return the `conclusion` of each, a newline after each."""
    return _ENCODER.encode_lines(map(_bare, some))


def conclusions_of(some: Sequence[events.Event]) -> list[bytes]:
    """Return the `conclusion` of each."""
    found = conclusions(some).split(b"\n")
    # What a producer put between the tokens of its features stays there: a break, perhaps.
    return found[:-1] if len(found) == len(some) + 1 else list(map(conclusion, some))


def _bare(event: events.Event) -> events.Event:
    """The event without stamp and evidence."""
    kind = type(event)
    if kind in _EVIDENCED:
        return msgspec.structs.replace(event, stamp=None, evidence=None)
    return msgspec.structs.replace(event, stamp=None) if kind in _STAMPED else event


def with_evidence(bare: bytes, stamp: Stamp, evidence: bytes) -> bytes:
    """Return the encoding of an event whose last fields are its stamp and its evidence.

    bare      its `conclusion`
    evidence  canonical JSON
    """
    return b'%b,"stamp":%b,"evidence":%b}' % (bare[:-1], _ENCODER.encode(stamp), evidence)


def stamped(event: events.Event, bare: bytes, stamp: Stamp) -> bytes:
    """Return the encoding of an event under its stamp; `bare` is its `conclusion`."""
    if type(event) in _EVIDENCED and event.evidence is not None:  # type: ignore[attr-defined]
        return with_evidence(bare, stamp, _ENCODER.encode(event.evidence))  # type: ignore[attr-defined]
    return _ENCODER.encode(msgspec.structs.replace(event, stamp=stamp))


def is_msgpack(value: bytes) -> bool:
    """Tell whether the first byte is a MessagePack map's."""
    return bool(value) and (0x80 <= value[0] <= 0x8F or value[0] in (0xDE, 0xDF))


def decode(value: bytes | None) -> events.Event:
    """Return the event a record's value holds, its times in UTC.

    Raises InputError for what is no event: not JSON or MessagePack, an unknown type, a field of
    the wrong type or range, a time without a zone, NaN or infinity.
    """
    if not value:
        raise InputError("value is empty; send a JSON or MessagePack object with a `type`")
    packed = is_msgpack(value)
    try:
        event: events.Event = (_PACK if packed else _JSON).decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        hint = _hint(value)
        raise InputError(f"value can't be read: {error}; {hint}see topics/schemas") from None
    if packed:
        event = _unpacked(event)
    if event.time.tzinfo is not UTC or type(event) in _SEVERAL_TIMES:
        event = _in_utc(event)
    return event


def decode_all(values: Sequence[bytes]) -> list[events.Event | InputError]:
    """Return what `decode` gives, or raises, for each value; far faster where most are sound."""
    found = _together(values)
    if found is not None:
        return found
    if len(values) <= TOGETHER_MIN:
        return [_decoded(value) for value in values]
    if any(packed := list(map(is_msgpack, values))):
        # MessagePack has no line breaks to tell its values apart by: each by itself.
        texts = iter(decode_all([value for value in values if not is_msgpack(value)]))
        return [
            _decoded(value) if is_packed else next(texts)
            for value, is_packed in zip(values, packed, strict=True)
        ]
    # What one bad value costs the others is a few more looks at ever fewer of them.
    middle = len(values) // 2
    return [*decode_all(values[:middle]), *decode_all(values[middle:])]


def _together(values: Sequence[bytes]) -> list[events.Event | InputError] | None:
    """Return the events of JSON values; None where one of them has to be looked at by itself."""
    # Looked for in the values joined, which takes a tenth of counting line breaks.
    if not all(values) or b"\n" in b"".join(values):
        return None
    # An object can't go on with "{" behind a "}": no value reaches into the next line, so there is
    # one at least in each, and one in each where their number is right.
    if set(map(_FIRST, values)) != _BRACE or set(map(_LAST, values)) != _CLOSING_BRACE:
        return None
    try:
        found: list[Any] = _JSON.decode_lines(b"\n".join(values))
        if len(found) != len(values):
            return None
        if set(map(_ZONE, found)) != _UTC_ONLY:
            return None
        if not _SEVERAL_TIMES.isdisjoint(map(type, found)):
            return [_in_utc(event) if type(event) in _SEVERAL_TIMES else event for event in found]
        return found
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InputError):
        return None


def _decoded(value: bytes) -> events.Event | InputError:
    try:
        return decode(value)
    except InputError as error:
        return error


def _hint(value: bytes) -> str:
    """What most likely made the value no event, where that can be told."""
    if is_msgpack(value):
        return _hint_of_packed(value)
    word = next((w for w in ("NaN", "Infinity") if w.encode() in value), None)
    return "" if word is None else f"JSON has no {word}: send null, or leave it out; "


def _hint_of_packed(value: bytes) -> str:
    try:
        for name, item in msgspec.msgpack.decode(value, type=dict[str, Any]).items():
            refuse_not_finite(name, item)
    except InputError as error:
        return f"{error}; "
    except (msgspec.MsgspecError, UnicodeError, RecursionError, TypeError):
        return ""
    return ""


def as_type(value: bytes, kind: type[E]) -> E:
    """Decode and insist on one event type; raises InputError."""
    event = decode(value)
    if not isinstance(event, kind):
        raise InputError(f"type is {type(event).__name__}; expected {kind.__name__}")
    return event


def read_features(raw: msgspec.Raw) -> dict[str, Any]:
    """Return the object of feature values; raises InputError where it is none or not finite."""
    try:
        features = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"features can't be read: {error}; send an object of values") from None
    return features


def _in_utc(event: E) -> E:
    changes: dict[str, datetime] = {}
    for name in _TIMES[type(event)]:
        value = getattr(event, name)
        if value is None or value.tzinfo is UTC:
            continue
        if value.tzinfo is None:
            raise InputError(
                f"{name} is {value.isoformat()} without a zone; add one, as in {value.isoformat()}Z"
            )
        try:
            changes[name] = value.astimezone(UTC)
        except OverflowError:
            raise InputError(
                f"{name} is {value.isoformat()}, outside the years 1 to 9999 in UTC; send that"
            ) from None
    return msgspec.structs.replace(event, **changes) if changes else event


def _unpacked(event: E) -> E:
    """Refuse what MessagePack lets in and JSON doesn't; features become JSON."""
    for name, value in zip(event.__struct_fields__, astuple(event), strict=True):
        if type(value) not in _NO_FLOATS:
            refuse_not_finite(name, value)
    if isinstance(event, (events.PredictionMade, events.OutcomeJoined)):
        return msgspec.structs.replace(event, features=_features_as_json(event.features))
    return event


def _all_finite(values: Iterable[Any]) -> bool:
    """Tell whether all are finite numbers; False where one is no number."""
    try:
        return all(map(math.isfinite, values))
    except TypeError:
        return False


def refuse_not_finite(path: str, value: object) -> None:
    """Raise InputError naming the first NaN or infinity in a value, however deep."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{path} is {value}; send a finite number, or leave it out if you can")
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            refuse_not_finite(f"{path}.{name}", getattr(value, name))
    elif isinstance(value, dict):
        for name, item in value.items():
            refuse_not_finite(f"{path}.{name}", item)
    elif isinstance(value, (tuple, list)):
        for i, item in enumerate(value):
            refuse_not_finite(f"{path}[{i}]", item)


def _features_as_json(raw: msgspec.Raw) -> msgspec.Raw:
    data = bytes(raw)
    if data == b"{}":  # the default; no MessagePack value has these two bytes
        return raw
    try:
        features = _FEATURES.decode(data)
        if not _all_finite(features.values()):
            refuse_not_finite("features", features)
        return msgspec.Raw(_ENCODER.encode(features))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, TypeError) as error:
        raise InputError(f"features can't be read: {error}; send a map of values") from None
