"""answers: what trainers and the broadcaster said, taken once and in log order."""

from __future__ import annotations

from msgspec.structs import replace

from streamops.events import RecordRefused, RunFailed
from tests.builders import MODEL, Desk, activated, at, config, of_type, registered, scored, version


def model(desk):
    return desk.state.models[MODEL]


def test_the_first_registration_of_a_version_counts():
    desk = Desk()
    first, _ = registered("v1")
    other = replace(first, id="again", version=replace(version("v1"), task="multiclass"))
    desk.epoch([first, other])
    assert model(desk).entries["v1"].version.task == "binary"


def test_a_delivery_of_what_is_not_registered_changes_nothing():
    desk = Desk()
    _, delivery = registered("v1")
    assert len(desk.epoch([delivery])) == 1
    assert model(desk).entries == {}


def test_a_score_without_a_request_is_kept_for_a_promotion():
    desk = Desk()
    reply = scored("v1", 0.9, "nobody asked")
    assert of_type(desk.epoch([*registered("v1"), reply]), RecordRefused) == []
    assert model(desk).scores == {"v1": reply}
    assert model(desk).asks == {}


def test_a_failure_without_a_request_changes_nothing():
    desk = Desk()
    gone = RunFailed(id="f", time=at(0), model=MODEL, run_id="r", error="", request_id="r")
    assert len(desk.epoch([gone])) == 1
    assert model(desk).asks == {}


def test_only_a_newer_configuration_counts():
    desk = Desk(activated(config(pane_s=10), 5))
    desk.epoch([activated(config(pane_s=20), 5), activated(config(pane_s=30), 4)])
    assert model(desk).config.pane_s == 10
    desk.epoch([activated(config(pane_s=20), 6)])
    assert model(desk).config.pane_s == 20
