"""pane_rows: bins as `bin_of` has them, what dependence of rows looks like, panes kept and read."""

from __future__ import annotations

import math

import numpy as np
import pytest
from msgspec.structs import replace

from streamops.core.pane_rows import (
    MANY_COLUMNS,
    PANES,
    PANES_OF_MANY,
    is_sound,
    measure_rows,
    numeric_bins,
    other_bins,
    panes_of,
)
from streamops.core.profile import bin_of, category_profile, numeric_profile
from streamops.values import PaneRows


def ar1(rows: int, rho: float, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, math.sqrt(1 - rho * rho), rows)
    x = np.zeros(rows)
    for n in range(1, rows):
        x[n] = rho * x[n - 1] + steps[n]
    return x


def measured(values: np.ndarray, columns: int = 1):
    feature = numeric_profile("x", values.tolist())
    return replace(feature, rows=measure_rows(feature, numeric_bins(feature, values), columns))


def test_numbers_lie_in_the_bins_that_meter_counts_them_in():
    feature = numeric_profile("x", [n / 10 for n in range(100)], bins=7)
    values = np.array([-1.0, 0.0, 0.05, *feature.edges, 9.9, 9.95, 1e300, math.nan])
    known = [bin_of(feature, None if math.isnan(v) else v)[0] for v in values.tolist()]
    assert numeric_bins(feature, values).tolist() == known


def test_other_values_lie_in_the_bins_that_meter_counts_them_in():
    values = ["a", "b", None, 1, True, 1.0, "unseen", "x" * 300, ("no", "text")]
    for feature in (
        category_profile("c", ["a", "b", "1", "true"]),
        category_profile("c", [True, False], "boolean"),
    ):
        assert other_bins(feature, values).tolist() == [bin_of(feature, v)[0] for v in values]


def test_rows_that_depend_on_each_other_are_seen_and_their_panes_kept():
    feature = measured(ar1(4000, 0.9))
    assert feature.rows is not None
    assert not feature.rows.is_independent
    assert feature.rows.dispersion > 5
    panes = panes_of(feature)
    assert panes.shape == (PANES, len(feature.counts))
    assert panes.sum(axis=0).tolist() == list(feature.counts)
    assert set(panes.sum(axis=1).tolist()) == {4000 // PANES}


def test_independent_rows_may_be_counted_and_no_pane_is_kept():
    feature = measured(ar1(12_000, 0.0))
    assert feature.rows == PaneRows(
        is_independent=True, missing_dispersion=feature.rows.missing_dispersion
    )
    short = measured(ar1(2000, 0.0))
    assert short.rows.is_independent
    assert 1 < short.rows.dispersion < 4, "too few rows to be sure of 1"


def test_missing_values_that_come_in_runs_are_measured_on_their_own():
    values = ar1(4000, 0.0)
    values[[n for n in range(4000) if n // 100 % 5 == 0]] = math.nan
    assert measured(values).rows.missing_dispersion > 20
    assert measured(ar1(4000, 0.0)).rows.missing_dispersion < 3


@pytest.mark.parametrize("rows", [0, 1, 399])
def test_too_few_rows_say_nothing(rows):
    feature = numeric_profile("x", [float(n) for n in range(rows)])
    assert measure_rows(feature, numeric_bins(feature, np.arange(float(rows)))) is None
    assert panes_of(feature).shape == (0, len(feature.counts))


def test_of_many_columns_fewer_panes_are_kept():
    feature = measured(ar1(4000, 0.9), MANY_COLUMNS + 1)
    assert panes_of(feature).shape[0] == PANES_OF_MANY


def test_large_panes_take_wider_counts():
    feature = measured(np.repeat(ar1(400, 0.9), 100))
    assert feature.rows.width == 2
    assert panes_of(feature).sum() == 40_000


@pytest.mark.parametrize(
    "rows",
    [
        PaneRows(panes=3, counts=b"too short"),
        PaneRows(panes=-1, counts=b""),
        PaneRows(panes=1, width=3, counts=bytes(12)),
        PaneRows(panes=0, counts=b"left over"),
    ],
)
def test_panes_that_nobody_can_read_are_no_panes(rows):
    feature = numeric_profile("x", [1.0, 2.0])
    assert not is_sound(rows, len(feature.counts))
    assert len(panes_of(replace(feature, rows=rows))) == 0


def test_a_constant_and_an_empty_column_have_an_answer():
    for values in (np.full(1000, 3.0), np.full(1000, math.nan)):
        rows = measured(values).rows
        assert rows is not None
        assert rows.dispersion >= 1
        assert rows.missing_dispersion >= 1


def test_rows_that_fill_no_pane_are_the_oldest():
    values = ar1(4013, 0.9)
    feature = measured(values)
    newest = np.bincount(numeric_bins(feature, values[13:]), minlength=len(feature.counts))
    assert panes_of(feature).sum(axis=0).tolist() == newest.tolist()
