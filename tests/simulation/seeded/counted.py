"""What a log's records come to, by numbers that a reader of derived topics can check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from streamops.events import Event, OutcomeJoined, PaneSummarized, RecordRefused
from streamops.values import Stamp


@dataclass
class Counted:
    """What the records of a log come to, by what a reader can check.

    outcomes     (prediction id, label, after its cohort, late)
    corrections  (prediction id, id of the correcting label)
    refused      ids of the refusals
    panes        (partition, start, cut, what) -> how many
    sums         (partition, "late" or "repeats") -> how many
    """

    outcomes: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    corrections: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    panes: Counter[tuple[int, int, str, str]] = field(default_factory=Counter)
    sums: Counter[tuple[int, str]] = field(default_factory=Counter)


def count(events: Iterable[Event]) -> Counted:
    """Count what was told of outcomes, panes and refusals of raw records."""
    found = Counted()
    for event in events:
        if isinstance(event, OutcomeJoined):
            _count_outcome(found, event)
        elif isinstance(event, PaneSummarized):
            _count_pane(found, event)
        elif isinstance(event, RecordRefused) and event.topic in ("predictions", "labels"):
            found.refused[event.id] += 1
    return found


def _count_outcome(found: Counted, event: OutcomeJoined) -> None:
    prediction = event.prediction_id
    if event.correction:
        label = event.id.removeprefix(f"outcome/{prediction}/")
        found.corrections[(prediction, label)] += 1
    else:
        found.outcomes[(prediction, event.label, event.after_cohort, event.late)] += 1


def _count_pane(found: Counted, event: PaneSummarized) -> None:
    assert isinstance(event.stamp, Stamp), "a summary has a stamp"
    at, start = int(event.stamp.source.rpartition("/")[2]), round(event.pane_start.timestamp())
    if event.cut != "mature":
        found.panes[(at, start, event.cut, "predictions")] += event.predictions
    if event.performance is not None:
        for what in ("labelled", "duplicates", "corrections"):
            found.panes[(at, start, event.cut, what)] += getattr(event.performance, what)
    if event.cut == "restated":
        found.sums[(at, "late")] += event.late
        found.sums[(at, "repeats")] += event.repeats
