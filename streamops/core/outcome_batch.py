"""Outcomes that are due, encoded at once.

Rule 1: `cuts.release`, one by one, is the definition; this gives the same outputs to the last byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from itertools import repeat
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import astuple

from streamops.core import cuts
from streamops.core.columns import Indices
from streamops.core.join import JoinTable
from streamops.core.join_rows import Matched, Pending
from streamops.core.meter_state import MeterState
from streamops.core.moments import moments_all
from streamops.core.processor import Output
from streamops.values import Value

# Below it they cost more at once than one by one.
RUN_MIN = 16
_PENDING = Pending.__struct_fields__
_MATCHED = Matched.__struct_fields__
_ENCODER = msgspec.json.Encoder(order="deterministic")
_output: Callable[[Iterable[Any]], Output] = partial(tuple.__new__, Output)


class _Outcome(
    msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag_field="type", tag="OutcomeJoined"
):
    """The fields of `OutcomeJoined` that release sets, in its order and with its defaults; by
    position, which takes a third of the time."""

    id: str
    time: datetime
    prediction_id: str
    model: str
    version: str
    prediction: Value
    label: Value
    label_time: datetime
    score: float | None = None
    features: msgspec.Raw = msgspec.Raw(b"{}")
    segments: dict[str, str] = {}
    after_cohort: bool = False
    late: bool = False


def release_all(state: MeterState, join: JoinTable, partition: int) -> list[Output]:
    """Send the outcomes that are due, in order of prediction time and id."""
    pairs = join.release(state.labels_us)
    if len(pairs) < RUN_MIN:
        return [cuts.outcome_output(*pair, partition) for pair in pairs]
    entries, matches = zip(*pairs, strict=True)
    made, label = _columns(entries, _PENDING), _columns(matches, _MATCHED)
    conclusions = _conclusions(made, label)
    evidence = _evidence(label["offset"], made["offset"], partition)
    rows = zip(
        repeat("outcomes"), made["model"], repeat(None), repeat(None), evidence, conclusions,
        strict=False,
    )  # fmt: skip
    return list(map(_output, rows))


def _columns(rows: Sequence[Any], names: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    columns: Any = zip(*map(astuple, rows), strict=True)
    return dict(zip(names, columns, strict=True))


def _conclusions(made: dict[str, Any], label: dict[str, Any]) -> list[bytes]:
    events = map(
        _Outcome, map("outcome/".__add__, made["id"]), _moments(made["time_us"]), made["id"],
        made["model"], made["version"], made["prediction"], label["label"],
        _moments(label["time_us"]), made["score"], map(msgspec.Raw, made["features"]),
        made["segments"], label["after_cohort"], made["late"],
    )  # fmt: skip
    return list(map(_ENCODER.encode, events))


def _moments(us: Sequence[int]) -> list[datetime]:
    return moments_all(np.array(us, dtype=np.int64))


def _evidence(labels: Sequence[int], predictions: Sequence[int], partition: int) -> list[bytes]:
    """Return `outcome.joined_evidence` of each."""
    start = b'{"spans":[["labels",%d,' % partition
    middle = b'],["predictions",%d,' % partition
    parts = zip(
        repeat(start), *_spans(labels), repeat(middle), *_spans(predictions),
        repeat(b']],"records":2}'), strict=False,
    )  # fmt: skip
    return list(map(b"".join, parts))


def _spans(offsets: Sequence[int]) -> tuple[list[bytes], Iterable[bytes], list[bytes]]:
    first: Indices = np.array(offsets, dtype=np.int64)
    return _texts(first.tolist()), repeat(b","), _texts((first + 1).tolist())


def _texts(numbers: list[int]) -> list[bytes]:
    return _ENCODER.encode(numbers)[1:-1].split(b",")
