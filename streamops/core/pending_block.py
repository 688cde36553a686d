"""What is kept of pending predictions and of their first labels, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamops.core.block_shelf import Layout
from streamops.core.columns import Indices
from streamops.values import Value

# Features are by far the most, and only an outcome needs them.
PREDICTIONS = Layout(
    {
        "time_us": np.int64,
        "expires_us": np.int64,
        "group": np.int64,
        "score": np.float64,
        "offset": np.int64,
    },
    (("id", "prediction", "segments"), ("features",)),
)
LABELS = Layout(
    {
        "label_us": np.int64,
        "label_offset": np.int64,
        "release_us": np.int64,
        "after_cohort": np.bool_,
    },
    (("label_id", "label"),),
)


class GroupKey(NamedTuple):
    """What many pending predictions share."""

    model: str
    version: str
    pane_us: int
    config_hash: str
    late: bool


class Made(NamedTuple):
    """Predictions that are to be kept, as columns in log order; each of another id.

    groups  what they share, of_group: which of it each has
    """

    id: Sequence[str]
    time_us: Indices
    expires_us: Indices
    groups: Sequence[GroupKey]
    of_group: Indices
    prediction: Sequence[Value]
    score: Sequence[float | None]
    features: Sequence[bytes]
    segments: Sequence[dict[str, str]]
    offset: Sequence[int]


class Labels(NamedTuple):
    """First labels of pending predictions, as columns; see `Matched`."""

    label_id: Sequence[str]
    label: Sequence[Value]
    label_us: Indices
    label_offset: Sequence[int]
    release_us: Indices
    after_cohort: NDArray[np.bool_]
