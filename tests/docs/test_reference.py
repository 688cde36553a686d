"""Reference pages: every key, metric and field is there, and nothing that isn't."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import tables
from streamops.config import DRIFT_METRICS
from streamops.core.evaluate import closed_metrics, mature_metrics
from streamops.core.profile import category_profile, numeric_profile
from streamops.events import PaneSummarized
from streamops.values import (
    FeatureCounts,
    FeatureProfile,
    ModelVersion,
    Performance,
    ReferenceProfile,
)
from tests.builders import at

ROOT = Path(__file__).parents[2]
STRUCTS = (*tables.CONFIG, *tables.SUMMARY, tables.Settings, tables.SimulateOptions, tables.Columns)
NUMBERS = numeric_profile("price", [float(n) for n in range(40)])
WORDS = category_profile("day", ["monday", "tuesday", None])
MATURE = Performance(
    labelled=2, confusion=(("a", "a", 1), ("b", "a", 1)), scored=2, log_loss=1, brier=1
)


def pane(features: tuple[FeatureProfile, ...], performance: Performance) -> PaneSummarized:
    """A pane in which each feature has the counts of its profile."""
    return PaneSummarized(
        id="p", time=at(10), model="m", version="1", segment="all", pane_start=at(0), cut="closed",
        config_hash="", profile_hash="", predictions=2, latency_ms=(), performance=performance,
        features=tuple(FeatureCounts(f.name, f.counts) for f in features),
        score=FeatureCounts("", NUMBERS.counts),
    )  # fmt: skip


def version(task: str, label: FeatureProfile) -> ModelVersion:
    profile = ReferenceProfile(rows=40, features=(NUMBERS, WORDS), score=NUMBERS, label=label)
    return ModelVersion(
        model="m",
        version="1",
        task=task,
        profile=profile,
        profile_hash="",
        positive="a",  # type: ignore[arg-type]
    )


def computed() -> set[str]:
    """Names of all metrics that a pane of any task can have."""
    found: set[str] = set(DRIFT_METRICS)
    for task, label in (("binary", WORDS), ("multiclass", WORDS), ("regression", NUMBERS)):
        part = Performance(labelled=2, measured=2) if task == "regression" else MATURE
        part = Performance(
            **{f: getattr(part, f) for f in part.__struct_fields__} | {"labels": label.counts}
        )
        summary, known = pane((NUMBERS, WORDS), part), version(task, label)
        for metric in (*closed_metrics(summary, known), *mature_metrics(summary, known)):
            found.add(metric.name)
    return found


def documented() -> set[str]:
    """Names in the first column of the metrics page's tables."""
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_every_metric_of_a_model_is_documented_and_exists():
    assert documented() == computed()


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda s: s.__name__)
def test_every_key_has_a_meaning(struct):
    assert set(tables.meanings(struct)) == set(struct.__struct_fields__)


def test_no_meaning_is_of_a_key_that_is_gone():
    known = {f"{s.__name__}.{field}" for s in STRUCTS for field in s.__struct_fields__}
    assert set(tables.MEANINGS) - known == set()
