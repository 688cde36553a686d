"""A version's features, decoded into a row of values.

Rule 1: `profile.bin_of`, value by value, is the definition. What a typed decoder doesn't take (an
        unknown name, a value of another kind) is left to it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from streamops.core.profile import bin_of
from streamops.values import FeatureProfile, ReferenceProfile

Row = tuple[Any, ...]

KNOWN_MAX = 4096
READERS_MAX = 4096


class Reader:
    """How one profile's features are decoded and binned.

    width    bins of all features together; starts: where each feature's bins begin
    numeric  positions of the numeric features; the others are categories
    decode   features as JSON to a struct of a value each; raises ValueError for what only the
             definition can judge (a decoder's errors are such)
    """

    def __init__(self, profile: ReferenceProfile) -> None:
        self.features = profile.features
        sizes = [len(feature.counts) for feature in self.features]
        self.starts = [sum(sizes[:at]) for at in range(len(sizes))]
        self.width = sum(sizes)
        self.numeric = [i for i, f in enumerate(self.features) if f.kind == "numeric"]
        self.other = [i for i, f in enumerate(self.features) if f.kind != "numeric"]
        self._known: dict[tuple[int, type, Any], tuple[int, bool]] = {}
        self.decode = _decoder(self.features).decode

    def category(self, at: int, value: Any) -> tuple[int, bool]:
        """Return the bin of a category's value, and whether its kind was wrong."""
        key = at, type(value), value
        found = self._known.get(key)
        if found is None:
            bin_, _, fault = bin_of(self.features[at], value)
            found = bin_, fault
            if len(self._known) < KNOWN_MAX:
                self._known[key] = found
        return found


def reader_of(profile: ReferenceProfile) -> Reader | None:
    """Return the reader of a profile; None where a struct can't have its names."""
    known = _READERS.get(id(profile))
    if known is None or known[0] is not profile:
        if len(_READERS) >= READERS_MAX:
            _READERS.clear()
        known = _READERS[id(profile)] = profile, _made(profile)
    return known[1]


def _made(profile: ReferenceProfile) -> Reader | None:
    try:
        return Reader(profile)
    except (TypeError, ValueError):
        return None


def _decoder(features: tuple[FeatureProfile, ...]) -> msgspec.json.Decoder[Any]:
    # An integer stays one: beyond 2^53 it is a fault, which a float of its size isn't.
    kinds: dict[bool, Any] = {
        True: int | float | None,
        False: str | bool | int | float | None,
    }
    fields = [
        (f"f{i}", kinds[f.kind == "numeric"], msgspec.field(name=f.name, default=None))
        for i, f in enumerate(features)
    ]
    row = msgspec.defstruct("Row", fields, forbid_unknown_fields=True, gc=False)
    return msgspec.json.Decoder(row)


# By identity: a profile's hash is its sender's word, and hashing all of it is slow.
_READERS: dict[int, tuple[ReferenceProfile, Reader | None]] = {}
