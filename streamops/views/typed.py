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
import pyarrow.parquet as pq

from streamops.core.processor import Refusal
from streamops.views.archive import ArchiveLog, file_name, write_table
from streamops.views.log import Partition, RawRecord, to_records
from streamops.views.tables import Row, arrow_rows, epoch_of, tables

UNREADABLE = "Unreadable"
# Decoded records take ten times their Arrow columns: never all of a file at once.
SLICE = 2000


def write_typed(archive: Path, records: Sequence[RawRecord], place: Partition, first: int) -> None:
    """Write the typed files beside a raw file, one for each event type in it."""
    parts: dict[str, list[Any]] = {}
    refused = list[tuple[RawRecord, str]]()
    for start in range(0, len(records), SLICE):
        for kind, rows in _by_type(records[start : start + SLICE], refused).items():
            stored, bad = arrow_rows(tables()[kind], rows)
            refused += [(RawRecord(*row.record[:6]), reason) for row, reason in bad]
            parts.setdefault(kind, []).append(stored)
    for kind, found in parts.items():
        stored = pa.concat_tables(found)
        if len(stored):
            _replace(stored, archive, kind, place, first)
    if refused:
        columns = {"offset": [r.offset for r, _ in refused], "reason": [why for _, why in refused]}
        _replace(pa.table(columns), archive, UNREADABLE, place, first)


def _by_type(
    records: Sequence[RawRecord], refused: list[tuple[RawRecord, str]]
) -> dict[str, list[Row]]:
    by_type: dict[str, list[Row]] = {}
    for raw, record in zip(records, to_records(records), strict=True):
        if isinstance(record.event, Refusal):
            refused.append((raw, record.event.reason))
        else:
            row = Row(record, epoch_of(record.event))
            by_type.setdefault(type(record.event).__name__, []).append(row)
    return by_type


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
    # Where a record stands is said by the path; a column of that name would be there twice.
    kept = [name for name in rows.column_names if name not in ("topic", "partition")]
    write_table(rows.select(kept), temporary)
    temporary.replace(folder / file_name(first))
