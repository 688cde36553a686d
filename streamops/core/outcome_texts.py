"""Many plain outcomes as texts laid into one template, column by column.

Rule 1: `codec.encode` of each is the definition; an outcome that isn't plain is left to it.
Rule 2: a list is encoded in one call and cut where its values end: no value's text has the cut in
        it, for a quote inside of a text is always escaped, and numbers have no comma.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

import msgspec
import numpy as np

from streamops.core.columns import Column, Indices
from streamops.core.moments import moments_all
from streamops.core.pending_block import GroupKey
from streamops.values import Value

_ENCODER = msgspec.json.Encoder(order="deterministic")
_NO_TEXTS = {int, float, bool, type(None)}
_NO_FEATURES = b"{}"


def texts_of(values: Sequence[Any]) -> list[bytes]:
    """Return the JSON of texts or times, at least one, without their quotes."""
    return _ENCODER.encode(values)[2:-2].split(b'","')


def numbers_of(values: Sequence[Any]) -> list[bytes]:
    """Return the JSON of numbers, booleans or None, at least one."""
    return _ENCODER.encode(values)[1:-1].split(b",")


def bodies(column: Mapping[str, Column], keys: Mapping[int, GroupKey]) -> list[bytes] | None:
    """Return each outcome's JSON without the brace that closes it; None where one isn't plain:
    has segments, no score or no features, comes after its cohort or is late.

    keys  of the groups that occur
    """
    features: list[bytes] = column["features"].tolist()
    is_plain = not (
        np.isnan(column["score"]).any()
        or column["after_cohort"].any()
        or any(column["segments"].tolist())
        or any(key.late for key in keys.values())
        or _NO_FEATURES in features
    )
    if not is_plain:
        return None
    ids = texts_of(column["id"].tolist())
    parts = zip(
        repeat(b'{"type":"OutcomeJoined","id":"outcome/'), ids,
        repeat(b'","time":"'), texts_of(moments_all(column["time_us"])),
        repeat(b'","prediction_id":"'), ids, _models(column["group"], keys),
        _values(column["prediction"].tolist()),
        repeat(b',"label":'), _values(column["label"].tolist()),
        repeat(b',"label_time":"'), texts_of(moments_all(column["label_us"])),
        repeat(b'","score":'), numbers_of(column["score"].tolist()),
        repeat(b',"features":'), features, strict=False,
    )  # fmt: skip
    return list(map(b"".join, parts))


def evidence_columns(labels: Indices, predictions: Indices, partition: int) -> list[list[bytes]]:
    """Return `outcome.joined_evidence` of each, as columns of parts to be joined."""
    size = len(labels)
    spans = labels, labels + 1, predictions, predictions + 1
    first, after, made, next_ = (numbers_of(column.tolist()) for column in spans)
    comma = [b","] * size
    return [
        [b'{"spans":[["labels",%d,' % partition] * size, first, comma, after,
        [b'],["predictions",%d,' % partition] * size, made, comma, next_,
        [b']],"records":2}'] * size,
    ]  # fmt: skip


def _models(codes: Indices, keys: Mapping[int, GroupKey]) -> Iterable[bytes]:
    """Return each row's model and version, between its id and its prediction."""
    texts = {
        code: b'","model":%b,"version":%b,"prediction":'
        % (_ENCODER.encode(key.model), _ENCODER.encode(key.version))
        for code, key in keys.items()
    }
    return map(texts.__getitem__, codes.tolist())


def _values(values: Sequence[Value]) -> Iterable[bytes]:
    if set(map(type, values)) <= _NO_TEXTS:
        return numbers_of(values)
    return map(_ENCODER.encode, values)
