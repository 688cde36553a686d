"""The three links of a proof, folded again, each over the recorded inputs of its stage (EPOCHS 23).

    summary, outcome <- raw            METER over predictions and labels
    metric           <- either         MONITOR over recorded summaries, DETECT over outcomes
    action           <- metrics        CONTROLLER over recorded metrics and lifecycle

Rule 1: no stage is fed what another one concluded here, only what the log says it concluded: a
        fault in one link doesn't spread to the next.
Rule 2: an epoch that its sources' closes don't confirm is folded with what there is, once they are
        LAG epochs further on, or at the end: the fault is named, the rest is still verified.
Rule 3: where a raw input ends, nothing is held of epochs behind it: their fold never gets there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from operator import attrgetter, le
from typing import Any

from streamops import codec
from streamops.audit.metering import LAST, UNFOLDABLE, Metered, why_broken
from streamops.core.buffer import Group
from streamops.core.derived_inbox import DerivedInbox, close_hash, sources_of, total_key
from streamops.core.detect import Detector
from streamops.core.epochs import Fold, Folded
from streamops.core.output_rows import Addressed, AddressedRows
from streamops.core.processor import Record
from streamops.core.rows import Rows, events_of, one_behind_the_other
from streamops.events import EpochClosed, Event, OutcomeJoined
from streamops.hosts.memory import make_fold
from streamops.values import Stamp

# METER's link is folded by itself (`metering`).
STAGES = ("detect", "monitor", "controller")
LAG = 64
NO_END = 1 << 62

# Of outcomes among themselves `total_key` says the same.
_OUTCOME_KEY = attrgetter("time", "id", "stamp.source", "stamp.ordinal")

Conclude = Callable[[Addressed], None]
ConcludeRows = Callable[[AddressedRows, str, int], None]
Take = Callable[[str, Sequence[Record]], None]
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
        self._waived, self._until = -1, NO_END
        self._records: dict[int, dict[str, dict[int, Record]]] = {}
        self._closed: dict[int, dict[str, list[EpochClosed]]] = {}
        self._confirmed: dict[int, set[str]] = {}
        self._last: dict[str, int] = dict.fromkeys(sources, -1)
        self._rows: dict[int, dict[str, list[Rows]]] = {}
        self._closed_here: dict[tuple[str, int], EpochClosed] = {}

    @property
    def held(self) -> int:
        """Epochs of which anything is held."""
        return len({*self._records, *self._rows, *self._closed})

    def end(self, epoch: int) -> None:
        """Hold nothing of epochs above one: nobody is going to take them."""
        self._until = epoch
        for held in (self._records, self._rows, self._closed, self._confirmed):
            for later in [other for other in held if other > epoch]:
                del held[later]
        self._closed_here = {at: e for at, e in self._closed_here.items() if at[1] <= epoch}

    def close_here(self, event: EpochClosed) -> None:
        """Take a close that was concluded here from the records that the source read."""
        if self._is_open(event.epoch):
            self._closed_here[event.source, event.epoch] = event

    def feed_rows(self, rows: Rows, source: str, epoch: int) -> None:
        """Take records of a source's epoch that are, byte by byte, what was concluded here."""
        if source in self._names and self._is_open(epoch):
            self._rows.setdefault(epoch, {}).setdefault(source, []).append(rows)
            if source in self._closed.get(epoch, {}) or self._records.get(epoch, {}).get(source):
                self._confirm(source, epoch)

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
        if source in self._names and self._is_open(epoch):
            self._note(record, source, epoch)

    def feed_together(self, group: Group, records: Sequence[Record]) -> bool:
        """Take none together: here a record may be one of many under its stamp."""
        return False

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

    def take(self, epoch: int) -> tuple[Sequence[Record], datetime | None, int]:
        """Hand over an epoch's records in their total order."""
        held = self._records.pop(epoch, {})
        proven = self._rows.pop(epoch, {})
        for source in self._names:
            self._closed_here.pop((source, epoch), None)
        self._closed.pop(epoch, None)
        doubted = self._names - self._confirmed.pop(epoch, set())
        self.unconfirmed |= {(source, epoch) for source in doubted}
        self._first_open = epoch + 1
        records: Sequence[Record]
        if proven and not any(held.values()):
            records = _in_total_order(proven)
        else:
            for source, rows in proven.items():
                _hold(held.setdefault(source, {}), rows)
            found = self._change([r for of in held.values() for r in of.values()])
            records = sorted(found, key=total_key)
        self._on_take(self.topic, records)
        return records, None, 0

    def _is_open(self, epoch: int) -> bool:
        return self._first_open <= epoch <= self._until

    def _note(self, record: Record, source: str, epoch: int) -> None:
        held = self._records.setdefault(epoch, {}).setdefault(source, {})
        event = record.event
        if isinstance(event, EpochClosed):
            self._closed.setdefault(epoch, {}).setdefault(source, []).append(event)
            self._last[source] = max(self._last[source], epoch)
            self.waive(min(self._last.values()) - LAG)
        else:
            held.setdefault(event.stamp.ordinal, record)  # type: ignore[union-attr]
        self._confirm(source, epoch)

    def _confirm(self, source: str, epoch: int) -> None:
        held = self._records.setdefault(epoch, {}).setdefault(source, {})
        closes = self._closed.get(epoch, {}).get(source, ())
        proven = self._rows.get(epoch, {})
        rows, made = proven.get(source), self._closed_here.get((source, epoch))
        if rows and (held or made is None):
            _hold(held, proven.pop(source))
        elif rows and made is not None:
            # The hash is over what was concluded, and these records are that to the byte.
            whole = sum(map(len, rows)) == made.count
            if whole and any((c.count, c.hash) == (made.count, made.hash) for c in closes):
                self._confirmed.setdefault(epoch, set()).add(source)
            return
        if any(_confirms(close, held) for close in closes):
            self._confirmed.setdefault(epoch, set()).add(source)


