"""One table for each event type, made from its struct: names, columns, rows.

Rule 1: a scalar field is a typed column, anything nested is JSON. A table's columns follow its
        event's fields, so a new field is a new column and nothing is written twice.
Rule 2: where a record stands are columns too: topic, partition, "offset", append_time, epoch, and a
        stamp's source and ordinal. An event's field of such a name gets its event's word in front,
        as in `refused_topic`.
Rule 3: a record that can't be stored is told apart from its neighbours: it never stops them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from streamops.codec import EVENT_TYPES
from streamops.core.moments import micros_all
from streamops.core.processor import Record
from streamops.core.profile import category_text
from streamops.events import Event
from streamops.values import Value

Convert = Callable[[list[Any]], Any]

NAMES = {
    "PredictionMade": "predictions",
    "LabelArrived": "labels",
    "OutcomeJoined": "outcomes",
    "Sealed": "seals",
}
ENDS_MAX = 2**31 - 1
INT64 = range(-(2**63), 2**63)
INSTANT = pa.timestamp("us", tz="UTC")
UNSTORABLE = (pa.ArrowException, UnicodeError, OverflowError)
PLACE = ("topic", "partition", "offset", "append_time", "epoch")
STAMP = ("source", "ordinal")
_ENCODER = msgspec.json.Encoder()


class Column(NamedTuple):
    """A column: its name, DuckDB's type, Arrow's type, and how a field's values become its."""

    name: str
    field: str
    sql: str
    arrow: Any
    convert: Convert | None = None

    def values(self, items: Sequence[Event]) -> Any:
        """Return the column of these events as an Arrow array."""
        found: list[Any] = list(map(attrgetter(self.field), items))
        if len(found) > 1 and _is_one_text(found):
            return pa.repeat(self._array(found[:1])[0], len(found))
        return self._array(found)

    def _array(self, values: list[Any]) -> Any:
        found: Any = values if self.convert is None else self.convert(values)
        return found if isinstance(found, pa.Array) else pa.array(found, self.arrow)


def _is_one_text(values: list[Any]) -> bool:
    """Tell whether all are one text, or none; of numbers 1, 1.0 and True would be one."""
    first = values[0]
    return (first is None or type(first) is str) and values.count(first) == len(values)


class Table(NamedTuple):
    """The table of one event type; `stamped` when a processor concludes it."""

    name: str
    kind: type[Event]
    columns: tuple[Column, ...]
    stamped: bool

    def create(self) -> str:
        """Return the statement that creates the table."""
        place = (
            "topic VARCHAR",
            "partition INTEGER",
            '"offset" BIGINT',
            "append_time TIMESTAMP",
            "epoch BIGINT",
        )
        stamp = ("source VARCHAR", "ordinal INTEGER") if self.stamped else ()
        columns = (*(f'"{c.name}" {c.sql}' for c in self.columns), *place, *stamp)
        return f'CREATE TABLE IF NOT EXISTS "{self.name}" ({", ".join(columns)})'


class Row(NamedTuple):
    """A decoded record with the epoch it belongs to, if that is known."""

    record: Record
    epoch: int | None


class Cells(NamedTuple):
    """Decoded records of one event type as columns: what they are, and where they stand."""

    events: Sequence[Event]
    offsets: Sequence[int]
    append_ms: Sequence[int]
    epochs: Sequence[int | None]


@cache
def tables() -> dict[str, Table]:
    """Return all tables by the name of their event type."""
    return {kind.__name__: table_of(kind) for kind in EVENT_TYPES}


def table_of(kind: type[Event]) -> Table:
    """Return the table of an event type."""
    fields = [f for f in msgspec.structs.fields(kind) if f.name != "stamp"]
    stamped = "stamp" in kind.__struct_fields__
    taken = PLACE + (STAMP if stamped else ("source",))
    word = words_of(kind)[-1]
    columns = tuple(
        column_of(f"{word}_{f.name}" if f.name in taken else f.name, f.name, f.type) for f in fields
    )
    return Table(table_name(kind), kind, columns, stamped)


def words_of(kind: type[Event]) -> list[str]:
    """Return the words of a type's name in lower case."""
    return [word.lower() for word in re.findall(r"[A-Z][a-z]+", kind.__name__)]


def table_name(kind: type[Event]) -> str:
    """Return the table's name: the noun in the plural, then what happened to it."""
    if kind.__name__ in NAMES:
        return NAMES[kind.__name__]
    words = words_of(kind)
    past = (n for n, word in enumerate(words) if n and word.endswith("ed"))
    cut = next(past, max(1, len(words) - 1))
    noun = words[cut - 1]
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return "_".join([*words[: cut - 1], plural, *words[cut:]])


def column_of(name: str, field: str, kind: Any) -> Column:
    """Return the column for a field's type."""
    info = msgspec.inspect.type_info(kind)
    if kind == Value:
        return Column(name, field, "VARCHAR", pa.string(), texts_of)
    if isinstance(info, msgspec.inspect.UnionType):
        some = [t for t in info.types if not isinstance(t, msgspec.inspect.NoneType)]
        info = some[0]
    for types, (sql, arrow, convert) in SCALARS:
        if isinstance(info, types):
            return Column(name, field, sql, arrow, convert)
    return Column(name, field, "JSON", pa.string(), jsons_of)


def texts_of(values: list[Value]) -> Any:
    """Return classes and numbers as text: the text counted under, or a number's shortest."""
    if set(map(type, values)) == {int}:
        try:
            return pa.array(values, pa.int64()).cast(pa.string())
        except OverflowError:
            return list(map(str, values))
    return [
        v if type(v) is str else str(v) if (text := category_text(v)) is None else text
        for v in values
    ]


