"""top: lag, rate and where the time goes, of every service that runs."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from cyclopts import Parameter

from streamops.commands.output import print_json, print_table, text
from streamops.commands.place import HERE, Json, Place
from streamops.errors import ConfigError
from streamops.operate.folder import Folder
from streamops.operate.top import STAGES, Endpoint, Row, watch

COLUMNS = (
    "service", "processor", "lag", "lag s", "watermark s", "records/s", "batch", "close ms", *STAGES
)  # fmt: skip
EVERY_MAX_S = 86_400.0


def top(
    *,
    place: Place = HERE,
    endpoint: Annotated[
        list[str] | None,
        Parameter(
            negative="", help="name=http://host:port of a process; instead of the folder's own."
        ),
    ] = None,
    every: Annotated[float, Parameter(help="Seconds between readings.")] = 1.0,
    once: Annotated[bool, Parameter(negative="", help="Print one table and end.")] = False,
    json: Json = False,
) -> None:
    """Show lag, rate and where the time goes of every service; Ctrl-C ends it.

    Lag is in records and in seconds; `close` is the time from a tick until the panes it closed were
    sent on. The last columns are shares of the time between two readings.

    Example: streamops top --once --json
    """
    if not 0 < every <= EVERY_MAX_S:
        raise ConfigError(
            f"--every is {every:g}; use more than 0 and at most {EVERY_MAX_S:g} seconds"
        )
    endpoints = named(endpoint) if endpoint else of_folder(Folder(place.data))
    _, readings = watch(endpoints, {})
    if once or json:
        time.sleep(every)
        found, _ = watch(endpoints, readings)
        if json:
            print_json({"services": [msgspec.to_builtins(row) for row in found]})
        else:
            print_table(COLUMNS, [cells(row) for row in found])
        return
    follow(endpoints, readings, every)


def follow(endpoints: list[Endpoint], readings: Any, every: float) -> None:
    """Draw the table again and again until Ctrl-C."""
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(), auto_refresh=False, screen=sys.stdout.isatty()) as live:
        while True:
            time.sleep(every)
            found, readings = watch(endpoints, readings)
            live.update(drawn(found), refresh=True)


def drawn(found: list[Row]) -> Any:
    """The rows as a table for a terminal."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in COLUMNS[:2] else "right")
    for row in found:
        table.add_row(*(text(value) for value in cells(row)), style=None if row.up else "red")
    return table


def cells(row: Row) -> list[Any]:
    """One row's cells; a process that gives no answer says so."""
    values = (
        row.lag_records, row.lag_s, row.watermark_lag_s, row.records_per_s, row.batch_records,
        row.pane_close_ms,
    )  # fmt: skip
    shares = [f"{row.shares[s]:.0%}" if s in row.shares else None for s in STAGES]
    return [row.service, row.processor if row.up else "no answer", *values, *shares]


def named(given: list[str]) -> list[Endpoint]:
    """Endpoints as `name=http://host:port`; ConfigError for what isn't one."""
    found = []
    for one in given:
        name, equals, url = one.partition("=")
        if not equals or not is_address(url):
            raise ConfigError(f"endpoint is {one!r}; write name=http://host:port")
        found.append(Endpoint(name, url if url.endswith("/metrics") else f"{url}/metrics"))
    return found


def is_address(url: str) -> bool:
    """Whether it names a host, and a port if any, as HTTP has them."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def of_folder(folder: Folder) -> list[Endpoint]:
    """Endpoints of the stack that runs over a folder; ConfigError where none runs."""
    state = folder.read_state()
    if state is None or not folder.is_running():
        raise ConfigError(
            f"no stack runs over {folder.path}: start one with `streamops up`, or name processes "
            "with --endpoint meter=http://host:9400"
        )
    if not state.metrics:
        raise ConfigError(
            f"the stack over {folder.path} exposes no metrics: `streamops down`, then up again"
        )
    return [Endpoint(name, f"http://127.0.0.1:{port}/metrics") for name, port in state.metrics]
