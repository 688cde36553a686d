"""gate: floor, margin, segments, the best of several, and what can't be compared."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streamops.config import GatePolicy
from streamops.core.gate import best_of, check_candidate, check_first, gain, passed
from tests.builders import scored


def failures(policy, candidate):
    return [check.name for check in check_candidate(policy, candidate) if not check.passed]


@pytest.mark.parametrize(("value", "failed"), [(1.0, []), (0.99, ["accuracy over champion"])])
def test_the_margin_is_reached_exactly(value, failed):
    assert failures(GatePolicy(margin=0.5), scored("v2", value, champion=0.5)) == failed


def test_without_a_margin_an_equal_candidate_passes_and_a_worse_one_does_not():
    assert failures(GatePolicy(), scored("v2", 0.8)) == []
    assert failures(GatePolicy(), scored("v2", 0.7999)) == ["accuracy over champion"]


@pytest.mark.parametrize(("floor", "failed"), [(0.9, []), (0.9001, ["accuracy floor"])])
def test_the_floor_holds_whatever_the_champion(floor, failed):
    assert failures(GatePolicy(floor=floor), scored("v2", 0.9)) == failed


def test_an_error_is_better_where_it_is_smaller():
    assert gain("mae", 1.0, than=3.0) == 2.0
    assert gain("accuracy", 1.0, than=3.0) == -2.0
    policy = GatePolicy(metric="mae", floor=2.0)
    errors = {"candidate": {"mae": 2.5}, "champion": {"mae": 2.25}}
    worse = replace(scored("v2", 0.0), **errors)
    assert failures(policy, worse) == ["mae floor", "mae over champion"]


def test_a_metric_that_was_not_scored_fails():
    assert failures(GatePolicy(metric="f1"), scored("v2", 0.99)) == ["scored"]


def test_a_champion_without_a_score_leaves_it_to_the_floor():
    alone = scored("v2", 0.99, champion=None)
    assert failures(GatePolicy(), alone) == ["accuracy over champion"]
    assert failures(GatePolicy(floor=0.5), alone) == []
    assert failures(GatePolicy(), scored("v2", 0.9, champion=None, champion_version="")) == []


@pytest.mark.parametrize(
    ("candidate", "rows", "failed"),
    [(0.75, 100, []), (0.7, 100, ["drop in s=1"]), (0.0, 99, []), (0.0, 100, ["drop in s=1"])],
)
def test_a_segment_may_lose_so_much_and_no_more(candidate, rows, failed):
    policy = GatePolicy(segment_drop=0.25, segment_rows=100)
    shown = scored("v2", 0.9, segments={"s=1": (candidate, 1.0, rows)})
    assert failures(policy, shown) == failed


def test_the_best_is_the_first_of_equals():
    field = [scored("a", 0.8), scored("b", 0.9), scored("c", 0.9)]
    assert best_of(GatePolicy(), field) == 1


def test_a_first_version_has_only_the_floor():
    assert passed(check_first(GatePolicy(), {}))
    assert passed(check_first(GatePolicy(floor=0.8), {"accuracy": 0.8}))
    assert not passed(check_first(GatePolicy(floor=0.8), {"accuracy": 0.79}))
    assert not passed(check_first(GatePolicy(floor=0.8), {}))
