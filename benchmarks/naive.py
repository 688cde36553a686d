"""The meter's job as a good Python team would first write it: one loop, `json.loads`, dictionaries.

It joins, bins every feature and score, sums what METER's summaries say of a pane, and writes an
outcome a label and a summary a pane; without epochs, evidence, checkpoints or exactness: its sums
are floats, and a pane is sent when the one after the next begins.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, MutableMapping
from datetime import datetime
from typing import Any

from streamops.core.panes import DELAY_EDGES_S
from streamops.values import ModelVersion

EPSILON = 1e-15


class NaiveMeter:
    """State of the loop; `take` is called with each record's value.

    write  is called with key and value of each record to write
    """

    def __init__(self, write: Callable[[bytes, bytes], object], version: ModelVersion) -> None:
        self.write = write
        self.edges = {f.name: list(f.edges) for f in version.profile.features}
        assert version.profile.score is not None, "the mix has scores"
        self.score_edges = list(version.profile.score.edges)
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
        """Bin a prediction's features and score, and keep it for its label."""
        pane = self.pane_of(event["model"], event["time"])
        if event["id"] in self.pending:
            pane["repeats"] += 1
            return
        pane["predictions"] += 1
        bins, sums = pane["bins"], pane["sums"]
        for name, edges in self.edges.items():
            value = event["features"].get(name)
            if value is None:
                pane["missing"][name] += 1
            else:
                bins[name][bisect_right(edges, value)] += 1
                sums[name] += value
        pane["score"][bisect_right(self.score_edges, event["score"])] += 1
        pane["score_sum"] += event["score"]
        self.pending[event["id"]] = event

    def labelled(self, event: dict[str, Any]) -> None:
        """Join a label, score it and write the outcome."""
        made = self.pending.pop(event["prediction_id"], None)
        if made is None:
            return
        self.count(self.pane_of(made["model"], made["time"]), made, event)
        outcome = {**made, "type": "Outcome", "label": event["label"], "label_time": event["time"]}
        self.produce(made["model"], outcome)
        self.outcomes += 1

    def count(self, pane: dict[str, Any], made: dict[str, Any], event: dict[str, Any]) -> None:
        """Add a label to what is said of a pane's performance."""
        label, score = event["label"], min(max(made["score"], EPSILON), 1 - EPSILON)
        pane["labelled"] += 1
        pane["confusion"][f"{made['prediction']}/{label}"] += 1
        pane["labels"][label] += 1
        pane["log_loss"] -= math.log(score if label else 1 - score)
        pane["brier"] += (score - label) ** 2
        tenth = pane["calibration"][min(int(score * 10), 9)]
        tenth[0] += 1
        tenth[1] += label
        delay = datetime.fromisoformat(event["time"]) - datetime.fromisoformat(made["time"])
        pane["delay_s"][bisect_right(DELAY_EDGES_S, delay.total_seconds())] += 1

    def pane_of(self, model: str, time: str) -> dict[str, Any]:
        """Return the pane of a minute; a new one sends the summary of the one before."""
        key = (model, time[:16])
        if key not in self.panes:
            for old in [k for k in self.panes if k[0] == model and k[1] < key[1]][:-2]:
                self.produce(model, {"type": "Summary", "pane": old[1], **self.panes.pop(old)})
            self.panes[key] = {
                "predictions": 0,
                "repeats": 0,
                "labelled": 0,
                "missing": Counter(),
                "bins": {name: [0] * (len(edges) + 1) for name, edges in self.edges.items()},
                "sums": dict.fromkeys(self.edges, 0.0),
                "score": [0] * (len(self.score_edges) + 1),
                "score_sum": 0.0,
                "confusion": Counter(),
                "labels": Counter(),
                "log_loss": 0.0,
                "brier": 0.0,
                "calibration": [[0, 0] for _ in range(10)],
                "delay_s": [0] * (len(DELAY_EDGES_S) + 1),
            }
        return self.panes[key]

    def produce(self, key: str, what: dict[str, Any]) -> None:
        """Write one record as JSON."""
        self.write(key.encode(), json.dumps(what).encode())
