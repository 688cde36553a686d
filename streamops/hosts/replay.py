"""The chain over a log's raw topics again: what METER, DETECT, MONITOR and CONTROLLER conclude.

Rule 1: predictions, labels and lifecycle are read, nothing else: answers of trainers and commands
        of people stand in lifecycle and are taken as given (DESIGN rule 9).
Rule 2: a record is dropped as soon as its folds have it; what waits is what they hold. Derived
        records get offsets of their own: where the first run's stood is evidence, not meaning.
Rule 3: what was concluded as rows is fed as rows, in its place; nothing is folded by records alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import compress
from typing import Any

from streamops.core.detect import Detector
from streamops.core.epochs import Fold
from streamops.core.meter import Meter
from streamops.core.output_rows import Addressed, AddressedRows, Mixed
from streamops.core.partition import partition_of
from streamops.core.processor import Record, Refusal
from streamops.core.rows import Rows
from streamops.core.times import micros
from streamops.hosts.decoding import to_rows
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
        self._read: set[str] = set()

    def add(self, fold: Fold[Any]) -> None:
        """Let a fold read its topics."""
        for topic in fold.inboxes:
            self._readers.setdefault((topic, fold.partition), []).append(fold)
            self._read.add(topic)

    def feed(self, given: Iterable[Record | Rows]) -> list[Addressed]:
        """Take records, or rows of one partition, then what is concluded by them; return all of
        that, in order."""
        outputs: list[Addressed] = []
        waiting = deque(given)
        while waiting:
            at = waiting.popleft()
            for fold in self._readers.get((at.topic, at.partition), ()):
                fed = fold.feed_all(at.topic, at) if isinstance(at, Rows) else fold.feed(at)
                for folded in fed:
                    outputs += folded.outputs
                    waiting.extend(self._fed_back(folded.outputs))
                    forget_changes(fold)
        return outputs

    def take(self, outputs: Mixed[Addressed]) -> list[Addressed]:
        """Take what was concluded elsewhere; return all of that, and what follows, in order."""
        return [*outputs, *self.feed(self._fed_back(outputs))]

    def _fed_back(self, outputs: Mixed[Addressed]) -> Iterator[Record | Rows]:
        """What is concluded, as it comes to who reads it; what nobody reads is left out."""
        for part in outputs.parts:
            if isinstance(part, AddressedRows):
                yield from self._rows(part)
            else:
                yield from (self._record(output) for output in part if output.topic in self._read)

    def _rows(self, concluded: AddressedRows) -> Iterator[Rows]:
        if concluded.topic not in self._read:
            return
        for partition in dict.fromkeys(concluded.partitions):
            here = [at == partition for at in concluded.partitions]
            values = list(compress(concluded.values, here))
            place, keys = (concluded.topic, partition), compress(concluded.keys, here)
            first = self._count(place, len(values))
            offsets = range(first, first + len(values))
            rows = to_rows(*place, offsets, [0] * len(values), list(map(str.encode, keys)), values)
            assert Refusal not in set(map(type, rows.columns.events)), "it was encoded here"
            yield rows

    def _record(self, output: Addressed) -> Record:
        at = output.partition
        place = output.topic, partition_of(output.key, self.partitions) if at is None else at
        offset, append_ms = self._count(place, 1), micros(output.event.time) // 1000
        return Record(*place, offset, append_ms, output.key.encode(), b"", output.event)

    def _count(self, place: tuple[str, int], records: int) -> int:
        """Number so many more records of a partition; return the first one's offset."""
        first = self._offsets.get(place, 0)
        self._offsets[place] = first + records
        return first


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

    def feed(self, given: Record | Rows) -> list[Addressed]:
        """Take what comes next of a raw partition; return all that is concluded by it, in order."""
        return self._wiring.feed((given,))

    def take(self, outputs: Mixed[Addressed]) -> list[Addressed]:
        """Take what a stage concluded elsewhere; return all of that, and what follows from it."""
        return self._wiring.take(outputs)
