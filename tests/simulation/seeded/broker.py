"""Kafka as a process sees it: logs by partition, and a producer whose sends take their time.

Rule 1: within Kafka's rules only: sends of one producer reach a partition in their order, except
        after one that failed; partitions are independent; an acknowledged record stays.
Rule 2: a failed send may stand in the log all the same: only its acknowledgement was lost.
Rule 3: a process dies in an effect or between two, never inside a fold (`Fuse`).
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from streamops.core.partition import partition_of
from streamops.core.processor import Record, Refusal
from streamops.events import Event
from streamops.hosts.decoding import to_record
from streamops.hosts.memory import Place

NAMESPACE = "sim"
OnDelivery = Callable[[Any, Any], None]


class Killed(BaseException):
    """The process is gone; no `except Exception` stops that."""


class Fuse:
    """How many effects a process lives for; None: for ever."""

    def __init__(self) -> None:
        self.left: int | None = None

    def burn(self) -> None:
        """Note an effect, or die in its stead."""
        if self.left is None:
            return
        if self.left == 0:
            raise Killed
        self.left -= 1


def stored(place: Place, offset: int, append_ms: int, key: bytes, value: bytes) -> Record:
    """Return a record as a host reads it."""
    return Record(*place, offset, append_ms, key, value, _decoded(value))


@lru_cache(maxsize=4096)
def _decoded(value: bytes) -> Event | Refusal:
    """Decode once what comes again and again: a refold sends equal bytes."""
    return to_record("", 0, 0, 0, b"", value).event


class Log:
    """Every partition's records in order; a user's transactions leave gaps between offsets."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.rows: dict[Place, list[Record]] = {}

    def append(self, place: Place, key: bytes, value: bytes) -> None:
        """Append a derived record."""
        rows = self.rows.setdefault(place, [])
        rows.append(stored(place, self.end(place), 0, key, value))

    def end(self, place: Place) -> int:
        """Return the offset behind the last record's."""
        rows = self.rows.get(place)
        return rows[-1].offset + 1 if rows else 0

    def read(self, place: Place, position: int, count: int, back: int) -> list[Record]:
        """Return records from a position on; the client may hand over some before it again."""
        rows = self.rows[place]
        at = bisect_left(rows, position, key=lambda record: record.offset)
        return rows[max(0, at - back) : at + count]


class Send(NamedTuple):
    """A record on its way."""

    place: Place
    key: bytes
    value: bytes
    on_delivery: OnDelivery


class Failure:
    """What the client says of a send that failed."""

    def str(self) -> str:
        return "simulated"


class Message:
    """What the client hands back with a report."""

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def topic(self) -> str:
        return self._topic


class Producer:
    """A process's producer, with as much of confluent-kafka's interface as `Sender` uses."""

    def __init__(self, log: Log, fuse: Fuse, r: random.Random, failing: float) -> None:
        self.log, self.fuse, self.r, self.failing = log, fuse, r, failing
        self.queued: dict[Place, deque[Send]] = {}
        self._failed: list[Send] = []

    def __len__(self) -> int:
        return sum(map(len, self.queued.values())) + len(self._failed)

    def produce(
        self,
        topic: str,
        value: bytes,
        key: bytes,
        partition: int,
        on_delivery: OnDelivery,
    ) -> None:
        """Queue a record; partition -1 leaves it to the key."""
        self.fuse.burn()
        at = partition_of(key, self.log.partitions) if partition < 0 else partition
        place = topic.removeprefix(f"{NAMESPACE}."), at
        self.queued.setdefault(place, deque()).append(Send(place, key, value, on_delivery))

    def poll(self, timeout_s: float) -> int:
        """Tell the process which sends failed; `Sender` asks for no other reports."""
        failed, self._failed = self._failed, []
        for send in failed:
            send.on_delivery(Failure(), Message(send.place[0]))
        return len(failed)

    def flush(self, timeout_s: float) -> int:
        """Bring everything to the log and tell what became of it."""
        while self.queued:
            self.fuse.burn()
            self.carry(1)
        self.fuse.burn()
        self.poll(0)
        return len(self)

    def carry(self, count: int) -> None:
        """Bring some records to the log: of a partition, which may be any, the oldest."""
        for _ in range(count):
            if not self.queued:
                return
            place = self.r.choice(list(self.queued))
            send = self.queued[place].popleft()
            if not self.queued[place]:
                del self.queued[place]
            failed = self.failing > 0 and self.r.random() < self.failing
            if not failed or self.r.random() < 0.5:
                self.log.append(send.place, send.key, send.value)
            if failed:
                self._failed.append(send)

    def abandon(self) -> list[Send]:
        """Return what is still in the network when the process dies: of each place a prefix."""
        return [
            send
            for sends in self.queued.values()
            for send in list(sends)[: self.r.randint(0, len(sends))]
        ]
