"""One recorded history that every host must conclude the same from.

Two models, drift and a fall in accuracy, late labels, records of every refused kind, two
configurations, promotions, a retrain request with an answer and one that failed, commands of
people. It is played in lock-step in memory once; its raw topics are the recording, and what that
run concluded is what any other must.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple

import msgspec
import numpy as np

from streamops import codec
from streamops.config import ModelConfig, RetrainPolicy, Rule, check_config, config_hash
from streamops.core.pane_rows import measure_rows, numeric_bins
from streamops.core.processor import Refusal
from streamops.core.profile import category_profile, numeric_profile
from streamops.core.times import SECOND_US, moment
from streamops.events import (
    ActivationDelivered,
    AlertSilenceRequested,
    CandidateScored,
    ConfigActivated,
    EpochClosed,
    EvaluationRequested,
    Event,
    LabelArrived,
    ModelRegistered,
    PredictionFailed,
    PredictionMade,
    PromotionRequested,
    RecordRefused,
    RetrainRequested,
    RollbackRequested,
    RunFailed,
    RunStarted,
    Tick,
    VersionActivated,
)
from streamops.hosts.memory import MemoryHost
from streamops.values import FeatureProfile, ModelVersion, ReferenceProfile
from streamops.versions import profile_hash

RAW = ("predictions", "labels", "lifecycle")
CONCLUDED = (
    "outcomes", "summaries", "metrics", "alerts", "retraining", "deployments", "progress",
)  # fmt: skip
SEAL_EVERY = 4
PANE_S = 100
PANES = 12
ROWS = 40
MODELS = ("fraud", "churn")


class Row(NamedTuple):
    """One record of a raw topic, in its partition's order."""

    topic: str
    partition: int
    key: bytes
    value: bytes


class Recording(NamedTuple):
    """Raw records, the last epoch they close, and what was concluded from them."""

    partitions: int
    rows: list[Row]
    last_epoch: int
    concluded: dict[str, dict[str, bytes]]
    refused: set[tuple[Any, ...]]


class EveryNth:
    """A detector that sees drift at every 60th outcome: it tests the hosts, not statistics."""

    platform = "tests"
    since_back = 10

    def __init__(self) -> None:
        self.n = 0

    def update(self, error: float) -> str:
        self.n += 1
        return "drift" if self.n % 60 == 0 else "none"


def make_detector(_: str) -> Any:
    return EveryNth()


def conclusions(events: Iterable[Event | Refusal]) -> dict[str, bytes]:
    """Conclusions by stamp, or by id where there is none; a repeat that differs is a failure."""
    found: dict[str, bytes] = {}
    for event in events:
        if isinstance(event, Refusal):
            continue
        stamp = getattr(event, "stamp", None)
        key = event.id if stamp is None else f"{stamp.source} {stamp.epoch} {stamp.ordinal}"
        what = codec.conclusion(event)
        assert found.setdefault(key, what) == what, f"two conclusions under {key}"
    return found


def whats_so(events: Iterable[Event | Refusal]) -> list[bytes]:
    """Conclusions without the closes and without where they stand, sorted."""
    kept = [e for e in events if isinstance(e, Event) and not isinstance(e, EpochClosed)]
    return sorted(conclusions(kept).values())


def refusals(events: Iterable[Event | Refusal]) -> set[tuple[Any, ...]]:
    """What stood where and why it was refused; append times differ from host to host."""
    return {(e.id, e.reason, e.fault, e.raw_sha256) for e in events if isinstance(e, RecordRefused)}


@cache
def recording(partitions: int) -> Recording:
    """Play the history over so many partitions."""
    return _Player(partitions).play()


def one_more_epoch(partitions: int) -> list[Row]:
    """The recording's last ticks once more, an epoch later."""
    recorded = recording(partitions)
    rows: list[Row] = []
    for row in recorded.rows:
        if f'"id":"tick/{recorded.last_epoch + 1}"'.encode() in row.value:
            last = codec.as_type(row.value, Tick)
            event = msgspec.structs.replace(last, id="tick/more", epoch=last.epoch + 1)
            rows.append(row._replace(value=codec.encode(event)))
    assert len(rows) == len(RAW) * partitions
    return rows


def version(model: str, number: int) -> ModelVersion:
    rng = random.Random(f"{model}{number}")
    profile = ReferenceProfile(
        rows=400,
        features=(
            in_runs("x", [rng.random() for _ in range(400)], rng),
            category_profile("c", [rng.choice("ab") for _ in range(400)]),
        ),
        score=numeric_profile("score", [rng.random() for _ in range(400)]),
        label=category_profile("label", [rng.choice([0, 1]) for _ in range(400)]),
        performance={"accuracy": 0.9},
    )
    return ModelVersion(
        model=model,
        version=f"v{number}",
        task="binary",
        profile=profile,
        profile_hash=profile_hash(profile),
        positive="1",
    )


