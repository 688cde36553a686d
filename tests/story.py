"""A namespace with everything in it, played through the memory host and archived as Parquet.

Two models on so many partitions. `churn` drifts: x moves, then its answers turn wrong; challengers
are asked for, the gate refuses the first and promotes a later one, and alerts resolve. `calm` runs
on. Some records are bad, late or repeated. Everything follows from the arguments.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from streamops.config import ModelConfig, NoisePolicy, RetrainPolicy, Rule, config_hash
from streamops.core.personal import Open, unopened
from streamops.core.processor import Record
from streamops.core.profile import category_profile, numeric_profile
from streamops.core.times import SECOND_US, moment
from streamops.events import (
    ActivationDelivered,
    AlertSilenceRequested,
    CandidateScored,
    ConfigActivated,
    Event,
    LabelArrived,
    ModelRegistered,
    PredictionFailed,
    PredictionMade,
    PromotionRequested,
    RetrainRequested,
    StageChanged,
    TopologyActivated,
    VersionActivated,
)
from streamops.hosts.memory import MemoryHost
from streamops.hosts.seal_files import keep
from streamops.personal import Veil
from streamops.values import ModelVersion, ReferenceProfile
from streamops.versions import profile_hash
from streamops.views.archive import cover_of, write_raw
from streamops.views.log import RawRecord

PANE_S = 50
MOVED = (3, 4, 7, 8, 11, 14)
RULES = (
    Rule(name="x drifts", kind="data_drift", metric="psi", feature="*", above=0.2, minimum=20),
    Rule(
        name="accuracy",
        kind="performance",
        metric="accuracy",
        below=-0.15,
        relative=True,
        raise_after=2,
        minimum=20,
    ),
    Rule(
        name="german accuracy",
        kind="performance",
        metric="accuracy",
        segment="country=de",
        below=0.7,
        minimum=10,
    ),
    Rule(name="errors change", kind="concept_drift", metric="adwin"),
    Rule(name="x tested", kind="data_drift", metric="drift", feature="x"),
)


class Counting:
    """A detector that follows from its input alone, on any machine: ten errors in thirty."""

    def __init__(self, platform: str = "counting 1") -> None:
        self.platform = platform
        self.since_back = 0
        self._last: list[float] = []

    def update(self, error: float) -> str:
        self._last = [*self._last[-29:], error]
        errors = len([e for e in self._last if e])
        if errors < 10:
            return "none"
        self.since_back, self._last = len(self._last), []
        return "drift"


def make_counting(name: str) -> Counting:
    return Counting()


def play(
    partitions: int = 2,
    panes: int = 16,
    seed: int = 7,
    seal_every: int = 0,
    rules: tuple[Rule, ...] = RULES,
    detectors: tuple[str, ...] = ("adwin",),
    every_s: int = 1,
    noise: NoisePolicy | None = None,
    said: tuple[AlertSilenceRequested, ...] = (),
    per_s: int = 2,
    veil: Veil | None = None,
    open_: Open = unopened,
    make: Callable[[str], Any] = make_counting,
    code: dict[str, str] | None = None,
) -> MemoryHost:
    """Play the story, models asked every so many seconds; the host holds every topic's records.

    said         what people said of alerts, at the beginning
    per_s        predictions a model in such a second
    veil, open_  hides x of nine persons by turns, and opens it for METER
    make, code   of detectors: what makes them, and the sources of a user's
    """
    host = MemoryHost(partitions=partitions, make_detector=make, seal_every=seal_every, open_=open_)
    chance = random.Random(seed)
    topology = TopologyActivated(
        id="topology", time=at(0), partitions=partitions, driven=True, seal_every=seal_every
    )
    host.broadcast(topology)
    host.tick(0, at(0))
    for number, model in enumerate(("churn", "calm")):
        introduce(host, model, number * 2 + 1, rules, detectors, noise, code)
    for event in said:
        host.append("lifecycle", event.model, event)
    answered: set[str] = set()
    for pane in range(panes):
        host.tick(pane + 1, at(pane * PANE_S))
        host.run()
        for request in host.events("retraining"):
            if isinstance(request, RetrainRequested) and request.id not in answered:
                answered.add(request.id)
                answer(host, request, 10 + len(answered))
        versions = {e.model: e.version for e in host.events("deployments") if is_serving(e)}
        for second in range(pane * PANE_S, (pane + 1) * PANE_S, every_s):
            serve(host, chance, second, pane, versions, veil, per_s)
    host.append("predictions", "junk", b"no JSON", partition=0)
    for extra in range(3):
        host.tick(panes + 1 + extra, at((panes + extra) * PANE_S))
    host.run()
    return host


def introduce(
    host: MemoryHost,
    model: str,
    revision: int,
    rules: tuple[Rule, ...],
    detectors: tuple[str, ...],
    noise: NoisePolicy | None = None,
    code: dict[str, str] | None = None,
) -> None:
    """Configure a model, register its first version and ask for its promotion."""
    config = ModelConfig(
        model=model,
        pane_s=PANE_S,
        horizon_s=4 * PANE_S,
        maturity_s=PANE_S // 2,
        segments={"country": ("de",)},
        detectors=detectors,
        rules=rules,
        retrain=RetrainPolicy(min_labels=50, strategies=("recent",), holdout_rows=20),
        noise=noise,
        detector_code=code or {},
    )
    applied = ConfigActivated(
        id=f"config/{model}",
        time=at(0),
        revision=revision,
        first_pane=at(0),
        config=config,
        config_hash=config_hash(config),
    )
    host.broadcast(applied)
    register(host, model, "v1", revision + 1)
    host.append(
        "lifecycle",
        model,
        PromotionRequested(id=f"go/{model}", time=at(0), model=model, version="v1", actor="ada"),
    )


def register(host: MemoryHost, model: str, name: str, revision: int, request: str = "") -> None:
    version = make_version(model, name)
    activated = VersionActivated(
        id=f"version/{model}/{name}",
        time=at(0),
        revision=revision,
        first_pane=at(0),
        version=version,
    )
    registered = ModelRegistered(
        id=f"registered/{model}/{name}", time=at(0), version=version, request_id=request
    )
    delivered = ActivationDelivered(
        id=f"delivered/{model}/{name}", time=at(0), revision=revision, model=model, version=name
    )
    host.append("lifecycle", model, registered)
    host.broadcast(activated)
    host.append("lifecycle", model, delivered)


def make_version(model: str, name: str) -> ModelVersion:
    even = [n / 200 for n in range(200)]
    profile = ReferenceProfile(
        rows=200,
        features=(
            numeric_profile("x", even, bins=4),
            category_profile("plan", ["basic", "pro"] * 100),
        ),
        score=numeric_profile("score", even, bins=4),
        label=category_profile("label", [0, 1] * 100),
        performance={"accuracy": 0.95},
    )
    return ModelVersion(
        model=model,
        version=name,
        task="binary",
        positive="1",
        profile=profile,
        profile_hash=profile_hash(profile),
    )


def answer(host: MemoryHost, request: RetrainRequested, revision: int) -> None:
    """What a trainer would answer: a version, and its score beside the champion's."""
    name = f"v{revision}"
    register(host, request.model, name, revision, request.id)
    scored = CandidateScored(
        id=f"scored/{request.id}",
        time=at(0),
        model=request.model,
        version=name,
        request_id=request.id,
        champion_version=request.champion_version,
        rows=20,
        candidate={"accuracy": 0.4 if revision < 14 else 0.9},
        champion={"accuracy": 0.5},
    )
    host.append("lifecycle", request.model, scored)


