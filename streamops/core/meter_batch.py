"""Runs of plain predictions and labels folded at once.

Rule 1: `Meter` record by record is the definition. This gives the same state and outputs to the
        last byte, whatever the input (tests/laws/test_batch_laws.py).
Rule 2: a record that isn't plain (late, a repeat, waited for, of a kind its profile doesn't know)
        ends the run and is folded by itself, so everything stays in log order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from streamops.core.label_batch import take_labels
from streamops.core.prediction_batch import take_predictions
from streamops.core.processor import Record
from streamops.core.workspace import Step
from streamops.events import LabelArrived, PredictionMade


def take_all(work: Step, records: Sequence[Record]) -> None:
    """Fold records in their order."""
    kinds = [(type(record[6]), record[0]) for record in records]
    cuts = [at for at in range(1, len(kinds)) if kinds[at] != kinds[at - 1]]
    for first, last in pairwise([0, *cuts, len(kinds)]):
        rows = records[first:last]
        take = _TAKES.get(kinds[first]) if rows else None
        if take is not None:
            take(work, rows)
            continue
        for record in rows:
            work.take(record)


_TAKES = {
    (PredictionMade, "predictions"): take_predictions,
    (LabelArrived, "labels"): take_labels,
}
