"""drift: compare two tables with the tests of a running service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, validators

from streamops.commands.output import print_json, print_table, progress, say
from streamops.commands.place import Json
from streamops.config import YEAR_S
from streamops.errors import ConfigError

if TYPE_CHECKING:
    from streamops.operate.two_tables import ColumnDrift, Comparison

COLUMNS = ("column", "drift", "severity", "since row", "what", "evidence", "PSI", "at least",
           "missing", "finds .3 sd in")  # fmt: skip

ALARMS = (
    "pane",
    "starts",
    "until",
    "alarms",
    "column",
    "what",
    "test",
    "evidence",
    "changed since",
)
ALARMS_MAX = 50


def drift(
    reference: Annotated[Path, Parameter(help="FILE.parquet or FILE.csv to compare with.")],
    current: Annotated[Path, Parameter(help="FILE.parquet or FILE.csv that may have drifted.")],
    *,
    exclude: Annotated[
        tuple[str, ...], Parameter(help="Column to leave out; give it again for more.")
    ] = (),
    false_alarms: Annotated[
        float, Parameter(help="Chance of any false alarm over all columns, above 0.")
    ] = 0.05,
    time: Annotated[
        str, Parameter(help="Column of times: the current table is cut into panes by it.")
    ] = "",
    pane: Annotated[
        int,
        Parameter(
            name="--pane",
            validator=validators.Number(gte=0, lte=YEAR_S),
            help="With --time: length of a pane, seconds; 0 chooses one.",
        ),
    ] = 0,
    html: Annotated[
        Path | None, Parameter(help="HTML file to write: columns ranked, with their bins.")
    ] = None,
    json: Json = False,
) -> None:
    """Compare two tables, column by column, with the tests that a running service alarms by.

    Rows stand in the order of time in both: how far those of the reference depend on each other is
    measured on it. PSI is of the whole table; "at least" is the lower 95% bound of what it is
    beyond chance.

    With --time both are put into its order, the current one is cut into panes of equal time, as a
    service has them, and each alert is told: in which pane, up to which pane the change alarmed
    again, and since when it is. What follows the clock or the calendar is compared with its own
    phase, if the reference has the column and shows it.

    Example: streamops drift january.parquet february.parquet --time at --html drift.html
    """
    from streamops.operate.two_tables import compare

    if html is not None and html.suffix != ".html":
        raise ConfigError(f"--html is {str(html)!r}: give a name that ends in .html")
    with progress("comparing") as on_progress:
        found = compare(
            reference,
            current,
            exclude=exclude,
            false_alarms=false_alarms,
            time=time,
            pane_s=pane,
            on_progress=on_progress,
        )
    if html is not None:
        _write(html, found, reference, current)
    if json:
        print_json(found)
        return
    _show(found)


def _show(found: Comparison) -> None:
    print_table(COLUMNS, [_row(column) for column in found.columns])
    if found.time:
        _show_panes(found)
    drifted = len([column for column in found.columns if column.drifted])
    of = f" of {found.pane_s} s with rows" if found.time else ""
    say(
        f"{drifted} of {len(found.columns)} columns drifted; {found.reference_rows} and "
        f"{found.current_rows} rows, {found.panes} panes{of}, an alarm takes {found.alarm_at:.4g}"
    )
    if found.untimed_rows:
        say(f"{found.untimed_rows} rows of the current table have no {found.time}: left out")
    for what, names in (("only in the reference", found.gone), ("only in the current", found.new)):
        if names:
            say(f"{what}: {', '.join(names)}")


def _show_panes(found: Comparison) -> None:
    """Print each alarm, by pane."""
    alarms = [(alarm, c.name) for c in found.columns for alarm in c.alarms]
    alarms.sort(key=lambda pair: (pair[0].pane, pair[1]))
    if not alarms:
        return
    print()
    print_table(
        ALARMS,
        [
            (a.pane, a.start, a.until, a.alarms, name, f"{a.stream} {a.direction}".strip(), a.test,
             f"{a.evidence:.3g}", a.since)
            for a, name in alarms[:ALARMS_MAX]
        ],
    )  # fmt: skip
    if len(alarms) > ALARMS_MAX:
        say(f"and {len(alarms) - ALARMS_MAX} more alarms: --json has all")


def _write(html: Path, found: Comparison, reference: Path, current: Path) -> None:
    from streamops.commands.report import write
    from streamops.web.report.drift_page import document

    write(html, document(found, reference, current))
    say(f"wrote {html}")


def _row(column: ColumnDrift) -> tuple[Any, ...]:
    return (
        column.name,
        "yes" if column.drifted else "no",
        column.severity,
        column.first_row,
        f"{column.stream} {column.direction}".strip(),
        f"{column.evidence:.3g}",
        None if column.psi is None else f"{column.psi:.4f}",
        f"{column.psi_least:.4f}",
        None if column.missing_current is None else f"{column.missing_current:.2%}",
        _found_in(column),
    )


def _found_in(column: ColumnDrift) -> str | None:
    """How many rows a shift of the mean by .3 standard deviations takes; None without a mean."""
    if column.sight.least_shift is None:
        return None
    rows = column.sight.rows_to_shift
    return "never" if rows is None else f"{rows} rows"
