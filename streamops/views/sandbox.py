"""Anyone's SQL on a read-only copy, in a child process that can be killed.

Rule 1: no check of the statement decides what is harmful: the child has a copy, no access to files
        or network through DuckDB, a limit on memory, and a parent that kills it in time.
Rule 2: the child answers once, with columns and rows that JSON can hold, or with the reason.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from streamops.errors import InputError
from streamops.views.asof import Travel, prepare

ROOT = Path(__file__).parents[2]
CHUNK = 1000


class Limits(msgspec.Struct, frozen=True):
    """What a query may use.

    seconds     time until the child is killed
    rows, size  most rows, and bytes of JSON, that are answered; what is beyond is cut off
    memory      bytes of address space (RLIMIT_AS); the engine gets a third of it
    """

    seconds: float = 20.0
    rows: int = 100_000
    size: int = 64 * 1024**2
    memory: int = 2 * 1024**3


class Answer(msgspec.Struct, frozen=True):
    """A query's columns and rows, as JSON has them; `truncated` if a limit cut rows off."""

    columns: tuple[str, ...]
    rows: list[list[Any]]
    truncated: bool = False


class Request(msgspec.Struct, frozen=True):
    """What the child is asked; `travel` is a point in the past, none for the copy as it stands."""

    snapshot: str
    sql: str
    limits: Limits
    travel: Travel | None = None


class Reply(msgspec.Struct, frozen=True):
    """What the child says: an answer, or why there is none."""

    answer: Answer | None = None
    error: str = ""


class Cell(NamedTuple):
    """How values of some types become JSON."""

    types: tuple[type, ...]
    convert: Any


CELLS = (
    Cell((Decimal,), float),
    Cell((UUID, timedelta, date, time), str),
    Cell((bytes, bytearray, memoryview), lambda value: bytes(value).decode("utf-8", "replace")),
)
LIMITS = Limits()


def run_query(
    snapshot: Path, sql: str, limits: Limits = LIMITS, travel: Travel | None = None
) -> Answer:
    """Run one SQL text on a copy of the views and return its last statement's result.

    travel  the point in the past that the views are of; none: as the copy stands

    Raises InputError with the engine's words for SQL that fails, for what takes more time or
    memory than `limits` allows, and for a point that has no views.
    """
    request = Request(str(snapshot), sql, limits, travel)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "streamops.views.sandbox"],
            input=msgspec.json.encode(request),
            capture_output=True,
            timeout=limits.seconds,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    except subprocess.TimeoutExpired:
        raise InputError(
            f"sql took more than {limits.seconds:g} s and was stopped; ask for less"
        ) from None
    try:
        reply = msgspec.json.decode(done.stdout, type=Reply)
    except msgspec.MsgspecError:
        raise InputError(
            f"sql ended its process (status {done.returncode}), most likely for more than "
            f"{limits.memory // 1024**2} MiB of memory; ask for less"
        ) from None
    if reply.answer is None:
        raise InputError(reply.error)
    return reply.answer


def answer(request: Request) -> Answer:
    """Run the request in this process, after giving up what it doesn't need."""
    limits = request.limits
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    con = opened(request)
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    found = con.execute(request.sql)
    if found is None:
        raise InputError(f"sql is {request.sql!r}, which asks nothing; write a SELECT")
    columns = tuple(name for name, *_ in found.description or ())
    rows, size = list[list[Any]](), 0
    while chunk := found.fetchmany(CHUNK):
        for row in chunk:
            cells = [plain(value) for value in row]
            size += len(msgspec.json.encode(cells))
            if size > limits.size or len(rows) >= limits.rows:
                return Answer(columns, rows, truncated=True)
            rows.append(cells)
    return Answer(columns, rows)


def opened(request: Request) -> Any:
    """Return a connection that sees the copy, or the views of a point before it."""
    import duckdb

    megabytes = request.limits.memory // 3 // 1024**2
    config: dict[str, Any] = {
        "memory_limit": f"{megabytes}MB",
        "threads": 1,
        "temp_directory": "",
    }
    if request.travel is None:
        return duckdb.connect(request.snapshot, read_only=True, config=config)
    con = duckdb.connect(config=config)
    prepare(con, request.snapshot, request.travel)
    return con


def plain(value: Any) -> Any:
    """Return a value as JSON has it: times as ISO text in UTC, the rest as text or number."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if hasattr(value, "hour") and hasattr(value, "year"):
        return value.isoformat() + ("Z" if value.tzinfo is None else "")
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    for types, convert in CELLS:
        if isinstance(value, types):
            return convert(value)
    return str(value)


def main() -> None:
    """Answer the request on standard input, on standard output."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    try:
        reply = Reply(answer(request))
    except MemoryError:
        reply = Reply(error="sql failed: out of memory; ask for less")
    except InputError as error:
        reply = Reply(error=str(error))
    except Exception as error:
        reply = Reply(error=f"sql failed: {error}")
    sys.stdout.buffer.write(msgspec.json.encode(reply))


if __name__ == "__main__":
    main()
