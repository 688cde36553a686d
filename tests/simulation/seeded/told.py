"""What a run told its readers: derived records without repeats.

Rule 1: a place and a stamp say one thing, whoever sent it and however often (EPOCHS, Words).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from streamops import codec
from streamops.core.output_rows import Addressed
from streamops.core.partition import partition_of
from streamops.core.processor import Record
from streamops.events import Event
from streamops.hosts.memory import BROADCAST, Place
from streamops.hosts.replay import ReplayHost
from streamops.values import Stamp
from tests.simulation.seeded.detector import make_ordered
from tests.simulation.seeded.raw_log import RawLog


class Fact(NamedTuple):
    """Where a derived record stands for its readers: closes by id, all else by stamp."""

    topic: str
    partition: int
    stamp: Stamp | str


class Told(NamedTuple):
    """Each fact's conclusion, one event of each, and the facts that were told in two ways."""

    conclusions: dict[Fact, bytes]
    events: dict[Fact, Event]
    contradicted: list[Fact]


def told_by(records: Iterable[tuple[str, int, Event]]) -> Told:
    """Read derived records in any order."""
    told = Told({}, {}, [])
    for topic, partition, event in records:
        stamp: Stamp | None = getattr(event, "stamp", None)
        fact = Fact(topic, partition, event.id if stamp is None else stamp)
        conclusion = codec.conclusion(event)
        if told.conclusions.setdefault(fact, conclusion) != conclusion:
            told.contradicted.append(fact)
        told.events.setdefault(fact, event)
    return told


def quiet(log: RawLog) -> Told:
    """Fold a raw log on a quiet day: each record once, in order, nothing fails."""
    host = ReplayHost(
        partitions=log.partitions, make_detector=make_ordered, skew_max_ms=log.skew_max_ms
    )
    outputs: list[Addressed] = []
    for rows in log.rows.values():
        for row in rows:
            outputs += host.feed(row.record)
    return told_by(_placed(output, log.partitions) for output in outputs)


def logged(log: dict[Place, list[Record]]) -> Told:
    """Read the derived topics of a log, repeats and all; equal bytes need no second look."""
    derived = [place for place in log if place[0] not in BROADCAST]
    return told_by(
        (*place, record.event)
        for place in derived
        for record in {record.value: record for record in log[place]}.values()
        if isinstance(record.event, Event)
    )


def _placed(output: Addressed, partitions: int) -> tuple[str, int, Event]:
    at = output.partition
    return output.topic, partition_of(output.key, partitions) if at is None else at, output.event
