"""What commands print: data on stdout, as a table, JSON or CSV; all else on stderr."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec


def print_json(value: Any) -> None:
    """One JSON value on stdout, keys in order, by itself."""
    text = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2)
    print(text.decode(), flush=True)


def print_line(value: Any) -> None:
    """One JSON value on one line, for streams of them."""
    print(msgspec.json.encode(value, enc_hook=str).decode(), flush=True)


def print_csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Rows as RFC 4180 has them, with a line of column names; an empty field is a missing value."""
    writer = csv.writer(sys.stdout)
    writer.writerow(columns)
    writer.writerows(rows)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Rows for a person; nothing is cut when stdout is no terminal."""
    from rich.console import Console
    from rich.table import Table

    console = Console() if sys.stdout.isatty() else Console(width=10_000)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(text(value) for value in row))
    console.print(table)


def text(value: Any) -> str:
    """A cell of a table."""
    from rich.markup import escape

    return "" if value is None else escape(str(value))


def say(message: str) -> None:
    """One line on stderr: what a person at the terminal wants to know."""
    print(f"streamops: {message}", file=sys.stderr, flush=True)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr; call it with (done, total)."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
