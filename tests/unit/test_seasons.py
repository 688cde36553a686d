"""seasons: phases of the calendar, which season a reference shows, and what it spares."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from streamops.core import calendar_phases as calendar
from streamops.core import drift, pane_rows, seasons
from streamops.core.drift_plan import lag_dispersion, phases_at, plan_of
from streamops.core.pane_rows import measure_rows, numeric_bins
from streamops.core.profile import numeric_profile
from streamops.core.times import SECOND_US, micros
from streamops.values import PHASES, FeatureProfile

HOUR_US = 3600 * SECOND_US
DATA = Path(__file__).parents[2] / "replay" / "data"
MONDAY_US = micros(datetime(2024, 1, 1, tzinfo=UTC))


def profiled(values, times_us, name="x") -> FeatureProfile:
    feature = numeric_profile(name, values.tolist())
    bins = numeric_bins(feature, values)
    return replace(feature, rows=measure_rows(feature, bins, 1, times_us))


def hours(days: int, rows: int = 40, seed: int = 1):
    """Rows that follow the hour of the day, with their times."""
    times = MONDAY_US + np.arange(days * 24 * rows, dtype=np.int64) * (HOUR_US // rows)
    angle = 2 * np.pi * (times % (24 * HOUR_US)) / (24 * HOUR_US)
    return np.sin(angle) + np.random.default_rng(seed).normal(size=len(times)), times


def counts_of(feature, values) -> tuple[int, ...]:
    at = numeric_bins(feature, values)
    return tuple(np.bincount(at, minlength=len(feature.counts)).tolist())


def alarms_of(plan, feature, values, times_us, rows, limit=1000.0) -> list[int]:
    state, found = drift.initial(plan, "test"), []
    for pane, at in enumerate(range(0, len(values) - rows + 1, rows)):
        counts = [counts_of(feature, values[at : at + rows])]
        state, read = drift.step(plan, state, counts, int(times_us[at]), limit)
        found += [pane for _ in read.alarms]
    return found


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (datetime(2024, 1, 1, 5, 59, tzinfo=UTC), (5, 5, 0, 0)),
        (datetime(2024, 1, 6, 5, tzinfo=UTC), (29, 5, 5, 0)),
        (datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC), (23, 23, 3, 1)),
        (datetime(1969, 12, 31, 23, tzinfo=UTC), (23, 23, 2, 11)),
        (datetime(1948, 12, 5, tzinfo=UTC), (24, 0, 6, 11)),
    ],
)
def test_phases_of_the_calendar(when, expected):
    time = np.array([micros(when)])
    assert tuple(int(calendar.phases(s, time)[0]) for s in PHASES) == expected


def test_buckets_end_where_their_phase_does():
    times = MONDAY_US + np.arange(-1000, 1000, dtype=np.int64) * HOUR_US
    for season in PHASES:
        bucket, phase = calendar.buckets(season, times), calendar.phases(season, times)
        assert bool(((np.diff(bucket) == 1) | (np.diff(bucket) == 0)).all())
        assert not np.diff(phase)[np.diff(bucket) == 0].any()


def test_a_season_is_found_where_every_phase_was_seen_often_enough():
    found = profiled(*hours(6)).rows
    assert (found.season, found.panes) == ("hour", 144)
    assert found.phases == bytes(range(24)) * 6
    assert profiled(*hours(2)).rows.season is None, "two days show an hour twice"
    values, times = hours(6)
    flat = np.repeat(np.random.default_rng(3).normal(size=len(values) // 80), 80)
    assert profiled(flat + values * 0.01, times).rows.season is None, "no hour explains it"


def test_rows_may_come_out_of_order_and_need_no_times():
    values, times = hours(6)
    feature = numeric_profile("x", values.tolist())
    bins = numeric_bins(feature, values)
    order = np.random.default_rng(2).permutation(len(values))
    args = (len(feature.counts), 600)
    a = seasons.find(bins, args[0], times, args[1])
    b = seasons.find(bins[order], args[0], times[order], args[1])
    assert (a.season, a.panes.tolist()) == (b.season, b.panes.tolist())
    old = measure_rows(feature, bins)
    assert (old.season, old.phases, old.panes) == (None, b"", 50)
    assert b"season" not in msgspec.json.encode(old), "profiles without times keep their bytes"


def test_a_profile_keeps_no_more_panes_than_can_be_broadcast():
    assert seasons.panes_max(30, 22) == 600
    assert seasons.panes_max(300, 22) == 60
    values, times = hours(6)
    assert measure_rows(*_binned(values), 300, times).season is None, "60 panes, 24 hours"


def _binned(values):
    feature = numeric_profile("x", values.tolist())
    return feature, numeric_bins(feature, values)


def test_a_shift_in_a_season_is_found_at_once_and_no_hour_alarms():
    feature, rows = profiled(*hours(6)), 40
    live, times = hours(4, seed=5)
    times = times + 6 * 24 * HOUR_US
    seasonal, pooled = plan_of((feature,), None, 3600.0), plan_of((feature,), None)
    assert (seasonal.seasons, pooled.seasons) == (("hour",), (None,))
    assert alarms_of(seasonal, feature, live, times, rows) == []
    live[rows * 72 :] += 0.6
    end = rows * 80
    first = alarms_of(seasonal, feature, live[:end], times, rows)[0]
    assert 72 <= first <= 78
    assert alarms_of(pooled, feature, live[:end], times, rows) == []


def test_a_pane_longer_than_a_phase_has_no_season():
    feature = profiled(*hours(6))
    assert plan_of((feature,), None, 7200.0).seasons == (None,)
    plan = plan_of((feature, numeric_profile("y", [1.0])), None, 900.0)
    assert phases_at(plan, MONDAY_US + 7 * HOUR_US).tolist() == [7]
    laid = np.diff(pane_rows.panes_of(feature)[:, 1:-2].cumsum(axis=1), prepend=0)
    assert lag_dispersion(laid) > lag_dispersion(laid, pane_rows.phases_of(feature)) == 1.0


def test_features_with_seasons_are_judged_as_if_alone():
    """An hour, a weekday or nothing: columns of one test, each by its own phases."""
    values, times = hours(6)
    plain = profiled(np.repeat(np.random.default_rng(4).normal(size=len(values) // 40), 40), None)
    columns = (profiled(values, times), replace(plain, name="y"))
    both = plan_of(columns, None, 3600.0)
    assert both.seasons == ("hour", None)
    alone = [plan_of((column,), None, 3600.0) for column in columns]
    states = [drift.initial(plan, "test") for plan in (both, *alone)]
    live = hours(3, seed=8)[0]
    for pane in range(30):
        counts = [counts_of(c, live[pane * 40 : pane * 40 + 40] * 1.2) for c in columns]
        start = MONDAY_US + (144 + pane) * HOUR_US
        states[0], read = drift.step(both, states[0], counts, start, 1e6)
        for at, plan in enumerate(alone):
            states[at + 1], one = drift.step(plan, states[at + 1], counts[at : at + 1], start, 1e6)
            assert read.metrics[at] == one.metrics[0]


def test_phases_that_a_producer_got_wrong_are_no_season():
    feature = profiled(*hours(6))
    for wrong in (b"", bytes([24]) * 144, bytes(143)):
        broken = replace(feature, rows=replace(feature.rows, phases=wrong))
        assert not pane_rows.has_phases(broken.rows)
        assert plan_of((broken,), None, 3600.0).seasons == (None,)


def test_electricity_is_quiet_by_weekday():
    """188 days of reference, then a pane a day, well before the change of row 17,424."""
    table = pq.read_table(DATA / "electricity.parquet", columns=["event_time", "day", "nsw_demand"])
    times = table["event_time"].to_numpy().astype("datetime64[us]").astype(np.int64)
    cut, end = 188 * 48, 248 * 48
    for name in ("day", "nsw_demand"):
        values = table[name].to_numpy().astype(float)
        seasonal = profiled(values[:cut], times[:cut])
        assert seasonal.rows.season == "weekday"
        plan, live = plan_of((seasonal,), None, 86_400.0), values[cut:end]
        assert alarms_of(plan, seasonal, live, times[cut:end], 48, limit=60.0) == []
        if name == "day":
            # Not because nothing can be seen: a calendar that is three days off is.
            off = np.roll(live, 3 * 48)
            assert alarms_of(plan, seasonal, off, times[cut:end], 48, limit=60.0)
