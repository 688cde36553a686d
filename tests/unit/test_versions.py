"""versions: what can't be counted against is refused, by the SDK and by CONTROLLER on the log."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from msgspec.structs import replace

from streamops.config import Rule, config_hash
from streamops.core.profile import category_profile, numeric_profile
from streamops.errors import InputError
from streamops.events import (
    ConfigApplied,
    EpochConcluded,
    ModelRegistered,
    RecordRefused,
)
from streamops.values import PaneRows
from streamops.versions import check_version, profile_hash
from tests.builders import Desk, at, config, of_type, version

NUMBERS = numeric_profile("x", [1.0, 2.0, 3.0, 4.0, None], bins=4)
WORDS = category_profile("c", ["a", "b", None])
TRUTH = category_profile("t", [True, False], "boolean")
WRONG = [
    (replace(NUMBERS, counts=NUMBERS.counts[1:]), "'x': counts is 6; give 7"),
    (replace(NUMBERS, counts=()), "'x': counts is 0"),
    (replace(NUMBERS, counts=(-1, *NUMBERS.counts[1:])), "counts is -1"),
    (replace(NUMBERS, counts=(1 << 60, *NUMBERS.counts[1:])), "0 to 2^53"),
    (replace(NUMBERS, edges=NUMBERS.edges[::-1]), "let each edge be above"),
    (replace(NUMBERS, edges=(NUMBERS.edges[0],) * len(NUMBERS.edges)), "let each edge be above"),
    (replace(NUMBERS, edges=(*NUMBERS.edges[1:], math.inf)), "use finite numbers"),
    (replace(NUMBERS, counts=(1 << 51,) * 7), "below 2^53 in all"),
    (replace(NUMBERS, low=9.0, edges=(), counts=(0, 1, 0, 0)), "keep low <= high"),
    (replace(NUMBERS, low=2.5), "keep the edges within low and high"),
    (replace(NUMBERS, high=2.5), "keep the edges within low and high"),
    (replace(NUMBERS, quantum=0.0), "quantum is 0.0"),
    (replace(NUMBERS, rows=PaneRows(dispersion=0.5)), "rows.dispersion is 0.5"),
    (replace(NUMBERS, rows=PaneRows(width=3)), "rows.width is 3"),
    (replace(NUMBERS, rows=PaneRows(panes=2, counts=b"x")), "14 bytes"),
    (replace(WORDS, counts=(1, 1)), "'c': counts is 2; give 4"),
    (replace(WORDS, categories=("a", "a")), "list each category once"),
    (replace(TRUTH, categories=("no", "yes")), "a boolean's are false and true"),
]


def with_feature(*features, hash_=None, **fields):
    """A version whose profile has these columns; `hash_` in place of the right one."""
    made = version("v1", **fields)
    profile = replace(made.profile, features=features)
    return replace(made, profile=profile, profile_hash=hash_ or profile_hash(profile))


@pytest.mark.parametrize(("feature", "said"), WRONG, ids=lambda v: v if isinstance(v, str) else "")
def test_what_can_not_be_counted_against_is_refused(feature, said):
    with pytest.raises(InputError) as refused:
        check_version(with_feature(feature))
    assert said in str(refused.value)
    assert "; " in str(refused.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (with_feature(NUMBERS, NUMBERS), r"features is \['x'\]; name each column once"),
        (with_feature(NUMBERS, hash_="h"), "profile_hash is 'h'; this profile's is [0-9a-f]{64}"),
        (replace(with_feature(NUMBERS), version=""), "version is ''"),
        (replace(with_feature(NUMBERS), model=""), "model is ''"),
    ],
)
def test_so_is_a_version_that_is_not_itself(wrong, said):
    with pytest.raises(InputError, match=said):
        check_version(wrong)


@pytest.mark.parametrize(
    "values", [[], [None], [1.0], [1.0, 1.0], [0.0, 5e-324], [-1e308, 1e308], [1e308]]
)
def test_what_profiles_are_made_of_passes(values):
    made = numeric_profile("x", values)
    assert all(left < right for left, right in pairwise(made.edges))
    check_version(with_feature(made, WORDS, TRUTH))


def registered(made):
    return ModelRegistered(id=f"registered/{made.version}", time=at(1), version=made)


def applied(settings, hash_=None):
    return ConfigApplied(
        id="applied",
        time=at(1),
        config=settings,
        config_hash=hash_ or config_hash(settings),
        actor="ann",
    )


def unchecked(**fields):
    return replace(config(), **fields)


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        (registered(with_feature(replace(NUMBERS, counts=()))), "counts is 0"),
        (applied(unchecked(pane_s=0)), "pane_s is 0"),
        (applied(unchecked(pane_s=1 << 40)), "a year"),
        (applied(unchecked(horizon_s=1 << 60)), "horizon_s is"),
        (applied(unchecked(rules=(Rule(name="r", kind="quality", metric="psi"),))), "above, below"),
        (applied(unchecked(false_alarms_per_month=0.0)), "false_alarms_per_month is 0.0"),
        (applied(config(), "h"), "config_hash is 'h'"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_on_the_log_it_is_dead_lettered_and_the_fold_goes_on(fact, said):
    desk = Desk()
    (refused,) = of_type(desk.epoch([fact]), RecordRefused)
    assert said in refused.reason
    assert refused.fault == "producer"
    assert of_type(desk.epoch([]), EpochConcluded)
