"""What any host must do: conclude from one recorded history what every other concludes.

The history is `tests/recorded.py`. A host that was dropped in the middle, or that ran twice at
once, may have written things twice; under one stamp (or id) it may only have written one thing.
"""

from __future__ import annotations

import random
import shutil
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamops.audit.replay import replay
from streamops.audit.seals import SealFiles
from streamops.core.processor import Refusal
from streamops.events import Event, Sealed
from streamops.hosts.kafka import KafkaHost
from streamops.hosts.memory import MemoryHost, make_fold
from streamops.kafka.admin import delete_namespace
from streamops.settings import Settings
from streamops.views.log import MemoryLog, RawRecord
from tests.hosting import (
    PATIENCE_S,
    SERVICES,
    events_on,
    halves,
    new_settings,
    running,
    until_concluded,
    write,
)
from tests.recorded import (
    CONCLUDED,
    SEAL_EVERY,
    Recording,
    conclusions,
    make_detector,
    recording,
    refusals,
    whats_so,
)

Logged = dict[str, list[Event | Refusal]]
SEALING = ("meter", "detect", "monitor", "controller")
SAME_IN_ANY_PARTITIONING = ("alerts", "retraining", "deployments")


@dataclass
class Concluded:
    """A recording and what a host wrote from it, topic by topic."""

    recorded: Recording
    logged: Logged


class HostContract(ABC):
    @classmethod
    @abstractmethod
    def conclude(cls, recorded: Recording, request: pytest.FixtureRequest) -> Logged:
        """Fold the recording's raw records from an empty state; return all that was written."""

    @pytest.fixture(scope="class", params=[1, 4], ids="{} partitions".format)
    @classmethod
    def concluded(cls, request: pytest.FixtureRequest) -> Concluded:
        recorded = recording(request.param)
        return Concluded(recorded, cls.conclude(recorded, request))

    @pytest.mark.parametrize("topic", CONCLUDED)
    def test_it_concludes_what_was_concluded(self, concluded: Concluded, topic: str):
        assert conclusions(concluded.logged[topic]) == concluded.recorded.concluded[topic]

    def test_it_refuses_what_was_refused_and_says_why(self, concluded: Concluded):
        assert refusals(concluded.logged["dlq"]) == concluded.recorded.refused

    def test_it_seals_every_fourth_epoch(self, concluded: Concluded):
        seals = {(e.source, e.epoch) for e in concluded.logged["progress"] if isinstance(e, Sealed)}
        partitions = range(concluded.recorded.partitions)
        sources = [f"{name}/{p}" for name in SEALING for p in partitions]
        epochs = range(SEAL_EVERY - 1, concluded.recorded.last_epoch + 1, SEAL_EVERY)
        assert seals >= {(source, epoch) for source in sources for epoch in epochs}

    @pytest.mark.parametrize("topic", SAME_IN_ANY_PARTITIONING)
    def test_partitions_do_not_matter(self, concluded: Concluded, topic: str):
        other = recording(1 if concluded.recorded.partitions > 1 else 4)
        wanted = sorted(other.concluded[topic].values())
        assert whats_so(concluded.logged[topic]) == wanted


class TestMemoryHost(HostContract):
    """Any interleaving of partitions and topics, from a seed."""

    @classmethod
    def conclude(cls, recorded: Recording, request: pytest.FixtureRequest) -> Logged:
        host = filled(recorded)
        rng = random.Random(recorded.partitions)
        host.run(rng.choice)
        return logged_in(host)


class TestMemoryHostInPieces(HostContract):
    """Raw records come a few at a time, and every state is encoded and decoded in between."""

    @classmethod
    def conclude(cls, recorded: Recording, request: pytest.FixtureRequest) -> Logged:
        host = MemoryHost(
            partitions=recorded.partitions, make_detector=make_detector, seal_every=SEAL_EVERY
        )
        for n, row in enumerate(recorded.rows):
            host.append(row.topic, row.key.decode(), row.value, partition=row.partition)
            if n % 100 == 0:
                host.run()
                for fold in host.folds:
                    encoded = msgspec.msgpack.encode(fold.state)
                    fold.state = msgspec.msgpack.decode(encoded, type=type(fold.state))
        host.run()
        return logged_in(host)


class TestReplayHost(HostContract):
    """The raw records of a log, as an audit folds them again from an archive."""

    @classmethod
    def conclude(cls, recorded: Recording, request: pytest.FixtureRequest) -> Logged:
        places: Counter[tuple[str, int]] = Counter()
        raws = list[RawRecord]()
        for row in recorded.rows:
            offset = places[(row.topic, row.partition)]
            places[(row.topic, row.partition)] += 1
            raws.append(RawRecord(row.topic, row.partition, offset, 0, row.key, row.value))
        logged: Logged = {topic: [] for topic in (*CONCLUDED, "dlq")}
        for out in replay(
            MemoryLog(raws),
            partitions=recorded.partitions,
            skew_ms=None,
            make_detector=make_detector,
            seal_every=SEAL_EVERY,
        ):
            if out.topic in logged:
                logged[out.topic].append(out.event)
        return logged


