"""Recorded traffic: predictions, about 390 bytes of JSON, and labels, about 130, 1:1."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec

from streamops import codec
from streamops.config import ModelConfig, check_config, config_hash
from streamops.core.partition import partition_of
from streamops.core.profile import category_profile, numeric_profile
from streamops.core.times import SECOND_US, micros, moment
from streamops.events import (
    ConfigActivated,
    Event,
    LabelArrived,
    PredictionMade,
    Tick,
    TopologyActivated,
    VersionActivated,
)
from streamops.hosts.memory import BROADCAST
from streamops.kafka.clients import make_producer
from streamops.settings import Settings
from streamops.values import ModelVersion, ReferenceProfile
from streamops.versions import profile_hash

START_US = 1_767_225_600 * SECOND_US  # 2026-01-01
PANE_S = 60
HORIZON_S = 600
SEED = 5

Writes = Callable[[str, int, Event], None]


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent: `rows` predictions and as many labels, each an epoch after its prediction."""

    rows: int = 200_000
    epochs: int = 40
    features: int = 10
    models: int = 1
    horizon_s: int = HORIZON_S

    @property
    def events(self) -> int:
        """Predictions and labels together."""
        return 2 * self.rows


def send(settings: Settings, mix: Mix) -> int:
    """Write the mix to the topics; return the last epoch that its ticks close."""
    producer = make_producer(settings, "traffic", **{"linger.ms": 50})

    def write(topic: str, partition: int, event: Event) -> None:
        producer.produce(
            settings.topic(topic), codec.encode(event), event.id.encode(), partition=partition
        )
        producer.poll(0)

    play(settings, mix, write, producer.flush)
    producer.flush()
    return mix.epochs


def play(
    settings: Settings, mix: Mix, write: Writes, settle: Callable[[], object] = lambda: None
) -> None:
    """Write the whole mix in its order; `settle` is called before each tick."""
    for event in opening(settings, mix):
        broadcast(settings, write, event)
    waiting: list[LabelArrived] = []
    per_epoch = mix.rows // mix.epochs
    for epoch in range(mix.epochs + 1):
        for label in waiting:
            write("labels", partition_of(label.prediction_id, settings.partitions), label)
        waiting = []
        for made, label in rows(mix, epoch, per_epoch if epoch < mix.epochs else 0):
            write("predictions", partition_of(made.id, settings.partitions), made)
            waiting.append(label)
        settle()
        broadcast(settings, write, tick(epoch + 1))


def opening(settings: Settings, mix: Mix) -> Iterator[Event]:
    """Yield topology, versions, configurations and tick 0."""
    start = moment(START_US)
    yield TopologyActivated(
        id="topology/bench", time=start, partitions=settings.partitions, driven=True
    )
    for n in range(mix.models):
        version, config = version_of(mix, n), config_of(mix, n)
        yield VersionActivated(
            id=f"v{n}", time=start, revision=2 * n + 1, first_pane=start, version=version
        )
        yield ConfigActivated(
            id=f"c{n}",
            time=start,
            revision=2 * n + 2,
            first_pane=start,
            config=config,
            config_hash=config_hash(config),
        )
    yield tick(0)


def rows(mix: Mix, epoch: int, count: int) -> Iterator[tuple[PredictionMade, LabelArrived]]:
    """Yield an epoch's predictions, each with the label that comes an epoch later."""
    rng = random.Random(f"{SEED}/{epoch}")
    for n in range(count):
        time_us = START_US + epoch * PANE_S * SECOND_US + n * PANE_S * SECOND_US // count
        name = f"p-{epoch:05d}-{n:08d}"
        values = {f"feature_{k:02d}": round(rng.gauss(k, 1), 6) for k in range(mix.features)}
        score = round(rng.random(), 6)
        made = PredictionMade(
            id=name,
            time=moment(time_us),
            model=model_name(n % mix.models),
            version="v1",
            prediction=int(score > 0.5),
            score=score,
            features=msgspec.Raw(msgspec.json.encode(values)),
        )
        label = LabelArrived(
            id=f"l-{name}",
            time=moment(time_us + PANE_S * SECOND_US),
            prediction_id=name,
            label=int(rng.random() < score),
        )
        yield made, label


def version_of(mix: Mix, n: int) -> ModelVersion:
    """Return a model's version: numeric features in ten bins each."""
    rng = random.Random(SEED)
    profile = ReferenceProfile(
        rows=2000,
        features=tuple(
            numeric_profile(f"feature_{k:02d}", [rng.gauss(k, 1) for _ in range(2000)])
            for k in range(mix.features)
        ),
        score=numeric_profile("score", [rng.random() for _ in range(2000)]),
        label=category_profile("label", [0, 1] * 1000),
    )
    return ModelVersion(
        model=model_name(n),
        version="v1",
        task="binary",
        profile=profile,
        profile_hash=profile_hash(profile),
        positive="1",
    )


def config_of(mix: Mix, n: int) -> ModelConfig:
    """Return a model's configuration: panes of an epoch's length, kept until the horizon."""
    return check_config(
        ModelConfig(
            model=model_name(n),
            pane_s=PANE_S,
            maturity_s=2 * PANE_S,
            horizon_s=mix.horizon_s,
            detectors=(),
        )
    )


def model_name(n: int) -> str:
    """Return the name of the n-th model."""
    return f"model-{n:04d}"


def round_ended(time: datetime) -> int:
    """Return the round, from 0, whose panes end at this time."""
    return (micros(time) - START_US) // (PANE_S * SECOND_US) - 1


def tick(epoch: int, a_pane: int = 1) -> Tick:
    """Return the tick that opens an epoch, of so many in each pane."""
    at = START_US + epoch * PANE_S * SECOND_US // a_pane
    return Tick(id=f"tick/{epoch}", time=moment(at), epoch=epoch)


def broadcast(settings: Settings, write: Writes, event: Event) -> None:
    """Write an event to every partition of the input topics."""
    for topic in BROADCAST:
        for partition in range(settings.partitions):
            write(topic, partition, event)
