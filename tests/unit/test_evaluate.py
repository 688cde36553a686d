"""evaluate: which metrics a pane has, in which order, and where there is no number."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from streamops.core.evaluate import closed_metrics, mature_metrics
from streamops.core.panes import LATENCY_EDGES_MS
from streamops.core.performance import log_loss_term
from streamops.events import PaneSummarized
from streamops.values import FeatureCounts, Performance
from tests.builders import at, version


def summary(cut="closed", **fields):
    return PaneSummarized(
        id="s", time=at(10), model="m", version="v1", segment="all", pane_start=at(0), cut=cut,
        config_hash="h", profile_hash="p", **fields,
    )  # fmt: skip


def values(metrics):
    return {m.name if not m.feature else f"{m.name}({m.feature})": m.value for m in metrics}


def test_an_empty_pane_has_no_rates():
    found = values(closed_metrics(summary(), version()))
    assert found["throughput_per_s"] == 0.0
    empty = ("error_rate", "late_rate", "fault_rate", "latency_p50_ms", "latency_p99_ms")
    assert [found[name] for name in empty] == [None] * 5


def test_traffic():
    pane = summary(predictions=15, failures=5, late=5, repeats=2)
    found = values(closed_metrics(pane, None))
    assert (found["throughput_per_s"], found["error_rate"], found["late_rate"]) == (2.0, 0.25, 0.2)
    assert found["repeats"] == 2.0


def test_latency_quantiles_lie_in_their_bins():
    counts = [0] * (len(LATENCY_EDGES_MS) + 1)
    counts[LATENCY_EDGES_MS.index(10.0)] = 100
    found = values(closed_metrics(summary(predictions=100, latency_ms=tuple(counts)), None))
    for name in ("latency_p50_ms", "latency_p95_ms", "latency_p99_ms"):
        assert 7.0 < found[name] <= 10.0


def test_the_reference_drifts_from_itself_by_nothing():
    reference = version()
    features = tuple(
        FeatureCounts(p.name, p.counts, (0,) * len(p.counts)) for p in reference.profile.features
    )
    score = FeatureCounts("score", reference.profile.score.counts)
    pane = summary(predictions=100, features=features, score=score)
    found = values(closed_metrics(pane, reference))
    for name in ("psi(x)", "js(x)", "kl(x)", "ks(x)", "wasserstein(x)", "psi(c)", "chi2(c)"):
        assert found[name] == 0.0, name
    assert found["score_psi"] == found["missing_rate(x)"] == found["new_category_rate(c)"] == 0.0
    assert found["chi2_p(c)"] == 1.0


def test_fault_rate_is_over_all_values():
    counts = FeatureCounts("x", (0, 4, 0, 0, 0, 0, 0))
    pane = summary(predictions=4, faults=2, features=(counts, FeatureCounts("c", (4, 0, 0, 0))))
    assert values(closed_metrics(pane, version()))["fault_rate"] == 0.25


def mature(n=4, **fields):
    part = Performance(labelled=n, **fields)
    return summary("mature", predictions=4, performance=part)


def test_binary_classes():
    confusion = (("0", "0", 1), ("0", "1", 1), ("1", "0", 0), ("1", "1", 2))
    quanta = 4 * log_loss_term(0.5, True)
    pane = mature(confusion=confusion, scored=4, log_loss=quanta, brier=1 << 40)
    found = values(mature_metrics(pane, version()))
    assert (found["accuracy"], found["precision"], found["recall"]) == (0.75, 1.0, 2 / 3)
    assert found["f1"] == 0.8
    assert found["log_loss"] == pytest.approx(math.log(2), abs=1e-9)
    assert found["brier"] == 0.25
    assert found["coverage"] == 1.0


def test_multiclass_and_unknown_versions_have_macro_means_and_no_losses():
    confusion = (("a", "a", 1), ("b", "b", 1), ("c", "a", 2))
    many = replace(version(), task="multiclass")
    for known in (many, None):
        found = values(mature_metrics(mature(confusion=confusion), known))
        assert found["accuracy"] == 0.5
        assert "log_loss" not in found


def test_without_labels_there_is_coverage_alone():
    found = values(mature_metrics(mature(0), version()))
    assert found == {"coverage": 0.0, "label_delay_p50_s": None}
    assert values(mature_metrics(summary("mature"), version()))["coverage"] is None


def test_labels_drift_too():
    found = values(mature_metrics(mature(labels=(4, 0, 0, 0)), version()))
    assert found["label_psi"] > 0.2


def test_metrics_stand_in_a_fixed_order():
    pane = summary(predictions=1, features=(FeatureCounts("x", (0, 1, 0, 0, 0, 0, 0)),))
    names = [m.name for m in closed_metrics(pane, version())]
    assert names[:8] == [
        "throughput_per_s", "error_rate", "late_rate", "repeats", "fault_rate", "latency_p50_ms",
        "latency_p95_ms", "latency_p99_ms",
    ]  # fmt: skip
    assert names[8:] == ["psi", "js", "kl", "ks", "wasserstein", "missing_rate"]
