"""registry: stages move along one table, and production is never empty or double."""

from __future__ import annotations

import pytest

from streamops.core.model_state import TRANSITIONS, Entry, ModelState
from streamops.core.registry import promote, roll_back, stage
from streamops.events import RolloutFinished, RolloutRolledBack, RolloutStarted, StageChanged
from tests.builders import config, version


def model(**stages):
    entries = {name: Entry(version(name), stage=s) for name, s in stages.items()}
    serving = [name for name, s in stages.items() if s == "Production"]
    return ModelState(config(), entries=entries, champion=serving[0] if serving else "")


@pytest.mark.parametrize("before", ["Development", "Staging", "Production", "Archived"])
@pytest.mark.parametrize("after", ["Development", "Staging", "Production", "Archived"])
def test_a_stage_moves_along_the_table_only(before, after):
    if (before, after) in TRANSITIONS:
        moved, _ = stage(model(v1=before), "v1", after, "c", 0)
        assert moved.entries["v1"].stage == after
    else:
        with pytest.raises(AssertionError, match="can't become"):
            stage(model(v1=before), "v1", after, "c", 0)


def test_a_promotion_archives_the_former_champion_by_the_same_event():
    after, events = promote(model(v1="Production", v2="Development"), "v2", "cause", 5, "ann")
    assert [type(e) for e in events] == [
        StageChanged,
        RolloutStarted,
        StageChanged,
        RolloutFinished,
    ]
    assert (events[2].version, events[2].replaced, events[2].before) == ("v2", "v1", "Staging")
    assert {n: e.stage for n, e in after.entries.items()} == {"v1": "Archived", "v2": "Production"}
    assert (after.champion, after.former, after.revision) == ("v2", "v1", 1)
    assert {e.revision for e in events[1:]} == {1}


def test_a_rollback_swaps_them_back_under_a_higher_revision():
    after, _ = promote(model(v1="Production", v2="Development"), "v2", "cause", 5, "ann")
    back, events = roll_back(after, "cause", 6, "ann", "")
    assert (back.champion, back.former, back.revision) == ("v1", "v2", 2)
    assert [type(e) for e in events] == [StageChanged, RolloutRolledBack]
    assert events[1].reason == "asked for by a person"


def test_without_a_former_champion_nothing_moves():
    only = model(v1="Production")
    assert roll_back(only, "cause", 6, "ann", "") == (only, [])
