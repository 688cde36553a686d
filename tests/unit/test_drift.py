"""drift: which test a column has, what a pane says, and an answer to every bad input."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from streamops.core import drift
from streamops.core.drift_plan import lag_dispersion, plan_of
from streamops.core.pane_rows import measure_rows, numeric_bins, other_bins
from streamops.core.profile import category_profile, numeric_profile
from streamops.core.times import moment
from streamops.values import FeatureProfile, PaneRows
from tests.unit.test_pane_rows import ar1, measured

LIMIT = 1000.0
MINUTE_US = 60_000_000


def words(values: list[object]) -> FeatureProfile:
    feature = category_profile("c", values)
    return replace(feature, rows=measure_rows(feature, other_bins(feature, values)))


def counted(feature: FeatureProfile, values) -> tuple[int, ...]:
    if feature.kind == "numeric":
        bins = numeric_bins(feature, np.array(values, dtype=np.float64))
    else:
        bins = other_bins(feature, values)
    return tuple(np.bincount(bins, minlength=len(feature.counts)).tolist())


def play(plan, panes, *, limit: float = LIMIT):
    """Fold panes a minute apart; return what each said, and the last state."""
    state, said = drift.initial(plan, "test"), []
    for number, counts in enumerate(panes):
        state, read = drift.step(plan, state, counts, number * MINUTE_US, limit)
        said.append(read)
    return said, state


def alarms(said) -> list[tuple[int, str, str]]:
    return [(at, d.feature, d.stream) for at, read in enumerate(said) for d in read.alarms]


DEPENDENT = measured(ar1(4000, 0.9))
STREAM = ar1(24_000, 0.9, seed=2)
CITIES = words((["Bern", "Basel", "Chur"] * 4000)[:12_000])


def test_each_column_has_the_test_that_its_reference_allows():
    free = replace(measured(ar1(12_000, 0.0)), name="free")
    old = replace(numeric_profile("old", [0.0, 1.0] * 500), rows=None)
    constant = replace(measured(np.full(4000, 2.0)), name="constant")
    plan = plan_of((DEPENDENT, free, CITIES, old, constant), DEPENDENT)
    assert plan.by_pane == (0, 5)
    assert plan.ordered.columns == (1, 3, 4)
    assert plan.words.columns == (2,)
    assert plan.missing.columns == (0, 1, 2, 3, 4)
    assert plan.streams == 11


def test_a_shift_of_dependent_rows_is_found_dated_and_sized():
    plan = plan_of((DEPENDENT,), None)
    panes = [[counted(DEPENDENT, STREAM[n * 400 : n * 400 + 400])] for n in range(30)]
    panes += [[counted(DEPENDENT, STREAM[n * 400 : n * 400 + 400] + 1.2)] for n in range(30, 36)]
    said, _ = play(plan, panes)
    first = alarms(said)[0]
    assert first[0] in (30, 31, 32)
    found = said[first[0]].alarms[0]
    assert (found.metric, found.test, found.direction) == ("drift", "t-SR", "mean")
    assert found.since == moment(30 * MINUTE_US)
    assert found.age == first[0] - 29
    assert found.evidence >= found.alarm_at == LIMIT
    assert found.psi > 0.25 > found.psi_least >= 0, "400 such rows are worth about 20"


def test_a_month_of_the_same_raises_nothing_though_rows_depend_on_each_other():
    plan = plan_of((DEPENDENT,), None)
    panes = [[counted(DEPENDENT, STREAM[n * 400 : n * 400 + 400])] for n in range(60)]
    said, state = play(plan, panes)
    assert alarms(said) == []
    assert state.panes == 60
    assert all(read.metrics[0].value < LIMIT for read in said)


def test_categories_and_missing_values_have_streams_of_their_own():
    plan = plan_of((CITIES,), None)
    calm = ["Bern", "Basel", "Chur"] * 100
    moved, gone = ["Bern"] * 200 + ["Chur"] * 100, [*calm[:270], *[None] * 30]
    said, _ = play(plan, [[counted(CITIES, one)] for one in (calm, moved)])
    assert alarms(said) == [(1, "c", "values")]
    said, _ = play(plan, [[counted(CITIES, one)] for one in (calm, gone)])
    assert alarms(said) == [(1, "c", "missing")]
    said, _ = play(plan, [[counted(CITIES, [*calm[:270], *["Zug"] * 30])]])
    assert alarms(said) == [(0, "c", "values")]


def test_a_score_has_its_own_metric_and_no_missing_stream():
    plan = plan_of((), DEPENDENT)
    said, _ = play(plan, [[counted(DEPENDENT, STREAM[:400] + 9.0)]] * 3)
    assert {(m.name, m.feature) for read in said for m in read.metrics} == {("score_drift", "")}
    assert {d.metric for read in said for d in read.alarms} == {"score_drift"}
    assert plan.streams == 1


def test_an_alarm_begins_its_stream_anew_and_no_other():
    plan = plan_of((DEPENDENT, CITIES), None)
    calm = counted(CITIES, ["Bern", "Basel", "Chur"] * 100)
    panes = [(counted(DEPENDENT, STREAM[n * 400 : n * 400 + 400]), calm) for n in range(8)]
    together, _ = play(plan, [*panes, (panes[0][0], counted(CITIES, ["Bern"] * 300)), *panes])
    alone, _ = play(plan, [*panes, panes[0], *panes])
    assert (8, "c", "values") in alarms(together)
    assert [r.metrics[0] for r in together] == [r.metrics[0] for r in alone]
    assert together[9].metrics[1].value < alone[9].metrics[1].value + 10


def test_a_pane_that_is_not_later_is_passed_over():
    plan = plan_of((CITIES,), None)
    state, counts = drift.initial(plan, "test"), [counted(CITIES, ["Bern"] * 9)]
    state, _ = drift.step(plan, state, counts, 5, LIMIT)
    for start_us in (5, 4):
        again, read = drift.step(plan, state, counts, start_us, LIMIT)
        assert again == state
        assert read == ((), ())


@pytest.mark.parametrize(
    "feature",
    [
        numeric_profile("x", []),
        numeric_profile("x", [7.0]),
        numeric_profile("x", [None] * 50),
        measured(np.full(4000, 2.0)),
        measured(np.full(4000, math.nan)),
        words([f"id-{n}" for n in range(5000)]),
        category_profile("c", []),
        replace(numeric_profile("x", [1.0, 2.0]), rows=PaneRows(panes=9, counts=b"?")),
        replace(numeric_profile("x", [1.0, 2.0]), rows=PaneRows(dispersion=-3, panes=0)),
    ],
)
def test_every_reference_and_every_pane_has_an_answer(feature):
    """Constant, empty, one row, all missing, a million categories' worth, and broken panes."""
    plan, width = plan_of((feature,), feature), len(feature.counts)
    empty, missing, outside = [0] * width, [0] * width, [0] * width
    missing[-1], outside[-2] = 500, 500
    rows = [tuple(row) for row in (empty, missing, outside, feature.counts, outside)]
    said, _ = play(plan, [[row, row] for row in rows])
    for read in said:
        for found in read.metrics:
            assert found.value is None or 0 < found.value < math.inf
    assert said[0].metrics[0].value is None