class BrokerHostContract(HostContract):
    """Hosts that live on a broker: they are also dropped, and run twice."""

    host = "kafka"

    @classmethod
    def conclude(cls, recorded: Recording, request: pytest.FixtureRequest) -> Logged:
        settings = cls.settings(request, recorded)
        with running(settings, SERVICES.values()):
            write(settings, recorded.rows)
            until_concluded(settings, recorded.last_epoch)
        return logged_on(settings)

    @classmethod
    def settings(cls, request: pytest.FixtureRequest, recorded: Recording) -> Settings:
        bootstrap = request.getfixturevalue("broker").bootstrap
        folder = request.getfixturevalue("tmp_path_factory").mktemp("host")
        name = f"t-{cls.host}-{folder.name}"
        request.addfinalizer(lambda: delete_namespace({"bootstrap.servers": bootstrap}, name))
        made = new_settings(bootstrap, name, folder, recorded.partitions)
        return msgspec.structs.replace(made, control=cls.host)

    def conclude_dropped(self, request: pytest.FixtureRequest, *, forget: bool) -> Concluded:
        recorded = recording(4)
        settings = self.settings(request, recorded)
        first, second = halves(recorded)
        write(settings, first)
        with running(settings, SERVICES.values(), drop=True):
            until_concluded(settings, 4, partitions=2)
        if forget:
            shutil.rmtree(settings.data / "state")
        with running(settings, SERVICES.values()):
            write(settings, second)
            until_concluded(settings, recorded.last_epoch)
        logged = logged_on(settings)
        files = SealFiles(settings.archive)
        for event in logged["progress"]:
            if isinstance(event, Sealed):
                files.check(event)
        return Concluded(recorded, logged)

    @pytest.mark.parametrize("forget", [False, True], ids=["state kept", "state lost"])
    def test_dropped_in_the_middle_it_concludes_the_same(self, request, forget):
        check_all(self.conclude_dropped(request, forget=forget))


class TestKafkaHost(BrokerHostContract):
    host = "kafka"

    def test_a_zombie_beside_it_changes_nothing(self, request, tmp_path):
        recorded = recording(4)
        settings = self.settings(request, recorded)
        twice = [*SERVICES.values(), *(zombie(name, tmp_path) for name in ZOMBIES)]
        with running(settings, twice):
            write(settings, recorded.rows)
            until_concluded(settings, recorded.last_epoch)
            # The zombie may be the slower one.
            deadline = time.monotonic() + PATIENCE_S
            once = len(recorded.concluded["summaries"])
            while len(events_on(settings, "summaries")) <= once:
                assert time.monotonic() < deadline, "the zombie wrote nothing"
        check_all(Concluded(recorded, logged_on(settings)))


class TestFaustHost(BrokerHostContract):
    """MONITOR and CONTROLLER on Faust, METER and DETECT on the confluent host as ever."""

    host = "faust"


ZOMBIES = ("meter", "monitor", "controller")


def zombie(name: str, data: Path) -> Any:
    """A second copy in a group of its own: it holds the same partitions at the same time."""

    def run(settings: Settings, stop: threading.Event) -> None:
        own = msgspec.structs.replace(settings, data=data)
        KafkaHost(
            own,
            f"{name}-zombie",
            lambda partition: make_fold(
                name,
                partition,
                settings.partitions,
                skew_max_ms=settings.skew_ms,
                seal_every=settings.seal_every,
            ),
        ).run(stop)

    return run


def check_all(concluded: Concluded) -> None:
    for topic in CONCLUDED:
        wanted = concluded.recorded.concluded[topic]
        assert conclusions(concluded.logged[topic]) == wanted, topic
    assert refusals(concluded.logged["dlq"]) == concluded.recorded.refused


def filled(recorded: Recording) -> MemoryHost:
    host = MemoryHost(
        partitions=recorded.partitions, make_detector=make_detector, seal_every=SEAL_EVERY
    )
    for row in recorded.rows:
        host.append(row.topic, row.key.decode(), row.value, partition=row.partition)
    return host


def logged_in(host: MemoryHost) -> Logged:
    return {topic: list[Event | Refusal](host.events(topic)) for topic in (*CONCLUDED, "dlq")}


def logged_on(settings: Settings) -> Logged:
    return {topic: events_on(settings, topic) for topic in (*CONCLUDED, "dlq")}
