"""What one worker does all day, counted: records, batches, and the seconds of each stage.

Rule 1: seconds are exclusive: what an inner stage takes is not the outer one's, so that shares of
        one thread add up to its time.
Rule 2: counted once a batch, never once a record.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from streamops.metrics import Name, Sample, Spread

Stage = Literal["wait", "decode", "fold", "produce", "checkpoint", "store"]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
RECORDS = (1.0, 10.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, 20000.0)


class Histogram:
    """Counts of values at or below each bound, and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds, self._counts = bounds, [0] * (len(bounds) + 1)
        self._total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def spread(self) -> Spread:
        """Return what was counted so far, as Prometheus wants it: cumulative."""
        running, buckets = 0, []
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self._counts, strict=True):
            running += count
            buckets.append((bound, float(running)))
        return Spread(tuple(buckets), self._total)


class Work:
    """The counts of one processor in one process; one thread counts, any may ask for samples."""

    def __init__(self, processor: str) -> None:
        self.processor = processor
        self._records: Counter[str] = Counter()
        self._batches = Histogram(RECORDS)
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._open: list[Stage] = []
        self._since = 0.0

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        """Count the seconds of what is done in it, inner stages left out."""
        self._switch()
        self._open.append(name)
        try:
            yield
        finally:
            self._switch()
            self._open.pop()

    def spent(self, name: Stage, seconds: float) -> None:
        """Count seconds of a stage that was measured elsewhere, as tasks of one event loop are."""
        self._seconds[name] += seconds

    def took(self, topic: str, records: int) -> None:
        """Count a batch of records of one partition."""
        self._records[topic] += records
        self._batches.add(records)

    def samples(self) -> Iterator[Sample]:
        """Yield all there is now."""
        for topic, records in list(self._records.items()):
            yield self.sample("streamops_records_total", records, topic=topic)
        if self._records:
            yield self.sample("streamops_batch_records", self._batches.spread())
        for stage, seconds in list(self._seconds.items()):
            yield self.sample("streamops_stage_seconds_total", seconds, stage=stage)

    def sample(self, name: Name, value: float | Spread, **labels: str) -> Sample:
        """Return one value under this processor's label."""
        given = value if isinstance(value, Spread) else float(value)
        return Sample(name, (("processor", self.processor), *labels.items()), given)

    def _switch(self) -> None:
        now = time.perf_counter()
        if self._open:
            self._seconds[self._open[-1]] += now - self._since
        self._since = now
