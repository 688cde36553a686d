"""Outcomes that are due, encoded at once.

Rule 1: `cuts.release`, one by one, is the definition; this gives the same outputs to the last byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter

import msgspec

from streamops.core import cuts
from streamops.core.columns import Column
from streamops.core.join import JoinTable
from streamops.core.meter_state import MeterState
from streamops.core.moments import moments_all
from streamops.core.outcome_texts import bodies, evidence_columns
from streamops.core.output_rows import OutputRows
from streamops.core.pending import known_of, segments_of_all
from streamops.core.pending_block import GroupKey
from streamops.core.processor import Output
from streamops.values import Value

# Below it they cost more at once than one by one.
RUN_MIN = 16
_MADE = ("group", "id", "time_us", "prediction", "score", "features", "segments", "offset")
_LABEL = ("label", "label_us", "label_offset", "after_cohort")
# An object without the brace that closes it.
_OPEN = itemgetter(slice(None, -1))
_ENCODER = msgspec.json.Encoder(order="deterministic")


class _Outcome(
    msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag_field="type", tag="OutcomeJoined"
):
    """The fields of `OutcomeJoined` that release sets, in its order and with its defaults; by
    position, which takes a third of the time. For those that aren't plain (outcome_texts)."""

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


def release_all(state: MeterState, join: JoinTable, partition: int) -> Sequence[Output]:
    """Send the outcomes that are due, in order of prediction time and id."""
    rows = join.release_rows(state.labels_us)
    if len(rows) < RUN_MIN:
        pairs = [(join.pending.entry(row), join.matched.of_row(row)) for row in rows.tolist()]
        return [cuts.outcome_output(*pair, partition) for pair in pairs]
    column = dict(zip(_MADE, join.pending.gather(rows, *_MADE), strict=True))
    column |= zip(_LABEL, join.matched.gather(rows, *_LABEL), strict=True)
    codes = column["group"].tolist()
    keys = {code: join.pending.key_of(code) for code in set(codes)}
    made = bodies(column, keys)
    if made is None:
        made = list(map(_OPEN, _conclusions(column, [keys[code] for code in codes])))
    models = {code: key.model for code, key in keys.items()}
    evidence = evidence_columns(column["label_offset"], column["offset"], partition)
    return OutputRows("outcomes", list(map(models.__getitem__, codes)), evidence, made)


def _conclusions(column: dict[str, Column], keys: Sequence[GroupKey]) -> list[bytes]:
    models, versions, _, _, late = zip(*keys, strict=True)
    ids = column["id"].tolist()
    events = map(
        _Outcome, map("outcome/".__add__, ids), moments_all(column["time_us"]), ids, models,
        versions, column["prediction"].tolist(), column["label"].tolist(),
        moments_all(column["label_us"]), known_of(column["score"]),
        map(msgspec.Raw, column["features"].tolist()), segments_of_all(column["segments"].tolist()),
        column["after_cohort"].tolist(), late,
    )  # fmt: skip
    return list(map(_ENCODER.encode, events))
