"""The result of the bench: one JSON of finite numbers, with the fields that the promise is read by.

Rates are pooled over the cells of a line; each cell with its bound stands in the details.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import Any

import msgspec

from streamops.bench import errors, power, shipped, tasks
from streamops.bench.figures import FEATURES, PANES_A_MONTH, Figures, add_rates
from streamops.core import (
    alternatives,
    bf_sr,
    dependence,
    drift_plan,
    esr,
    pane_rows,
    rises,
    scores,
    sr_mixture,
    starts,
    t_factors,
    tenths,
    tsr,
)

# part -> name of a task -> figures.
Parts = dict[str, dict[str, Any]]


class DataDrift(msgspec.Struct, frozen=True, kw_only=True):
    """Line 1. ratio_to_*: their alarms per 1,000 windows over the upper 95% bound of ours."""

    false_alarms_per_model_month: float
    upper95: float
    upper95_at_budget_01: float
    model_months: float
    ratio_to_evidently: float
    ratio_to_nannyml: float


class Power(msgspec.Struct, frozen=True, kw_only=True):
    """Line 2: shares found by a pane, and panes to a tenth of a standard deviation."""

    mean_025_pane1: float
    spread_15_pane1: float
    missing_1_3_pane2: float
    category_5_8_pane3: float
    mean_01_median_panes: float


class Correlated(msgspec.Struct, frozen=True, kw_only=True):
    """Line 3, the worst of each: rho with most false alarms, their rate, most rows to +.25 sd."""

    rho: float
    false_alarms_per_model_month: float
    mean_025_rows: float


class ErrorStream(msgspec.Struct, frozen=True, kw_only=True):
    """Line 5, of the test whose reference is known, the worst rate of .05, .2, .3."""

    false_alarms_per_100k: float
    delay_20_30: float
    delay_10_30: float
    markov_false_alarms_per_100k: float


class Sea(msgspec.Struct, frozen=True, kw_only=True):
    """Line 5 on SEA."""

    changes: int
    found_within_700: int
    false: int
    seeds: int


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Line 6, CPU time, microseconds, the worse: a feature's pane in models of 30 that close their
    panes together (the parts have a lone model's), an outcome."""

    feature_pane: float
    outcome: float


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Line 6: CPU time of two tables, theirs over ours, and ours at 100 columns over 50."""

    ratio_to_evidently: float
    columns_50_to_100: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What the bench found. config_hash: of every constant of the default that was measured."""

    config_hash: str
    data_drift: DataDrift
    power: Power
    correlated: Correlated
    error_stream: ErrorStream
    sea: Sea
    cost_us: Cost
    batch: Batch


def result(parts: Parts, size: tasks.Size) -> Result:
    """Return the result of measured parts; every figure is finite."""
    found = Result(
        config_hash=config_hash(),
        data_drift=_data_drift(parts["null"], parts["others"]),
        power=_power(parts["power"]),
        correlated=_correlated(parts["correlated"]),
        error_stream=_error_stream(parts["errors"]),
        sea=_sea(parts["sea"]),
        cost_us=_cost(parts["cost"]),
        batch=_batch(parts["others"], size.table_columns),
    )
    assert all(map(math.isfinite, numbers(msgspec.to_builtins(found)))), "a figure is not finite"
    return found


def numbers(value: Any) -> Iterable[float]:
    """Yield every number of a result."""
    if isinstance(value, dict):
        for one in value.values():
            yield from numbers(one)
    elif isinstance(value, int | float):
        yield value


def cell(figures: dict[str, Any], name: str) -> Figures:
    """Return a cell's rate, added over its shares `name/0`, `name/1`, …"""
    shares = [found for key, found in figures.items() if key.partition("/")[0] == name]
    return add_rates(shares)


def _data_drift(null: dict[str, Any], others: dict[str, Any]) -> DataDrift:
    ones = add_rates([cell(null, f"{rows}x{window}") for rows, window in tasks.CELLS])
    tenths = add_rates([cell(null, f"{rows}x{window}_tenth") for rows, window in tasks.TENTH])
    rows, window = tasks.BESIDE
    ours = cell(null, f"{rows}x{window}")["upper95"] * 1000 / PANES_A_MONTH
    return DataDrift(
        false_alarms_per_model_month=ones["rate"],
        upper95=ones["upper95"],
        upper95_at_budget_01=tenths["upper95"],
        model_months=ones["months"],
        ratio_to_evidently=others["evidently"]["per_1000_windows"] / ours,
        ratio_to_nannyml=others["nannyml"]["per_1000_windows"] / ours,
    )


def _power(found: dict[str, Any]) -> Power:
    return Power(
        mean_025_pane1=found["mean_025"]["within_1"],
        spread_15_pane1=found["spread_15"]["within_1"],
        missing_1_3_pane2=found["missing_1_3"]["within_2"],
        category_5_8_pane3=found["category_5_8"]["within_3"],
        mean_01_median_panes=found["mean_01"]["median_rows"] / power.WINDOW,
    )


def _correlated(found: dict[str, Any]) -> Correlated:
    rates = [(v["rate"], float(k.split("_")[1])) for k, v in found.items() if k[0] == "m"]
    worst, rho = max(rates)
    rows = [v["median_rows"] for k, v in found.items() if k[0] == "d" and k.endswith("_0.25")]
    return Correlated(rho=rho, false_alarms_per_model_month=worst, mean_025_rows=max(rows))


def _error_stream(found: dict[str, Any]) -> ErrorStream:
    name = errors.OURS[0]
    return ErrorStream(
        false_alarms_per_100k=max(found[f"{name}_{rate}"]["per_100k"] for rate in tasks.RATES),
        delay_20_30=found[f"{name}_0.2_0.3"]["median_outcomes"],
        delay_10_30=found[f"{name}_0.1_0.3"]["median_outcomes"],
        markov_false_alarms_per_100k=found[f"{name}_markov"]["per_100k"],
    )


def _sea(found: dict[str, Any]) -> Sea:
    names = ("changes", "found_within_700", "false")
    return Sea(
        **{name: sum(one[name] for one in found.values()) for name in names}, seeds=len(found)
    )


def _cost(found: dict[str, Any]) -> Cost:
    pane = found["feature_pane"]
    return Cost(
        feature_pane=max(pane["service_independent"], pane["service_correlated"]),
        outcome=max(found["outcome"].values()),
    )


def _batch(found: dict[str, Any], columns: int) -> Batch:
    few, many = (found[f"table_ours_{count}"]["cpu_s"] for count in tasks.COLUMNS)
    ours = found[f"table_ours_{columns}"]["cpu_s"]
    return Batch(
        ratio_to_evidently=found["table_evidently"]["cpu_s"] / ours,
        columns_50_to_100=many / few,
    )


MODULES = (
    alternatives, bf_sr, dependence, drift_plan, esr, pane_rows, rises, scores, sr_mixture, starts,
    t_factors, tenths, tsr, errors, shipped,
)  # fmt: skip


def config_hash() -> str:
    """Return the SHA-256 of every public constant of the modules that make the default."""
    constants = {
        f"{module.__name__}.{name}": value
        for module in MODULES
        for name, value in sorted(vars(module).items())
        if name.isupper() and not name.startswith("_") and _is_plain(value)
    }
    assert constants, "no constants"
    return hashlib.sha256(msgspec.json.encode({**constants, "features": FEATURES})).hexdigest()


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | str) or (
        isinstance(value, tuple) and all(map(_is_plain, value))
    )
