"""Two broadcasters on a real broker: one is stopped, woken and killed while both have work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamops import codec
from streamops.config import config_hash
from streamops.core.processor import Record
from streamops.core.times import EPOCH
from streamops.events import ActivationDelivered, ConfigApplied, ModelRegistered, Tick
from streamops.hosts.activations import Activation
from streamops.hosts.memory import BROADCAST
from streamops.hosts.services import run_broadcaster
from streamops.settings import Settings
from tests.hosting import new_settings, write
from tests.integration.test_broadcaster import (
    INTERVAL_S,
    PARTITIONS,
    counting,
    read,
    ticks_to,
    until,
)
from tests.recorded import Row, config, version


@pytest.fixture
def live(bootstrap: str, namespace: str, tmp_path: Path) -> Settings:
    made = new_settings(bootstrap, namespace, tmp_path, PARTITIONS)
    return msgspec.structs.replace(made, driven=False, interval_s=INTERVAL_S)


def child_main(settings: Settings, is_standby: bool) -> None:
    run_broadcaster(settings, threading.Event(), is_standby=is_standby)


@contextmanager
def child(settings: Settings, *, is_standby: bool) -> Iterator[Any]:
    process = multiprocessing.get_context("spawn").Process(
        target=child_main, args=(settings, is_standby)
    )
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def ask(settings: Settings, first: int, end: int) -> None:
    """Configurations and versions of two models, each model on its own partition."""
    rows = []
    for n in range(first, end):
        model = ("fraud", "churn")[n % 2]
        given = config(model, 0.1 + n / 100)
        event: ConfigApplied | ModelRegistered = ConfigApplied(
            id=f"c/{n}", time=EPOCH, config=given, config_hash=config_hash(given), actor="ada"
        )
        if n % 3 == 0:
            event = ModelRegistered(id=f"v/{n}", time=EPOCH, version=version(model, n))
        rows.append(Row("lifecycle", n % 2, model.encode(), codec.encode(event)))
    write(settings, rows)


def delivered(count: int) -> Callable[[list[Record]], bool]:
    def holds(records: list[Record]) -> bool:
        done = {r.event.id for r in records if isinstance(r.event, ActivationDelivered)}
        return len(done) >= count

    return holds


def activated(count: int) -> Callable[[list[Record]], bool]:
    def holds(records: list[Record]) -> bool:
        return sum(isinstance(r.event, Activation) for r in records) >= count

    return holds


def last_tick(settings: Settings) -> int:
    return max(r.event.epoch for r in read(settings, "labels") if isinstance(r.event, Tick))


def effective(records: list[Record], partition: int) -> list[Activation]:
    """What counts in a partition: only a higher revision (EPOCHS 4)."""
    found: list[Activation] = []
    for record in records:
        event = record.event
        if record.partition != partition or not isinstance(event, Activation):
            continue
        if not found or event.revision > found[-1].revision:
            found.append(event)
    return found


def test_one_is_stopped_woken_and_the_other_killed_in_the_middle(live):
    with ExitStack() as held:
        first = held.enter_context(child(live, is_standby=False))
        second = held.enter_context(child(live, is_standby=True))
        until(live, "labels", ticks_to(2))
        ask(live, 0, 12)
        until(live, "labels", activated(1))
        os.kill(first.pid, signal.SIGSTOP)
        stopped_at = last_tick(live)
        until(live, "lifecycle", delivered(12))
        until(live, "predictions", ticks_to(stopped_at + 4))
        ask(live, 12, 24)
        os.kill(first.pid, signal.SIGCONT)
        until(live, "labels", activated(26))
        os.kill(second.pid, signal.SIGKILL)
        killed_at = last_tick(live)
        ask(live, 24, 28)
        until(live, "lifecycle", delivered(28))
        for topic in BROADCAST:
            until(live, topic, ticks_to(killed_at + 4))
    check(live, 28)


def check(settings: Settings, count: int) -> None:
    """Every partition has the same activations in the same order; ticks have no hole."""
    contents: dict[int, Activation] = {}
    told = []
    for topic in BROADCAST:
        records = read(settings, topic)
        for record in records:
            if isinstance(record.event, Activation):
                first = contents.setdefault(record.event.revision, record.event)
                assert record.event == first, "a revision has two contents"
        for partition in range(PARTITIONS):
            told.append(effective(records, partition))
            epochs = [tick.epoch for tick, _ in counting(records, partition)]
            assert epochs == sorted(set(epochs))
            assert epochs[-1] - epochs[0] - len(epochs) < 3, "a tick is lost only with its ticker"
    assert all(events == told[0] for events in told)
    assert len({event.id for event in told[0]}) == len(told[0]) == count


def test_a_standby_alone_does_it_all(live):
    with child(live, is_standby=True):
        ask(live, 0, 3)
        until(live, "lifecycle", delivered(3))
        until(live, "labels", ticks_to(3))
    check(live, 3)


def test_beside_a_broadcaster_that_works_a_standby_writes_nothing(live):
    with child(live, is_standby=False), child(live, is_standby=True):
        until(live, "labels", ticks_to(12))
        ask(live, 0, 2)
        until(live, "lifecycle", delivered(2))
        until(live, "labels", ticks_to(16))
    for partition in range(PARTITIONS):
        events = [r.event for r in read(live, "labels") if r.partition == partition]
        later = [e.epoch for e in events if isinstance(e, Tick) and e.epoch > 4]
        repeats = len(later) - len(set(later))
        assert repeats <= len(later) // 3, "both may be in time on a busy machine, not as a rule"
