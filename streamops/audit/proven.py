"""Outcomes whose bytes, in their order, are those that were concluded: whole runs at once.

Rule 1: the ledger, record by record, is the definition. What is known here is handed back to it
        as soon as one record of a source's epoch isn't what comes next.
Rule 2: of a run that is proven stays where it stands. For a repeat to be held against it, it is
        read again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import compress, groupby
from typing import Any, NamedTuple

from streamops.core.output_rows import AddressedRows
from streamops.core.rows import Rows, events_of, values_of
from streamops.values import Stamp

DIGEST = 16

# Topic, partition and offsets [first, end), to the records that stand there.
Again = Callable[[str, int, int, int], Iterable[Rows]]


# Topic, source and epoch.
Origin = tuple[str, str, int]


class Run(NamedTuple):
    """A source's epoch in one partition of a topic."""

    topic: str
    partition: int
    source: str
    epoch: int

    @property
    def origin(self) -> Origin:
        """The same in all partitions."""
        return self.topic, self.source, self.epoch


class Settled(NamedTuple):
    """A record that is proven: its id, its ordinal, and the digest of its bytes."""

    id: str
    ordinal: int
    digest: bytes


class Known(NamedTuple):
    """What was met of a run, and keys and bytes of what is still to come."""

    run: Run
    settled: list[Settled]
    to_come: list[tuple[str, bytes]]


class _Group:
    """What a source concluded in an epoch for one partition.

    values, keys, at  what isn't met yet, from `at` on
    spans             offsets [first, end) of what was
    """

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.keys: list[str] = []
        self.at = 0
        self.spans: list[tuple[int, int]] = []


class Proven:
    """Runs that were concluded, and how far the log has them; `again` reads what was met."""

    def __init__(self, again: Again) -> None:
        self._again = again
        self._groups: dict[Origin, dict[int, _Group]] = {}

    def expect(self, rows: AddressedRows, source: str, epoch: int) -> None:
        """Take what a source concluded."""
        groups = self._groups.setdefault((rows.topic, source, epoch), {})
        partitions = set(rows.partitions)
        for partition in partitions:
            values, keys = rows.values, rows.keys
            if len(partitions) > 1:
                here = list(map(partition.__eq__, rows.partitions))
                values, keys = list(compress(values, here)), list(compress(keys, here))
            group = groups.setdefault(partition, _Group())
            group.values += values
            group.keys += keys

    def take(self, place: Run, rows: Rows) -> bool:
        """Take records of a place; False, and nothing taken, where they aren't what comes next."""
        group = self._groups.get(place.origin, {}).get(place.partition)
        if group is None:
            return False
        values, last = values_of(rows), group.at + len(rows)
        if group.values[group.at : last] != list(values):
            return False
        offsets = rows.columns.offsets
        group.spans.append((offsets[0], offsets[-1] + 1))
        group.at = last
        if last == len(group.values):
            group.values, group.keys, group.at = [], [], 0
        return True

    def is_whole(self, place: Run) -> bool:
        """Tell whether the log has all that was concluded there, and nothing was handed back."""
        group = self._groups.get(place.origin, {}).get(place.partition)
        return group is not None and not group.values

    def hand_back(self, origin: Origin) -> list[Known]:
        """Return what is known of a source's epoch, and forget it."""
        topic, source, epoch = origin
        return [
            Known(
                run := Run(topic, partition, source, epoch),
                list(self._settled(run, group.spans)),
                list(zip(group.keys[group.at :], group.values[group.at :], strict=True)),
            )
            for partition, group in self._groups.pop(origin, {}).items()
        ]

    def _settled(self, run: Run, spans: Iterable[tuple[int, int]]) -> Iterator[Settled]:
        for first, end in spans:
            for rows in self._again(run.topic, run.partition, first, end):
                events: Any = events_of(rows)
                for event, digest in zip(
                    events, digests(run.partition, values_of(rows)), strict=True
                ):
                    yield Settled(event.id, event.stamp.ordinal, digest)

    def rest(self) -> list[Known]:
        """Return, at the end, what isn't whole."""
        open_ = [
            origin
            for origin, groups in self._groups.items()
            if any(group.values for group in groups.values())
        ]
        return [known for origin in open_ for known in self.hand_back(origin)]

    def forget(self, epoch: int) -> None:
        """Forget what was proven of epochs below one."""
        for origin in [origin for origin in self._groups if origin[2] < epoch]:
            if not any(group.values for group in self._groups[origin].values()):
                del self._groups[origin]


def digests(partition: int, values: Iterable[bytes]) -> list[bytes]:
    """Return what a repeat of each record must say: its bytes, and where it stands."""
    about = b"%d\n" % partition
    return [hashlib.sha256(about + value).digest()[:DIGEST] for value in values]


def run_of(rows: Rows) -> Run | None:
    """Return the run that rows begin with; None where their first record is in none."""
    origin = _origin(events_of(rows)[0])
    return None if origin is None else Run(rows.topic, rows.partition, *origin)


def outcome_runs(rows: Rows) -> Iterator[tuple[Run | None, Rows]]:
    """Yield rows of outcomes cut where source or epoch change; None where others stand there."""
    first = 0
    for origin, some in groupby(map(_origin, events_of(rows))):
        last = first + sum(1 for _ in some)
        run = None if origin is None else Run(rows.topic, rows.partition, *origin)
        yield run, rows if last - first == len(rows) else rows[first:last]
        first = last


def _origin(event: object) -> tuple[str, int] | None:
    stamp: Stamp | None = getattr(event, "stamp", None)
    return None if stamp is None else (stamp.source, stamp.epoch)
