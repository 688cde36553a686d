"""Rows of the join: what is kept of a prediction, of its first label, of a label that waits.

Rule 1: a row is plain data; the table and its store hold the same ones.
"""

from __future__ import annotations

import msgspec

from streamops.values import Value

LATER_MAX = 100


class Pending(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A prediction that may still get a label. Times in microseconds; features as JSON."""

    id: str
    time_us: int
    expires_us: int
    model: str
    version: str
    prediction: Value
    score: float | None
    features: bytes
    segments: dict[str, str]
    late: bool
    offset: int
    pane_us: int
    config_hash: str


class Matched(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The first label of a pending prediction, and the latest correction of it.

    release_us    its outcome goes out when labels' tick is above
    after_cohort  the label came after the cohort delay
    """

    label_id: str
    label: Value
    time_us: int
    offset: int
    latest_id: str
    latest: Value
    release_us: int
    after_cohort: bool


class Waiting(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A label that came before its prediction; `stood_us` is labels' tick where it stands.

    later  more labels for the same prediction, in log order, at most LATER_MAX
    """

    prediction_id: str
    label_id: str
    label: Value
    time_us: int
    stood_us: int
    expires_us: int
    offset: int
    append_ms: int
    value: bytes
    later: tuple[Waiting, ...] = ()


class MatchRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A match as it is stored; the offset tells a prediction from a later one of its id."""

    id: str
    offset: int
    match: Matched


def release_time_us(entry: Pending, match: Matched) -> int:
    """Return the time that labels' tick must pass; an outcome goes out before it is forgotten."""
    return min(match.release_us, entry.expires_us - 1)
