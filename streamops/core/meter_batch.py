"""Runs of plain predictions and labels folded at once.

Rule 1: `Meter` record by record is the definition. This gives the same state and outputs to the
        last byte, whatever the input (tests/laws/test_batch_laws.py).
Rule 2: a record that isn't plain (late, a repeat, waited for, of a kind its profile doesn't know)
        ends the run and is folded by itself, so everything stays in log order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from operator import is_not, itemgetter, ne
from typing import Any

import numpy as np

from streamops.core.label_batch import take_labels
from streamops.core.prediction_batch import take_predictions
from streamops.core.processor import Record
from streamops.core.workspace import Step
from streamops.events import LabelArrived, PredictionMade


def take_all(work: Step, records: Sequence[Record]) -> None:
    """Fold records in their order."""
    if not records:
        return
    kinds, topics = list(map(type, map(_EVENT, records))), list(map(_TOPIC, records))
    size = len(records) - 1
    cuts = np.fromiter(map(is_not, kinds, kinds[1:]), np.bool_, size)
    cuts |= np.fromiter(map(ne, topics, topics[1:]), np.bool_, size)
    for first, last in pairwise([0, *(np.flatnonzero(cuts) + 1).tolist(), size + 1]):
        rows = records[first:last]
        take = _TAKES.get((kinds[first], topics[first]))
        if take is not None:
            take(work, rows)
            continue
        for record in rows:
            work.take(record)


_TOPIC, _EVENT = itemgetter(0), itemgetter(6)
_TAKES: dict[tuple[Any, str], Callable[[Step, Sequence[Record]], None]] = {
    (PredictionMade, "predictions"): take_predictions,
    (LabelArrived, "labels"): take_labels,
}
