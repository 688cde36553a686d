"""The rows of a table in stream order, made when they are asked for.

Rule 1: what is held of a row's features is Arrow's: a row as Python has it takes ten times as much,
        and a live application has one at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, overload

import msgspec
import pyarrow as pa

from streamops.core.times import SECOND_US

AT_ONCE = 1000


class Row(msgspec.Struct, frozen=True, gc=False):
    """One row. Times in microseconds; `label` None: it never gets one."""

    number: int
    time_us: int
    features: dict[str, Any]
    label: Any
    label_us: int


class Rows(Sequence[Row]):
    """Rows of a frame of features, each with its time, its label and the label's time.

    first  number of the first row; a slice keeps the numbers
    """

    def __init__(
        self,
        features: pa.Table,
        times: list[int],
        labels: list[Any],
        label_times: list[int],
        first: int = 0,
    ) -> None:
        self._features = features
        self._times, self._labels, self._label_times = times, labels, label_times
        self._first = first

    def __len__(self) -> int:
        return len(self._times)

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> Rows: ...
    def __getitem__(self, at: int | slice) -> Row | Rows:
        if isinstance(at, int):
            place = range(len(self))[at]
            return next(iter(self[place : place + 1]))
        start, stop, step = at.indices(len(self))
        if step != 1:
            raise ValueError(f"step is {step}; rows are taken one after another")
        return Rows(
            self._features.slice(start, max(0, stop - start)),
            self._times[start:stop],
            self._labels[start:stop],
            self._label_times[start:stop],
            self._first + start,
        )

    def __iter__(self) -> Iterator[Row]:
        for start in range(0, len(self), AT_ONCE):
            frame = self._features.slice(start, AT_ONCE)
            columns = [values_of(frame, name) for name in frame.column_names]
            for at in range(frame.num_rows):
                yield Row(
                    self._first + start + at,
                    self._times[start + at],
                    {n: c[at] for n, c in zip(frame.column_names, columns, strict=True)},
                    self._labels[start + at],
                    self._label_times[start + at],
                )


def values_of(frame: pa.Table, name: str) -> list[Any]:
    """Return a column as JSON has it: times as seconds, what is no finite number as missing.

    Raises ValueError (Arrow's) for a time or a decimal beyond what can be kept of one.
    """
    column = frame.column(name)
    kind = column.type
    if is_time(kind):
        return [None if value is None else value / SECOND_US for value in micros_of(column)]
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    values: list[Any] = column.to_pylist()
    return [_plain(value) for value in values]


def is_time(kind: pa.DataType) -> bool:
    """Whether a column of this kind holds timestamps or dates."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def micros_of(column: pa.ChunkedArray) -> list[int | None]:
    """Return a column of times in microseconds; raises ValueError (Arrow's) for an overflow."""
    # Nanoseconds lose what is below a microsecond; any other loss is an overflow.
    is_finer = pa.types.is_timestamp(column.type) and column.type.unit == "ns"
    values: list[int | None] = (
        column.cast(pa.timestamp("us"), safe=not is_finer).cast(pa.int64()).to_pylist()
    )
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)
