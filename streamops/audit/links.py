"""The three links of a proof, folded again, each over the recorded inputs of its stage (EPOCHS 23).

    summary, outcome <- raw            METER over predictions and labels
    metric           <- either         MONITOR over recorded summaries, DETECT over outcomes
    action           <- metrics        CONTROLLER over recorded metrics and lifecycle

Rule 1: no stage is fed what another one concluded here, only what the log says it concluded: a
        fault in one link doesn't spread to the next.
Rule 2: an epoch that its sources' closes don't confirm is folded with what there is, once they are
        LAG epochs further on, or at the end: the fault is named, the rest is still verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from streamops import codec
from streamops.core.derived_inbox import DerivedInbox, close_hash, sources_of, total_key
from streamops.core.detect import Detector
from streamops.core.epochs import Fold, Folded
from streamops.core.output_rows import Addressed
from streamops.core.personal import Open, unopened
from streamops.core.processor import Record
from streamops.events import EpochClosed, Event
from streamops.hosts.memory import make_fold
from streamops.values import Stamp

STAGES = ("meter", "detect", "monitor", "controller")
LAG = 64

Conclude = Callable[[Addressed], None]
Take = Callable[[str, list[Record]], None]
Change = Callable[[list[Record]], list[Record]]


class RecordedInbox(DerivedInbox):
    """A derived partition as it is in the archive: closes confirm its epochs, faults don't stop it.

    on_take      gets the topic and an epoch's records as its fold is about to read them
    change       what the fold is given in place of an epoch's records
    unconfirmed  (source, epoch) of closes that don't fit their records, once these were taken
    """

    def __init__(
        self,
        topic: str,
        sources: frozenset[str],
        on_take: Take,
        next_epoch: int = 0,
        change: Change = list,
    ) -> None:
        super().__init__(topic, next_epoch=next_epoch, sources=sources)
        self._on_take, self._names, self._change = on_take, sources, change
        self.unconfirmed: set[tuple[str, int]] = set()
        self._first_open = next_epoch
        self._waived = -1
        self._records: dict[int, dict[str, dict[int, Record]]] = {}
        self._closed: dict[int, dict[str, list[EpochClosed]]] = {}
        self._confirmed: dict[int, set[str]] = {}
        self._last: dict[str, int] = dict.fromkeys(sources, -1)

    def feed(self, record: Record) -> None:
        """Take the next record; what a source of this partition didn't stamp is left out."""
        event = record.event
        if isinstance(event, EpochClosed):
            source, epoch = event.source, event.epoch
        else:
            stamp: Stamp | None = getattr(event, "stamp", None)
            if stamp is None:
                return
            source, epoch = stamp.source, stamp.epoch
        if source in self._names and epoch >= self._first_open:
            self._note(record, source, epoch)

    def waive(self, epoch: int) -> None:
        """Give up waiting for closes up to an epoch."""
        self._waived = max(self._waived, epoch)

    def doubted(self) -> Iterator[tuple[str, int]]:
        """Yield source and epoch of closes that don't fit their records, taken or not."""
        yield from sorted(self.unconfirmed)
        for epoch, closed in sorted(self._closed.items()):
            confirmed = self._confirmed.get(epoch, set())
            yield from ((source, epoch) for source in sorted(closed.keys() - confirmed))

    def ready(self, epoch: int) -> bool:
        """Tell whether the epoch's closes are confirmed, or waited for no longer."""
        return epoch <= self._waived or len(self._confirmed.get(epoch, ())) == len(self._names)

    def take(self, epoch: int) -> tuple[list[Record], datetime | None, int]:
        """Hand over an epoch's records in their total order."""
        held = self._records.pop(epoch, {})
        self._closed.pop(epoch, None)
        doubted = self._names - self._confirmed.pop(epoch, set())
        self.unconfirmed |= {(source, epoch) for source in doubted}
        self._first_open = epoch + 1
        found = self._change([r for of in held.values() for r in of.values()])
        records = sorted(found, key=total_key)
        self._on_take(self.topic, records)
        return records, None, 0

    def _note(self, record: Record, source: str, epoch: int) -> None:
        held = self._records.setdefault(epoch, {}).setdefault(source, {})
        closed = self._closed.setdefault(epoch, {})
        event = record.event
        if isinstance(event, EpochClosed):
            closed.setdefault(source, []).append(event)
            self._last[source] = max(self._last[source], epoch)
            self.waive(min(self._last.values()) - LAG)
        else:
            held.setdefault(event.stamp.ordinal, record)  # type: ignore[union-attr]
        if any(_confirms(close, held) for close in closed.get(source, ())):
            self._confirmed.setdefault(epoch, set()).add(source)


