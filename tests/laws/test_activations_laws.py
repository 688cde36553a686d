"""Laws of numbering: any number of broadcasters, dying, paused and waking up, number as one would.

Each broadcaster runs a step at a time; between any two steps another may run, for as long as it
likes. Steps are what the log sees: a read, one record written to one partition.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streamops.config import config_hash
from streamops.core.times import EPOCH, moment
from streamops.events import ActivationDelivered, ConfigApplied, ModelRegistered
from streamops.hosts.activations import Activation, Activations, delivery_of
from tests.recorded import config, version

MODELS = ("fraud", "churn")
PARTITIONS = 2


class Log:
    """Requests and deliveries (one partition a model), proposals, and the input partitions."""

    def __init__(self) -> None:
        self.lifecycle: dict[str, list[Any]] = {model: [] for model in MODELS}
        self.numbers: list[Activation] = []
        self.inputs: list[list[Activation]] = [[] for _ in range(PARTITIONS)]


def request(model: str, number: int) -> ConfigApplied | ModelRegistered:
    if number % 3 == 2:
        return ModelRegistered(id=f"v/{model}/{number}", time=EPOCH, version=version(model, number))
    given = config(model, 0.1 + number / 100)
    return ConfigApplied(
        id=f"c/{model}/{number}",
        time=EPOCH,
        config=given,
        config_hash=config_hash(given),
        actor="ada",
    )


def broadcaster(log: Log, chance: random.Random) -> Iterator[None]:
    """A broadcaster that starts now; it yields wherever it may be stopped."""
    state = Activations(60_000)
    read: dict[Any, int] = {}

    def catch_up() -> None:
        places: list[tuple[Any, list[Any]]] = [*log.lifecycle.items(), ("numbers", log.numbers)]
        chance.shuffle(places)
        for place, records in places:
            for event in records[read.get(place, 0) :]:
                if isinstance(event, Activation):
                    state.count(event)
                elif isinstance(event, ActivationDelivered):
                    state.deliver(event)
                else:
                    state.ask(event)
            read[place] = len(records)

    while True:
        catch_up()
        yield
        while proposed := state.propose(moment(chance.randrange(10**12))):
            yield
            log.numbers.append(proposed)
            yield
            catch_up()
        for activated in state.due():
            for partition in chance.sample(log.inputs, PARTITIONS):
                yield
                partition.append(activated)
            yield
            delivered = delivery_of(activated)
            log.lifecycle[delivered.model].append(delivered)
            state.deliver(delivered)


def effective(partition: list[Activation]) -> list[Activation]:
    """What counts there: only a higher revision (EPOCHS 4)."""
    found: list[Activation] = []
    for event in partition:
        if not found or event.revision > found[-1].revision:
            found.append(event)
    return found


def play(seed: int, count: int, bad_days: int) -> tuple[Log, list[str]]:
    """Let `count` broadcasters meet requests; some die, and one that was paused goes on."""
    chance, log = random.Random(seed), Log()
    asked = [request(model, n) for n in range(4) for model in MODELS]
    running = [broadcaster(log, chance) for _ in range(count)]
    for event in asked:
        model = event.version.model if isinstance(event, ModelRegistered) else event.config.model
        log.lifecycle[model].append(event)
        for _ in range(bad_days):
            worker = chance.randrange(count)
            for _ in range(chance.randrange(12)):
                next(running[worker])
            if chance.random() < 0.3:
                running[worker] = broadcaster(log, chance)
    for _ in range(200):
        for worker in chance.sample(running, count):
            next(worker)
    return log, [event.id for event in asked]


@settings(max_examples=150)
@given(st.integers(0, 1 << 32), st.integers(1, 3), st.integers(0, 6))
def test_every_partition_has_the_same_activations(seed, count, bad_days):
    log, asked = play(seed, count, bad_days)
    told = [effective(partition) for partition in log.inputs]
    assert told[0] == told[1]
    ids = [event.id.removeprefix("activated/") for event in told[0]]
    assert sorted(ids) == sorted(asked), "each request is activated once"
    for model in MODELS:
        mine = [f"{kind}/{model}/{n}" for n in range(4) for kind in "cv"]
        assert [i for i in ids if i in mine] == [i for i in mine if i in asked], "in their order"


@settings(max_examples=150)
@given(st.integers(0, 1 << 32), st.integers(1, 3), st.integers(0, 6))
def test_no_revision_has_two_contents(seed, count, bad_days):
    log, _ = play(seed, count, bad_days)
    contents: dict[int, Activation] = {}
    for event in [event for partition in log.inputs for event in partition]:
        assert contents.setdefault(event.revision, event) == event
    delivered = [e for events in log.lifecycle.values() for e in events]
    for event in delivered:
        if isinstance(event, ActivationDelivered):
            assert contents[event.revision].id == f"activated/{event.id.removeprefix('delivered/')}"
