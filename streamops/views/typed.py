"""Typed archive files: columns per event type beside each raw file, for analysis.

Rule 1: derived and disposable. They follow the raw file they are made from, name for name.
Rule 2: a record that can't be decoded or stored is a row of `type=Unreadable`, with the reason, so
        that the typed rows beside a raw file are as many as its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from streamops.codec import decode_all
from streamops.core.columns import Indices, groups_of, numbered, pick
from streamops.core.processor import Record
from streamops.errors import InputError
from streamops.events import Event
from streamops.views.archive import ArchiveLog, file_name, write_table
from streamops.views.log import Partition, RawRecord
from streamops.views.raw_columns import RawColumns, in_columns
from streamops.views.tables import (
    UNSTORABLE,
    Cells,
    Row,
    cells_of,
    epochs_of,
    part,
    rows_of,
    tables,
)

UNREADABLE = "Unreadable"
# Decoded records take ten times their Arrow columns: never all of a file at once.
SLICE = 2000
# So many rows tell whether a column repeats itself.
SAMPLE = 256


def write_typed(archive: Path, records: Sequence[RawRecord], place: Partition, first: int) -> None:
    """Write the typed files beside a raw file, one for each event type in it."""
    store_typed(archive, typed_tables(records), place, first)


def store_typed(archive: Path, typed: dict[str, Any], place: Partition, first: int) -> None:
    """Write the typed files of Arrow tables, by event type."""
    for name, rows in typed.items():
        _replace(rows, archive, name, place, first)


def typed_tables(records: Sequence[RawRecord]) -> dict[str, Any]:
    """Return an Arrow table for each event type among a partition's records."""
    parts: dict[str, list[Any]] = {}
    refused = list[tuple[RawRecord, str]]()
    for start in range(0, len(records), SLICE):
        some = in_columns(records[start : start + SLICE])
        events = decode_all(some.columns.values)
        by_type = _by_type(events)
        for row in by_type.pop(InputError, ()):
            refused.append((some[row], str(events[row])))
        for kind, rows in by_type.items():
            stored = _stored(kind, some, events, rows, refused)
            parts.setdefault(kind.__name__, []).append(stored)
    found = {name: pa.concat_tables(some) for name, some in parts.items() if any(map(len, some))}
    if refused:
        columns = {"offset": [r.offset for r, _ in refused], "reason": [why for _, why in refused]}
        found[UNREADABLE] = pa.table(columns)
    return found


def _by_type(events: Sequence[Any]) -> dict[type[Any], Indices]:
    """Return the rows of each type, types in the order of their first rows."""
    kinds, of_row = numbered(list(map(type, events)))
    return {kinds[at]: rows for at, rows in groups_of(of_row)}


def _stored(
    kind: type[Event],
    raws: RawColumns,
    all_events: Sequence[Any],
    rows: Indices,
    refused: list[tuple[RawRecord, str]],
) -> Any:
    """Return the rows of one type as Arrow; those that can't be stored are told apart."""
    events = pick(all_events, rows)
    table, epochs = tables()[kind.__name__], epochs_of(kind, events)
    offsets, append_ms = pick(raws.columns.offsets, rows), pick(raws.columns.append_ms, rows)
    try:
        return cells_of(table, Cells(events, offsets, append_ms, epochs))
    except UNSTORABLE:
        some = [raws[row] for row in map(int, rows)]
        records = (Record(*raw[:6], event) for raw, event in zip(some, events, strict=True))
        good, bad = part(table, list(map(Row, records, epochs)))
    refused += [(RawRecord(*row.record[:6]), reason) for row, reason in bad]
    return rows_of(table, good).drop_columns(["topic", "partition"])


def typed_rows(archive: Path, place: Partition, first: int) -> int:
    """Return how many rows the typed files beside a raw file have together."""
    pattern = f"type=*/topic={place[0]}/partition={place[1]}/{file_name(first)}"
    found = (archive / "typed").glob(pattern)
    return sum(pq.read_metadata(path).num_rows for path in found)


def mend_typed(archive: Path, log: ArchiveLog, place: Partition) -> None:
    """Write the last raw file's typed files again if a crash left them incomplete."""
    files = log.files(*place)
    if files:
        path, cover = files[-1]
        if typed_rows(archive, place, cover.first) != pq.read_metadata(path).num_rows:
            records = list(log.read(*place, cover.first, cover.next))
            write_typed(archive, records, place, cover.first)


def _replace(rows: Any, archive: Path, kind: str, place: Partition, first: int) -> None:
    topic, partition = place
    folder = archive / "typed" / f"type={kind}" / f"topic={topic}" / f"partition={partition}"
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{first}.{os.getpid()}.tmp"
    # Topic and partition are said by the path; a column of that name would be there twice.
    write_table(rows, temporary, repeating(rows))
    temporary.replace(folder / file_name(first))


def repeating(rows: Any) -> list[str]:
    """Return the columns whose values repeat: a dictionary of others takes time and room."""
    first = rows.slice(0, SAMPLE)
    distinct = [pc.count_distinct(column, mode="all").as_py() for column in first.columns]
    return [
        name for name, n in zip(rows.column_names, distinct, strict=True) if 2 * n <= len(first)
    ]