def test_what_was_constant_and_comes_alive_is_found_in_its_pane():
    feature = measured(np.full(4000, 2.0))
    said, _ = play(plan_of((feature,), None), [[counted(feature, ar1(300, 0.5))]])
    assert alarms(said) == [(0, "x", "values")]


def test_panes_that_remember_each_other_take_more_evidence():
    walk = measured(np.arange(4000.0) + ar1(4000, 0.5))
    plan = plan_of((walk,), None)
    assert plan.pane_base.dispersion[0] > 5
    panes = [[counted(walk, np.arange(4000.0 + n * 400, 4400.0 + n * 400))] for n in range(8)]
    assert alarms(play(plan, panes)[0]) == []
    assert lag_dispersion(np.zeros((0, 3), dtype=np.int64)) == 1.0


def test_only_counts_enter_and_a_state_survives_its_checkpoint():
    plan = plan_of((DEPENDENT, CITIES), None)
    calm = ["Bern", "Basel", "Chur"] * 50
    panes = [
        (counted(DEPENDENT, STREAM[n * 150 : n * 150 + 150]), counted(CITIES, calm[n:]))
        for n in range(20)
    ]
    whole, last = play(plan, panes)
    state, said = drift.initial(plan, "test"), []
    for number, counts in enumerate(panes):
        packed = msgspec.msgpack.encode(state)
        state = msgspec.msgpack.decode(packed, type=drift.DriftState)
        state, read = drift.step(plan, state, counts, number * MINUTE_US, LIMIT)
        said.append(read)
    assert (said, state) == (whole, last)
    assert len(msgspec.msgpack.encode(state)) < 12_000


def test_the_size_of_no_change_is_nothing_and_of_a_change_is_less_than_it_looks():
    reference = (0, 500, 500, 500, 500, 0)
    assert drift.debiased_psi((0, 50, 50, 50, 50, 0), reference) == (0.0, 0.0)
    assert drift.debiased_psi((0,) * 6, reference) == (0.0, 0.0)
    psi, least = drift.debiased_psi((0, 100, 40, 40, 20, 0), reference)
    wide, careful = drift.debiased_psi((0, 100, 40, 40, 20, 0), reference, dispersion=4.0)
    assert 0.35 > psi > least > 0.1
    assert wide < psi
    assert careful < least
