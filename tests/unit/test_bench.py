"""bench: every field of the result, finite, from tiny runs; what is refused; what a plot says."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from streamops.bench import correlated, errors, null, power, result, runs, streams, tasks, tools
from streamops.bench.detection import measure
from streamops.bench.figures import NEVER, add_rates, delay_figures, rate, upper95
from streamops.bench.lines import lines
from streamops.bench.plots import plots
from streamops.cli import main
from streamops.errors import ConfigError

# The fields that the promise names.
FIELDS = {
    "data_drift": {"false_alarms_per_model_month", "upper95", "upper95_at_budget_01",
                   "model_months", "ratio_to_evidently", "ratio_to_nannyml"},
    "power": {"mean_025_pane1", "spread_15_pane1", "missing_1_3_pane2", "category_5_8_pane3",
              "mean_01_median_panes"},
    "correlated": {"rho", "false_alarms_per_model_month", "mean_025_rows"},
    "error_stream": {"false_alarms_per_100k", "delay_20_30", "delay_10_30",
                     "markov_false_alarms_per_100k"},
    "sea": {"changes", "found_within_700", "false", "seeds"},
    "cost_us": {"feature_pane", "outcome"},
    "batch": {"ratio_to_evidently", "columns_50_to_100"},
}  # fmt: skip


def parts(size: tasks.Size = tasks.QUICK) -> result.Parts:
    """Figures of every task, all different: what a run without real columns leaves."""
    found: result.Parts = {}
    for number, task in enumerate(tasks.tasks(size, 1, Path("tools"), None), 1):
        small = 1.0 / number
        figures = {
            "power": {"within_1": small, "within_2": small, "within_3": small, "median_rows": 4e3},
            "null": rate(1, number),
            "correlated": {**rate(0, number), "median_rows": 1000.0 * number},
            "errors": {"per_100k": small, "median_outcomes": 100.0 * number},
            "sea": {"changes": 3, "found_within_700": 2, "false": 1},
            "others": {"per_1000_windows": 100.0, "cpu_s": 10.0 + number},
            "cost": {
                "independent": 90.0,
                "correlated": 80.0,
                "service_independent": 18.0,
                "service_correlated": 22.0,
            },
        }[task.part]
        if task.name.startswith("rules_"):
            figures = {"psi_0_1": {"per_1000_windows": 3.0}}
        if task.name == "outcome":
            figures = {"sr_mixture": 1.0, "bf_sr": 2.5}
        found.setdefault(task.part, {})[task.name] = figures
    return found


def test_the_result_has_the_fields_of_the_promise_and_every_figure_is_finite():
    found = msgspec.to_builtins(result.result(parts(), tasks.QUICK))
    assert re.fullmatch("[0-9a-f]{64}", found.pop("config_hash"))
    assert {name: set(fields) for name, fields in found.items()} == FIELDS
    figures = list(result.numbers(found))
    assert len(figures) == sum(map(len, FIELDS.values()))
    assert all(math.isfinite(one) for one in figures)


def test_a_figure_that_is_not_finite_is_no_result():
    known = parts()
    known["cost"]["outcome"]["bf_sr"] = math.inf
    with pytest.raises(AssertionError, match="finite"):
        result.result(known, tasks.QUICK)


def test_figures_of_the_result_are_read_where_they_should_be():
    known = parts()
    found = result.result(known, tasks.QUICK)
    # The quick run's months: six cells of 2, one of 8, one alarm in every share.
    assert found.cost_us.feature_pane == 22.0
    assert found.cost_us.outcome == 2.5
    assert (found.sea.changes, found.sea.found_within_700, found.sea.seeds) == (60, 40, 20)
    ours = known["null"]["10000x500/0"]["upper95"] * 1000 / 720
    assert found.data_drift.ratio_to_evidently == pytest.approx(100.0 / ours)
    few, many = (known["others"][f"table_ours_{n}"]["cpu_s"] for n in (50, 100))
    assert found.batch.columns_50_to_100 == many / few
    # rho 0 was measured first, so in the fewest of these months: but nothing alarmed anywhere.
    assert found.correlated.rho == 0.9


def test_a_line_holds_where_its_figure_reaches_what_was_asked():
    known = parts()
    missed = {one.what: one for one in lines(result.result(known, tasks.QUICK))}
    assert not missed["CPU us a feature-pane, models together"].holds
    known["cost"]["feature_pane"]["service_correlated"] = 19.0
    held = {one.what: one for one in lines(result.result(known, tasks.QUICK))}
    assert held["CPU us a feature-pane, models together"].holds
    assert held["CPU us a feature-pane, models together"].shown == "19"


def test_bounds_and_delays():
    # No event in 3 months: e^-3 = .05 of such silence at one a month.
    assert upper95(0, 2.9957322735539895) == pytest.approx(1.0)
    assert add_rates([rate(1, 2), rate(2, 4)]) == rate(3, 6)
    found = delay_figures(np.array([100.0, 200.0, NEVER]), 900)
    assert found == {"median_rows": 200.0, "p90_rows": 900.0, "found": 2 / 3, "runs": 3}


def test_a_strong_shift_is_found_in_its_first_pane_and_nothing_is_not():
    found = power.delays("mean_05", 10, 1)
    assert (found["within_1"], found["median_rows"]) == (1.0, 1000.0)
    rng = np.random.default_rng(1)
    columns = null.model(rng, 1_000)
    shipped = power.Shipped(column.profile for column in columns)
    live = streams.Live(columns)
    assert len(columns) == 30
    assert shipped.plan.streams == 60
    assert [a for _ in range(20) for a in shipped.step(live.pane(rng, 500), 43_200)] == []


def test_rows_that_depend_on_each_other_are_given_to_the_test_of_panes():
    found = correlated.delays(0.6, 200, 3.0, 4, 1)
    assert found["found"] == 1.0
    model = correlated.Model(0.6, 200, 4, (1,))
    assert len(model.shipped.plan.by_pane) == 4
    counts = list(model.panes(2))
    assert [sum(column) for column in counts[1]] == [200] * 4


def test_shifted_shares_move_as_normal_rows_do():
    column = streams.numeric(np.random.default_rng(1), "x", 10_000)
    moved = streams.shifted(column, mean=0.5)
    # Half of normal rows are below 0; after a shift of half a deviation 30.9%.
    assert np.cumsum(column.shares)[10] == pytest.approx(0.5, abs=0.03)
    assert np.cumsum(moved.shares)[10] == pytest.approx(0.3085, abs=0.03)
    assert moved.shares.sum() == pytest.approx(1.0)


def test_errors_in_runs_have_the_rate_and_the_correlation_asked_for():
    chain = errors.chain(np.random.default_rng(1), 200_000, 0.2, 0.5).astype(float)
    assert chain.mean() == pytest.approx(0.2, abs=0.01)
    assert np.corrcoef(chain[:-1], chain[1:])[0, 1] == pytest.approx(0.5, abs=0.02)
    found = errors.delays("every_100th", 0.2, 0.3, 2, 1)
    assert found["median_outcomes"] == 100.0


def test_a_missing_environment_names_the_step_that_makes_it(tmp_path, capsys):
    given = ["bench", "detection", "others", "--quick", "--tools", str(tmp_path / "none")]
    assert main([*given, "--out", str(tmp_path / "found.json")]) == 2
    error = capsys.readouterr().err
    assert "evidently and nannyml" in error
    assert "streamops bench detection --prepare" in error
    assert not (tmp_path / "found.json").exists()


def test_an_environment_of_another_lock_is_not_ready(tmp_path):
    for name in tools.NAMES:
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin" / "python").touch()
        (tmp_path / name / tools.STAMP).write_text("another")
    with pytest.raises(ConfigError, match="evidently and nannyml"):
        tools.check(tmp_path)


def test_an_unknown_part_is_refused():
    with pytest.raises(ConfigError, match="'nul' is none of power, null"):
        measure(tasks.QUICK, parts=("nul",))


def test_a_run_resumes_its_own_figures_only(tmp_path, monkeypatch):
    out, calls = tmp_path / "found.json", []

    def work(name: str) -> dict[str, float]:
        calls.append(name)
        return {"per_100k": 0.0, "median_outcomes": 100.0}

    some = [tasks.Task("errors", name, work, (name,)) for name in ("a", "b")]
    monkeypatch.setattr("streamops.bench.detection.tasks", lambda *_: iter(some))
    given = {"quick": True, "processes": 1, "out": out}
    runs.run(("errors",), **given)
    details = json.loads((tmp_path / "found.details.json").read_bytes())
    assert set(details["parts"]["errors"]) == {"a", "b"}
    assert set(details["parts"]["cpu_s"]) == {"errors/a", "errors/b"}
    assert details["versions"]["numpy"] == np.__version__
    assert details["machine"]["cores"] >= 1
    runs.run(("errors",), resume=True, **given)
    assert calls == ["a", "b"]
    with pytest.raises(ConfigError, match="its seed is 1, now 2"):
        runs.run(("errors",), resume=True, seed=2, **given)


def test_plots_say_their_figures(tmp_path):
    found = dict(plots(parts()))
    assert set(found) == {"alarms", "power", "rows", "errors"}
    assert "<title>Alarms in 1,000 windows" in found["alarms"]
    assert ">nannyml, its defaults</text>" in found["alarms"]
    assert found["alarms"].count("<rect") == 5


def test_every_task_of_a_quick_run_is_one_of_the_whole_run():
    quick = {(t.part, t.name) for t in tasks.tasks(tasks.QUICK, 1, Path("t"), None)}
    whole = {(t.part, t.name) for t in tasks.tasks(tasks.WHOLE, 1, Path("t"), None)}
    # The table of a quick run has columns of its own.
    assert quick - whole == {("others", "table_ours_20")}


def test_a_quick_run_looks_at_enough_windows_and_repetitions():
    months = sum(t.arguments[2] for t in tasks.tasks(tasks.QUICK, 1, Path("t"), None)
                 if t.part == "null" and "rules" not in t.name)  # fmt: skip
    assert months * 720 >= 6_000
    assert tasks.QUICK.repetitions >= 2_000
    whole = result.result(parts(tasks.WHOLE), tasks.WHOLE)
    assert whole.data_drift.model_months > 0
