"""One who drives a namespace and knows the truth: traffic, ticks, and what must come of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any

import msgspec

from benchmarks import traffic
from benchmarks.traffic import Mix, config_of, model_name, version_of
from streamops import codec
from streamops.config import ModelConfig, Rule, check_config, config_hash
from streamops.core.partition import partition_of
from streamops.core.times import moment
from streamops.events import (
    ActivationDelivered,
    ConfigActivated,
    EpochConcluded,
    Event,
    LabelArrived,
    ModelRegistered,
    PredictionMade,
    PromotionRequested,
    TopologyActivated,
    VersionActivated,
)
from streamops.hosts.memory import BROADCAST
from streamops.kafka.clients import make_producer
from streamops.kafka.follow import Follower
from streamops.sdk.sender import LINGER_MS
from streamops.settings import Settings

RETRY_S = 0.2
STEP_S = 0.005
# Sure with any number of rows, so that each drifted pane raises and each other one resolves.
RULE = Rule(
    name="missing",
    kind="quality",
    metric="missing_rate",
    feature="feature_00",
    above=0.5,
    minimum=1,
    resolve_after=1,
)


class Driver:
    """Writes rounds: a pane's predictions, the labels of the pane before, then its last tick.

    epoch     rounds written; with one tick each the next one's epoch
    ticks     of a round, evenly spread over it
    on_round  told each round's predictions and labels once the broker has them
    """

    def __init__(
        self,
        settings: Settings,
        mix: Mix,
        on_round: Callable[
            [list[PredictionMade], list[LabelArrived]], object
        ] = lambda made, labels: None,
        *,
        ticks: int = 1,
    ) -> None:
        self.settings, self.mix, self._on_round = settings, mix, on_round
        self.epoch, self.ticks = 0, ticks
        self._waiting: list[LabelArrived] = []
        self._producer = make_producer(settings, "driver", **{"linger.ms": LINGER_MS})

    def open(self) -> None:
        """Found the namespace, register and promote a version a model, open the first epoch."""
        start = moment(traffic.START_US)
        self._broadcast(
            TopologyActivated(
                id="topology/bench", time=start, partitions=self.settings.partitions, driven=True
            )
        )
        for number in range(self.mix.models):
            for event in self._activations(number):
                self._broadcast(event)
            for event in self._lifecycle(number):
                self._write("lifecycle", model_name(number), event)
        self.flush()
        self._broadcast(traffic.tick(0))

    def round(self, rows: int, *, drifted: bool = False, over_s: float = 0.0) -> float:
        """Write one round; return when the broker stored its last tick, seconds since 1970.

        over_s  seconds over which the rows are spread evenly; 0: at once
        """
        began = time.monotonic()
        labels, self._waiting, made = self._waiting, [], list[PredictionMade]()
        late = iter(labels)
        due = [rows * tick // self.ticks for tick in range(1, self.ticks)]
        for number, (prediction, label) in enumerate(traffic.rows(self.mix, self.epoch, rows)):
            _sleep_until(began + over_s * number / rows)
            if number in due:
                self.flush()
                self._tick(due.index(number) + 1)
            made.append(shifted(prediction) if drifted else prediction)
            self._waiting.append(label)
            self._write("predictions", prediction.id, made[-1])
            for event in islice(late, 1):
                self._write("labels", event.prediction_id, event)
        for event in late:
            self._write("labels", event.prediction_id, event)
        self.flush()
        self._on_round(made, labels)
        self.epoch += 1
        return self._tick(0)

    @property
    def concluded(self) -> int:
        """The last epoch that the rounds so far close."""
        return self.epoch * self.ticks - 1

    def _tick(self, number: int) -> float:
        epoch = self.epoch * self.ticks + number
        return self._broadcast(traffic.tick(epoch, self.ticks))

    def flush(self) -> None:
        """Return once the broker has everything."""
        while self._producer.flush(1):
            pass

    def _activations(self, number: int) -> Iterable[Event]:
        start, version = moment(traffic.START_US), version_of(self.mix, number)
        config, revision = with_rule(config_of(self.mix, number)), 2 * number
        yield VersionActivated(
            id=f"v{number}", time=start, revision=revision + 1, first_pane=start, version=version
        )
        yield ConfigActivated(
            id=f"c{number}",
            time=start,
            revision=revision + 2,
            first_pane=start,
            config=config,
            config_hash=config_hash(config),
        )

    def _lifecycle(self, number: int) -> Iterable[Event]:
        start, model = moment(traffic.START_US), model_name(number)
        version = version_of(self.mix, number)
        yield ModelRegistered(id=f"r{number}", time=start, version=version)
        yield ActivationDelivered(
            id=f"d{number}",
            time=start,
            revision=2 * number + 1,
            model=model,
            version=version.version,
        )
        yield PromotionRequested(
            id=f"p{number}", time=start, model=model, version=version.version, actor="bench"
        )

    def _write(self, topic: str, key: str, event: Event) -> None:
        where = partition_of(key, self.settings.partitions)
        while True:
            try:
                self._producer.produce(
                    self.settings.topic(topic), codec.encode(event), key.encode(), where
                )
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(0.1)

    def _broadcast(self, event: Event) -> float:
        """Write to every partition, again where it fails: twice counts once."""
        places = [(t, p) for t in BROADCAST for p in range(self.settings.partitions)]
        value, stored = codec.encode(event), 0.0
        while places:
            failed: list[tuple[str, int]] = []
            times: list[float] = []

            def note(
                place: tuple[str, int], error: Any, message: Any, failed: Any, times: Any
            ) -> None:
                if error is None:
                    times.append(message.timestamp()[1] / 1000)
                else:
                    failed.append(place)

            for place in places:
                told = partial(note, place, failed=failed, times=times)
                name = self.settings.topic(place[0])
                self._producer.produce(name, value, b"broadcast", place[1], on_delivery=told)
            self.flush()
            stored, places = max([stored, *times]), failed
            if places:
                time.sleep(RETRY_S)
        return stored


def _sleep_until(due: float) -> None:
    """Return when it is time, give or take STEP_S; the client's own thread sends meanwhile."""
    early = due - time.monotonic()
    if early > STEP_S:
        time.sleep(early)


def with_rule(config: ModelConfig) -> ModelConfig:
    """Return the configuration with a rule that raises and resolves at once."""
    return check_config(msgspec.structs.replace(config, rules=(RULE,)))


def shifted(made: PredictionMade) -> PredictionMade:
    """Return a prediction whose first feature is missing."""
    values = msgspec.json.decode(made.features)
    values["feature_00"] = None
    return msgspec.structs.replace(made, features=msgspec.Raw(msgspec.json.encode(values)))


def until_concluded(
    settings: Settings, epoch: int, patience_s: float, look: Callable[[], object] = lambda: None
) -> None:
    """Wait until every controller has concluded the epoch; raises SystemExit after patience."""
    waiting = set(range(settings.partitions))
    deadline = time.monotonic() + patience_s
    with closing(Follower(settings, "waiting", ["progress"])) as follower:
        while waiting:
            for record in follower.poll(0.1):
                event = record.event
                if isinstance(event, EpochConcluded) and event.epoch >= epoch:
                    waiting.discard(event.partition)
            look()
            if time.monotonic() > deadline:
                raise SystemExit(
                    f"epoch {epoch} was not concluded by {sorted(waiting)} in {patience_s:g} s; "
                    f"see {settings.data / 'logs'}"
                )
