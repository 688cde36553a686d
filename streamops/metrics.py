"""What processes tell Prometheus: every metric's name, with kind, unit, labels and meaning.

    STREAMOPS_METRICS_PORT=9400 streamops run meter     GET http://127.0.0.1:9400/metrics

Rule 1: a name stands in `Name` and nowhere else; the type checker refuses any other. The comment
        above it is its documentation: `kind, unit; labels` (- for none), then the meaning.
Rule 2: values are read when Prometheus asks. A fold never waits for a metric.
Rule 3: nothing is exposed unless STREAMOPS_METRICS_PORT is set; 0 and empty count as not set.
        A stack's services get the port and those after it, in their starting order; where it isn't
        set, `streamops up` chooses free ones of 127.0.0.1.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from streamops.errors import ConfigError

LOG = logging.getLogger(__name__)
PORT_VARIABLE = "STREAMOPS_METRICS_PORT"
HOST_VARIABLE = "STREAMOPS_HOST"
HOST = "127.0.0.1"

Name = Literal[
    # counter, records; processor, topic
    # Records taken from Kafka since the process began, ticks, closes and repeats among them.
    "streamops_records_total",
    # counter, records; processor, topic
    # Events handed to the producer since the process began; those on `dlq` are refusals.
    "streamops_sent_total",
    # counter, records; processor
    # Records refused: sent to `dlq` with the reason.
    "streamops_refusals_total",
    # counter, epochs; processor
    # Epochs folded since the process began, those folded again after a restart among them.
    "streamops_epochs_folded_total",
    # gauge, epoch; processor, partition
    # Number of the last folded epoch.
    "streamops_epoch",
    # gauge, seconds since 1970; processor, partition
    # When the last epoch was folded, by this host's clock. Alert on its age: it is the liveness.
    "streamops_epoch_folded_timestamp_seconds",
    # gauge, seconds since 1970; processor, partition
    # Event time of the newest tick read. The watermark's lag is `time()` minus this; in a driven
    # namespace it may be any year's. Only for processors that read ticks.
    "streamops_watermark_timestamp_seconds",
    # gauge, seconds; processor, partition
    # Watermark lag: this host's clock minus the event time of the newest tick read. In a driven
    # namespace it may be any number of years.
    "streamops_watermark_lag_seconds",
    # histogram, seconds; processor
    # Pane close latency: from the append of the record that completed an epoch (METER: its last
    # tick; behind METER: its last close) until what was concluded from it was handed to the
    # producer. Panes close at the end of an epoch.
    "streamops_pane_close_seconds",
    # histogram, records; processor
    # Records a batch: what one partition gave at a time.
    "streamops_batch_records",
    # counter, seconds; processor, stage
    # Where the worker's time went: wait (for records), decode, fold, produce (handing over, and
    # waiting for acknowledgements), checkpoint, store (views and files). Stages of one thread add
    # up to its time; control's produce and checkpoint are of lanes that wait side by side.
    "streamops_stage_seconds_total",
    # gauge, records; processor, topic, partition
    # Lag: records in Kafka that were not read yet, as the client knew a second ago.
    "streamops_lag_records",
    # gauge, seconds; processor, topic, partition
    # Lag: how long ago the broker stored the record that was read last; 0 when all is read.
    "streamops_lag_seconds",
    # gauge, epochs; processor, topic, partition
    # Epochs that are held because another input of the fold has not reached them.
    "streamops_epochs_held",
    # gauge, closes; processor, topic, partition
    # Closes whose count or hash didn't match what their source sent, since the fold was resumed.
    "streamops_closes_quarantined",
    # gauge, seconds; processor, topic, partition, source
    # A source that has not closed the next epoch though others have gone on: how long it is waited
    # for, since the last folded epoch.
    "streamops_source_awaited_seconds",
    # gauge, bytes; -
    # Free space of the broker's disk, else of the data folder's.
    "streamops_disk_free_bytes",
    # gauge, bytes; -
    # Its floor: while less is free, nothing is taken and writers pause.
    "streamops_disk_floor_bytes",
    # gauge, 1 or 0; -
    # Page: 1 unless there are records to read and none was read.
    "streamops_views_up",
    # gauge, seconds; -
    # Page: since the materializer read a record.
    "streamops_views_idle_seconds",
    # gauge, records; topic, outcome
    # Page: records read, by what became of them: events, repeats, unreadable.
    "streamops_views_records",
    # gauge, records; topic, partition
    # Page: records in Kafka that the materializer has not stored yet.
    "streamops_views_lag_records",
    # gauge, epoch; -
    # Page: last epoch that every partition of the controller has concluded.
    "streamops_concluded_epoch",
    # gauge, alerts; model
    # Page: open alerts.
    "streamops_alerts_open",
    # gauge, alerts; model, reason
    # Page: open alerts that paged nobody, by why: silence, snooze, maintenance, flapping, group.
    "streamops_alerts_suppressed",
    # gauge, the metric's unit; model, metric
    # Page: the champion's quality in its last mature pane.
    "streamops_model_quality",
]


class Spread(NamedTuple):
    """A histogram's value: (upper bound, values up to it) for each bucket, and the sum of all."""

    buckets: tuple[tuple[str, float], ...]
    total: float


