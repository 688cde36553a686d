"""Records of one prediction, found without reading the archive: by its index, where it has one.

Rule 1: a raw file that the index doesn't know is read itself, its key column first. So the answer
        is the same with the index, without it, and with one that ends earlier than the files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import pyarrow.parquet as pq

from streamops.events import Event, OutcomeJoined
from streamops.views.archive import (
    DAMAGE,
    file_name,
    raw_folder,
    read_cover,
    read_file,
    records_at,
    unreadable,
)
from streamops.views.key_index import Block, KeyIndex
from streamops.views.log import Partition, RawRecord, missing, to_record

SUFFIX = ".parquet"
E = TypeVar("E", bound=Event)


class Found(msgspec.Struct, Generic[E], frozen=True):
    """A record and where it stands: topic-partition and offset."""

    at: str
    event: E


def by_key(archive: Path, place: Partition, key: str) -> Iterator[Found[Event]]:
    """Yield the records of a key, in log order; raises TransportError where a file lacks."""
    sought = key.encode()

    def by_column(path: Path) -> list[int]:
        rows = _columns(path, "key")
        return _where(rows, "equal", rows["key"], sought)

    for record in _looked_up(archive, place, key, by_column):
        if record.key == sought:
            yield from _event(record)


def outcomes_of(archive: Path, place: Partition, id_: str) -> Iterator[Found[OutcomeJoined]]:
    """Yield the outcomes of a prediction: the first, then corrections."""

    def by_value(path: Path) -> list[int]:
        offsets = _typed_offsets(archive, place[1], path.name, id_)
        if offsets is None:
            rows = _columns(path, "value")
            offsets = _where(rows, "match_substring", rows["value"], id_)
        return offsets

    for record in _looked_up(archive, place, id_, by_value):
        for found in _event(record):
            event = found.event
            if isinstance(event, OutcomeJoined) and event.prediction_id == id_:
                yield Found(found.at, event)


def around(archive: Path, place: Partition, time_us: int) -> Iterator[Found[Event]]:
    """Yield metrics that are about an event time, and all of files that the index doesn't know."""
    for path, block in _files(archive, place):
        if block is None:
            records = read_file(path, place)
        else:
            records = records_at(path, place, block.around(time_us))
        for record in records:
            yield from _event(record)


def _looked_up(
    archive: Path, place: Partition, key: str, scan: Callable[[Path], list[int]]
) -> Iterator[RawRecord]:
    for path, block in _files(archive, place):
        yield from records_at(
            path, place, scan(path) if block is None else block.of_key(key.encode())
        )


def _files(archive: Path, place: Partition) -> Iterator[tuple[Path, Block | None]]:
    """Yield a partition's raw files in order, each with what the index has of it.

    Raises TransportError where one is missing between, or the index knows one that isn't there.
    """
    folder = raw_folder(archive, *place)
    names = os.listdir(folder) if folder.exists() else []
    there = {
        int(name[: -len(SUFFIX)]) for name in names if name[:1].isdigit() and name.endswith(SUFFIX)
    }
    known = {block.first: block for block in KeyIndex(archive).blocks(place)}
    for first in sorted(known.keys() - there):
        raise missing(*place, first, known[first].next)
    end = min(there, default=0)
    for first in sorted(there):
        if first != end:
            raise missing(*place, end, first)
        path, block = folder / file_name(first), known.get(first)
        yield path, block
        end = read_cover(path).next if block is None else block.next


def _typed_offsets(archive: Path, partition: int, name: str, id_: str) -> list[int] | None:
    """Offsets of the outcomes beside a raw file; None where their typed file is gone or damaged."""
    folder = archive / "typed" / "type=OutcomeJoined" / "topic=outcomes"
    path = folder / f"partition={partition}" / name
    try:
        rows = pq.read_table(path, columns=["offset", "prediction_id"], partitioning=None)
    except DAMAGE:
        return None
    return _where(rows, "equal", rows["prediction_id"], id_)


def _where(rows: Any, function: str, *given: Any) -> list[int]:
    """Offsets of the rows for which a function of Arrow's says so."""
    # Taken only here: with an index nothing is compared, and to load it takes a quarter second.
    import pyarrow.compute as pc

    found: list[int] = rows.filter(getattr(pc, function)(*given))["offset"].to_pylist()
    return found


def _columns(path: Path, name: str) -> Any:
    """Offsets and a column of a raw file; TransportError where it can't be read."""
    try:
        return pq.read_table(path, columns=["offset", name], partitioning=None)
    except DAMAGE as error:
        raise unreadable(path, error) from error


def _event(record: RawRecord) -> Iterator[Found[Event]]:
    event = to_record(record).event
    if isinstance(event, Event):
        yield Found(f"{record.topic}-{record.partition} offset {record.offset}", event)
