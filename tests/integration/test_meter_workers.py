"""METER as several processes over one data folder: one answer, whoever dies."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from streamops.cli import main
from streamops.errors import EXIT_CONFIG, ConfigError
from streamops.hosts import kafka
from streamops.kafka.clients import make_consumer
from streamops.operate.workers import MeterWorkers
from tests.hosting import (
    PATIENCE_S,
    SERVICES,
    events_on,
    fold,
    halves,
    new_settings,
    running,
    until_concluded,
    write,
)
from tests.recorded import CONCLUDED, conclusions, recording

PARTITIONS = 4


def until(done: Callable[[], bool], about: object = "") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, about
        time.sleep(0.02)


def test_two_workers_conclude_what_one_does_though_one_is_killed(bootstrap, namespace, tmp_path):
    settings, recorded = new_settings(bootstrap, namespace, tmp_path, PARTITIONS), recording(4)

    def log_of(name: str) -> str:
        return (tmp_path / "logs" / f"{name}.log").read_text()

    first, second = halves(recorded)
    rest = [SERVICES["detect"], SERVICES["control"]]
    with running(settings, rest), MeterWorkers(settings, 2) as workers:
        workers.wait_ready(PATIENCE_S)
        until(lambda: "meter holds partitions [2, 3]" in log_of("meter-1"))
        write(settings, first)
        until_concluded(settings, 3)
        before = workers.pids
        os.kill(before["meter-1"], signal.SIGKILL)
        write(settings, second)
        until_concluded(settings, recorded.last_epoch)
        after = workers.pids
    assert set(before) == {"meter", "meter-1"}
    assert before["meter"] == after["meter"]
    for topic in CONCLUDED:
        assert conclusions(events_on(settings, topic)) == recorded.concluded[topic], topic
    logs = [log_of(name) for name in before]
    assert [log.count("meter holds partitions [0, 1]") > 0 for log in logs] == [True, False]
    assert logs[1].count("meter holds partitions [2, 3]") >= 2, "it came back with what it had"


def test_who_ends_cleanly_gives_its_partitions_away_at_once(
    bootstrap, namespace, tmp_path, caplog, monkeypatch
):
    """A static member that only closed would keep them for its session, longer than we wait."""
    longer = {"session.timeout.ms": 1000 * int(2 * PATIENCE_S)}
    monkeypatch.setattr(
        kafka, "make_consumer", lambda *at, **given: make_consumer(*at, **{**given, **longer})
    )
    settings = new_settings(bootstrap, namespace, tmp_path, PARTITIONS)
    caplog.set_level(logging.INFO, "streamops.hosts.kafka")

    def said(partitions: list[int]) -> int:
        return caplog.messages.count(f"meter holds partitions {partitions}")

    with running(settings, [fold("meter", "0")]):
        with running(settings, [fold("meter", "1")]):
            until(lambda: said([2, 3]) > 0, caplog.messages)
            alone = said([0, 1, 2, 3])
        until(lambda: said([0, 1, 2, 3]) > alone, caplog.messages)


@pytest.mark.parametrize("workers", [0, 5])
def test_more_workers_than_partitions_are_refused(workers, tmp_path, capsys):
    given = ["--bootstrap", "127.0.0.1:1", "--partitions", "4", "--data", str(tmp_path)]
    assert main(["meter", "--workers", str(workers), *given]) == EXIT_CONFIG
    assert f"meter_workers is {workers}; use 1 to 4" in capsys.readouterr().err
    assert main(["up", "--meter-workers", str(workers), *given]) == EXIT_CONFIG


def test_the_command_runs_and_ends_its_workers(bootstrap, namespace, tmp_path):
    new_settings(bootstrap, namespace, tmp_path, 2)
    given = ["--bootstrap", bootstrap, "--namespace", namespace, "--data", str(tmp_path)]
    command = [sys.executable, "-m", "streamops", "meter", "--workers", "2", "--partitions", "2"]
    with subprocess.Popen([*command, *given], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "2 workers; metrics at 127.0.0.1: meter" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "stopped" in rest


def test_a_stack_that_runs_the_meter_has_it_for_itself(bootstrap, namespace, tmp_path):
    from streamops.operate.stack import Stack

    settings = new_settings(bootstrap, namespace, tmp_path, 2)
    with (
        Stack(settings, ["meter"]),
        pytest.raises(ConfigError, match="runs METER already"),
        MeterWorkers(settings, 1),
    ):
        pass