class Sample(NamedTuple):
    """One value now; `labels` in the order of the name's comment."""

    name: Name
    labels: tuple[tuple[str, str], ...]
    value: float | Spread


class Described(NamedTuple):
    """One name and its documentation."""

    name: str
    kind: str
    unit: str
    labels: tuple[str, ...]
    meaning: str


Samples = Callable[[], Iterable[Sample]]


def catalogue() -> list[Described]:
    """Return every name with its documentation, as this file gives them."""
    text = Path(__file__).read_text()
    block = text[text.index("\nName = Literal[") : text.index("\n]\n")]
    return [_described(found) for found in _ENTRY.finditer(block)]


_ENTRY = re.compile(r'    # (\w+), (.+); (.+)\n((?:    # .*\n)+)    "(\w+)",')


def _described(found: re.Match[str]) -> Described:
    kind, unit, labels, meaning, name = found.groups()
    lines = [line.removeprefix("    # ") for line in meaning.splitlines()]
    known = () if labels == "-" else tuple(labels.split(", "))
    return Described(name, kind, unit, known, " ".join(lines))


def port_from_environment() -> int:
    """Return the port that STREAMOPS_METRICS_PORT names, 0 for none; ConfigError if it is none."""
    given = os.environ.get(PORT_VARIABLE, "")
    if given in ("", "0"):
        return 0
    if not given.isdigit() or int(given) > 65535:
        raise ConfigError(f"{PORT_VARIABLE} is {given!r}; give a port, 1 to 65535, or unset it")
    return int(given)


def port_for(place: int, chosen: int = 0) -> dict[str, str]:
    """Return the environment of a stack's service number `place`: a port of its own, if any.

    chosen  the port where the environment names none; 0 for no port
    """
    first = port_from_environment()
    port = first + place if first else chosen
    return {PORT_VARIABLE: str(port)} if port else {}


class Exposed:
    """Sources of samples, as a collector of prometheus-client."""

    def __init__(self) -> None:
        self._sources: list[Samples] = []
        self._lock = threading.Lock()

    def add(self, source: Samples) -> None:
        """Ask this source from now on."""
        with self._lock:
            self._sources.append(source)

    def remove(self, source: Samples) -> None:
        """Ask it no more."""
        with self._lock:
            self._sources = [known for known in self._sources if known != source]

    def collect(self) -> Iterator[Any]:
        """Yield a family a name, in the catalogue's order; asked by prometheus-client."""
        with self._lock:
            sources = list(self._sources)
        by_name: dict[str, list[Sample]] = defaultdict(list)
        for source in sources:
            for sample in source():
                by_name[sample.name].append(sample)
        for entry in catalogue():
            if entry.name not in by_name:
                continue
            yield _family(entry, by_name[entry.name])


def _family(entry: Described, samples: Iterable[Sample]) -> Any:
    """Return what prometheus-client writes of one name."""
    from prometheus_client import metrics_core

    make = getattr(metrics_core, f"{entry.kind.capitalize()}MetricFamily")
    family = make(entry.name, entry.meaning, labels=entry.labels)
    for sample in samples:
        assert tuple(k for k, _ in sample.labels) == entry.labels, sample
        values = [value for _, value in sample.labels]
        if isinstance(sample.value, Spread):
            family.add_metric(values, list(sample.value.buckets), sample.value.total)
        else:
            family.add_metric(values, sample.value)
    return family


EXPOSED = Exposed()


def serve() -> Callable[[], None]:
    """Answer GET /metrics if STREAMOPS_METRICS_PORT is set; return what ends it.

    A port that is taken is logged, and the process goes on unwatched: monitoring stops no service.
    Raises ConfigError for a port that is none.
    """
    port = port_from_environment()
    if not port:
        return lambda: None
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.gc_collector import GCCollector
    from prometheus_client.platform_collector import PlatformCollector
    from prometheus_client.process_collector import ProcessCollector

    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    registry.register(EXPOSED)
    host = os.environ.get(HOST_VARIABLE) or HOST
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        LOG.warning(
            "%s is %d, but %s:%d can't be opened (%s); choose a free port for each process",
            PORT_VARIABLE, port, host, port, error,
        )  # fmt: skip
        return lambda: None
    LOG.info("metrics at http://%s:%d/metrics", host, port)

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end
