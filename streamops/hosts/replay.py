"""The chain over a log's raw topics again: what METER, DETECT, MONITOR and CONTROLLER conclude.

Rule 1: predictions, labels and lifecycle are read, nothing else: answers of trainers and commands
        of people stand in lifecycle and are taken as given (DESIGN rule 9).
Rule 2: a record is dropped as soon as its folds have it; what waits is what they hold. Derived
        records get offsets of their own: where the first run's stood is evidence, not meaning.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from streamops import codec
from streamops.core.detect import Detector
from streamops.core.epochs import Fold
from streamops.core.meter import Meter
from streamops.core.output_rows import Addressed, AddressedRows, Mixed
from streamops.core.partition import partition_of
from streamops.core.processor import Record
from streamops.core.times import micros
from streamops.events import Event
from streamops.hosts.memory import make_fold

RAW = ("predictions", "labels", "lifecycle")
STAGES = ("meter", "detect", "monitor", "controller")


def forget_changes(fold: Fold[Any]) -> None:
    """Let METER's join forget what changed since the last checkpoint: there is none here, and it
    would hold every label there was."""
    if isinstance(fold.processor, Meter):
        fold.processor.join.restore((), 0)


class Wiring:
    """Folds that read what others of them conclude."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self._offsets: dict[tuple[str, int], int] = {}
        self._readers: dict[tuple[str, int], list[Fold[Any]]] = {}

    def add(self, fold: Fold[Any]) -> None:
        """Let a fold read its topics."""
        for topic in fold.inboxes:
            self._readers.setdefault((topic, fold.partition), []).append(fold)

    def feed(self, records: Iterable[Record]) -> list[Addressed]:
        """Take records, then what is concluded by them; return all of that, in order."""
        outputs: list[Addressed] = []
        waiting = deque(records)
        while waiting:
            at = waiting.popleft()
            for fold in self._readers.get((at.topic, at.partition), ()):
                for folded in fold.feed(at):
                    outputs += folded.outputs
                    waiting.extend(self._record(out) for out in folded.outputs)
                    forget_changes(fold)
        return outputs

    def take(self, outputs: Mixed[Addressed]) -> list[Addressed]:
        """Take what was concluded elsewhere; return all of that, and what follows, in order."""
        return [*outputs, *self.feed(self._record(output) for output in _decoded(outputs))]

    def _record(self, output: Addressed) -> Record:
        at = output.partition
        place = output.topic, partition_of(output.key, self.partitions) if at is None else at
        offset = self._offsets.get(place, 0)
        self._offsets[place] = offset + 1
        append_ms = micros(output.event.time) // 1000
        return Record(*place, offset, append_ms, output.key.encode(), b"", output.event)


def _decoded(outputs: Mixed[Addressed]) -> Iterator[Addressed]:
    """The same with their events, decoded together where only their bytes were made."""
    for part in outputs.parts:
        if isinstance(part, AddressedRows):
            events = codec.decode_all(part.values)
            for addressed, event in zip(part, events, strict=True):
                assert isinstance(event, Event), "it was encoded here"
                yield addressed._replace(made=event)
        else:
            yield from part


class ReplayHost:
    """Every stage of a namespace, fed raw records; each `feed` returns what follows from it.

    without  stages that are folded elsewhere: `take` gets what they conclude
    """

    def __init__(
        self,
        *,
        partitions: int,
        make_detector: Callable[[str], Detector],
        skew_max_ms: int | None = None,
        seal_every: int = 0,
        without: tuple[str, ...] = (),
    ) -> None:
        self._wiring = Wiring(partitions)
        for name in (stage for stage in STAGES if stage not in without):
            for partition in range(partitions):
                fold = make_fold(
                    name,
                    partition,
                    partitions,
                    skew_max_ms=skew_max_ms,
                    seal_every=seal_every,
                    make_detector=make_detector,
                )
                self._wiring.add(fold)

    def feed(self, record: Record) -> list[Addressed]:
        """Take the next record of a raw partition; return all that is concluded by it, in order."""
        return self._wiring.feed((record,))

    def take(self, outputs: Mixed[Addressed]) -> list[Addressed]:
        """Take what a stage concluded elsewhere; return all of that, and what follows from it."""
        return self._wiring.take(outputs)
