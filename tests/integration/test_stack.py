"""The stack as an operator has it: real processes, killed for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import psutil
import pytest

from streamops import Client
from streamops.errors import EXIT_CONFIG, ConfigError
from streamops.events import PredictionMade
from streamops.kafka.admin import check_topics
from streamops.kafka.follow import Follower
from streamops.operate.folder import Folder, StackState
from streamops.operate.priority import BEHIND
from streamops.operate.services import SERVICES
from streamops.operate.stack import Stack
from streamops.settings import Settings
from tests.hosting import hears_ctrl_c

TIMEOUT_S = 120.0
STACK_MB_MAX = 1536
NICE_MAX = 19


def streamops(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streamops", *arguments, "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)


def processes(data: Path) -> dict[str, int]:
    found = json.loads(streamops("status", "--json", data=data).stdout)
    return {p["name"]: p["pid"] for p in found["processes"] if p["pid"]}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Broker and every service."""
    data = tmp_path_factory.mktemp("stack")
    with Stack(Settings(bootstrap="", data=data, namespace="whole")) as started:
        started.wait_ready(TIMEOUT_S)
        yield started


def test_everything_runs_within_its_memory(stack):
    assert set(stack.pids) == {"broker", *SERVICES}
    assert {report.restarts for report in stack.reports} == {0}
    assert 0 < stack.pss_mb() < STACK_MB_MAX


def test_who_no_alert_waits_for_stands_behind(stack):
    own = psutil.Process().nice()
    nice = {name: psutil.Process(pid).nice() for name, pid in stack.pids.items()}
    assert nice == {name: min(NICE_MAX, own + BEHIND.get(name, 0)) for name in nice}


def test_the_topics_are_as_declared(stack):
    conf = {"bootstrap.servers": stack.settings.bootstrap}
    assert check_topics(conf, "whole", stack.settings.partitions) == []


@pytest.mark.parametrize("name", ["meter", "control", "trainer", "materializer", "broker"])
def test_a_killed_process_is_started_again(stack, name):
    killed = stack.pids[name]
    os.kill(killed, signal.SIGKILL)

    def is_back(reports: object) -> bool:
        return stack.pids.get(name) not in (None, killed)

    assert stack.wait_for(is_back, TIMEOUT_S)
    stack.wait_ready(TIMEOUT_S)


def test_a_second_stack_over_the_folder_is_refused(stack):
    with pytest.raises(ConfigError, match=f"in use by process {os.getpid()}"):
        Stack(Settings(bootstrap="", data=stack.folder.path)).start()
    refused = streamops("up", "--detach", data=stack.folder.path)
    assert refused.returncode == EXIT_CONFIG
    assert "streamops down" in refused.stderr


def test_services_end_and_start_while_the_broker_stays(stack):
    broker = stack.pids["broker"]
    stack.stop_services()
    assert stack.pids == {"broker": broker}
    stack.start_services(["broadcaster", "meter"])
    stack.wait_ready(TIMEOUT_S)
    assert set(stack.pids) == {"broker", "broadcaster", "meter"}


def predictions(state: StackState) -> list[str]:
    """Ids on the predictions of a running stack."""
    settings = Settings(
        bootstrap=state.bootstrap, namespace=state.namespace, partitions=state.partitions
    )
    with closing(Follower(settings, "test", ["predictions"])) as follower:
        found = [record.event for record in follower.to_end()]
    return [event.id for event in found if isinstance(event, PredictionMade)]


def test_ctrl_c_ends_every_process_cleanly(tmp_path):
    """As in a terminal, every process of the foreground gets the signal; SIGTERM is `down`'s."""
    log = tmp_path / "up.log"
    command = [sys.executable, "-m", "streamops", "up", "--services", "broadcaster"]
    with log.open("wb") as out:
        up = subprocess.Popen(
            [*command, "--data", str(tmp_path)],
            stderr=out,
            start_new_session=True,
            preexec_fn=hears_ctrl_c,
        )
    folder = Folder(tmp_path)
    deadline = time.monotonic() + TIMEOUT_S
    while "ready; " not in log.read_text():
        assert up.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    children = [psutil.Process(pid) for pid in processes(tmp_path).values()]
    assert len(children) == 2
    os.killpg(up.pid, signal.SIGINT)
    assert up.wait(TIMEOUT_S) == 0
    assert log.read_text().endswith("streamops: stopping\n")
    assert [child for child in children if child.is_running()] == []
    state = folder.read_state()
    assert state is not None
    assert state.phase == "stopped"
    ended = {report.name: report.exit_code for report in state.children}
    assert ended == {"broker": 128 + signal.SIGTERM, "broadcaster": 0}
    assert not folder.is_running()


def test_killed_and_started_again_it_goes_on(tmp_path):
    up = ("up", "--detach", "--services", "broadcaster,meter", "--partitions", "2")
    begun = streamops(*up, data=tmp_path)
    assert begun.returncode == 0, begun.stderr
    folder = Folder(tmp_path)
    first = folder.read_state()
    assert first is not None
    children = [psutil.Process(pid) for pid in processes(tmp_path).values()]
    assert len(children) == 3
    with Client(first.bootstrap, namespace=first.namespace) as client:
        written = client.log_prediction(model="m", version="1", prediction=1, features={"x": 1})

    os.kill(first.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs([psutil.Process(first.pid), *children], TIMEOUT_S)
    assert alive == []
    assert streamops("status", data=tmp_path).returncode == 3

    other = streamops("up", "--partitions", "3", data=tmp_path)
    assert other.returncode == EXIT_CONFIG
    assert "--partitions 2" in other.stderr

    again = streamops("up", "--detach", "--services", "broadcaster,meter", data=tmp_path)
    assert again.returncode == 0, again.stderr
    second = folder.read_state()
    assert second is not None
    assert (second.bootstrap, second.partitions) == (first.bootstrap, 2)
    assert written in predictions(second)
    checked = streamops("topics", "check", data=tmp_path)
    assert checked.returncode == 0, checked.stdout
    children = [psutil.Process(pid) for pid in processes(tmp_path).values()]
    assert streamops("down", data=tmp_path).returncode == 0
    assert [child for child in children if child.is_running()] == []
    assert streamops("status", data=tmp_path).returncode == 3


def test_an_existing_kafka_is_used(bootstrap, namespace, tmp_path):
    settings = Settings(bootstrap=bootstrap, namespace=namespace, data=tmp_path, partitions=2)
    with Stack(settings, ["broadcaster"]) as started:
        started.wait_ready(TIMEOUT_S)
        assert set(started.pids) == {"broadcaster"}
    state = Folder(tmp_path).read_state()
    assert state is not None
    assert (state.phase, state.bootstrap) == ("stopped", bootstrap)
    assert [report.exit_code for report in state.children] == [0]
    with pytest.raises(ConfigError, match="partitions is 3"):
        Stack(msgspec.structs.replace(settings, partitions=3)).start()
    with pytest.raises(ConfigError, match=r"seal-every is 7, .* seals every 0 epochs"):
        Stack(msgspec.structs.replace(settings, seal_every=7)).start()


def test_a_service_that_refuses_its_configuration_stops_the_start(bootstrap, namespace, tmp_path):
    broken = {"security.protocol": "NONSENSE"}
    settings = Settings(bootstrap=bootstrap, namespace=namespace, data=tmp_path, kafka=broken)
    with pytest.raises(ConfigError, match="NONSENSE"):
        Stack(settings, ["broadcaster"]).start()
    assert not Folder(tmp_path).is_running()
