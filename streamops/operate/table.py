"""Any labelled table as a stream: rows in order, each with its time, features and label.

A `manifest.json` beside the file names target, time, label time and columns to leave out; flags
override it. A time column that isn't a timestamp gives order only; missing or tied times are
spread evenly up to the next known one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from streamops.config import SPAN_MAX_S
from streamops.core.times import SECOND_US
from streamops.errors import ConfigError
from streamops.operate.manifest import read_entry
from streamops.operate.rows import Row, Rows, is_time, micros_of, values_of

ORDER_START_US = 946_684_800 * SECOND_US  # 2000-01-01: rows without a time are a second apart
SEGMENT_VALUES_MAX = 10
# Datetimes have the years 1 to 9999. A run begins with a pane, of a year at most, before its first
# row, and ticks go on behind its last: a label's ten years, and as long again to forget it.
YEAR_FIRST, YEAR_LAST = 2, 9970
FIRST_US, END_US = -62_104_060_800 * SECOND_US, 252_487_152_000 * SECOND_US
INT_MAX = 2**63 - 1
SPAN_US = SPAN_MAX_S * SECOND_US


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """Which columns play which part; what is not given the manifest may say."""

    target: str = ""
    time: str = ""
    label_time: str = ""
    exclude: tuple[str, ...] = ()
    label_delay_s: float | None = None


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A whole labelled table in stream order. `segments`: column -> values, if one suits."""

    name: str
    target: str
    rows: Sequence[Row]
    segments: dict[str, tuple[str, ...]]


def read_table(file: Path, columns: Columns) -> Table:
    """Read a Parquet or CSV file as a stream.

    Raises ConfigError for a file or column that can't play its part, for a delay beside a label
    time, and for a label time before its row.
    """
    _check_delay(columns)
    frame = read_frame(file)
    check_excluded(columns.exclude, {file: frame.column_names})
    columns = _with_manifest(file, columns, frame.column_names)
    _check_parts(file, columns, frame.column_names)
    # A column without a name is the index of a data frame that was written out: no feature.
    left_out = {"", columns.target, columns.time, columns.label_time, *columns.exclude}
    features = [name for name in frame.column_names if name not in left_out]
    order, times = _times(frame, columns.time)
    if order is not None:
        frame = frame.take(order)
    for name in (*features, columns.target):
        if is_time(frame.schema.field(name).type):
            _micros(frame, name)  # what can't be read is told before anything starts
    frame = _with_wide_integers_as_text(frame)
    labels = values_of(frame, columns.target)
    label_times = _label_times(frame, columns, times)
    rows = Rows(frame.select(features), times, labels, label_times)
    segments = _segments(frame, features)
    return Table(name=file.stem, target=columns.target, rows=rows, segments=segments)


def read_frame(file: Path) -> pa.Table:
    """Read a Parquet or CSV file; raises ConfigError where it can't be."""
    with readable(file):
        frame = pc_csv.read_csv(file) if is_csv(file) else _read_parquet(file)
        check_names(file, frame.schema)
    return frame


def is_csv(file: Path) -> bool:
    """Tell by its name whether a file is CSV; any other is Parquet."""
    return file.suffix.lower() == ".csv"


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Raise ConfigError for a file that isn't there, and for what Arrow says of one inside."""
    try:
        if not file.is_file():
            raise ConfigError(f"file {file} does not exist; give a .parquet or .csv file")
        yield
    except UnicodeDecodeError:
        raise ConfigError(f"file {file} has column names that are no UTF-8; save it so") from None
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"file {file} can't be read: {error}; give .parquet or .csv") from None


def check_names(file: Path, schema: pa.Schema) -> None:
    """Raise ConfigError for two columns of a name, or texts in another encoding."""
    names = schema.names
    for field in schema:
        if names.count(field.name) > 1:
            raise ConfigError(f"file {file} has column {field.name!r} twice; rename one of them")
        # Arrow takes text in another encoding for bytes.
        if is_csv(file) and pa.types.is_binary(field.type):
            raise ConfigError(f"column {field.name!r} of {file} is no UTF-8; save the file as such")


def _read_parquet(file: Path) -> pa.Table:
    # Not read_table: it loads Arrow's engine of whole datasets, 25 MB, for a file.
    with pq.ParquetFile(file) as opened:
        return opened.read()


