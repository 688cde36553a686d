"""The judge of the chaos run: whatever is lost, doubled or miscounted is named."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.chaos.__main__ import starts
from benchmarks.chaos.acts import WRITING, plan
from benchmarks.chaos.truth import Truth, bin_of, differences
from benchmarks.driver import shifted
from benchmarks.traffic import Mix, rows, version_of
from streamops.core.profile import numeric_bin

MIX = Mix(models=2, features=3)


def told(rounds: int = 2, *, drifted: bool = False) -> Truth:
    """What a generator knows after some rounds, each labelled at once."""
    truth = Truth(MIX)
    for epoch in range(rounds):
        made, labels = zip(*rows(MIX, epoch, 20), strict=True)
        truth.note([shifted(m) for m in made] if drifted else list(made), list(labels))
    return truth


def faults(found: Truth, joins: dict[str, list[Any]] | None = None) -> list[str]:
    known = {one: [pair] for one, pair in found.joined.items()} if joins is None else joins
    seen = SimpleNamespace(truth_of_panes=found, joins=known, faults=[])
    closed, _ = starts(2)
    return differences(told(), seen, closed, closed)


def test_what_is_as_it_must_be_is_no_fault():
    assert faults(told()) == []


def test_bins_are_those_of_the_profile():
    profile = version_of(MIX, 0).profile.features[0]
    for value in (*profile.edges, profile.low, profile.high, -9.0, 9.0, 0.0):
        assert bin_of(profile, value) == numeric_bin(profile, value)


@pytest.mark.parametrize("what", ["predictions", "labelled"])
def test_one_too_many_or_too_few_is_named(what):
    for change in (1, -1):
        found = told()
        pane = next(iter(found.predictions))
        getattr(found, what)[pane] += change
        assert [fault.partition(" of ")[0] for fault in faults(found)] == [what]


def test_a_moved_bin_and_a_moved_label_are_named():
    found = told()
    pane = next(iter(found.bins))
    found.bins[pane][("feature_00", 0)] += 1
    found.pairs[pane][("1", "1")] += 1
    assert [fault.partition(" of ")[0] for fault in faults(found)] == ["bins", "pairs"]
    assert any(fault.startswith("bins of") for fault in faults(told(drifted=True)))


def test_a_lost_a_doubled_and_a_wrong_outcome_are_named():
    found = told()
    joins = {one: [pair] for one, pair in found.joined.items()}
    lost, doubled, wrong, strange = [*list(joins)[:3], "nobody"]
    del joins[lost]
    joins[doubled] *= 2
    joins[wrong] = [(joins[wrong][0][0], 7)]
    joins[strange] = [(1, 1)]
    named = faults(found, joins)
    assert len(named) == 4
    assert f"outcome of {lost} is lost" in named


def test_a_plan_has_its_kills_and_something_of_everything_else():
    acts = plan(16, seed=1)
    assert acts == plan(16, seed=1) != plan(16, seed=2)
    assert [a.what for a in acts].count("kill") == 16
    others = sorted(
        f"{a.what} {a.name}" for a in acts if a.what != "kill" and "meter" not in a.name
    )
    assert {"stop broker", "full archiver"} <= set(others)
    assert [a.what for a in acts].count("twin") == 2


def test_a_long_plan_fills_the_disk_of_all_that_write():
    acts = plan(200, seed=1)
    assert [a.what for a in acts].count("kill") == 200
    assert {a.name for a in acts if a.what == "full"} == set(WRITING)
    assert {a.name for a in acts if a.what == "kill"} >= {"broker", "archiver", "meter-1"}
