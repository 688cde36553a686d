"""Predictions that are folded together, as columns.

Rule 1: rows are in log order, and any of them can be left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import astuple

from streamops.core.columns import Flags, pick
from streamops.core.feature_reader import Reader
from streamops.core.moments import micros_all
from streamops.core.panes import PaneKey
from streamops.core.rows import Columns, Rows
from streamops.events import PredictionMade
from streamops.values import ModelVersion

_FIELDS = PredictionMade.__struct_fields__


class Group(NamedTuple):
    """Where predictions of one model, version, pane and segments count; keys[0] is all of them.

    counted  keys whose panes count features, the first of keys before the others
    """

    keys: tuple[PaneKey, ...]
    counted: tuple[PaneKey, ...]
    version: ModelVersion | None
    reader: Reader | None


class Run:
    """Predictions in log order: a column for each of what they bring.

    codes  the group of each
    read   its features as their reader's struct, None where they aren't counted
    """

    def __init__(self, records: Rows) -> None:
        self.offsets, self.append_ms, _, self.values, made = records.columns
        columns: Any = zip(*map(astuple, made), strict=True)  # type: ignore[arg-type]
        self.records = records
        self.column: dict[str, Sequence[Any]] = dict(zip(_FIELDS, columns, strict=True))
        self.texts: Sequence[bytes] = list(map(bytes, self.column["features"]))
        self.time_us = micros_all(self.column["time"])
        self.codes = self.start_us = self.expires_us = np.zeros(0, dtype=np.int64)
        self.groups: list[Group] = []
        self.read: list[Any] = []

    def part(self, first: int, last: int, kept: Flags) -> Run:
        """Return some of the rows, those that are kept."""
        if kept[first:last].all():
            if first == 0 and last == len(self.records):
                return self
            return self._chosen(itemgetter(slice(first, last)))
        rows = np.flatnonzero(kept[first:last]) + first

        def choose(column: Any) -> Any:
            return column[rows] if isinstance(column, np.ndarray) else pick(column, rows)

        return self._chosen(choose)

    def _chosen(self, choose: Callable[[Any], Any]) -> Run:
        part = Run.__new__(Run)
        for name in ("offsets", "append_ms", "values", "texts", "time_us", "codes", "start_us",
                     "expires_us", "read"):  # fmt: skip
            setattr(part, name, choose(getattr(self, name)))
        of = self.records
        part.records = Rows(of.topic, of.partition, Columns(*map(choose, of.columns)))
        part.column = {name: choose(column) for name, column in self.column.items()}
        part.groups = self.groups
        return part
