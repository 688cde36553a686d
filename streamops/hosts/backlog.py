"""What a fold reads from the archive because Kafka no longer holds it (EPOCHS 15, 16).

Rule 1: a place reads [position, first held by Kafka) from the archive, in slices between two polls,
        and then goes on in Kafka; it gets every record, or the reason why not ends the process.
Rule 2: a topic that is ahead of the others waits here as it waits in Kafka (EPOCHS 6).
Rule 3: nothing is kept: a dropped fold drops its backlog, the next one begins at its checkpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice
from typing import Protocol

from streamops.core.derived_inbox import DerivedInbox
from streamops.core.inbox import RawInbox
from streamops.core.processor import Record
from streamops.errors import TransportError

LOG = logging.getLogger(__name__)
SLICE = 1000

# A topic's short name and a partition.
Place = tuple[str, int]


class ReadArchive(Protocol):
    """Reads the archive; `hosts` can't know how, so it is given to them."""

    def __call__(self, topic: str, partition: int, first: int, next: int) -> Iterator[Record]:
        """Yield the records of [first, next) in offset order, a part of them in memory at a time.

        Raises TransportError, at the latest with the first record, where any of them is not held.
        """
        ...


def no_archive(topic: str, partition: int, first: int, next: int) -> Iterator[Record]:
    """The reader of who has no archive."""
    raise TransportError(f"{topic}-{partition}: no archive was given")


class Backlog:
    """The records [first, next) of a place, read as they are asked for."""

    def __init__(self, read: ReadArchive, place: Place, first: int, next: int) -> None:
        self.place, self.first, self.next = place, first, next
        self.is_done = False
        self._read = read
        self._records: Iterator[Record] | None = None

    def slice(self) -> list[Record]:
        """Return what comes next, at most SLICE records; `is_done` tells when all was had."""
        try:
            if self._records is None:
                self._records = self._read(*self.place, self.first, self.next)
            found = list(islice(self._records, SLICE))
        except TransportError as error:
            raise self._lost(error) from error
        self.is_done = len(found) < SLICE
        return found

    def _lost(self, error: TransportError) -> TransportError:
        topic, partition = self.place
        return TransportError(
            f"{topic} partition {partition}: offsets {self.first} to {self.next - 1} are gone from "
            f"Kafka and the archive can't give them ({error}); restore the archive and start "
            "again; where there is none, only a new namespace begins without them"
        )


class Backlogs:
    """The backlogs of one worker, by place."""

    def __init__(self, read: ReadArchive) -> None:
        self._read = read
        self._by_place: dict[Place, Backlog] = {}

    def __contains__(self, place: object) -> bool:
        return place in self._by_place

    def __len__(self) -> int:
        return len(self._by_place)

    def __iter__(self) -> Iterator[Backlog]:
        return iter(list(self._by_place.values()))

    def start(self, place: Place, position: int, first: int) -> int:
        """Return where a place at `position` reads on in Kafka, which begins at `first`.

        What lies between becomes its backlog; one that is under way goes on.
        """
        known = self._by_place.get(place)
        if known is not None:
            return known.next
        if position >= first:
            return position
        LOG.info("%s-%d is read from the archive from %d to %d", *place, position, first - 1)
        self._by_place[place] = Backlog(self._read, place, position, first)
        return first

    def end(self, backlog: Backlog, inbox: RawInbox | DerivedInbox) -> None:
        """Let an inbox that has had all of its backlog go on in Kafka."""
        # The last offsets may be gaps, in which no record stands.
        inbox.position = max(inbox.position, backlog.next)
        del self._by_place[backlog.place]

    def drop(self, partition: int) -> None:
        """Forget the backlogs of a partition's topics."""
        for place in [place for place in self._by_place if place[1] == partition]:
            del self._by_place[place]
