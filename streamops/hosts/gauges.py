"""What a host knows of its folds, as samples for Prometheus; read when it is asked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress
from typing import Any

from streamops.core.derived_inbox import DerivedInbox
from streamops.core.epochs import Fold
from streamops.core.inbox import RawInbox
from streamops.core.processor import Record
from streamops.core.rows import events_of
from streamops.core.times import micros
from streamops.events import EpochClosed, Tick
from streamops.hosts.work import SECONDS, Histogram, Work
from streamops.metrics import Sample

# Returns the offset behind a partition's last record, or None while it isn't known.
End = Callable[[str, int], int | None]
_CUTS = {Tick, EpochClosed}


class Gauges:
    """Counts of one processor's folds in one process.

    folds  returns the folds that are held now
    end    tells how far a partition reaches in Kafka
    """

    def __init__(self, processor: str, folds: Callable[[], Iterable[Fold[Any]]], end: End) -> None:
        self.processor, self._folds, self._end = processor, folds, end
        self.work = Work(processor)
        self._sent: Counter[str] = Counter()
        self._epochs, self._began = 0, time.time()
        self._folded_at: dict[int, float] = {}
        self._watermark: dict[int, float] = {}
        self._appended_ms: dict[tuple[str, int], int] = {}
        self._closes = Histogram(SECONDS)

    def took(self, records: Sequence[Record], epochs: int) -> None:
        """Count records of one partition that were fed, and the epochs that they completed."""
        last = records[-1]
        self.work.took(last.topic, len(records))
        self._appended_ms[(last.topic, last.partition)] = last.append_ms
        closing: list[int] = []
        are_cuts = map(_CUTS.__contains__, map(type, events_of(records)))
        for at in compress(range(len(records)), are_cuts):
            record = records[at]
            closing.append(record.append_ms)
            if isinstance(record.event, Tick):
                self._watermark[record.partition] = micros(record.event.time) / 1_000_000
        if epochs:
            self._epochs += epochs
            now = self._folded_at[last.partition] = time.time()
            for append_ms in closing[-epochs:]:
                self._closes.add(max(0.0, now - append_ms / 1000))

    def sent(self, topic: str, records: int = 1) -> None:
        """Count records handed to the producer."""
        self._sent[topic] += records

    def samples(self) -> Iterator[Sample]:
        """Yield all there is now; may be called by any thread."""
        yield from self.work.samples()
        sample = self.work.sample
        for topic, sent in list(self._sent.items()):
            yield sample("streamops_sent_total", sent, topic=topic)
        yield sample("streamops_refusals_total", self._sent["dlq"])
        yield sample("streamops_epochs_folded_total", self._epochs)
        if self._epochs:
            yield sample("streamops_pane_close_seconds", self._closes.spread())
        for fold in list(self._folds()):
            yield from self._of_fold(fold)

    def _of_fold(self, fold: Fold[Any]) -> Iterator[Sample]:
        sample = self.work.sample
        number, partition = fold.partition, str(fold.partition)
        yield sample("streamops_epoch", fold.epoch, partition=partition)
        at = self._folded_at.get(number)
        if at is not None:
            yield sample("streamops_epoch_folded_timestamp_seconds", at, partition=partition)
        mark = self._watermark.get(number)
        if mark is not None:
            yield sample("streamops_watermark_timestamp_seconds", mark, partition=partition)
            lag = time.time() - mark
            yield sample("streamops_watermark_lag_seconds", lag, partition=partition)
        for topic, inbox in fold.inboxes.items():
            yield from self._of_inbox(topic, number, inbox)

    def _of_inbox(
        self, topic: str, number: int, inbox: RawInbox | DerivedInbox
    ) -> Iterator[Sample]:
        sample, where = self.work.sample, {"topic": topic, "partition": str(number)}
        end = self._end(topic, number)
        if end is not None:
            lag = max(0, end - inbox.position)
            yield sample("streamops_lag_records", lag, **where)
            appended_ms = self._appended_ms.get((topic, number))
            if lag == 0 or appended_ms is not None:
                since = 0.0 if not lag else time.time() - (appended_ms or 0) / 1000
                yield sample("streamops_lag_seconds", max(0.0, since), **where)
        yield sample("streamops_epochs_held", inbox.held, **where)
        if isinstance(inbox, DerivedInbox):
            yield sample("streamops_closes_quarantined", inbox.quarantined, **where)
            since = self._folded_at.get(number, self._began)
            for source in inbox.stalled(inbox.awaited) if inbox.held else ():
                waited = max(0.0, time.time() - since)
                yield sample("streamops_source_awaited_seconds", waited, **where, source=source)
