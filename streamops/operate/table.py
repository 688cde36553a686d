"""Any labelled table as a stream: rows in order, each with its time, features and label.

A `manifest.json` beside the file names target, time, label time and columns to leave out; flags
override it. A time column that isn't a timestamp gives order only; missing or tied times are
spread evenly up to the next known one.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from streamops.core.times import SECOND_US
from streamops.errors import ConfigError, InputError

ORDER_START_US = 946_684_800 * SECOND_US  # 2000-01-01: rows without a time are a second apart
SEGMENT_VALUES_MAX = 10


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """Which columns play which part; what is not given the manifest may say."""

    target: str = ""
    time: str = ""
    label_time: str = ""
    exclude: tuple[str, ...] = ()
    label_delay_s: float | None = None


class Row(msgspec.Struct, frozen=True, gc=False):
    """One row. Times in microseconds; `label` None: it never gets one."""

    number: int
    time_us: int
    features: dict[str, Any]
    label: Any
    label_us: int


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A whole labelled table in stream order. `segments`: column -> values, if one suits."""

    name: str
    target: str
    rows: list[Row]
    segments: dict[str, tuple[str, ...]]


def read_table(file: Path, columns: Columns) -> Table:
    """Read a Parquet or CSV file as a stream.

    Raises ConfigError for a missing file or column and for a delay beside a label time, InputError
    for a label time before its row.
    """
    if columns.label_time and columns.label_delay_s is not None:
        raise ConfigError(
            f"--label-delay is {columns.label_delay_s:g} and --label-time {columns.label_time!r}; "
            "a label comes by one of them: leave out the other"
        )
    frame = read_frame(file)
    columns = _with_manifest(file, columns, frame.column_names)
    if not columns.target:
        raise ConfigError(f"--target is not given and {file.name} has no manifest; name the label")
    for name in (columns.target, columns.time, columns.label_time):
        if name and name not in frame.column_names:
            raise ConfigError(f"column {name!r} is not in {file.name}: {frame.column_names}")
    left_out = {columns.target, columns.time, columns.label_time, *columns.exclude}
    features = [name for name in frame.column_names if name not in left_out]
    order, times = _times(frame, columns.time)
    if order is not None:
        frame = frame.take(order)
    values = {name: values_of(frame.column(name)) for name in features}
    labels = values_of(frame.column(columns.target))
    label_times = _label_times(frame, columns, times)
    rows = [
        Row(
            number,
            times[number],
            {name: values[name][number] for name in features},
            labels[number],
            label_times[number],
        )
        for number in range(frame.num_rows)
    ]
    segments = _segments(frame, features)
    return Table(name=file.stem, target=columns.target, rows=rows, segments=segments)


def read_frame(file: Path) -> pa.Table:
    """Read a Parquet or CSV file; raises ConfigError where it can't be."""
    if not file.is_file():
        raise ConfigError(f"file {file} does not exist; give a .parquet or .csv file")
    try:
        if file.suffix == ".csv":
            return pc_csv.read_csv(file)
        return pq.read_table(file)
    except pa.ArrowException as error:
        raise ConfigError(f"file {file} can't be read: {error}; give .parquet or .csv") from None


def _with_manifest(file: Path, given: Columns, names: Sequence[str]) -> Columns:
    manifest = file.parent / "manifest.json"
    if not manifest.is_file():
        return given
    for entry in json.loads(manifest.read_text()).get("datasets", []):
        if entry.get("file") == file.name:
            left = given.exclude or tuple(entry.get("exclude_from_features") or ())
            known = entry.get("label_time_column") or ""
            return Columns(
                target=given.target or entry.get("target") or "",
                time=given.time or entry.get("time_column") or "",
                label_time=given.label_time or (known if given.label_delay_s is None else ""),
                # Nobody knows when a label will come: it is no feature, whoever says the delay.
                exclude=tuple(name for name in (*left, known) if name in names),
                label_delay_s=given.label_delay_s,
            )
    return given


def _times(frame: pa.Table, name: str) -> tuple[pa.Array | None, list[int]]:
    """Return the order of rows by time (None: as they stand) and the time of each."""
    n = frame.num_rows
    even = [ORDER_START_US + number * SECOND_US for number in range(n)]
    if not name:
        return None, even
    column = frame.column(name)
    order = pc.sort_indices(frame, sort_keys=[(name, "ascending")])
    if not pa.types.is_timestamp(column.type) and not pa.types.is_date(column.type):
        return order, even
    in_order = _is_sorted(column)
    known = _micros(column if in_order else column.take(order))
    return (None if in_order else order), spread(known)


def _is_sorted(column: pa.ChunkedArray) -> bool:
    known = [value for value in _micros(column) if value is not None]
    return all(a <= b for a, b in itertools.pairwise(known))


def _micros(column: pa.ChunkedArray) -> list[int | None]:
    # Nanoseconds lose what is below a microsecond; any other loss is an overflow.
    is_finer = pa.types.is_timestamp(column.type) and column.type.unit == "ns"
    cast = column.cast(pa.timestamp("us"), safe=not is_finer)
    values: list[int | None] = cast.cast(pa.int64()).to_pylist()
    return values


def spread(times: list[int | None]) -> list[int]:
    """Return growing times: missing or tied ones stand evenly between the known ones around.

    Those before the first known one are tied with it.
    """
    found: list[int] = []
    start = 0
    first = next((time for time in times if time is not None), ORDER_START_US)
    while start < len(times):
        at = times[start] if times[start] is not None else (found[-1] if found else first)
        end = start + 1
        while end < len(times) and (times[end] is None or times[end] == at):
            end += 1
        after = times[end] if end < len(times) else None
        assert at is not None, "a run starts at a known time"
        gap = (after - at) if after is not None else SECOND_US * (end - start)
        found.extend(at + gap * k // (end - start) for k in range(end - start))
        start = end
    return found


def _label_times(frame: pa.Table, columns: Columns, times: list[int]) -> list[int]:
    if not columns.label_time:
        delay_us = round((columns.label_delay_s or 0.0) * SECOND_US)
        return [time + delay_us for time in times]
    known = _micros(frame.column(columns.label_time))
    for number, (time, label) in enumerate(zip(times, known, strict=True)):
        if label is not None and label < time - SECOND_US * 86400 * 3650:
            raise InputError(
                f"{columns.label_time} of row {number} is ten years before its time; mend the row"
            )
    return [
        max(time, label) if label is not None else time
        for time, label in zip(times, known, strict=True)
    ]


def values_of(column: pa.ChunkedArray) -> list[Any]:
    """Return a column as JSON has it: times as seconds, what is no finite number as missing."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        micros = _micros(column)
        return [None if value is None else value / SECOND_US for value in micros]
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    values: list[Any] = column.to_pylist()
    return [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _segments(frame: pa.Table, features: list[str]) -> dict[str, tuple[str, ...]]:
    """Choose the text column with the fewest values (2..10) as a segment."""
    best: tuple[int, str, tuple[str, ...]] | None = None
    for name in features:
        kind = frame.schema.field(name).type
        if pa.types.is_dictionary(kind) or _is_text(kind):
            values = sorted(str(v) for v in pc.unique(frame.column(name)).to_pylist() if v)
            if 2 <= len(values) <= SEGMENT_VALUES_MAX and (best is None or len(values) < best[0]):
                best = (len(values), name, tuple(values))
    return {} if best is None else {best[1]: best[2]}
