"""Rows of the views as structs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def read(con: Any, kind: type[T], sql: str, given: Sequence[object] = ()) -> list[T]:
    """Return the rows of a query as structs; columns are matched to fields by name."""
    found = con.execute(sql, list(given))
    names = [name for name, *_ in found.description]
    return [
        msgspec.convert(dict(zip(names, map(in_utc, row), strict=True)), kind)
        for row in found.fetchall()
    ]


def one(con: Any, sql: str, given: Sequence[object] = ()) -> Any:
    """Return the first column of the first row, None where there is no row."""
    row = con.execute(sql, list(given)).fetchone()
    return None if row is None else in_utc(row[0])


def in_utc(value: Any) -> Any:
    """Return a time with its zone, UTC, which DuckDB leaves out; anything else as it is."""
    if not isinstance(value, datetime):
        return value
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
