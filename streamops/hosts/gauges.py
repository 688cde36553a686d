"""What a host knows of its folds, as samples for Prometheus; read when it is asked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from streamops.core.derived_inbox import DerivedInbox
from streamops.core.epochs import Fold
from streamops.core.processor import Record
from streamops.core.times import micros
from streamops.events import Tick
from streamops.metrics import Name, Sample

# Returns the offset behind a partition's last record, or None while it isn't known.
End = Callable[[str, int], int | None]


class Gauges:
    """Counts of one processor's folds in one process.

    folds  returns the folds that are held now
    end    tells how far a partition reaches in Kafka
    """

    def __init__(self, processor: str, folds: Callable[[], Iterable[Fold[Any]]], end: End) -> None:
        self.processor, self._folds, self._end = processor, folds, end
        self._records: Counter[str] = Counter()
        self._sent: Counter[str] = Counter()
        self._epochs = 0
        self._folded_at: dict[int, float] = {}
        self._watermark: dict[int, float] = {}

    def took(self, records: Sequence[Record], epochs: int) -> None:
        """Count records of one partition that were fed, and the epochs that they completed."""
        last = records[-1]
        self._records[last.topic] += len(records)
        for record in records:
            if type(record.event) is Tick:
                self._watermark[record.partition] = micros(record.event.time) / 1_000_000
        if epochs:
            self._epochs += epochs
            self._folded_at[last.partition] = time.time()

    def sent(self, topic: str, records: int = 1) -> None:
        """Count records handed to the producer."""
        self._sent[topic] += records

    def samples(self) -> Iterator[Sample]:
        """Yield all there is now; may be called by any thread."""
        for topic, records in list(self._records.items()):
            yield self._sample("streamops_records_total", records, topic=topic)
        for topic, sent in list(self._sent.items()):
            yield self._sample("streamops_sent_total", sent, topic=topic)
        yield self._sample("streamops_refusals_total", self._sent["dlq"])
        yield self._sample("streamops_epochs_folded_total", self._epochs)
        for fold in list(self._folds()):
            yield from self._of_fold(fold)

    def _of_fold(self, fold: Fold[Any]) -> Iterator[Sample]:
        number, partition = fold.partition, str(fold.partition)
        yield self._sample("streamops_epoch", fold.epoch, partition=partition)
        at = self._folded_at.get(number)
        if at is not None:
            name: Name = "streamops_epoch_folded_timestamp_seconds"
            yield self._sample(name, at, partition=partition)
        watermark = self._watermark.get(number)
        if watermark is not None:
            name = "streamops_watermark_timestamp_seconds"
            yield self._sample(name, watermark, partition=partition)
        for topic, inbox in fold.inboxes.items():
            where = {"topic": topic, "partition": partition}
            end = self._end(topic, number)
            if end is not None:
                lag = max(0, end - inbox.position)
                yield self._sample("streamops_lag_records", lag, **where)
            yield self._sample("streamops_epochs_held", inbox.held, **where)
            if isinstance(inbox, DerivedInbox):
                wrong = inbox.quarantined
                yield self._sample("streamops_closes_quarantined", wrong, **where)

    def _sample(self, name: Name, value: float, **labels: str) -> Sample:
        return Sample(name, (("processor", self.processor), *labels.items()), float(value))
