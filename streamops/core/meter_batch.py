"""Runs of plain predictions and labels folded at once.

Rule 1: `Meter` record by record is the definition. This gives the same state and outputs to the
        last byte, whatever the input (tests/laws/test_batch_laws.py).
Rule 2: a record that isn't plain (late, a repeat, waited for, of a kind its profile doesn't know)
        ends the run and is folded by itself, so everything stays in log order.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from streamops.core.label_batch import take_labels
from streamops.core.prediction_batch import take_predictions
from streamops.core.processor import Record
from streamops.core.workspace import Step
from streamops.events import LabelArrived, PredictionMade


def take_all(work: Step, records: Iterable[Record]) -> None:
    """Fold records in their order."""
    for kind, rows in groupby(records, _kind):
        if kind == "predictions":
            take_predictions(work, rows)
        elif kind == "labels":
            take_labels(work, rows)
        else:
            for record in rows:
                work.take(record)


def _kind(record: Record) -> str:
    kind, topic = type(record.event), record.topic
    if kind is PredictionMade and topic == "predictions":
        return topic
    return topic if kind is LabelArrived and topic == "labels" else ""