def jsons_of(values: list[Any]) -> Any:
    """Return nested values as JSON; raw JSON stays as it came."""
    encode, raw = _ENCODER.encode, msgspec.Raw
    kinds = set(map(type, values))
    if kinds == {raw}:
        return _raws_of(values)
    if kinds == {dict} and not any(values):
        return [b"{}"] * len(values)
    return [v if v is None else bytes(v) if type(v) is raw else encode(v) for v in values]


def _raws_of(values: list[msgspec.Raw]) -> Any:
    """Raw JSON as an Arrow array, without an object for each; ArrowException if any isn't UTF-8."""
    ends = np.cumsum([0, *map(len, values)])
    if ends[-1] > ENDS_MAX:
        return list(map(bytes, values))
    buffers = [pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(values))]
    found = pa.StringArray.from_buffers(len(values), *buffers)
    found.validate(full=True)
    return found


def integers_of(values: list[int | None]) -> list[int | None]:
    """Return integers, None where DuckDB has no room for one."""
    known = [v for v in values if v is not None]
    if not known or (min(known) in INT64 and max(known) in INT64):
        return values
    return [v if v is not None and v in INT64 else None for v in values]


def instants_of(values: list[datetime | None]) -> Any:
    """Return UTC times, many at once; one by one where one is missing."""
    if None in values:
        return values
    return pa.array(micros_all(values), pa.int64()).cast(INSTANT)  # type: ignore[arg-type]


SCALARS: tuple[tuple[tuple[type, ...], tuple[str, Any, Convert | None]], ...] = (
    ((msgspec.inspect.StrType, msgspec.inspect.LiteralType), ("VARCHAR", pa.string(), None)),
    ((msgspec.inspect.BoolType,), ("BOOLEAN", pa.bool_(), None)),
    ((msgspec.inspect.IntType,), ("BIGINT", pa.int64(), integers_of)),
    ((msgspec.inspect.FloatType,), ("DOUBLE", pa.float64(), None)),
    ((msgspec.inspect.DateTimeType,), ("TIMESTAMP", INSTANT, instants_of)),
    ((msgspec.inspect.BytesType,), ("BLOB", pa.binary(), None)),
)


def rows_of(table: Table, rows: Sequence[Row]) -> Any:
    """Return records of one event type as an Arrow table with the table's columns.

    Raises one of UNSTORABLE if any of them can't be stored.
    """
    records = [row.record for row in rows]
    cells = Cells(
        [record.event for record in records],  # type: ignore[misc]
        [record.offset for record in records],
        [record.append_ms for record in records],
        [row.epoch for row in rows],
    )
    found = cells_of(table, cells)
    at = len(table.columns)
    found = found.add_column(at, "topic", pa.array([r.topic for r in records], pa.string()))
    partitions = pa.array([r.partition for r in records], pa.int32())
    return found.add_column(at + 1, "partition", partitions)


def cells_of(table: Table, cells: Cells) -> Any:
    """Return the same of records of one partition, without the partition's own two columns."""
    items: Sequence[Any] = cells.events
    columns = {c.name: c.values(items) for c in table.columns}
    columns["offset"] = pa.array(cells.offsets, pa.int64())
    appended = np.array(cells.append_ms, dtype=np.int64) * 1000
    columns["append_time"] = pa.array(appended).cast(INSTANT)
    columns["epoch"] = pa.array(integers_of(list(cells.epochs)), pa.int64())
    if table.stamped:
        stamps = [e.stamp for e in items]
        columns["source"] = pa.array([s.source if s else None for s in stamps], pa.string())
        columns["ordinal"] = pa.array([s.ordinal if s else None for s in stamps], pa.int32())
    return pa.table(columns)


def arrow_rows(table: Table, rows: Sequence[Row]) -> tuple[Any, list[tuple[Row, str]]]:
    """Return what can be stored as an Arrow table, and each row that can't with the reason."""
    try:
        return rows_of(table, rows), []
    except UNSTORABLE:
        good, bad = part(table, rows)
        return rows_of(table, good), bad


def part(table: Table, rows: Sequence[Row]) -> tuple[list[Row], list[tuple[Row, str]]]:
    """Part the rows that can be stored from those that can't, each of these with the reason."""
    good, bad = list[Row](), list[tuple[Row, str]]()
    for row in rows:
        try:
            checked = rows_of(table, [row])
            for column in table.columns:
                if column.sql == "JSON":
                    _check_json(column.name, checked[column.name][0].as_py())
            good.append(row)
        except (*UNSTORABLE, msgspec.MsgspecError) as error:
            bad.append((row, f"can't be stored: {error}"))
    return good, bad


def _check_json(name: str, text: str | None) -> None:
    if text is not None:
        try:
            msgspec.json.decode(text)
        except msgspec.MsgspecError as error:
            raise msgspec.ValidationError(f"{name}: {error}") from error


def epochs_of(kind: type[Event], items: Sequence[Event]) -> Sequence[int | None]:
    """Return the epoch that each event of a type names."""
    if not {"stamp", "epoch"}.intersection(kind.__struct_fields__):
        return [None] * len(items)
    return list(map(epoch_of, items))


def epoch_of(event: Event) -> int | None:
    """Return the epoch an event itself names: its stamp's, or its own."""
    stamp = getattr(event, "stamp", None)
    if stamp is not None:
        return int(stamp.epoch)
    epoch = getattr(event, "epoch", None)
    return epoch if isinstance(epoch, int) else None
