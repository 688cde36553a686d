"""The broadcaster on a real broker: one origin, ticks that agree, activations everywhere once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from streamops import codec
from streamops.cli import main
from streamops.config import config_hash
from streamops.core.processor import Record
from streamops.core.times import EPOCH, moment
from streamops.errors import EXIT_CONFIG, ConfigError
from streamops.events import (
    ActivationDelivered,
    ConfigActivated,
    ConfigApplied,
    ModelRegistered,
    Tick,
    TopologyActivated,
    VersionActivated,
)
from streamops.hosts.memory import BROADCAST
from streamops.hosts.services import run_broadcaster
from streamops.kafka.follow import Follower
from streamops.operate.init import write_template
from streamops.settings import Settings
from tests.hosting import PATIENCE_S, new_settings, running, write
from tests.recorded import Row, config, version

PARTITIONS = 2
INTERVAL_S = 0.25


@pytest.fixture
def driven(bootstrap: str, namespace: str, tmp_path: Path) -> Settings:
    return new_settings(bootstrap, namespace, tmp_path, PARTITIONS)


@pytest.fixture
def live(driven: Settings) -> Settings:
    return msgspec.structs.replace(driven, driven=False, interval_s=INTERVAL_S)


def until(settings: Settings, topic: str, holds: Callable[[list[Record]], bool]) -> list[Record]:
    """Read a topic until its records are as wanted."""
    found: list[Record] = []
    deadline = time.monotonic() + PATIENCE_S
    with closing(Follower(settings, "until", [topic])) as follower:
        while not holds(found):
            found += follower.poll(0.2)
            assert time.monotonic() < deadline, f"{topic} holds {len(found)} records, none wanted"
    return found


def read(settings: Settings, topic: str) -> list[Record]:
    with closing(Follower(settings, "reading", [topic])) as follower:
        return list(follower.to_end())


def ticks_to(epoch: int) -> Callable[[list[Record]], bool]:
    def holds(records: list[Record]) -> bool:
        ticks = [(r.partition, r.event.epoch) for r in records if isinstance(r.event, Tick)]
        return {p for p, e in ticks if e >= epoch} == set(range(PARTITIONS))

    return holds


def counting(records: list[Record], partition: int) -> list[tuple[Tick, int]]:
    """The ticks of a partition that count (EPOCHS 2) with their append times."""
    found: list[tuple[Tick, int]] = []
    for record in records:
        if record.partition != partition or not isinstance(record.event, Tick):
            continue
        if not found or record.event.epoch > found[-1][0].epoch:
            found.append((record.event, record.append_ms))
    return found


def test_two_tickers_agree_and_never_run_ahead(live):
    with running(live, [run_broadcaster, run_broadcaster]):
        for topic in BROADCAST:
            until(live, topic, ticks_to(8))
    lifecycle = read(live, "lifecycle")
    origins = [r for r in lifecycle if isinstance(r.event, TopologyActivated)]
    origin = next(r.event for r in origins if r.partition == 0)
    assert isinstance(origin, TopologyActivated)
    for topic in BROADCAST:
        records = read(live, topic)
        for partition in range(PARTITIONS):
            ticks = counting(records, partition)
            # One ticker may reach a partition with tick 1 before the other does with tick 0; that
            # tick 0 doesn't count there (EPOCHS 2).
            epochs = [tick.epoch for tick, _ in ticks]
            assert epochs == list(range(epochs[0], epochs[0] + len(epochs)))
            assert epochs[0] <= 1
            for tick, append_ms in ticks:
                since_us = (tick.time - origin.time).total_seconds() * 1_000_000
                assert since_us == pytest.approx(tick.epoch * INTERVAL_S * 1_000_000, abs=1)
                # Append times are whole milliseconds.
                assert tick.time <= moment((append_ms + 1) * 1000)


def test_a_configuration_whose_panes_end_between_ticks_is_not_applied(live, tmp_path, capsys):
    seconds = msgspec.structs.replace(live, interval_s=2.0)
    with running(seconds, [run_broadcaster]):
        until(seconds, "lifecycle", ticks_to(1))
    file = tmp_path / "streamops.toml"
    write_template(file, "m", 7)
    place = ["--bootstrap", live.bootstrap, "--namespace", live.namespace]
    assert main(["apply", str(file), *place]) == EXIT_CONFIG
    assert "pane_s is 7; use a multiple of 2 s" in capsys.readouterr().err


def test_a_restart_goes_on_where_the_log_stands(live):
    with running(live, [run_broadcaster]):
        until(live, "labels", ticks_to(2))
    with running(live, [run_broadcaster]):
        until(live, "labels", ticks_to(6))
    lifecycle = read(live, "lifecycle")
    origins = {r.event.time for r in lifecycle if isinstance(r.event, TopologyActivated)}
    assert len(origins) == 1
    epochs = [tick.epoch for tick, _ in counting(read(live, "labels"), 0)]
    assert epochs == list(range(len(epochs)))
    with pytest.raises(ConfigError, match="seal-every is 7, but"):
        run_broadcaster(msgspec.structs.replace(live, seal_every=7), threading.Event())


def applied(number: int, drift_above: float) -> ConfigApplied:
    given = config("fraud", drift_above)
    return ConfigApplied(
        id=f"applied/{number}",
        time=EPOCH,
        config=given,
        config_hash=config_hash(given),
        actor="ada",
    )


def registered() -> ModelRegistered:
    return ModelRegistered(id="registered/1", time=EPOCH, version=version("fraud", 1))


def ask(settings: Settings, *events: ConfigApplied | ModelRegistered) -> None:
    write(settings, [Row("lifecycle", 1, b"fraud", codec.encode(event)) for event in events])


def delivered(count: int) -> Callable[[list[Record]], bool]:
    def holds(records: list[Record]) -> bool:
        return sum(isinstance(r.event, ActivationDelivered) for r in records) >= count

    return holds


def activations(settings: Settings, topic: str, partition: int) -> list[tuple[int, str]]:
    return [
        (r.event.revision, r.event.id)
        for r in read(settings, topic)
        if r.partition == partition and isinstance(r.event, (ConfigActivated, VersionActivated))
    ]


def test_what_was_applied_is_activated_everywhere_once(driven):
    with running(driven, [run_broadcaster]):
        ask(driven, applied(1, 0.2), registered())
        until(driven, "lifecycle", delivered(2))
    with running(driven, [run_broadcaster]):
        ask(driven, applied(2, 0.3))
        records = until(driven, "lifecycle", delivered(3))
    wanted = [(1, "activated/applied/1"), (2, "activated/registered/1"), (3, "activated/applied/2")]
    for topic in BROADCAST:
        for partition in range(PARTITIONS):
            assert activations(driven, topic, partition) == wanted
    done = [r.event for r in records if isinstance(r.event, ActivationDelivered)]
    assert [(d.revision, d.version) for d in done] == [(1, ""), (2, "v1"), (3, "")]
    assert not any(isinstance(r.event, (Tick, TopologyActivated)) for r in records)


def test_the_first_configuration_rules_all_and_the_next_begins_beyond_the_skew(driven):
    started_ms = time.time() * 1000
    with running(driven, [run_broadcaster]):
        ask(driven, applied(1, 0.2), applied(2, 0.3))
        records = until(driven, "lifecycle", delivered(2))
    first, second = [
        r.event for r in records if r.partition == 0 and isinstance(r.event, ConfigActivated)
    ]
    assert first.first_pane == EPOCH
    assert second.first_pane.timestamp() * 1000 > started_ms + driven.skew_max_ms
    assert second.first_pane.timestamp() % second.config.pane_s == 0


def test_an_activation_that_reached_some_partitions_only_is_made_again(driven):
    """As after kill -9 between two partitions: a higher revision, then the delivery."""
    given = config("fraud", 0.2)
    half = ConfigActivated(
        id="activated/applied/1",
        time=EPOCH,
        revision=1,
        first_pane=EPOCH,
        config=given,
        config_hash=config_hash(given),
    )
    ask(driven, applied(1, 0.2))
    write(driven, [Row("lifecycle", 0, b"broadcast", codec.encode(half))])
    with running(driven, [run_broadcaster]):
        until(driven, "lifecycle", delivered(1))
    assert activations(driven, "lifecycle", 0) == [(1, half.id), (2, half.id)]
    assert activations(driven, "labels", 1) == [(2, half.id)]
    again = [r.event for r in read(driven, "labels") if isinstance(r.event, ConfigActivated)]
    assert {event.first_pane for event in again} == {EPOCH}


def test_a_version_too_large_to_be_activated_is_refused_and_the_next_is_activated(driven):
    room = 4_194_304 - 200 - len(codec.encode(registered()))
    huge = msgspec.structs.replace(registered().version, artifact="a" * room)
    too_large = ModelRegistered(id="registered/huge", time=EPOCH, version=huge)
    with running(driven, [run_broadcaster]):
        ask(driven, too_large, registered())
        until(driven, "lifecycle", delivered(1))
    with running(driven, [run_broadcaster]):
        ask(driven, applied(1, 0.2))
        until(driven, "lifecycle", delivered(2))
    assert activations(driven, "labels", 0) == [
        (1, "activated/registered/1"),
        (2, "activated/applied/1"),
    ]
    (refused,) = {(r.event.id, r.event.reason) for r in read(driven, "dlq")}
    assert refused[0] == "refused/lifecycle/1/0"
    assert "has 4,19" in refused[1]
    assert "register fewer features or bins" in refused[1]


def test_what_can_not_be_folded_is_not_activated(driven):
    unfit = msgspec.structs.replace(registered().version, profile_hash="h")
    long_panes = msgspec.structs.replace(applied(1, 0.2).config, pane_s=1 << 50)
    with running(driven, [run_broadcaster]):
        ask(
            driven,
            msgspec.structs.replace(registered(), id="registered/unfit", version=unfit),
            msgspec.structs.replace(
                applied(1, 0.2),
                id="applied/unfit",
                config=long_panes,
                config_hash=config_hash(long_panes),
            ),
            registered(),
        )
        until(driven, "lifecycle", delivered(1))
    assert activations(driven, "labels", 0) == [(1, "activated/registered/1")]


def test_a_stop_that_was_set_before_ends_it(driven):
    stop = threading.Event()
    stop.set()
    run_broadcaster(driven, stop)
    assert read(driven, "lifecycle") == []
