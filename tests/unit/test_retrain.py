"""retrain: what asks, what holds back, how many, and from which outcomes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streamops.config import RetrainPolicy
from streamops.core.model_state import Ask, ModelState, Retraining
from streamops.core.policy import RuleState
from streamops.core.retrain import (
    Cause,
    asked,
    budget_used,
    cause_of,
    held_back,
    requests,
    saw_pane,
    skipped,
)
from streamops.core.times import SECOND_US
from tests.builders import at, config, labelled, mature, ref

EVERY = ("recent", "all", "since_change", "online")
CAUSE = Cause("alert/1", "because", 25 * SECOND_US, EVERY)


def policy(**fields):
    given = {"cooldown_panes": 0, "min_labels": 0, **fields}
    return RetrainPolicy(**given)


def state(panes=0, labels=10, *, asks=None, **fields):
    """A model that saw so many mature panes, pane n in epoch n + 1."""
    done = Retraining()
    for pane in range(panes):
        done = saw_pane(done, mature(pane, labelled(labels)), pane + 1)
    settings = config(retrain=policy(**fields))
    return ModelState(settings, "hash", champion="v1", retraining=done, asks=asks or {})


def alert(kind="performance", since_s=0, id="alert/1"):
    return RuleState("r", "", "all", kind, alert_id=id, since_us=since_s * SECOND_US)


def reason(model):
    found = held_back(model)
    return None if found is None else found[0]


# What asks ---------------------------------------------------------------------------------------


def test_the_oldest_open_alert_of_a_listed_kind_asks():
    rules = {"b": alert(since_s=9, id="alert/b"), "a": alert(since_s=5, id="alert/a")}
    rules["q"] = alert("quality", since_s=1)
    model = replace(state(1), rules=rules)
    cause = cause_of(model, mature(0))
    assert (cause.id, cause.since_us) == ("alert/a", 5 * SECOND_US)
    assert cause.reason.startswith("2 open")
    assert cause_of(replace(model, rules={"q": alert("quality")}), mature(0)) is None


@pytest.mark.parametrize(("panes", "asks"), [(2, False), (3, True)])
def test_an_alert_that_stays_open_asks_again_after_so_many_panes(panes, asks):
    model = replace(state(1, repeat_panes=3), rules={"a": alert()})
    model = after_request(model, panes)
    assert (cause_of(model, mature(9)) is not None) is asks
    newer = replace(model, rules={"a": alert(), "b": alert(id="alert/2")})
    assert cause_of(newer, mature(9)) is not None


@pytest.mark.parametrize(("panes", "asks"), [(2, False), (3, True)])
def test_a_schedule_asks_after_so_many_panes(panes, asks):
    assert (cause_of(state(panes, every_panes=3), mature(0)) is not None) is asks


@pytest.mark.parametrize(("panes", "asks"), [(2, False), (3, True)])
def test_a_schedule_asks_after_so_many_labels(panes, asks):
    assert (cause_of(state(panes, every_labels=30), mature(0)) is not None) is asks


def test_a_request_starts_the_schedules_anew():
    model = state(3, every_panes=3, every_labels=30)
    model = replace(model, retraining=asked(model))
    assert cause_of(model, mature(3)) is None


# What holds back ---------------------------------------------------------------------------------


def after_request(model, panes):
    """The model, `panes` mature panes after a request."""
    done = asked(model)
    for pane in range(panes):
        done = saw_pane(done, mature(pane, labelled(10)), 50 + pane)
    return replace(model, retraining=done)


def test_a_pause_holds_back_before_all_else():
    model = state(1)
    assert reason(model) is None
    assert reason(replace(model, retraining=replace(model.retraining, paused=True))) == "paused"


def test_a_request_without_an_answer_holds_back():
    assert reason(state(1, asks={"r": Ask("r", "c")})) == "request open"
    assert reason(state(1, asks={"r": Ask("r", "c", failed=True)})) is None


@pytest.mark.parametrize(("panes", "why"), [(0, "cool-down"), (2, "cool-down"), (3, None)])
def test_the_cool_down_counts_mature_panes(panes, why):
    assert reason(after_request(state(5, cooldown_panes=3), panes)) == why


@pytest.mark.parametrize(("panes", "used", "why"), [(9, 1, "budget"), (10, 0, None)])
def test_a_request_leaves_the_budgets_window_after_its_last_pane(panes, used, why):
    #  R 1 2 3 4 5 6 7 8 9 | 10    a window of ten panes holds the request's and nine more
    model = after_request(state(5, budget=1, budget_panes=10), panes)
    assert budget_used(model.retraining, model.config.retrain) == used
    assert reason(model) == why


@pytest.mark.parametrize(("panes", "why"), [(9, "too few labels"), (10, None)])
def test_there_must_be_so_many_labels(panes, why):
    assert reason(state(panes, min_labels=100)) == why


def test_a_cause_that_is_held_back_says_so_once_a_reason():
    model, first = skipped(state(1), CAUSE, ("budget", "1 of 1"), ref(), 0)
    model, again = skipped(model, CAUSE, ("budget", "2 of 1"), ref(), 0)
    model, other = skipped(model, CAUSE, ("cool-down", ""), ref(), 0)
    assert [e.reason for e in first + again + other] == ["budget", "cool-down"]
    model = replace(model, retraining=asked(model))
    assert len(skipped(model, CAUSE, ("cool-down", ""), ref(), 0)[1]) == 1


# What is asked for -------------------------------------------------------------------------------


def test_each_strategy_is_asked_over_its_own_epochs():
    #  pane   0  10  20  30  40 ... 10 labels each, matured in epochs 1 to 5; the change is at 25
    model = state(5, recent_rows=15, holdout_rows=5)
    wanted = {r.strategy: r for r in requests(model, CAUSE, ref(), 9, 60 * SECOND_US)}
    assert {s: (r.first_epoch, r.last_epoch) for s, r in wanted.items()} == {
        "recent": (4, 9),
        "all": (0, 9),
        "since_change": (3, 9),
        "online": (0, 9),
    }
    recent = wanted["recent"]
    assert (recent.labels, recent.since, recent.time) == (50, at(25), at(60))
    assert (recent.used, recent.budget, recent.champion_version) == (1, 30, "v1")
    assert len({r.id for r in wanted.values()}) == 4


def test_without_a_change_nothing_is_asked_since_it():
    wanted = requests(state(5), Cause("schedule/1", "", None, EVERY), ref(), 9, 0)
    assert [r.strategy for r in wanted] == ["recent", "all", "online"]


def test_recent_reaches_to_the_start_where_there_is_too_little():
    (recent,) = requests(state(2), replace(CAUSE, strategies=("recent",)), ref(), 9, 0)
    assert recent.first_epoch == 0
