"""What of a pane is put to drift tests: features, score and labels that a rule asks for.

Rule 1: closed panes hold features and score, mature ones labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from streamops.config import ModelConfig
from streamops.core import budget
from streamops.events import PaneSummarized
from streamops.values import FeatureProfile, ModelVersion

SCORE_METRIC, LABEL_METRIC = "score_drift", "label_drift"


class Asked(NamedTuple):
    """A pane as its version's tests read it.

    features, alone  profiles of what is tested; metric: of the one that is no feature
    about            what the tests' state belongs to
    counts           of the pane, a row a column
    """

    features: tuple[FeatureProfile, ...]
    alone: FeatureProfile | None
    metric: str
    about: str
    counts: Sequence[tuple[int, ...]]

    @property
    def columns(self) -> tuple[FeatureProfile, ...]:
        """All of them, features first."""
        return self.features if self.alone is None else (*self.features, self.alone)


def asked_of(merged: PaneSummarized, version: ModelVersion, config: ModelConfig) -> Asked | None:
    """Return what a pane's configuration asks to be tested of it; None for nothing."""
    if merged.cut == "closed":
        return _inputs(merged, version, config)
    return _labels(merged, version, config) if merged.cut == "mature" else None


def _inputs(merged: PaneSummarized, version: ModelVersion, config: ModelConfig) -> Asked | None:
    tested, profile = budget.tested(config, merged.segment), version.profile
    features = profile.features if tested.features and merged.features else ()
    score = profile.score if tested.score else None
    if not features and score is None:
        return None
    about = f"{merged.profile_hash}/{config.pane_s}/{len(features)}/{score is not None}"
    counts = [feature.counts for feature in merged.features] if features else []
    if score is not None:
        counts.append((0,) * len(score.counts) if merged.score is None else merged.score.counts)
    return Asked(features, score, SCORE_METRIC, about, counts)


def _labels(merged: PaneSummarized, version: ModelVersion, config: ModelConfig) -> Asked | None:
    label = version.profile.label
    if not budget.tested(config, merged.segment).labels or label is None:
        return None
    labels = () if merged.performance is None else merged.performance.labels
    about = f"{merged.profile_hash}/{config.pane_s}/labels"
    return Asked((), label, LABEL_METRIC, about, (labels or (0,) * len(label.counts),))
