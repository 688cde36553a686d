"""How far behind every service is and where its time goes, by its metrics endpoint.

Rule 1: rates and shares are between two readings of one process: a counter that fell says that the
        process began again, and gives none.
"""

from __future__ import annotations

import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

TIMEOUT_S = 2.0
STAGES = ("wait", "decode", "fold", "produce", "checkpoint", "store")

Labels = dict[str, str]
Reading = dict[str, list[tuple[Labels, float]]]


class Endpoint(msgspec.Struct, frozen=True):
    """One process and where it answers."""

    service: str
    url: str


class Scrape(msgspec.Struct, frozen=True):
    """What one process said, and when by a monotonic clock; no values where it gave no answer."""

    at_s: float
    values: Reading


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One processor in one process.

    lag_records, lag_s   the sum over partitions; the partition furthest behind, seconds
    watermark_lag_s      of the partition furthest behind, seconds
    records_per_s        between the two readings
    batch_records        mean records a batch between the readings
    pane_close_ms        mean pane close latency between the readings, milliseconds
    shares               stage -> share of the time between the readings, 0..1
    """

    service: str
    processor: str = ""
    up: bool = True
    lag_records: int | None = None
    lag_s: float | None = None
    watermark_lag_s: float | None = None
    records_per_s: float | None = None
    batch_records: float | None = None
    pane_close_ms: float | None = None
    shares: dict[str, float] = {}


def scrape(endpoint: Endpoint) -> Scrape:
    """Read a process's metrics now."""
    from prometheus_client.parser import text_string_to_metric_families

    values: Reading = defaultdict(list)
    try:
        with urllib.request.urlopen(endpoint.url, timeout=TIMEOUT_S) as answer:
            text = answer.read().decode()
    except OSError:
        return Scrape(time.monotonic(), {})
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values[sample.name].append((dict(sample.labels), float(sample.value)))
    return Scrape(time.monotonic(), dict(values))


def rows(endpoint: Endpoint, before: Scrape, after: Scrape) -> list[Row]:
    """Return a row a processor of the process; one for a process without any."""
    if not after.values:
        return [Row(service=endpoint.service, up=False)]
    names = {
        labels["processor"]
        for name, samples in after.values.items()
        if name.startswith("streamops_")
        for labels, _ in samples
        if "processor" in labels
    }
    if not names:
        return [Row(service=endpoint.service)]
    return [_row(endpoint.service, name, before, after) for name in sorted(names)]


def _row(service: str, processor: str, before: Scrape, after: Scrape) -> Row:
    was, now = _of(processor, before.values), _of(processor, after.values)
    seconds = after.at_s - before.at_s

    def grown(name: str) -> float | None:
        then, total = total_of(was, name), total_of(now, name)
        return total - then if then is not None and total is not None and total >= then else None

    def mean(name: str) -> float | None:
        count, total = grown(f"{name}_count"), grown(f"{name}_sum")
        return total / count if count and total is not None else None

    records, lag, close = grown("streamops_records_total"), "streamops_lag_records", mean(
        "streamops_pane_close_seconds"
    )  # fmt: skip
    behind = total_of(now, lag)
    return Row(
        service=service,
        processor=processor,
        lag_records=None if behind is None else round(behind),
        lag_s=_most(now, "streamops_lag_seconds"),
        watermark_lag_s=_most(now, "streamops_watermark_lag_seconds"),
        records_per_s=_rounded(None if records is None else records / seconds),
        batch_records=_rounded(mean("streamops_batch_records")),
        pane_close_ms=_rounded(None if close is None else close * 1000),
        shares=shares(was, now, seconds),
    )


def shares(was: Reading, now: Reading, seconds: float) -> dict[str, float]:
    """Return which share of the time between two readings each stage took."""
    name = "streamops_stage_seconds_total"
    then = {labels["stage"]: value for labels, value in was.get(name, [])}
    found = {labels["stage"]: value for labels, value in now.get(name, [])}
    return {
        stage: round(max(0.0, found[stage] - then.get(stage, 0.0)) / seconds, 3)
        for stage in STAGES
        if stage in found and was
    }


def total_of(reading: Reading, name: str) -> float | None:
    """Return the sum over all labels; None where there is no such name."""
    found = [value for _, value in reading.get(name, [])]
    return sum(found) if found else None


def watch(endpoints: Iterable[Endpoint], before: Mapping[str, Scrape]) -> tuple[
    list[Row], dict[str, Scrape]
]:  # fmt: skip
    """Read every process again; return the rows, and the readings to hold the next against."""
    table: list[Row] = []
    readings: dict[str, Scrape] = {}
    for endpoint in endpoints:
        now = readings[endpoint.url] = scrape(endpoint)
        table += rows(endpoint, before.get(endpoint.url, Scrape(now.at_s - 1.0, {})), now)
    return table, readings


def _of(processor: str, reading: Reading) -> Reading:
    return {
        name: [(k, v) for k, v in samples if k.get("processor") == processor]
        for name, samples in reading.items()
        if name.startswith("streamops_")
        and any(k.get("processor") == processor for k, _ in samples)
    }


def _most(reading: Reading, name: str) -> float | None:
    return _rounded(max((value for _, value in reading.get(name, [])), default=None))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