def check_excluded(names: Sequence[str], found: Mapping[Path, Sequence[str]]) -> None:
    """Raise ConfigError for a column to leave out that no file has: a misspelt leak would stay."""
    for name in names:
        if not any(name in columns for columns in found.values()):
            known = "; ".join(f"{file.name}: {list(columns)}" for file, columns in found.items())
            raise ConfigError(f"--exclude is {name!r}, which is no column of {known}")


def _check_delay(columns: Columns) -> None:
    delay_s = columns.label_delay_s
    if delay_s is None:
        return
    if columns.label_time:
        raise ConfigError(
            f"--label-delay is {delay_s:g} and --label-time {columns.label_time!r}; "
            "a label comes by one of them: leave out the other"
        )
    if not 0 <= delay_s <= SPAN_MAX_S:
        raise ConfigError(f"--label-delay is {delay_s:g}; use 0 to {SPAN_MAX_S:,} s")


def _check_parts(file: Path, columns: Columns, names: Sequence[str]) -> None:
    if not columns.target:
        raise ConfigError(f"--target is not given and {file.name} has no manifest; name the label")
    for name in (columns.target, columns.time, columns.label_time):
        if name and name not in names:
            raise ConfigError(f"column {name!r} is not in {file.name}: {list(names)}")
    others = {
        "--time": (columns.time,),
        "--label-time": (columns.label_time,),
        "--exclude": columns.exclude,
    }
    for option, given in others.items():
        if columns.target in given:
            raise ConfigError(f"{option} is {columns.target!r}, the target; name another column")


def _with_manifest(file: Path, given: Columns, names: Sequence[str]) -> Columns:
    entry = read_entry(file)
    if entry is None:
        return given
    left = given.exclude or entry.exclude_from_features or ()
    known = entry.label_time_column or ""
    return Columns(
        target=given.target or entry.target or "",
        time=given.time or entry.time_column or "",
        label_time=given.label_time or (known if given.label_delay_s is None else ""),
        # Nobody knows when a label will come: it is no feature, whoever says the delay.
        exclude=tuple(name for name in (*left, known) if name in names),
        label_delay_s=given.label_delay_s,
    )


def _times(frame: pa.Table, name: str) -> tuple[pa.Array | None, list[int]]:
    """Return the order of rows by time (None: as they stand) and the time of each."""
    n = frame.num_rows
    even = [ORDER_START_US + number * SECOND_US for number in range(n)]
    if not name:
        return None, even
    kind = frame.schema.field(name).type
    try:
        order = pc.sort_indices(frame, sort_keys=[(name, "ascending")])
    except pa.ArrowException:
        raise ConfigError(f"--time is {name!r}, whose {kind} has no order; name another") from None
    if not is_time(kind):
        return order, even
    stands = _micros(frame, name)
    known = [value for value in stands if value is not None]
    if known and not FIRST_US <= min(known) <= max(known) < END_US:
        raise ConfigError(
            f"--time is {name!r}, with a year outside {YEAR_FIRST} to {YEAR_LAST}; mend the rows"
        )
    if all(a <= b for a, b in itertools.pairwise(known)):
        return None, spread(stands)
    return order, spread([stands[at] for at in order.to_pylist()])


def _micros(frame: pa.Table, name: str) -> list[int | None]:
    try:
        return micros_of(frame.column(name))
    except pa.ArrowException as error:
        raise ConfigError(
            f"column {name!r} of {frame.column(name).type} can't be read as times: {error}; mend "
            "or leave it out"
        ) from None


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
    known = _micros(frame, columns.label_time)
    for number, (time, label) in enumerate(zip(times, known, strict=True)):
        if label is not None and not -SPAN_US <= label - time <= SPAN_US:
            when = "before" if label < time else "after"
            raise ConfigError(
                f"--label-time is {columns.label_time!r}, in row {number} more than ten years "
                f"{when} the row's time; mend the row, or leave its label out if it never came"
            )
    return [
        max(time, label) if label is not None else time
        for time, label in zip(times, known, strict=True)
    ]


def _with_wide_integers_as_text(frame: pa.Table) -> pa.Table:
    """The table with text in place of whole columns of integers that don't fit the log's 64 bits.

    Such numbers name things (hashes, ids): as floats they would run into one another.
    """
    for at, field in enumerate(frame.schema):
        if pa.types.is_uint64(field.type):
            most = pc.max(frame.column(at)).as_py()
            if most is not None and most > INT_MAX:
                text = frame.column(at).cast(pa.string())
                frame = frame.set_column(at, field.name, text)
    return frame


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
