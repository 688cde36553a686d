"""What the detection is asked for, line by line, beside what a result shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from streamops.bench.result import Result


class Line(NamedTuple):
    """One figure. line: number of the promise; holds: it is as asked."""

    line: int
    what: str
    asked: str
    shown: str
    holds: bool


def lines(found: Result) -> Iterator[Line]:
    """Yield every line that a result can answer."""
    drift, power = found.data_drift, found.power
    yield _most(1, "false alarms a model-month, upper 95% bound", drift.upper95, 1.0)
    yield _most(1, "the same at a budget of 0.1", drift.upper95_at_budget_01, 0.1)
    yield _least(1, "Evidently's alarms over ours", drift.ratio_to_evidently, 1_000)
    yield _least(1, "NannyML's alarms over ours", drift.ratio_to_nannyml, 500)
    yield _least(2, "mean +.25 sd in the first pane", power.mean_025_pane1, 0.98)
    yield _least(2, "variance x1.5 in the first pane", power.spread_15_pane1, 0.93)
    yield _least(2, "missing 1 to 3% by the second", power.missing_1_3_pane2, 0.97)
    yield _least(2, "category 5 to 8% by the third", power.category_5_8_pane3, 0.85)
    yield _most(2, "mean +.1 sd, median panes", power.mean_01_median_panes, 4)
    rows = found.correlated
    what = f"false alarms a model-month, worst of rho to .9 ({rows.rho:g})"
    yield _most(3, what, rows.false_alarms_per_model_month, 1.0)
    yield _most(3, "rows to +.25 sd, worst of rho to .9", rows.mean_025_rows, 13_000)
    errors, sea = found.error_stream, found.sea
    yield _most(5, "false alarms in 100,000 outcomes", errors.false_alarms_per_100k, 0.2)
    yield _most(5, "outcomes to .2 -> .3", errors.delay_20_30, 400)
    yield _most(5, "outcomes to .1 -> .3", errors.delay_10_30, 100)
    yield _most(5, "the same, errors in runs", errors.markov_false_alarms_per_100k, 0.5)
    yield _least(5, f"SEA: of {sea.changes} changes in 700 rows", sea.found_within_700,
                 round(0.95 * sea.changes))  # fmt: skip
    yield _most(5, f"SEA: false alarms in {sea.seeds} streams", sea.false, 2)
    yield _most(6, "CPU us a feature-pane, models together", found.cost_us.feature_pane, 20)
    yield _most(6, "CPU us an outcome", found.cost_us.outcome, 2)
    yield _least(6, "two tables: Evidently's CPU over ours", found.batch.ratio_to_evidently, 20)
    yield _most(6, "two tables: 100 columns over 50", found.batch.columns_50_to_100, 2.1)


def _most(line: int, what: str, value: float, limit: float) -> Line:
    return Line(line, what, f"<= {limit:g}", _text(value), value <= limit)


def _least(line: int, what: str, value: float, limit: float) -> Line:
    return Line(line, what, f">= {limit:g}", _text(value), value >= limit)


def _text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
