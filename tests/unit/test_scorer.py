"""Which version serves, by example: deliveries, rollbacks, pauses, any interleaving."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from streamops.core.processor import Record
from streamops.errors import InputError
from streamops.events import (
    ActivationDelivered,
    DeploymentServed,
    ModelRegistered,
    RetrainingPaused,
    RollbackRequested,
    StageChanged,
)
from streamops.serving.deployments import Deployments
from streamops.serving.router import route
from streamops.serving.scorer import Scorer, as_stored
from streamops.settings import Settings
from streamops.values import ModelVersion, ReferenceProfile

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds):
    return START + timedelta(seconds=seconds)


def registered(version):
    profile = ReferenceProfile(rows=0, features=())
    known = ModelVersion(
        model="m", version=version, task="binary", profile=profile, profile_hash="h"
    )
    return ModelRegistered(id=f"r/{version}", time=START, version=known)


def delivered(version):
    return ActivationDelivered(
        id=f"d/{version}", time=START, revision=1, model="m", version=version
    )


def promoted(version, revision, *, replaced="", cause="gate", actor="controller", seconds=None):
    return StageChanged(
        id=f"s/{version}/{revision}",
        time=at(revision * 10 if seconds is None else seconds),
        model="m",
        version=version,
        before="Staging",
        after="Production",
        revision=revision,
        cause=cause,
        replaced=replaced,
        actor=actor,
    )


def rollback(seconds=1000, id_="back"):
    return RollbackRequested(id=id_, time=at(seconds), model="m", actor="ann")


def pause(paused=True):
    return RetrainingPaused(id=f"p/{paused}", time=START, model="m", actor="ann", paused=paused)


FIRST = [registered("1"), delivered("1"), promoted("1", 1)]
SECOND = [registered("2"), delivered("2"), promoted("2", 2, replaced="1")]


def fold(*events, live=False):
    known = Deployments("g")
    for event in events:
        known.take(event)
    if live:
        known.went_live()
    return known


def version_of(known):
    return None if known.target is None else known.target.version


@pytest.mark.parametrize("order", list(itertools.permutations(FIRST)))
def test_a_version_serves_once_it_is_registered_promoted_and_delivered(order):
    known = Deployments("g")
    for event in order[:-1]:
        known.take(event)
        assert known.target is None
    known.take(order[-1])
    assert (version_of(known), known.target.step, known.target.revision) == ("1", "s/1/1", 1)


def test_the_champion_serves_until_the_next_version_is_delivered():
    known = fold(*FIRST, registered("2"), promoted("2", 2, replaced="1"))
    assert version_of(known) == "1"
    known.take(delivered("2"))
    assert version_of(known) == "2"


def test_the_highest_revision_counts_in_any_order():
    for order in itertools.permutations([*FIRST[1:], *SECOND[1:]]):
        assert version_of(fold(registered("1"), registered("2"), *order)) == "2"


def test_staging_deploys_nothing():
    staged = StageChanged(
        id="s",
        time=START,
        model="m",
        version="2",
        before="Development",
        after="Staging",
        revision=9,
        cause="gate",
    )
    assert version_of(fold(*FIRST, registered("2"), delivered("2"), staged)) == "1"


def test_a_rollback_is_obeyed_before_the_controller_folds_it():
    known = fold(*FIRST, *SECOND, live=True)
    known.take(rollback())
    assert (version_of(known), known.target.revision, known.target.step) == ("1", 2, "s/1/1")
    known.take(promoted("1", 3, replaced="2", cause="back", actor="ann"))
    assert (version_of(known), known.target.step) == ("1", "s/1/3")
    known.take(promoted("2", 4, replaced="1"))
    assert version_of(known) == "2"


def test_a_restart_in_the_middle_of_a_rollback_still_obeys_it():
    for order in itertools.permutations([rollback(), *SECOND]):
        assert version_of(fold(*FIRST, *order, live=True)) == "1"


def test_an_answered_rollback_is_over_after_a_restart_too():
    answer = promoted("1", 3, replaced="2", cause="back")
    again = promoted("2", 4, replaced="1", seconds=2000)
    for order in itertools.permutations([rollback(), answer, again]):
        assert version_of(fold(*FIRST, *SECOND, *order)) == "2"


def test_a_rollback_without_a_former_version_brakes_no_later_promotion():
    live = fold(*FIRST, live=True)
    live.take(rollback(15))
    assert version_of(live) == "1"
    for event in SECOND:
        live.take(event)
    assert version_of(live) == "2"
    assert version_of(fold(*FIRST, rollback(15), *SECOND)) == "2"


def test_a_pause_keeps_what_serves_and_a_person_may_still_promote():
    known = fold(*FIRST, live=True)
    known.note_served(1)
    known.take(pause())
    for event in SECOND:
        known.take(event)
    assert version_of(known) == "1"
    for event in (registered("3"), delivered("3"), promoted("3", 3, replaced="2", actor="ann")):
        known.take(event)
    assert version_of(known) == "3"
    known = fold(*FIRST, *SECOND, pause(), live=True)
    assert version_of(known) == "2"


def test_a_restart_during_a_pause_keeps_what_the_log_says_was_served():
    served = DeploymentServed(
        id="served", time=START, model="m", version="1", revision=1, gateway="g"
    )
    known = fold(*FIRST, served, pause(), *SECOND)
    assert version_of(known) == "1"
    known.take(pause(paused=False))
    assert version_of(known) == "2"


def test_a_route_is_stable_and_shares_hold():
    keys = [f"key-{n}" for n in range(4000)]
    everyone = [route(key, (("1", 1.0),)) for key in keys]
    assert set(everyone) == {"1"}
    shares = (("1", 0.9), ("2", 0.1))
    first = [route(key, shares) for key in keys]
    assert first == [route(key, shares) for key in keys]
    assert 300 < first.count("2") < 500
    wider = [route(key, (("1", 0.5), ("2", 0.5))) for key in keys]
    assert all(b == "2" for a, b in zip(first, wider, strict=True) if a == "2")


def test_shares_must_add_up():
    with pytest.raises(ValueError, match="add up to"):
        route("a", (("1", 0.5), ("2", 0.4)))


class Silent:
    """A log with nothing to read, and a producer with nothing to send."""

    def __init__(self, *events):
        self.events = [type("Read", (), {"event": event}) for event in events]

    def poll(self, timeout_s):
        events, self.events = self.events, []
        return events

    def __len__(self):
        return 0


@pytest.fixture
def scorer(tmp_path, monkeypatch):
    """A scorer that has read nothing and opens whatever has an artifact."""
    made = Scorer.__new__(Scorer)
    made.name, made.settings = "g", Settings(bootstrap="", data=tmp_path)
    made._models, made._serving, made._opened, made._why = {}, {}, {}, {}
    made._live, made._reading, made._producer = True, threading.Lock(), Silent()
    monkeypatch.setattr(Scorer, "_say", lambda *_: None)
    opened = "streamops.serving.scorer.open_model"
    monkeypatch.setattr(opened, lambda folder, name, runner: f"opened {name}")
    return made


def of_model(model, artifact):
    """What promotes version 1 of a model."""
    first, arrived, change = FIRST
    known = replace(first.version, model=model, artifact=artifact)
    return [
        replace(first, version=known),
        replace(arrived, model=model),
        replace(change, model=model),
    ]


def test_a_model_that_only_reports_keeps_no_other_from_serving(scorer):
    scorer._follower = Silent(*of_model("a", ""), *of_model("b", "f00"), *of_model("c", ""))
    with pytest.raises(InputError, match=r"version .1. of a has no artifact, .* of c has no"):
        scorer.poll()
    assert scorer.serving("a") is None
    assert scorer.serving("b").model == "opened f00"
    assert "which has no version serving: version '1' of a has no artifact" in scorer.unserved("a")
    scorer._follower = Silent(delivered("2"))
    scorer.poll()


def test_a_rollback_from_a_clock_ahead_brakes_nothing_promoted_after_it():
    asked = RollbackRequested(id="b", time=at(3600), model="m", reason="bad", actor="ann")
    stored = as_stored(Record("lifecycle", 0, 0, round(at(15).timestamp() * 1000), b"", b"", asked))
    known = Deployments("g")
    for event in (registered("v1"), registered("v2"), registered("v3")):
        known.take(event)
    for event in (delivered("v1"), delivered("v2"), delivered("v3")):
        known.take(event)
    for event in (promoted("v1", 1), stored, promoted("v3", 2, replaced="v1")):
        known.take(event)
    assert known.target.version == "v3"