def _hold(held: dict[int, Record], some: list[Rows]) -> None:
    for rows in some:
        for record in rows:
            held.setdefault(record.event.stamp.ordinal, record)  # type: ignore[union-attr]


def _row_of(addressed: Addressed) -> AddressedRows:
    """A single thing among outcomes, an activation, as rows: its bytes are known, too."""
    assert addressed.partition is not None, "what is closed has a place"
    return AddressedRows(addressed.topic, [addressed.partition], [addressed.key], [addressed.value])


def _in_total_order(proven: Mapping[str, list[Rows]]) -> Sequence[Record]:
    """Return outcomes in their total order; those of one source mostly came in it."""
    rows = one_behind_the_other([rows for some in proven.values() for rows in some])
    events = events_of(rows)
    keys: list[Any] = (
        list(map(_OUTCOME_KEY, events))
        if set(map(type, events)) == {OutcomeJoined}
        else list(map(total_key, rows))
    )
    if all(map(le, keys, keys[1:])):
        return rows
    records = list(rows)
    return [records[at] for at in sorted(range(len(keys)), key=keys.__getitem__)]


def _confirms(close: EpochClosed, held: dict[int, Record]) -> bool:
    if close.count != len(held):
        return False
    events = (held[n].event for n in sorted(held))
    return close_hash(codec.conclusion(e) for e in events if isinstance(e, Event)) == close.hash


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
        conclude_rows: ConcludeRows,
        on_take: Take,
        *,
        seal_every: int = 0,
        begun: Mapping[str, Fold[Any]] = {},
    ) -> None:
        """`begun`: folds that don't begin with the log, by source."""
        self._conclude, self._conclude_rows = conclude, conclude_rows
        self._partitions = partitions
        self._metered: dict[str, int] = {}
        meters = {source: fold for source, fold in begun.items() if source.startswith("meter/")}
        self._metered.update({source: fold.epoch for source, fold in meters.items()})
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
                )
                self._add(begun.get(fold.source, fold), on_take)

    def take(self, metered: Metered) -> None:
        """Take what METER concludes in an epoch of a partition, or how its records ended."""
        source = f"meter/{metered.partition}"
        if metered.epoch == LAST:
            if metered.broken:
                self.broken[source] = metered.broken
            return
        self._metered[source], self.files = metered.epoch, metered.files
        for part in metered.outputs.parts:
            if isinstance(part, AddressedRows):
                self._conclude_rows(part, source, metered.epoch)
                continue
            for addressed in part:
                if addressed.topic == "outcomes":
                    if not isinstance(addressed.made, EpochClosed):
                        self._conclude_rows(_row_of(addressed), source, metered.epoch)
                        continue
                    self._close(addressed.partition, addressed.made)
                self._conclude(addressed)

    def feed_proven(self, rows: Rows, source: str, epoch: int) -> None:
        """Take outcomes of a source's epoch that are, byte by byte, what was concluded here."""
        for inbox in self._inboxes(rows.topic, rows.partition):
            inbox.feed_rows(rows, source, epoch)

    def feed(self, record: Record) -> None:
        """Take one record of the archive."""
        for fold in self._readers.get((record.topic, record.partition), ()):
            self._run(fold, partial(fold.feed, record))

    def feed_all(self, topic: str, records: Sequence[Record]) -> None:
        """Take records that follow each other in one partition."""
        for fold in self._readers.get((topic, records[0].partition), ()):
            self._run(fold, partial(fold.feed_all, topic, records))

    def end(self, topic: str, partition: int) -> None:
        """Hear that a raw partition has no more records."""
        for fold in self._readers.get((topic, partition), ()):
            last = fold.epoch + fold.inboxes[topic].ahead
            for inbox in fold.inboxes.values():
                if isinstance(inbox, RecordedInbox):
                    inbox.end(last)

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
        folded = {fold.source: fold.epoch for fold in self.folds}
        return {**folded, **self._metered}.get(source, -1)

    def _inboxes(self, topic: str, partition: int | None) -> Iterator[RecordedInbox]:
        for fold in self._readers.get((topic, -1 if partition is None else partition), ()):
            inbox = fold.inboxes[topic]
            if isinstance(inbox, RecordedInbox) and fold.source not in self.broken:
                yield inbox

    def _close(self, partition: int | None, event: EpochClosed) -> None:
        for inbox in self._inboxes("outcomes", partition):
            inbox.close_here(event)

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
            self.broken[fold.source] = why_broken(fold, error)
            return
        self._emit(epochs)

    def _emit(self, epochs: list[Folded]) -> None:
        for folded in epochs:
            self.files = folded.files
            for addressed in folded.outputs:
                self._conclude(addressed)