def _confirms(close: EpochClosed, held: dict[int, Record]) -> bool:
    if close.count != len(held):
        return False
    events = (held[n].event for n in sorted(held))
    return close_hash(codec.conclusion(e) for e in events if isinstance(e, Event)) == close.hash


# What a fold raises over numbers that no fold concludes: counts below zero, bins that don't fit.
UNFOLDABLE = (AssertionError, ArithmeticError, LookupError, TypeError, ValueError)


class Links:
    """All stages of a namespace over its recorded inputs; `conclude` gets what each says.

    files   of the seal, if any, of the epoch that is being concluded
    broken  source -> why its fold stands still
    """

    def __init__(
        self,
        partitions: int,
        skew_ms: int | None,
        make_detector: Callable[[str], Detector],
        conclude: Conclude,
        on_take: Take,
        *,
        seal_every: int = 0,
        begun: Mapping[str, Fold[Any]] = {},
        open_: Open = unopened,
    ) -> None:
        """`begun`: folds that don't begin with the log, by source."""
        self._conclude, self._partitions = conclude, partitions
        self._recorded: list[RecordedInbox] = []
        self._readers: dict[tuple[str, int], list[Fold[Any]]] = {}
        self.folds: list[Fold[Any]] = []
        self.files: Mapping[str, bytes] = {}
        self.broken: dict[str, str] = {}
        for name in STAGES:
            for partition in range(partitions):
                fold = make_fold(
                    name,
                    partition,
                    partitions,
                    skew_max_ms=skew_ms,
                    seal_every=seal_every,
                    make_detector=make_detector,
                    open_=open_,
                )
                self._add(begun.get(fold.source, fold), on_take)

    def feed(self, record: Record) -> None:
        """Take one record of the archive."""
        for fold in self._readers.get((record.topic, record.partition), ()):
            self._run(fold, partial(fold.feed, record))

    def feed_all(self, topic: str, records: list[Record]) -> None:
        """Take records that follow each other in one partition."""
        for fold in self._readers.get((topic, records[0].partition), ()):
            self._run(fold, partial(fold.feed_all, topic, records))

    def finish(self, epoch: int) -> None:
        """At the end: fold what is left up to an epoch, confirmed or not."""
        for inbox in self._recorded:
            inbox.waive(epoch)
        for fold in self.folds:
            self._run(fold, fold.advance)

    def is_confirmed(self, topic: str, source: str, epoch: int) -> bool:
        """Tell whether a source's closes of an epoch fit the records of the topic."""
        inboxes = [inbox for inbox in self._recorded if inbox.topic == topic]
        return all((source, epoch) not in inbox.unconfirmed for inbox in inboxes)

    def epoch_of(self, source: str) -> int:
        """Return the last epoch that a source folded here; -1 for none, or a stranger."""
        return next((fold.epoch for fold in self.folds if fold.source == source), -1)

    def _add(self, fold: Fold[Any], on_take: Take) -> None:
        self.folds.append(fold)
        for topic, names in fold.processor.derived.items():
            sources = sources_of(topic, names, fold.partition, self._partitions)
            recorded = RecordedInbox(topic, sources, on_take, fold.epoch + 1)
            fold.inboxes[topic] = recorded
            self._recorded.append(recorded)
        for topic in fold.inboxes:
            self._readers.setdefault((topic, fold.partition), []).append(fold)

    def _run(self, fold: Fold[Any], step: Callable[[], list[Folded]]) -> None:
        """Let a fold go on; one that can't is left where it stands: its records were altered."""
        if fold.source in self.broken:
            return
        try:
            epochs = step()
        except UNFOLDABLE as error:
            said = " ".join(str(error).split()) or type(error).__name__
            self.broken[fold.source] = f"{fold.source} can't fold epoch {fold.epoch + 1}: {said}"
            return
        self._emit(epochs)

    def _emit(self, epochs: list[Folded]) -> None:
        for folded in epochs:
            self.files = folded.files
            for addressed in folded.outputs:
                self._conclude(addressed)
