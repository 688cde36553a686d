"""One leaf of a seal: its canonical bytes, and tables cut by model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from streamops.values import ModelVersion

V = TypeVar("V")


class Leaf(msgspec.Struct, frozen=True, array_like=True):
    """One leaf: `data` is the canonical MessagePack of what its kind says."""

    kind: str
    model: str
    data: bytes


def leaf(kind: str, model: str, what: Any) -> Leaf:
    """Return a leaf of this content."""
    return Leaf(kind, model, canonical(what))


def leaf_in_order(kind: str, model: str, what: Any) -> Leaf:
    """Return a leaf whose maps stay in the order in which the log filled them."""
    return Leaf(kind, model, _IN_ORDER.encode(what))


def canonical(what: Any) -> bytes:
    """Return the canonical MessagePack: keys of maps, which must be text, are sorted."""
    return _ENCODER.encode(what)


def decoded(one: Leaf, kind: Any, *, strict: bool = True) -> Any:
    """Return a leaf's content; raises msgspec's errors for other content.

    strict  whether text that stands for a number is other content (`wide`)
    """
    return msgspec.msgpack.decode(one.data, type=kind, strict=strict)


def grouped(table: Mapping[str, V], model_of: Callable[[str, V], str]) -> dict[str, dict[str, V]]:
    """Return a table cut by model."""
    found: dict[str, dict[str, V]] = {}
    for key, value in table.items():
        found.setdefault(model_of(key, value), {})[key] = value
    return found


def by_first(key: str, _: object) -> str:
    """Return the model of a key that is `model tab ...`, or a model's name itself."""
    return key.partition("\t")[0]


def merged(kind: Any, leaves: Iterable[Leaf]) -> dict[str, Any]:
    """Return a table that was cut by model."""
    return {key: value for one in leaves for key, value in decoded(one, kind).items()}


def version_leaves(versions: Mapping[str, ModelVersion]) -> Iterator[Leaf]:
    """Yield what METER and MONITOR know of each model's versions: the same leaf for both."""
    for model, some in grouped(versions, by_first).items():
        yield leaf("versions", model, some)


_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_IN_ORDER = msgspec.msgpack.Encoder()
