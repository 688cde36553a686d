"""What must come of the traffic, counted beside it, and what came of it, read from the topics.

It counts with nothing of `streamops.core` but the profile's edges: a fault of the fold is not here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from contextlib import closing
from typing import Any

import msgspec

from benchmarks.traffic import Mix, version_of
from streamops import codec
from streamops.core.processor import Refusal
from streamops.events import (
    Event,
    LabelArrived,
    OutcomeJoined,
    PaneSummarized,
    PredictionMade,
    RecordRefused,
)
from streamops.kafka.follow import Follower
from streamops.settings import Settings
from streamops.values import FeatureProfile

Pane = tuple[str, str]
FAULTS_SHOWN = 20


class Truth:
    """Counts of every pane and every join, as the generator knows them."""

    def __init__(self, mix: Mix) -> None:
        self.profiles = {f.name: f for f in version_of(mix, 0).profile.features}
        self.predictions: Counter[Pane] = Counter()
        self.labelled: Counter[Pane] = Counter()
        self.bins: dict[Pane, Counter[tuple[str, int]]] = defaultdict(Counter)
        self.pairs: dict[Pane, Counter[tuple[str, str]]] = defaultdict(Counter)
        self.joined: dict[str, tuple[Any, Any]] = {}
        self._made: dict[str, tuple[Pane, Any]] = {}

    def note(self, made: list[PredictionMade], labels: list[LabelArrived]) -> None:
        """Count a round that the broker has."""
        for event in made:
            pane = event.model, event.time.replace(second=0, microsecond=0).isoformat()
            self.predictions[pane] += 1
            self._made[event.id] = pane, event.prediction
            for name, value in msgspec.json.decode(event.features).items():
                self.bins[pane][(name, bin_of(self.profiles[name], value))] += 1
        for label in labels:
            pane, prediction = self._made.pop(label.prediction_id)
            self.labelled[pane] += 1
            self.pairs[pane][(str(prediction), str(label.label))] += 1
            self.joined[label.prediction_id] = prediction, label.label


def bin_of(profile: FeatureProfile, value: float | None) -> int:
    """Return a number's bin: [below low, bins cut by the edges, above high, missing]."""
    last = len(profile.counts) - 1
    if value is None:
        return last
    if value < profile.low:
        return 0
    if value > profile.high:
        return last - 1
    return 1 + bisect_right(profile.edges, value)


class Found:
    """What the topics hold, each stamp once."""

    def __init__(self, settings: Settings) -> None:
        self.truth_of_panes = Truth(Mix())
        self.joins: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
        self.faults: list[str] = []
        self._stamps: dict[tuple[str, str], bytes] = {}
        self.repeats = 0
        with closing(Follower(settings, "truth", ["outcomes", "summaries", "dlq"])) as follower:
            for record in follower.to_end():
                event = record.event
                if isinstance(event, RecordRefused):
                    self.faults.append(f"refused: {event.reason}")
                elif not isinstance(event, Refusal) and self._is_new(event):
                    self._take(event)

    def _is_new(self, event: Event) -> bool:
        stamp = getattr(event, "stamp", None)
        if stamp is None:
            return False
        key, what = (stamp.source, f"{stamp.epoch}/{stamp.ordinal}"), codec.conclusion(event)
        known = self._stamps.setdefault(key, what)
        if known is what:
            return True
        self.repeats += 1
        if known != what:
            self.faults.append(f"two conclusions under {key}")
        return False

    def _take(self, event: Event) -> None:
        if isinstance(event, OutcomeJoined):
            self.joins[event.prediction_id].append((event.prediction, event.label))
        if not isinstance(event, PaneSummarized) or event.segment != "all":
            return
        pane, seen = (event.model, event.pane_start.isoformat()), self.truth_of_panes
        if event.late or event.repeats or event.failures:
            self.faults.append(f"{pane}: late {event.late}, repeats {event.repeats}")
        if event.cut == "closed":
            seen.predictions[pane] += event.predictions
            for feature in event.features:
                for number, count in enumerate(feature.counts):
                    if count:
                        seen.bins[pane][(feature.name, number)] += count
        if event.cut == "mature" and event.performance is not None:
            seen.labelled[pane] += event.performance.labelled
            for prediction, label, count in event.performance.confusion:
                seen.pairs[pane][(prediction, label)] += count


def differences(truth: Truth, found: Found, closed: set[str], mature: set[str]) -> list[str]:
    """Return in words what is not as it must be, at most 20 of them.

    closed, mature  starts of the panes that must have been closed, and matured
    """
    seen = found.truth_of_panes
    faults = list(found.faults)
    for name, starts in (
        ("predictions", closed),
        ("bins", closed),
        ("labelled", mature),
        ("pairs", mature),
    ):
        was, now = getattr(truth, name), getattr(seen, name)
        for pane in sorted(set(was) | set(now)):
            if pane[1] in starts and was.get(pane) != now.get(pane):
                faults.append(f"{name} of {pane}: {now.get(pane)}, not {was.get(pane)}")
    lost = truth.joined.keys() - found.joins.keys()
    faults += [f"outcome of {one} is lost" for one in sorted(lost)]
    for one, outcomes in found.joins.items():
        if outcomes != [truth.joined.get(one)]:
            faults.append(f"outcome of {one}: {outcomes}, not {truth.joined.get(one)}")
    return faults[:FAULTS_SHOWN]
