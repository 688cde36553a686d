"""A version's features and score, as a row of values.

Rule 1: `profile.bin_of`, value by value, is the definition. What a typed decoder doesn't take (an
        unknown name, a value of another kind) is left to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any

import msgspec

from streamops.core.profile import bin_of
from streamops.values import ModelVersion

KNOWN_MAX = 4096
READERS_MAX = 4096

Kinds = tuple[tuple[str, bool], ...]
TOGETHER_MIN = 4


class Reader:
    """How one version's features are decoded, and binned together with its score.

    features  the profile's; where `scored`, a probability's profile comes last
    width     bins of all features together; starts: where each feature's bins begin
    blocks    each feature's bins
    numeric   positions of the numeric features; the others are categories
    plain     positions of the numeric features that are decoded (all but the score)
    tables    what `edges` makes of the numeric features, once it did
    decoder   the one of all versions with the same features
    shape     readers of equal shape decode to rows whose columns mean the same
    """

    def __init__(self, version: ModelVersion) -> None:
        profile = version.profile
        score = profile.score
        # A regression's score is its prediction, which may be of any kind.
        self.scored = score is not None and score.kind == "numeric" and version.task != "regression"
        self.features = (*profile.features, score) if self.scored and score else profile.features
        sizes = [len(feature.counts) for feature in self.features]
        *self.starts, self.width = accumulate(sizes, initial=0)
        self.blocks = [slice(*ends) for ends in pairwise((*self.starts, self.width))]
        self.numeric = [i for i, f in enumerate(self.features) if f.kind == "numeric"]
        self.other = [i for i, f in enumerate(self.features) if f.kind != "numeric"]
        self._known: dict[tuple[int, type, Any], tuple[int, bool]] = {}
        self.plain = tuple(i for i in self.numeric if i < len(profile.features))
        self.shape = len(profile.features), self.plain, self.scored
        self.tables: Any = None
        kinds = tuple((feature.name, feature.kind == "numeric") for feature in profile.features)
        self.decoder = _decoder_of(kinds)

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


class FeatureDecoder:
    """Decodes objects of the same names and kinds, whatever version they are of.

    kinds  name of each feature, and whether it is numeric
    """

    def __init__(self, kinds: Kinds) -> None:
        # An integer stays one: beyond 2^53 it is a fault, which a float of its size isn't.
        types: dict[bool, Any] = {
            True: int | float | None,
            False: str | bool | int | float | None,
        }
        fields = [
            (f"f{i}", types[is_numeric], msgspec.field(name=name, default=None))
            for i, (name, is_numeric) in enumerate(kinds)
        ]
        row = msgspec.defstruct("Row", fields, forbid_unknown_fields=True, gc=False)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(row)

    def read_all(self, texts: Sequence[bytes]) -> list[Any]:
        """Return a struct of the values of each JSON value; None for what the definition judges."""
        if b"\n" not in b"".join(texts):
            try:
                return self._decoder.decode_lines(b"\n".join(texts))
            except ValueError:
                pass  # of which one is told by ever shorter parts
        if len(texts) <= TOGETHER_MIN:
            return [self._read(text) for text in texts]
        middle = len(texts) // 2
        return [*self.read_all(texts[:middle]), *self.read_all(texts[middle:])]

    def _read(self, text: bytes) -> Any:
        try:
            return self._decoder.decode(text)
        except ValueError:
            return None


@lru_cache(maxsize=READERS_MAX)
def _decoder_of(kinds: Kinds) -> FeatureDecoder:
    return FeatureDecoder(kinds)


def reader_of(version: ModelVersion) -> Reader | None:
    """Return the reader of a version; None where a struct can't have its features' names."""
    known = _READERS.get(id(version))
    if known is None or known[0] is not version:
        if len(_READERS) >= READERS_MAX:
            _READERS.clear()
        known = _READERS[id(version)] = version, _made(version)
    return known[1]


def _made(version: ModelVersion) -> Reader | None:
    try:
        return Reader(version)
    except (TypeError, ValueError):
        return None


# By identity: a profile's hash is its sender's word, and hashing all of it is slow.
_READERS: dict[int, tuple[ModelVersion, Reader | None]] = {}
