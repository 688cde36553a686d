"""The configuration a table is watched and retrained under, unless the user gives one.

Every figure here comes from one study over four tables (docs/decisions/007-retrain-defaults.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from streamops.config import YEAR_S, GatePolicy, ModelConfig, RetrainPolicy, Rule
from streamops.core.budget import MONTH_S
from streamops.core.times import SECOND_US
from streamops.operate.rows import Row
from streamops.operate.table import Table

PANE_ROWS = 500
TRAIN_SHARE = 10
RETRAINS_MAX = 30


def training_rows(table: Table) -> int:
    """Return how many rows, the first tenth, train version 1."""
    return len(table.rows) // TRAIN_SHARE


def pane_seconds(rows: Sequence[Row]) -> int:
    """Return the pane length that holds about PANE_ROWS rows; a year, the longest, where rows are
    so far apart that it holds fewer."""
    span_us = max(rows[-1].time_us - rows[0].time_us, SECOND_US)
    return min(YEAR_S, max(1, round(span_us / SECOND_US / max(len(rows) - 1, 1) * PANE_ROWS)))


def rules(task: str) -> tuple[Rule, ...]:
    """Return the default alert rules of a task."""
    performance = Rule(
        name="accuracy-drop",
        kind="performance",
        metric="accuracy",
        below=-0.05,
        relative=True,
        resolve=-0.03,
        raise_after=2,
        moderate=0.05,
        major=0.1,
    )
    if task == "regression":
        performance = Rule(
            name="mae-rise", kind="performance", metric="mae", above=0.0, relative=True,
            raise_after=2,
        )  # fmt: skip
    return (
        performance,
        Rule(
            name="feature-drift",
            kind="data_drift",
            metric="drift",
            feature="*",
            moderate=0.1,
            major=0.25,
        ),
        Rule(
            name="score-drift",
            kind="score_drift",
            metric="score_drift",
            moderate=0.1,
            major=0.25,
        ),
        Rule(
            name="label-drift",
            kind="label_drift",
            metric="label_psi",
            above=0.25,
            resolve=0.2,
            raise_after=2,
            moderate=0.25,
            major=1.0,
        ),
        Rule(
            name="missing-values",
            kind="quality",
            metric="missing_rate",
            feature="*",
            above=0.2,
            relative=True,
            raise_after=2,
        ),
        Rule(name="errors", kind="error_rate", metric="error_rate", above=0.05),
        Rule(name="adwin", kind="concept_drift", metric="adwin"),
    )


def false_alarms_per_month(rows: Sequence[Row]) -> float:
    """Return the budget that allows one false alarm over all of a table's time."""
    span_us = max(rows[-1].time_us - rows[0].time_us, SECOND_US)
    return float(f"{MONTH_S * SECOND_US / span_us:.3g}")


def config_for(table: Table, model: str, task: str, *, pane_s: int, trainer: str) -> ModelConfig:
    """Return the table's configuration: panes of `pane_s`, labels judged when most have come."""
    rows = table.rows
    delays = sorted(row.label_us - row.time_us for row in rows if row.label is not None)
    maturity_s = -(-delays[len(delays) * 95 // 100] // SECOND_US) if delays else 0
    horizon_s = max(-(-delays[-1] // SECOND_US) if delays else 0, maturity_s) + 2 * pane_s
    streamed = len(rows) - training_rows(table)
    panes = max(1, streamed // PANE_ROWS)
    return ModelConfig(
        model=model,
        pane_s=pane_s,
        maturity_s=maturity_s,
        horizon_s=horizon_s,
        cohort_delay_s=maturity_s,
        segments=table.segments,
        false_alarms_per_month=false_alarms_per_month(rows),
        detectors=("adwin", "page_hinkley", "ddm"),
        rules=rules(task),
        retrain=RetrainPolicy(
            kinds=("performance", "concept_drift"),
            every_panes=max(3, -(-panes // RETRAINS_MAX)),
            cooldown_panes=max(3, -(-panes // RETRAINS_MAX)),
            budget=2 * RETRAINS_MAX,
            budget_panes=max(100, panes),
            min_labels=1000,
            strategies=("recent", "all", "since_change", "online"),
            recent_rows=max(4000, streamed // 20),
            holdout_rows=max(500, streamed // 300),
            trainer=trainer,
        ),
        gate=GatePolicy(metric="mae" if task == "regression" else "accuracy", margin=0.005),
    )
