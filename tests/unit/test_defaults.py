"""The configuration a table gets by itself."""

from __future__ import annotations

import pytest

from streamops.config import YEAR_S, check_config
from streamops.core.times import SECOND_US
from streamops.operate.defaults import (
    PANE_ROWS,
    config_for,
    pane_seconds,
    rules,
    training_rows,
)
from streamops.operate.rows import Row
from streamops.operate.table import Table


def table(rows: int, *, every_s: int = 2, delays_s: tuple[int, ...] = (0,)) -> Table:
    made = [
        Row(
            n,
            n * every_s * SECOND_US,
            {"x": n},
            n % 2,
            (n * every_s + delays_s[n % len(delays_s)]) * SECOND_US,
        )
        for n in range(rows)
    ]
    return Table(name="t", target="y", rows=made, segments={"city": ("a", "b")})


def test_a_tenth_trains_and_a_pane_holds_about_500_rows():
    given = table(10_000)
    assert training_rows(given) == 1000
    assert pane_seconds(given.rows[1000:]) == PANE_ROWS * 2
    assert pane_seconds(given.rows[:1]) >= 1


@pytest.mark.parametrize("every_s", [86_400, 30 * 86_400, YEAR_S])
def test_rows_of_days_and_years_have_panes_that_a_configuration_may_have(every_s):
    given = table(1000, every_s=every_s)
    assert pane_seconds(given.rows) == YEAR_S
    trainer = "hist_gradient_boosting"
    config = config_for(given, "m", "binary", pane_s=pane_seconds(given.rows), trainer=trainer)
    assert check_config(config) == config


def test_labels_are_judged_when_nineteen_of_twenty_have_come():
    delays = (*(60,) * 9, 7200)
    config = config_for(
        table(1000, delays_s=delays), "m", "binary", pane_s=100, trainer="hist_gradient_boosting"
    )
    assert (config.maturity_s, config.cohort_delay_s) == (7200, 7200)
    config = config_for(
        table(1000, delays_s=(*(60,) * 39, 7200)), "m", "binary", pane_s=100, trainer="x:y"
    )
    assert (config.maturity_s, config.cohort_delay_s) == (60, 60)
    assert config.horizon_s == 7200 + 2 * 100
    assert config.retrain.trainer == "x:y"
    assert config.segments == {"city": ("a", "b")}


def test_a_table_without_labels_is_watched_at_once():
    plain = table(1000)
    unlabelled = Table(
        name="t",
        target="y",
        rows=[Row(r.number, r.time_us, r.features, None, r.time_us) for r in plain.rows],
        segments={},
    )
    config = config_for(unlabelled, "m", "binary", pane_s=10, trainer="hist_gradient_boosting")
    assert (config.maturity_s, config.horizon_s) == (0, 20)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("rows", [1000, 50_000])
def test_every_default_can_hold(task, rows):
    config = config_for(table(rows), "m", task, pane_s=60, trainer="hist_gradient_boosting")
    assert check_config(config) == config
    assert config.gate.metric == ("mae" if task == "regression" else "accuracy")
    assert config.rules == rules(task)
    assert {rule.kind for rule in config.rules} >= set(config.retrain.kinds)


def test_performance_is_judged_by_what_the_task_has():
    metrics = {rule.metric for rule in rules("regression") if rule.kind == "performance"}
    assert metrics == {"mae"}
    assert {r.metric for r in rules("multiclass") if r.kind == "performance"} == {"accuracy"}