def is_serving(event: Event) -> bool:
    return isinstance(event, StageChanged) and event.after == "Production"


def serve(
    host: MemoryHost,
    chance: random.Random,
    second: int,
    pane: int,
    versions: dict[str, str],
    veil: Veil | None,
    per_s: int = 2,
) -> None:
    """One second of both models: some predictions each, and their labels."""
    for model in ("churn", "calm"):
        for number in range(per_s):
            id_ = f"{model}-{second}-{number}"
            moved = 0.6 if model == "churn" and pane in MOVED else 0.0
            version = versions.get(model, "v1")
            turned = model == "churn" and pane >= 5 and version == "v1"
            x = round(chance.random() + moved, 4)
            truth = int(x > 0.5 + moved)
            right = chance.random() < (0.4 if turned else 0.97)
            features = {"x": x, "plan": chance.choice(["basic", "pro"])}
            raw_features = msgspec.Raw(msgspec.json.encode(features))
            if veil is not None:
                raw_features = veil.features(raw_features, id_, f"person {second % 9}")
            made = PredictionMade(
                id=id_,
                time=at(second + 0.1 + number / (2 * per_s)),
                model=model,
                version=version,
                prediction=truth if right else 1 - truth,
                score=round(chance.random(), 3),
                features=raw_features,
                latency_ms=round(1 + chance.random() * 5, 2),
                segments={"country": chance.choice(["de", "fr"])},
            )
            host.append("predictions", id_, made)
            if chance.random() < 0.02:
                host.append("predictions", id_, made)
            if chance.random() < 0.9:
                late = chance.random() * 20
                label = LabelArrived(
                    id=f"label/{id_}", time=at(second + late), prediction_id=id_, label=truth
                )
                host.append("labels", id_, label)
        if chance.random() < 0.05:
            failed = PredictionFailed(
                id=f"failed-{model}-{second}", time=at(second), model=model, version="v1", error="x"
            )
            host.append("predictions", failed.id, failed)


def at(seconds: float) -> object:
    """The time so many seconds after the story's beginning, on a day of 2026."""
    return moment(round((1_777_600_000 + seconds) * SECOND_US))


def archive(host: MemoryHost, folder: Path, rows: int = 300) -> Path:
    """Archive every record of a host, so many a file."""
    for place, records in sorted(host.log.items()):
        for first in range(0, len(records), rows):
            some = [raw(record) for record in records[first : first + rows]]
            cover = cover_of([r.offset for r in some], first, first + len(some))
            write_raw(folder, some, place, cover)
    keep(folder, host.files)
    return folder


def raw(record: Record) -> RawRecord:
    return RawRecord(*record[:6])


def alerts_of(host: MemoryHost, kind: type[Event]) -> list[Event]:
    return [event for event in host.events("alerts") if isinstance(event, kind)]
