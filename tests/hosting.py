"""Hosts on a real broker for tests: fed with a recording, waited for, stopped, dropped, killed."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, Message

from streamops.core.processor import Refusal
from streamops.errors import ServiceError, exit_code
from streamops.events import EpochConcluded, Event
from streamops.hosts.services import run_control, run_fold
from streamops.kafka.admin import create_topics
from streamops.kafka.clients import make_producer
from streamops.kafka.follow import Follower
from streamops.settings import Settings
from tests.recorded import SEAL_EVERY, Recording, Row, make_detector

PATIENCE_S = 90.0
Run = Callable[[Settings, threading.Event], None]


class Dropped(Exception):
    """A host was taken away without a word, as by kill -9."""


class Drop(threading.Event):
    """A stop that, once set, ends a host in the middle of its loop: no checkpoint, no farewell."""

    def is_set(self) -> bool:
        if super().is_set():
            raise Dropped
        return False


def new_settings(bootstrap: str, namespace: str, data: Path, partitions: int) -> Settings:
    """Settings of a driven namespace whose topics stand."""
    create_topics({"bootstrap.servers": bootstrap}, namespace, partitions)
    return Settings(
        bootstrap=bootstrap,
        namespace=namespace,
        data=data,
        partitions=partitions,
        driven=True,
        seal_every=SEAL_EVERY,
    )


def fold(name: str, instance: str = "0") -> Run:
    """A data-plane service under the confluent host."""
    return lambda settings, stop: run_fold(
        settings, name, stop, make_detector=make_detector, instance=instance
    )


def control(settings: Settings, stop: threading.Event) -> None:
    """The control plane under the host that the settings name."""
    run_control(settings, stop)


SERVICES: dict[str, Run] = {"meter": fold("meter"), "detect": fold("detect"), "control": control}


@contextmanager
def running(
    settings: Settings, services: Iterable[Run], *, drop: bool = False
) -> Iterator[threading.Event]:
    """Run services in threads; at the end stop them, or drop them, and raise what ended one."""
    stop = Drop() if drop else threading.Event()
    errors: list[BaseException] = []

    def run(service: Run) -> None:
        try:
            service(settings, stop)
        except Dropped:
            pass
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=run, args=(service,)) for service in services]
    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert errors == []
    assert not any(thread.is_alive() for thread in threads)


def write(settings: Settings, rows: Iterable[Row]) -> None:
    """Append raw records in their order and wait until all are acknowledged, where they stand."""
    lost = list[str]()

    def note(error: KafkaError | None, message: Message) -> None:
        if error is not None or message.offset() is None:
            lost.append(f"{message.topic()}: {error}")

    producer = make_producer(settings, "recording")
    for row in rows:
        topic = settings.topic(row.topic)
        while True:
            try:
                producer.produce(topic, row.value, row.key, row.partition, note)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0
    assert lost == []


def until_concluded(settings: Settings, epoch: int, partitions: int | None = None) -> None:
    """Wait until `progress` names the epoch for every controller (or for so many of them)."""
    waiting = set(range(settings.partitions))
    enough = settings.partitions if partitions is None else partitions
    deadline = time.monotonic() + PATIENCE_S
    with closing(Follower(settings, "waiting", ["progress"])) as follower:
        while settings.partitions - len(waiting) < enough:
            for record in follower.poll(0.2):
                event = record.event
                if isinstance(event, EpochConcluded) and event.epoch >= epoch:
                    waiting.discard(event.partition)
            assert time.monotonic() < deadline, f"epoch {epoch} not concluded by {waiting}"


def events_on(settings: Settings, topic: str) -> list[Event | Refusal]:
    """Everything that a topic holds, repeats included."""
    with closing(Follower(settings, "reading", [topic])) as follower:
        return [record.event for record in follower.to_end()]


def halves(recorded: Recording) -> tuple[list[Row], list[Row]]:
    """Split a recording in the middle of every partition, between two records of an epoch."""
    first, second = list[Row](), list[Row]()
    by_place: dict[tuple[str, int], list[Row]] = {}
    for row in recorded.rows:
        by_place.setdefault((row.topic, row.partition), []).append(row)
    for rows in by_place.values():
        first += rows[: len(rows) // 2]
        second += rows[len(rows) // 2 :]
    return first, second


def child_main(settings: Settings) -> None:
    """What `streamops run control` does in its process."""
    try:
        run_control(settings, threading.Event())
    except ServiceError as error:
        raise SystemExit(exit_code(error)) from error


def start_child(settings: Settings) -> Any:
    """Start the control plane in a process of its own, which inherits nothing."""
    process = multiprocessing.get_context("spawn").Process(target=child_main, args=(settings,))
    process.start()
    return process


def hears_ctrl_c() -> None:
    """What a child does first: a shell starts what it runs in the background deaf to SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
