"""From a pane's exact sums to its metrics: the one table of what is computed.

Rule 1: floats begin here, after merging, through `statistics`, `performance` and `numeric` only.
Rule 2: a metric that can't be computed has value None (insufficient data), never 0 or NaN.
Rule 3: metrics come out in a fixed order: by the tables below, features in their profile's order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streamops.core import performance, statistics
from streamops.core.distances import Distances, distances_of
from streamops.core.panes import DELAY_EDGES_S, LATENCY_EDGES_MS
from streamops.core.performance import ERROR_QUANTUM
from streamops.core.times import micros
from streamops.events import PaneSummarized
from streamops.values import FeatureProfile, Metric, ModelVersion, Performance

LATENCY_QUANTILES = (("latency_p50_ms", 0.50), ("latency_p95_ms", 0.95), ("latency_p99_ms", 0.99))
_OF_NUMBERS = ("psi", "js", "kl", "ks", "wasserstein")
_OF_CATEGORIES = ("psi", "js", "chi2", "chi2_p")


def closed_metrics(summary: PaneSummarized, version: ModelVersion | None) -> tuple[Metric, ...]:
    """Return drift, score, latency and traffic metrics of a closed pane."""
    found = list(_traffic(summary))
    if version is not None:
        profiles = {profile.name: profile for profile in version.profile.features}
        columns = [profiles[counts.name] for counts in summary.features]
        rows = [counts.counts for counts in summary.features]
        if version.profile.score is not None and summary.score is not None:
            columns.append(version.profile.score)
            rows.append(summary.score.counts)
        names = [("", counts.name) for counts in summary.features] + [("score_", "")]
        found.extend(_drift(tuple(columns), rows, names))
    return tuple(found)


def mature_metrics(summary: PaneSummarized, version: ModelVersion | None) -> tuple[Metric, ...]:
    """Return coverage and performance metrics of a mature pane."""
    part = summary.performance or Performance()
    reference = {} if version is None else version.profile.performance
    n = part.labelled
    share = n / summary.predictions if summary.predictions else None
    found = [Metric("coverage", "", share, None, summary.predictions)]
    found.append(_quantile("label_delay_p50_s", part.delay_s, DELAY_EDGES_S, 0.5, n))
    values = _classes(part, version) if part.confusion else {}
    values.update(_errors(part) if part.measured else {})
    for name, value in values.items():
        found.append(Metric(name, "", value, reference.get(name), n))
    if version is not None and version.profile.label is not None and part.labels:
        found.extend(_drift((version.profile.label,), [part.labels], [("label_", "")]))
    return tuple(found)


def _traffic(summary: PaneSummarized) -> Iterator[Metric]:
    requests = summary.predictions + summary.failures
    seconds = (micros(summary.time) - micros(summary.pane_start)) / 1_000_000
    yield Metric("throughput_per_s", "", requests / seconds, None, requests)
    rate = summary.failures / requests if requests else None
    yield Metric("error_rate", "", rate, None, requests)
    arrived = requests + summary.late
    yield Metric("late_rate", "", summary.late / arrived if arrived else None, None, arrived)
    yield Metric("repeats", "", float(summary.repeats), None, arrived)
    values = summary.predictions * len(summary.features)
    yield Metric("fault_rate", "", summary.faults / values if values else None, None, values)
    measured = sum_of(summary.latency_ms)
    for name, q in LATENCY_QUANTILES:
        yield _quantile(name, summary.latency_ms, LATENCY_EDGES_MS, q, measured)


def _quantile(
    name: str, counts: tuple[int, ...], edges: tuple[float, ...], q: float, n: int
) -> Metric:
    value = statistics.quantile_from_bins(counts, edges, q, low=0.0) if counts else None
    return Metric(name, "", value, None, n)


def _drift(
    columns: tuple[FeatureProfile, ...],
    rows: Sequence[tuple[int, ...]],
    names: Sequence[tuple[str, str]],
) -> Iterator[Metric]:
    """Yield the drift metrics of each column; a name is the metrics' prefix and the feature."""
    found = zip(columns, rows, distances_of(columns, rows), names, strict=False)
    for profile, counts, distances, (prefix, feature) in found:
        yield from _of_column(profile, counts, distances, prefix, feature)


def _of_column(
    profile: FeatureProfile,
    counts: tuple[int, ...],
    distances: Distances,
    prefix: str,
    feature: str,
) -> Iterator[Metric]:
    reference, n = profile.counts, sum_of(counts)
    rows = sum_of(reference)
    for name in _OF_NUMBERS if profile.kind == "numeric" else _OF_CATEGORIES:
        yield Metric(prefix + name, feature, getattr(distances, name), None, n)
    if profile.kind != "numeric":
        present, known = n - counts[-1], rows - reference[-1]
        yield Metric(
            prefix + "new_category_rate",
            feature,
            statistics.new_category_rate(counts[-2], present),
            statistics.new_category_rate(reference[-2], known),
            n,
        )
    missing = statistics.missing_rate(counts[-1], n)
    known_missing = statistics.missing_rate(reference[-1], rows)
    yield Metric(prefix + "missing_rate", feature, missing, known_missing, n)


def _classes(part: Performance, version: ModelVersion | None) -> dict[str, float | None]:
    confusion = {(prediction, label): count for prediction, label, count in part.confusion}
    if version is None or version.task != "binary":
        return dict(performance.multiclass(confusion))
    values: dict[str, float | None] = dict(performance.binary(confusion, version.positive))
    values["log_loss"] = performance.mean_term(part.log_loss, part.scored)
    values["brier"] = performance.mean_term(part.brier, part.scored)
    return values


def _errors(part: Performance) -> dict[str, float | None]:
    mae = performance.mean_term(part.absolute_error, part.measured, ERROR_QUANTUM)
    return {"mae": mae, "rmse": performance.rmse(part.squared_error, part.measured)}


def sum_of(counts: tuple[int, ...]) -> int:
    """Return the sum of integer counts."""
    total = 0
    for count in counts:
        total += count
    return total
