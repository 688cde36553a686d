"""Runs of plain predictions and labels folded at once.

Rule 1: `Meter` record by record is the definition. This gives the same state and outputs to the
        last byte, whatever the input (tests/laws/test_batch_laws.py).
Rule 2: a record that isn't plain (late, a repeat, waited for, of a kind its profile doesn't know)
        ends the run and is folded by itself, so everything stays in log order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from streamops.core.label_batch import take_labels
from streamops.core.prediction_batch import take_predictions
from streamops.core.processor import Record
from streamops.core.rows import Rows, parts_of
from streamops.core.workspace import Step
from streamops.events import LabelArrived, PredictionMade


def take_all(work: Step, records: Sequence[Record]) -> None:
    """Fold records in their order."""
    for rows in parts_of(records):
        _take_part(work, rows)


def _take_part(work: Step, rows: Rows) -> None:
    first = 0
    for kind, same in groupby(map(type, rows.columns.events)):
        last = first + len(list(same))
        some = rows if last - first == len(rows) else rows[first:last]
        first = last
        take = _TAKES.get((kind, rows.topic))
        if take is not None:
            take(work, some)
            continue
        for record in some:
            work.take(record)


_TAKES: dict[tuple[Any, str], Callable[[Step, Rows], None]] = {
    (PredictionMade, "predictions"): take_predictions,
    (LabelArrived, "labels"): take_labels,
}
