"""One processor over one partition: epochs in, stamped conclusions and closes out (EPOCHS).

Rule 1: an epoch is folded when all inputs have it: raw topics in their fixed order and log order,
        then derived records by a total key (clause 6).
Rule 2: ordinals number the outputs of a source's epoch; each close carries count and hash of what
        its partition was sent (9). Both follow from the fold alone, so a refold sends them again.
Rule 3: positions say where to read again so that everything after the folded epoch is seen (5, 14).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

from msgspec.structs import replace

from streamops import codec
from streamops.core import seal
from streamops.core.buffer import MakeBuffer, MemoryBuffer
from streamops.core.derived_inbox import DerivedInbox, runs_of, sources_of
from streamops.core.inbox import RawInbox
from streamops.core.output_rows import Addressed, Mixed, OutputRows, parts_of
from streamops.core.partition import partition_of
from streamops.core.processor import Batch, Output, Processor, Record
from streamops.core.refusal import CONCLUSION_BYTES_MAX, too_large
from streamops.core.rows import one_behind_the_other
from streamops.core.stamping import Sent, StampRow, Target, stamp_all
from streamops.core.times import EPOCH
from streamops.events import EpochClosed
from streamops.values import Stamp

S = TypeVar("S")


class Folded(NamedTuple):
    """One folded epoch: what to write, and where to read again after it.

    files  of its seal, by SHA-256: to be kept before the seal is written
    """

    epoch: int
    outputs: Mixed[Addressed]
    positions: dict[str, int]
    files: Mapping[str, bytes] = MappingProxyType({})


class Fold(Generic[S]):
    """One processor over one partition: feed records, get folded epochs."""

    def __init__(
        self,
        processor: Processor[S],
        *,
        partition: int,
        partitions: int,
        skew_max_ms: int | None = None,
        seal_every: int = 0,
        state: S | None = None,
        epoch: int = -1,
    ) -> None:
        self.processor, self.partition, self.partitions = processor, partition, partitions
        self.skew_max_ms, self.seal_every = skew_max_ms, seal_every
        self.epoch = epoch
        self.state: S = processor.initial() if state is None else state
        self.source = f"{processor.name}/{partition}"
        self._make_buffer: MakeBuffer = MemoryBuffer
        nxt = epoch + 1
        self.inboxes: dict[str, RawInbox | DerivedInbox] = {
            topic: RawInbox(topic, next_epoch=nxt, skew_max_ms=skew_max_ms)
            for topic in processor.raw
        }
        for topic, names in processor.derived.items():
            sources = sources_of(topic, names, partition, partitions)
            self.inboxes[topic] = DerivedInbox(topic, next_epoch=nxt, sources=sources)

    def hold_in(self, make_buffer: MakeBuffer) -> None:
        """Hold records of open epochs in such buffers; before the first is fed."""
        self._make_buffer = make_buffer
        for inbox in self.inboxes.values():
            inbox.buffer = make_buffer()

    def resumed(self, state: S, epoch: int, positions: dict[str, int]) -> Fold[S]:
        """Return this fold as it stood after `epoch`, to be fed from `positions` on."""
        fold = Fold(
            self.processor,
            partition=self.partition,
            partitions=self.partitions,
            skew_max_ms=self.skew_max_ms,
            seal_every=self.seal_every,
            state=state,
            epoch=epoch,
        )
        for topic, inbox in fold.inboxes.items():
            inbox.position = positions.get(topic, 0)
        fold.hold_in(self._make_buffer)
        return fold

    def let_go(self) -> None:
        """Forget the records of open epochs; the fold is fed nothing after this."""
        for inbox in self.inboxes.values():
            inbox.buffer.clear()

    def feed_all(self, topic: str, records: Sequence[Record]) -> list[Folded]:
        """Take records of one input in their order, as `feed` does one by one."""
        inbox = self.inboxes[topic]
        if isinstance(inbox, RawInbox):
            inbox.feed_all(records)
            return self.advance()
        found: list[Folded] = []
        for group, run in runs_of(records):
            if group is None or not inbox.feed_together(group, run):
                found += [folded for record in run for folded in self.feed(record)]
        return found

    def feed(self, record: Record) -> list[Folded]:
        """Take one record; return the epochs that it completed, folded, in order."""
        inbox = self.inboxes[record.topic]
        inbox.feed(record)
        return self.advance() if inbox.ready(self.epoch + 1) else []

    def advance(self, last: int | None = None) -> list[Folded]:
        """Fold the epochs that are complete, in order; up to `last`, if it is given."""
        folded: list[Folded] = []
        while last is None or self.epoch < last:
            if not all(inbox.ready(self.epoch + 1) for inbox in self.inboxes.values()):
                break
            folded.append(self._fold(self.epoch + 1))
        return folded

    def hand_over(self, topic: str, least: int) -> Sequence[Record]:
        """Hand over what the open epoch has so far of a raw topic, if that is so many records."""
        inbox = self.inboxes[topic]
        return inbox.hand_over(self.epoch + 1, least) if isinstance(inbox, RawInbox) else ()

    def _fold(self, epoch: int) -> Folded:
        parts: list[Sequence[Record]] = []
        time: datetime | None = None
        positions: dict[str, int] = {}
        for topic, inbox in self.inboxes.items():
            some, closed_at, positions[topic] = inbox.take(epoch)
            if some:
                parts.append(some)
            time = closed_at if time is None else time
        records = one_behind_the_other(parts) if parts else []
        self.state, outputs = self.processor.step(self.state, Batch(epoch, time, records))
        self.epoch = epoch
        files: dict[str, bytes] = {}
        if seal.is_due(epoch, self.seal_every):
            outputs, files = self._sealed(outputs, time, positions)
        return Folded(epoch, self._stamped(epoch, outputs), positions, files)

    def _sealed(
        self, outputs: Sequence[Output], time: datetime | None, positions: dict[str, int]
    ) -> tuple[Sequence[Output], dict[str, bytes]]:
        """Put the seal before other marks: what is marked as concluded isn't sent again."""
        contents = seal.contents_of(self.processor, self.state, self.source, self.epoch)
        about = self.source, self.partition, self.epoch
        made = seal.sealed(contents, about, time, positions)
        sealed, marks = Mixed[Output](), list[Output]()
        for part in parts_of(outputs):
            if isinstance(part, OutputRows):
                sealed += part
                continue
            sealed += [output for output in part if output.topic != made.topic]
            marks += [output for output in part if output.topic == made.topic]
        sealed += [made, *marks]
        return sealed, contents.files

    def _stamped(self, epoch: int, outputs: Sequence[Output]) -> Mixed[Addressed]:
        closing, written = self.processor.closing, Mixed[Addressed]()
        sent: dict[Target, Sent] = {}
        own = closing.scope == "own"
        for topic in closing.topics:
            for partition in [self.partition] if own else range(self.partitions):
                sent[(topic, partition)] = Sent()
        ordinal = 0
        for part in parts_of(outputs):
            stamps = StampRow(self.source, epoch, ordinal)
            if isinstance(part, OutputRows) and part.size_max <= CONCLUSION_BYTES_MAX:
                written += stamp_all(part, stamps, sent, self._target)
            else:
                written += [self._stamp(o, stamps.at(n), sent) for n, o in enumerate(part)]
            ordinal += len(part)
        written += self._closes(epoch, sent)
        return written

    def _stamp(self, output: Output, stamp: Stamp, sent: dict[Target, Sent]) -> Addressed:
        topic, key, _, target, evidence, conclusion = output
        if topic not in self.processor.closing.topics:
            return Addressed(topic, target, key, replace(output.event, stamp=stamp))
        conclusion = conclusion or codec.conclusion(output.event)
        if len(conclusion) > CONCLUSION_BYTES_MAX:
            refused = too_large(output, output.event, conclusion, stamp)
            return Addressed(refused.topic, None, refused.key, refused.event)
        if target is None:
            target = self._target(key)
        sent[(topic, target)].add(conclusion)
        if evidence:
            value = codec.with_evidence(conclusion, stamp, evidence)
            return Addressed(topic, target, key, None, value)
        made = replace(output.event, stamp=stamp)
        return Addressed(topic, target, key, made, codec.stamped(made, conclusion, stamp))

    def _target(self, key: str) -> int:
        own = self.processor.closing.scope == "own"
        return self.partition if own else partition_of(key, self.partitions)

    def _closes(self, epoch: int, sent: dict[Target, Sent]) -> Iterable[Addressed]:
        for (topic, partition), each in sent.items():
            yield Addressed(
                topic,
                partition,
                self.source,
                EpochClosed(
                    id=f"close/{self.source}/{epoch}/{topic}/{partition}",
                    time=EPOCH,
                    source=self.source,
                    epoch=epoch,
                    count=each.count,
                    hash=each.hash,
                ),
            )
