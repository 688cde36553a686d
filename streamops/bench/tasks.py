"""What a bench measures, as tasks: each a function, its arguments, and the name of its figures.

A quick run has the same kinds of tasks as a whole one with fewer repetitions, and leaves out what
fills no field of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from streamops.bench import correlated, cost, errors, null, others, power, real, sea

# Reference rows, window rows.
CELLS = (
    (10_000, 200), (10_000, 500), (10_000, 1_000), (10_000, 5_000),
    (1_000, 200), (1_000, 1_000), (1_000, 5_000),
)  # fmt: skip
# Where other tools are compared: the reference and the window of `others`.
BESIDE = (others.REFERENCE, others.WINDOW)
TENTH = ((10_000, 1_000), (1_000, 1_000))
RHOS = (0.0, 0.3, 0.6, 0.9)
# rho, rows of a pane, shift.
DELAYS = (
    (0.0, 200, 0.25), (0.0, 200, 0.5), (0.3, 200, 0.25), (0.3, 200, 0.5), (0.6, 200, 0.25),
    (0.6, 200, 0.5), (0.9, 1_000, 0.25), (0.9, 1_000, 0.5),
)  # fmt: skip
RATES = (0.05, 0.2, 0.3)
RISES = ((0.2, 0.3), (0.1, 0.3), (0.2, 0.25))
COLUMNS = (50, 100)


class Task(NamedTuple):
    """One piece of work. `alone`: it is timed, so nothing of the bench may run beside it."""

    part: str
    name: str
    work: Callable[..., dict[str, Any]]
    arguments: tuple[Any, ...]
    alone: bool = False


class Size(NamedTuple):
    """How much of everything.

    months, beside, tenth  model-months: a cell, the cell beside other tools, at a budget of .1
    real_months, shuffles  of each of four shares
    """

    months: int
    beside: int
    tenth: int
    repetitions: int
    correlated_months: int
    correlated_columns: int
    error_streams: int
    error_runs: int
    sea_seeds: int
    evidently: int
    nannyml: int
    table_columns: int
    real_months: int
    shuffles: int


WHOLE = Size(144, 160, 64, 4000, 20, 200, 40, 200, 20, 100, 1000, 100, 6, 125)
# 8,640 windows and more; a table of a fifth of the columns, rows as in a whole run.
QUICK = Size(2, 8, 16, 2000, 2, 60, 5, 60, 20, 20, 200, 20, 1, 30)
PARTS = ("power", "null", "correlated", "errors", "sea", "real", "others", "cost")


def tasks(size: Size, seed: int, folder: Path, data: Path | None) -> Iterator[Task]:
    """Yield all tasks, long ones first. No `data`, no real columns."""
    for name, count in (("evidently", size.evidently), ("nannyml", size.nannyml)):
        yield Task("others", name, others.windows, (name, count, seed, str(folder)))
    yield from _null(size, seed)
    for change in power.CHANGES:
        yield Task("power", change, power.delays, (change, size.repetitions, seed))
    yield from _correlated(size, seed)
    yield from _errors(size, seed)
    for one in range(seed, seed + size.sea_seeds):
        yield Task("sea", str(one), sea.measure, (one,))
    if data is not None:
        yield from _real(size, seed, str(data))
    columns = size.table_columns
    at = (seed, str(folder), others.TABLE_ROWS)
    yield Task("others", "table_evidently", others.tables, ("evidently", *at, columns), True)
    for count in sorted({*COLUMNS, columns}):
        yield Task("others", f"table_ours_{count}", others.tables, ("ours", *at, count), True)
    yield Task("cost", "feature_pane", cost.feature_pane, (seed,), True)
    yield Task("cost", "outcome", cost.outcome, (seed,), True)


def _null(size: Size, seed: int) -> Iterator[Task]:
    for rows, window in CELLS:
        whole = size.beside if (rows, window) == BESIDE else size.months
        yield from _shared("null", f"{rows}x{window}", whole, (rows, window), 1.0, seed)
    for rows, window in TENTH:
        yield from _shared("null", f"{rows}x{window}_tenth", size.tenth, (rows, window), 0.1, seed)
    for window in (200, 1_000):
        yield Task("null", f"rules_10000x{window}", null.rules, (10_000, window, 720, seed))


def _shared(
    part: str, name: str, months: int, cell: tuple[int, int], budget: float, seed: int
) -> Iterator[Task]:
    """Shares of a cell's months, `name/0` and so on: one task each keeps all processes busy."""
    for number, first in enumerate(range(0, months, null.BATCH)):
        count = min(null.BATCH, months - first)
        arguments = (*cell, count, budget, seed + 1_000 * number)
        yield Task(part, f"{name}/{number}", null.months, arguments)


def _correlated(size: Size, seed: int) -> Iterator[Task]:
    for rho in RHOS:
        arguments = (rho, 200, size.correlated_months, seed)
        yield Task("correlated", f"months_{rho}_200", correlated.months, arguments)
    arguments = (0.9, 1_000, max(2, size.correlated_months // 2), seed)
    yield Task("correlated", "months_0.9_1000", correlated.months, arguments)
    for rho, rows, shift in DELAYS:
        more = (rho, rows, shift, size.correlated_columns, seed)
        yield Task("correlated", f"delay_{rho}_{rows}_{shift}", correlated.delays, more)


def _errors(size: Size, seed: int) -> Iterator[Task]:
    for test in errors.TESTS:
        streams = size.error_streams if test in errors.OURS else max(2, size.error_streams // 5)
        runs = size.error_runs if test in errors.OURS else max(10, size.error_runs // 5)
        for rate in RATES:
            arguments = (test, rate, 0.0, streams, seed)
            yield Task("errors", f"{test}_{rate}", errors.false_alarms, arguments)
        runny = (test, 0.2, 0.5, streams, seed)
        yield Task("errors", f"{test}_markov", errors.false_alarms, runny)
        for before, after in RISES:
            name = f"{test}_{before}_{after}"
            yield Task("errors", name, errors.delays, (test, before, after, runs, seed))


def _real(size: Size, seed: int, data: str) -> Iterator[Task]:
    for number in range(4):
        for window in (200, 1_000):
            arguments = (5_000, window, size.real_months, 1.0, seed + number, data)
            yield Task("real", f"rows_{window}/{number}", real.random_rows, arguments)
    for what in real.BLOCKS:
        for number in range(4):
            given = (what, size.shuffles, seed + number, data)
            yield Task("real", f"{what}/{number}", real.shuffled_blocks, given)
    for what in real.ORDERS:
        yield Task("real", what, real.true_order, (what, data))
