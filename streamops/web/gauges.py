"""Prometheus metrics of the process that owns the views.

Names, units and labels stand in `streamops.metrics`. Values are read when they are asked
for; nothing is counted on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from streamops.metrics import Name
from streamops.web.reads.overview import Overview
from streamops.web.watch import Look

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OK = ("starting", "current", "behind", "no broker")


class Views(Collector):
    """Collects from one reading of the overview and the last look at the broker."""

    def __init__(self, read: Callable[[], tuple[Overview, Look]]) -> None:
        self._read = read

    def describe(self) -> list[GaugeMetricFamily]:
        """Return nothing, so that registering reads nothing: what there is follows from the log."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield every metric."""
        found, look = self._read()
        yield single("streamops_views_up", "1 unless the views stall", look.status in OK)
        yield single("streamops_views_idle_seconds", "Since a record was read", look.moved_s)
        yield single(
            "streamops_concluded_epoch", "Last epoch that is concluded", found.concluded_epoch
        )
        yield from topics(found)
        if look.lags is not None:
            lag = family("streamops_views_lag_records", "Not yet read", "topic", "partition")
            for (topic, partition), records in sorted(look.lags.items()):
                lag.add_metric([topic, str(partition)], records)
            yield lag
        yield from models(found)


def topics(found: Overview) -> Iterator[GaugeMetricFamily]:
    """Yield the records of each topic by what became of them."""
    records = family("streamops_views_records", "Records read, by outcome", "topic", "outcome")
    for topic in found.topics:
        for outcome in ("events", "repeats", "unreadable"):
            records.add_metric([topic.topic, outcome], getattr(topic, outcome))
    yield records


def models(found: Overview) -> Iterator[GaugeMetricFamily]:
    """Yield open alerts, those that paged nobody, and the last quality of each model."""
    alerts = family("streamops_alerts_open", "Open alerts", "model")
    quality = family("streamops_model_quality", "Last mature pane", "model", "metric")
    quiet = family("streamops_alerts_suppressed", "Open, paged nobody", "model", "reason")
    for model in found.models:
        for reason, open_alerts in sorted(model.suppressed.items()):
            quiet.add_metric([model.model, reason], open_alerts)
        alerts.add_metric([model.model], model.open_alerts)
        if model.value is not None:
            quality.add_metric([model.model, model.metric], model.value)
    yield alerts
    yield quiet
    yield quality


def single(name: Name, help: str, value: float) -> GaugeMetricFamily:
    """Return a gauge without labels."""
    return GaugeMetricFamily(name, help, value=float(value))


def family(name: Name, help: str, *labels: str) -> GaugeMetricFamily:
    """Return a gauge with labels."""
    return GaugeMetricFamily(name, help, labels=labels)


def exposition(read: Callable[[], tuple[Overview, Look]]) -> bytes:
    """Return all metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Views(read))
    return generate_latest(registry)