def in_runs(name: str, values: list[float], rng: random.Random) -> FeatureProfile:
    """The profile of a column whose rows come in runs of alike values: t-SR's."""
    alike = sorted(values, key=lambda value: value + 3 * rng.random())
    runs = [alike[n : n + 20] for n in range(0, len(alike), 20)]
    rng.shuffle(runs)
    ordered = [value for run in runs for value in run]
    feature = numeric_profile(name, ordered)
    rows = measure_rows(feature, numeric_bins(feature, np.array(ordered)))
    assert rows is not None
    assert rows.panes == 20
    return msgspec.structs.replace(feature, rows=rows)


def config(model: str, drift_above: float) -> ModelConfig:
    return check_config(
        ModelConfig(
            model=model,
            pane_s=PANE_S,
            maturity_s=PANE_S,
            horizon_s=3 * PANE_S,
            segments={"region": ("north",)},
            detectors=("adwin", "bf_sr"),
            rules=(
                Rule(
                    name="psi",
                    kind="data_drift",
                    metric="psi",
                    feature="*",
                    above=drift_above,
                    minimum=10,
                ),
                Rule(
                    name="accuracy",
                    kind="performance",
                    metric="accuracy",
                    below=-0.1,
                    relative=True,
                    minimum=10,
                ),
                Rule(name="concept", kind="concept_drift", metric="adwin"),
                Rule(name="errors", kind="concept_drift", metric="bf_sr"),
                Rule(name="drift", kind="data_drift", metric="drift", feature="*", minimum=10),
                Rule(name="score", kind="score_drift", metric="score_drift", minimum=10),
            ),
            false_alarms_per_month=500.0,
            retrain=RetrainPolicy(
                kinds=("performance",), min_labels=50, strategies=("recent", "all"), budget=2
            ),
        )
    )


class _Player:
    def __init__(self, partitions: int) -> None:
        self.host = MemoryHost(
            partitions=partitions, make_detector=make_detector, seal_every=SEAL_EVERY
        )
        self.rng = random.Random(7)
        self.epoch, self.revision, self.seconds = -1, 0, 0.0
        self.versions = dict.fromkeys(MODELS, 1)
        self.answered: set[str] = set()

    def play(self) -> Recording:
        self.tick(0)
        for model in MODELS:
            self.activate(config(model, 0.2))
            self.register(version(model, 1))
            self.command(PromotionRequested, model, version="v1", actor="ada")
        self.tick(0)
        for pane in range(PANES):
            self.pane(pane)
            self.tick((pane + 1) * PANE_S)
        for pane in range(PANES, PANES + 4):
            self.tick((pane + 1) * PANE_S)
        return self.recording()

    def recording(self) -> Recording:
        host, rows = self.host, list[Row]()
        for (topic, partition), records in host.log.items():
            if topic in RAW:
                rows += [Row(topic, partition, r.key, r.value) for r in records]
        return Recording(
            host.partitions,
            rows,
            self.epoch - 1,
            {topic: conclusions(host.events(topic)) for topic in CONCLUDED},
            refusals(host.events("dlq")),
        )

    def pane(self, pane: int) -> None:
        self.seconds = pane * PANE_S
        for row in range(ROWS):
            for model in MODELS:
                self.row(model, pane, row)
        PANE_EXTRAS.get(pane, lambda _: None)(self)

    def row(self, model: str, pane: int, row: int) -> None:
        at = pane * PANE_S + row * PANE_S / ROWS
        drifted, worse = pane >= 4 and model == "fraud", pane >= 6 and model == "fraud"
        x = self.rng.random() * (0.4 if drifted else 1)
        truth = int(x > 0.5)
        right = self.rng.random() < (0.5 if worse else 0.92)
        id_ = f"{model}-{pane}-{row}"
        self.predict(
            id_, at, model, truth if right else 1 - truth, {"x": x, "c": self.rng.choice("ab")}
        )
        late = row % 10 == 9
        self.label(id_, at + (1.5 * PANE_S if late else 1), truth)

    def predict(
        self, id_: str, at: float, model: str, y: int, features: Any, name: str = "v1"
    ) -> None:
        event = PredictionMade(
            id=id_,
            time=moment(int(at * SECOND_US)),
            model=model,
            version=name,
            prediction=y,
            score=0.75 if y else 0.25,
            features=msgspec.Raw(msgspec.json.encode(features)),
            latency_ms=3.0,
            segments={"region": "north" if len(id_) % 2 else "south"},
        )
        self.host.append("predictions", id_, event)

    def label(self, id_: str, at: float, value: Any) -> None:
        event = LabelArrived(
            id=f"label/{id_}/{value}",
            time=moment(int(at * SECOND_US)),
            prediction_id=id_,
            label=value,
        )
        self.host.append("labels", id_, event)

    def command(self, kind: type[Any], model: str, **fields: Any) -> None:
        name = f"{kind.__name__}/{model}/{self.epoch}"
        self.life(model, kind(id=name, time=self.now, model=model, **fields))

    def life(self, model: str, event: Event) -> None:
        self.host.append("lifecycle", model, event)

    @property
    def now(self) -> Any:
        return moment(int(self.seconds * SECOND_US))

    def activate(self, given: ModelConfig, first_pane: float = 0) -> None:
        self.revision += 1
        self.host.broadcast(
            ConfigActivated(
                id=f"activated/config/{self.revision}",
                time=self.now,
                revision=self.revision,
                first_pane=moment(int(first_pane * SECOND_US)),
                config=given,
                config_hash=config_hash(given),
            )
        )

    def register(self, given: ModelVersion, request_id: str = "") -> None:
        name = f"{given.model}/{given.version}"
        self.revision += 1
        self.life(
            given.model,
            ModelRegistered(
                id=f"registered/{name}", time=self.now, version=given, request_id=request_id
            ),
        )
        self.host.broadcast(
            VersionActivated(
                id=f"activated/{name}",
                time=self.now,
                revision=self.revision,
                first_pane=moment(0),
                version=given,
            )
        )
        self.life(
            given.model,
            ActivationDelivered(
                id=f"delivered/{name}",
                time=self.now,
                revision=self.revision,
                model=given.model,
                version=given.version,
            ),
        )

    def tick(self, seconds: float) -> None:
        """Cut, fold, and answer what was asked for, in lock-step (EPOCHS 21)."""
        self.seconds = seconds
        while True:
            self.epoch += 1
            self.host.tick(self.epoch, self.now)
            self.host.run()
            asked = [e for e in self.host.events("retraining") if e.id not in self.answered]
            if not asked:
                return
            for event in asked:
                self.answered.add(event.id)
                self.answer(event)

    def answer(self, event: Event) -> None:
        if isinstance(event, EvaluationRequested):
            self.scored(event.model, event.version, event.id, 0.8)
        if not isinstance(event, RetrainRequested):
            return
        run = {"model": event.model, "run_id": event.id, "request_id": event.id}
        self.life(event.model, RunStarted(id=f"started/{event.id}", time=self.now, **run))
        if event.strategy == "all":
            failed = RunFailed(id=f"failed/{event.id}", time=self.now, error="no memory", **run)
            self.life(event.model, failed)
            return
        self.versions[event.model] += 1
        trained = version(event.model, self.versions[event.model])
        self.register(trained, event.id)
        self.scored(event.model, trained.version, event.id, 0.95)

    def scored(self, model: str, name: str, request_id: str, accuracy: float) -> None:
        event = CandidateScored(
            id=f"scored/{request_id}",
            time=self.now,
            model=model,
            version=name,
            request_id=request_id,
            champion_version="v1",
            rows=200,
            candidate={"accuracy": accuracy},
            champion={"accuracy": 0.6},
        )
        self.life(model, event)


