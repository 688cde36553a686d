"""A block of pending predictions: a column for each of what is kept of them and of their labels.

Rule 1: a row's number names its block and its place there; it is given once and never again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamops.core.columns import Indices
from streamops.values import Value

BLOCK_BITS = 12
BLOCK_ROWS = 1 << BLOCK_BITS
PLACE = BLOCK_ROWS - 1

Column = NDArray[Any]
_KINDS: Mapping[str, Any] = {
    "id": object,
    "time_us": np.int64,
    "expires_us": np.int64,
    "group": np.int64,
    "prediction": object,
    "score": np.float64,
    "features": object,
    "segments": object,
    "offset": np.int64,
}
_MATCH_KINDS: Mapping[str, Any] = {
    "label_id": object,
    "label": object,
    "label_us": np.int64,
    "label_offset": np.int64,
    "release_us": np.int64,
    "after_cohort": np.bool_,
}


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


class Block:
    """Rows in the order in which they came.

    size   how many there are; the rest of each column is room
    alive  how many of them are still pending
    """

    def __init__(self) -> None:
        self.size = self.alive = 0
        self.columns = {name: np.empty(BLOCK_ROWS, kind) for name, kind in _KINDS.items()}
        self.is_alive = np.zeros(BLOCK_ROWS, dtype=np.bool_)
        self.is_matched = np.zeros(BLOCK_ROWS, dtype=np.bool_)
        self.matches: dict[str, Column] = {}

    @property
    def room(self) -> int:
        """How many rows more it takes."""
        return BLOCK_ROWS - self.size

    def fill(self, columns: Mapping[str, Sequence[Any] | Column], first: int, last: int) -> None:
        """Take some rows of columns."""
        end = self.size + last - first
        for name, column in self.columns.items():
            column[self.size : end] = columns[name][first:last]
        self.is_alive[self.size : end] = True
        self.alive += last - first
        self.size = end

    def match(self, places: Indices, labels: Mapping[str, Column]) -> None:
        """Note labels of some rows; of two for one row the last stays."""
        if not self.matches:
            self.matches = {name: np.empty(BLOCK_ROWS, kind) for name, kind in _MATCH_KINDS.items()}
        for name, column in self.matches.items():
            column[places] = labels[name]
        self.is_matched[places] = True

    def column(self, name: str) -> Column:
        """Return a column by its name; that of a label is only there where one came."""
        found = self.columns.get(name)
        if found is None:
            found = self.is_matched if name == "is_matched" else self.matches[name]
        return found


def objects(values: Sequence[Any]) -> Column:
    """Return values as an array of objects, whatever they are."""
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found
