"""The meter's job as a good Python team would first write it: one loop, `json.loads`, dictionaries.

It joins, bins every feature, sums a pane's counts, and writes an outcome a label and a summary a
pane; without epochs, evidence, checkpoints or exactness.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, MutableMapping
from typing import Any

from streamops.values import ModelVersion


class NaiveMeter:
    """State of the loop; `take` is called with each record's value.

    write  is called with key and value of each record to write
    """

    def __init__(self, write: Callable[[bytes, bytes], object], version: ModelVersion) -> None:
        self.write = write
        self.edges = {f.name: list(f.edges) for f in version.profile.features}
        self.pending: MutableMapping[str, dict[str, Any]] = {}
        self.panes: dict[tuple[str, str], dict[str, Any]] = {}
        self.outcomes = 0

    def take(self, value: bytes) -> None:
        """Count one record."""
        self.take_event(json.loads(value))

    def take_event(self, event: dict[str, Any]) -> None:
        """Count one record that was read."""
        if event["type"] == "PredictionMade":
            self.predicted(event)
        elif event["type"] == "LabelArrived":
            self.labelled(event)

    def predicted(self, event: dict[str, Any]) -> None:
        """Bin a prediction's features and keep it for its label."""
        pane = self.pane_of(event["model"], event["time"])
        pane["predictions"] += 1
        for name, edges in self.edges.items():
            value = event["features"].get(name)
            if value is None:
                pane["missing"][name] = pane["missing"].get(name, 0) + 1
            else:
                pane["bins"][name][bisect_right(edges, value)] += 1
        self.pending[event["id"]] = event

    def labelled(self, event: dict[str, Any]) -> None:
        """Join a label, score it and write the outcome."""
        made = self.pending.pop(event["prediction_id"], None)
        if made is None:
            return
        pane = self.pane_of(made["model"], made["time"])
        pane["labelled"] += 1
        pane["right"] += made["prediction"] == event["label"]
        outcome = {**made, "type": "Outcome", "label": event["label"], "label_time": event["time"]}
        self.produce(made["model"], outcome)
        self.outcomes += 1

    def pane_of(self, model: str, time: str) -> dict[str, Any]:
        """Return the pane of a minute; a new one sends the summary of the one before."""
        key = (model, time[:16])
        if key not in self.panes:
            for old in [k for k in self.panes if k[0] == model and k[1] < key[1]][:-2]:
                self.produce(model, {"type": "Summary", "pane": old[1], **self.panes.pop(old)})
            self.panes[key] = {
                "predictions": 0,
                "labelled": 0,
                "right": 0,
                "missing": {},
                "bins": {name: [0] * (len(edges) + 1) for name, edges in self.edges.items()},
            }
        return self.panes[key]

    def produce(self, key: str, what: dict[str, Any]) -> None:
        """Write one record as JSON."""
        self.write(key.encode(), json.dumps(what).encode())
