"""A person promotes a model trained on flipped labels; the gate has it scored, and refuses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamops.client import Client
from streamops.config import GatePolicy, RetrainPolicy
from streamops.events import CandidateScored, EvaluationRequested, GateEvaluated, StageChanged
from streamops.hosts.services import run_broadcaster
from streamops.operate.lockstep import Lockstep
from streamops.serving.scorer import Scorer
from streamops.settings import Settings
from streamops.training.batch import train
from streamops.training.worker import run_trainer
from streamops.values import ModelVersion
from tests.builders import MODEL, at, config
from tests.hosting import control, events_on, fold, new_settings, running

ROWS = 300
HELD = 100
START_S = 1000
CONFIG = config(
    pane_s=500,
    horizon_s=500,
    retrain=RetrainPolicy(strategies=(), holdout_rows=HELD),
    gate=GatePolicy(metric="accuracy", margin=0.0),
)


def features(number: int) -> dict[str, Any]:
    return {"x": (number * 37) % 101 / 10, "kind": "ab"[number % 2]}


def label(number: int) -> int:
    return int(features(number)["x"] > 5)


def trained(settings: Settings, name: str, *, flipped: bool) -> ModelVersion:
    """A version that learned the labels, or their opposite."""
    rows = range(ROWS)
    found = train(
        [features(number) for number in rows],
        [1 - label(number) if flipped else label(number) for number in rows],
        artifacts=settings.artifacts,
        task="binary",
    )
    return ModelVersion(
        model=MODEL,
        version=name,
        task="binary",
        profile=found.profile,
        profile_hash=found.profile_hash,
        positive=found.positive,
        artifact=found.artifact,
    )


class Desk:
    """A person at the client, and the driver that lets time go on after each of their commands."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client = Client(settings.bootstrap, namespace=settings.namespace)
        self.driver = Lockstep(settings)
        self.now_s = START_S

    def close(self) -> None:
        self.client.close()
        self.driver.close()

    def open(self, *versions: ModelVersion) -> None:
        """Register versions and the configuration, and wait until they are activated."""
        self.driver.found(at(self.now_s))
        ids = {self.client.register(version, time=at(self.now_s)).id for version in versions}
        ids.add(self.client.apply(CONFIG, time=at(self.now_s)).id)
        self.client.flush()
        self.driver.wait_delivered(ids)

    def promote(self, version: str) -> None:
        self.client.promote(MODEL, version, actor="ann", time=at(self.now_s))
        self.go_on()

    def serve(self) -> None:
        """Log rows that the first version answered right, and their labels."""
        for number in range(ROWS):
            id, value = f"p{number}", label(number)
            when = at(self.now_s + number)
            self.client.log_prediction(
                model=MODEL, version="right", prediction=value, features=features(number),
                id=id, time=when,
            )  # fmt: skip
            self.client.log_label(id, value, time=when)
        self.go_on()

    def go_on(self) -> None:
        self.client.flush()
        self.now_s += 500
        self.driver.step(at(self.now_s))

    def deployments(self, kind: type[Any]) -> list[Any]:
        found = {e.id: e for e in events_on(self.settings, "deployments") if isinstance(e, kind)}
        return list(found.values())

    def in_production(self) -> list[str]:
        """Versions in the order in which they went to Production."""
        changes = self.deployments(StageChanged)
        return [change.version for change in changes if change.after == "Production"]


@pytest.fixture
def desk(bootstrap: str, namespace: str, tmp_path: Path) -> Iterator[Desk]:
    settings = new_settings(bootstrap, namespace, tmp_path, 1)
    services = [run_broadcaster, fold("meter"), fold("detect"), control, run_trainer]
    with running(settings, services), closing(Desk(settings)) as opened:
        yield opened


def serving(settings: Settings) -> str:
    with closing(Scorer(settings, "test")) as scorer:
        return scorer.predict_many([features(0)], MODEL)[0].version


def test_a_model_trained_on_flipped_labels_is_refused(desk):
    settings = desk.settings
    desk.open(
        trained(settings, "right", flipped=False),
        trained(settings, "flipped", flipped=True),
        trained(settings, "as-good", flipped=False),
    )
    desk.promote("right")
    desk.serve()
    desk.promote("flipped")

    asked = [e for e in events_on(settings, "retraining") if isinstance(e, EvaluationRequested)]
    assert {(e.version, e.champion_version) for e in asked} == {("flipped", "right")}
    (scored,) = [e for e in events_on(settings, "lifecycle") if isinstance(e, CandidateScored)]
    assert (scored.request_id, scored.rows) == (asked[0].id, HELD)
    assert scored.candidate["accuracy"] < 0.1
    assert scored.champion["accuracy"] > 0.9

    (verdict,) = [e for e in desk.deployments(GateEvaluated) if e.version == "flipped"]
    assert not verdict.passed
    assert (verdict.champion_version, verdict.request_id) == ("right", asked[0].id)
    (check,) = [check for check in verdict.checks if check.name == "accuracy over champion"]
    assert (check.passed, check.limit) == (False, 0.0)
    assert check.value == scored.candidate["accuracy"] - scored.champion["accuracy"]
    assert desk.in_production() == ["right"]
    assert serving(settings) == "right"

    # The same gate lets a version through that is no worse.
    desk.promote("as-good")
    assert desk.in_production() == ["right", "as-good"]
    assert serving(settings) == "as-good"
