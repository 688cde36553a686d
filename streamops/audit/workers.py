"""METER's partitions in processes of their own, for who folds a long history on several cores.

Rule 1: a process is given partitions and sends what METER concludes there, epoch by epoch; which
        one folds what is no part of the answer.
Rule 2: a process folds a few epochs ahead of who reads, AHEAD of each partition and never more:
        else each would wait for the other in turn.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from queue import Queue
from types import TracebackType
from typing import Any, NamedTuple, Self

from streamops import codec
from streamops.audit.metering import Job, Metered, metered
from streamops.audit.pace import merged
from streamops.audit.spawned import Spawned, begin_spawned, failed, send_back
from streamops.core.output_rows import Addressed, AddressedRows, Mixed
from streamops.errors import ConfigError, ServiceError
from streamops.hosts.garbage import rare_collections

# Below it starting processes takes longer than what they save.
SMALL = 300_000
AHEAD = 2


class _Singles(NamedTuple):
    """Outputs as they are sent: an event that was pickled isn't encoded as it was, for a default is
    known by its identity. Where and under which key each goes, and its bytes.

    is_made     whether the event was made
    is_encoded  whether its bytes were
    """

    places: list[tuple[str, int | None, str]]
    values: list[bytes]
    is_made: list[bool]
    is_encoded: list[bool]


def workers_for(records: int, partitions: int) -> int:
    """Return how many processes serve so many records: one a CPU, and none more for few records."""
    if records < SMALL:
        return 1
    return max(1, min(len(os.sched_getaffinity(0)), partitions))


class Workers:
    """METER of some partitions, each an iterator of epochs; one process: they are folded here.

    Use it as a context: processes end with it, however it ends.
    """

    def __init__(self, jobs: Sequence[Job], workers: int) -> None:
        """Raises ConfigError for less than one process."""
        if workers < 1:
            raise ConfigError(f"--workers is {workers}: give 1 or more")
        self._jobs = jobs
        # Else the one process that folds would wait for the one that asks.
        count = min(workers, len(jobs)) if workers > 1 else 0
        self._lanes = [_Lane(jobs[number::count], number) for number in range(count)]

    def sources(self) -> list[Iterator[tuple[int, Metered]]]:
        """Return what is concluded in each partition, each with its epoch."""
        if not self._lanes:
            return [metered(job) for job in self._jobs]
        of = {job.partition: lane for lane in self._lanes for job in lane.jobs}
        return [of[job.partition].epochs_of(job.partition) for job in self._jobs]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for lane in self._lanes:
            lane.close()


class _Lane:
    """One process, and what it sent that nobody asked for yet."""

    def __init__(self, jobs: Sequence[Job], number: int) -> None:
        self.jobs = jobs
        does = f"folded {', '.join(job.name for job in jobs)}"
        self._process = Spawned(work, (jobs,), name=f"worker {number}", does=does)
        self._held: dict[int, deque[tuple[int, Metered]]] = {job.partition: deque() for job in jobs}

    def epochs_of(self, partition: int) -> Iterator[tuple[int, Metered]]:
        """Yield what METER concludes in a partition, each with its epoch."""
        held = self._held[partition]
        while True:
            while not held:
                found = self._next()
                self._held[found[1].partition].append(found)
            epoch, found_here = held.popleft()
            yield epoch, found_here
            if found_here.is_last:
                return

    @property
    def pid(self) -> int | None:
        """The process's id."""
        return self._process.pid

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def _next(self) -> tuple[int, Metered]:
        found: Any = self._process.receive()
        epoch, of, parts = found
        outputs = Mixed[Addressed]()
        for part in parts:
            outputs += _received(part)
        return epoch, of._replace(outputs=outputs)


def _sent(part: Sequence[Addressed]) -> _Singles | AddressedRows:
    if isinstance(part, AddressedRows):
        return part
    return _Singles(
        [addressed[:3] for addressed in part],
        [addressed.value or codec.encode(addressed.event) for addressed in part],
        [addressed.made is not None for addressed in part],
        [bool(addressed.value) for addressed in part],
    )


def _received(part: _Singles | AddressedRows) -> Sequence[Addressed]:
    if isinstance(part, AddressedRows):
        return part
    return [
        Addressed(*place, codec.decode(value) if is_made else None, value if is_encoded else b"")
        for place, value, is_made, is_encoded in zip(*part, strict=True)
    ]


def work(jobs: Sequence[Job], out: Connection) -> None:
    """Fold partitions in this process, and send what is concluded."""
    begin_spawned()
    waiting = Queue[Any](AHEAD * len(jobs))
    sender = threading.Thread(target=_send_all, args=(waiting, out), daemon=True)
    sender.start()
    try:
        with rare_collections():
            for epoch, of in merged((0, _marked(metered(job))) for job in jobs):
                parts = list(map(_sent, of.outputs.parts))
                waiting.put((epoch, of._replace(outputs=Mixed()), parts))
    except ServiceError as error:
        waiting.put(failed(error))
    waiting.put(None)
    sender.join()


def _send_all(waiting: Queue[Any], out: Connection) -> None:
    with out:
        for found in iter(waiting.get, None):
            send_back(out, found)


def _marked(
    epochs: Iterator[tuple[int, Metered]],
) -> Iterator[tuple[int, tuple[int, Metered]]]:
    return ((epoch, (epoch, found)) for epoch, found in epochs)