def _bad_records(player: _Player) -> None:
    for topic in RAW:
        for value in (b"not json", b'{"type":"Tick","id":"t","time":"1970-01-01T00:00:00Z"}'):
            player.host.append(topic, "nobody", value)
    for fields in (b'"label":NaN', b'"label":[]', b'"label":1'):
        start = b'{"type":"LabelArrived","id":"x","time":"1970-01-01T00:05:00Z",'
        player.host.append("labels", "nobody", start + b'"prediction_id":"nobody",' + fields + b"}")


def _odd_predictions(player: _Player) -> None:
    at = player.seconds
    player.predict("unknown-version", at, "churn", 1, {"x": 0.5, "c": "a"}, "v99")
    player.predict("wrong-kind", at, "churn", 1, {"x": "text", "c": 3})
    player.predict("churn-1-1", at, "churn", 0, {"x": 0.5, "c": "a"})
    player.label("churn-1-1", at, 0)
    player.label("churn-1-1", at, 0)
    player.label("churn-1-1", at, 1)
    player.host.append(
        "predictions",
        "failed-1",
        PredictionFailed(
            id="failed-1", time=player.now, model="churn", version="v1", error="timed out"
        ),
    )


def _late_and_gone(player: _Player) -> None:
    player.predict("much-too-late", 20, "churn", 1, {"x": 0.5, "c": "a"})
    player.label("churn-0-9", player.seconds, 1)


def _new_configuration(player: _Player) -> None:
    player.activate(config("churn", 0.3), first_pane=7 * PANE_S)


def _commands(player: _Player) -> None:
    until = moment(100 * PANE_S * SECOND_US)
    player.command(
        AlertSilenceRequested, "fraud", fingerprint="fraud/psi/all/x", actor="ada", until=until
    )
    player.command(PromotionRequested, "churn", version="v77", actor="bob")
    player.command(RollbackRequested, "fraud", actor="ada", reason="as a test")


PANE_EXTRAS: dict[int, Callable[[_Player], None]] = {
    1: _bad_records,
    2: _odd_predictions,
    5: _late_and_gone,
    6: _new_configuration,
    10: _commands,
}
