"""A disk below its floor, for real: refused in clear words, paused, and going on above it again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from litestar.testing import TestClient

from streamops import Client
from streamops.disk import Floor, floor_file, write_floor
from streamops.errors import TransportError
from streamops.events import Tick
from streamops.hosts.kafka import KafkaHost
from streamops.hosts.memory import make_fold
from streamops.kafka.follow import Follower
from streamops.operate.stack import Stack
from streamops.serving.gateway import Gateway, make_app
from streamops.settings import Settings
from tests.hosting import fold as service
from tests.hosting import new_settings, running, write
from tests.recorded import recording

PATIENCE_S = 60.0
HUGE_MB = 1 << 40


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def status(data: Path) -> tuple[int, dict]:
    command = [sys.executable, "-m", "streamops", "status", "--json", "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def ticks(settings: Settings) -> int:
    with closing(Follower(settings, "counting", ["labels"])) as follower:
        return sum(isinstance(record.event, Tick) for record in follower.to_end())


def refusal_of(client: Client) -> str:
    """What logging a prediction raises; empty where it is taken."""
    try:
        client.log_prediction(model="m", version="1", prediction=1, features={"x": 1.0})
    except TransportError as error:
        return str(error)
    return ""


def test_a_stack_below_its_floor_refuses_and_goes_on_above_it(tmp_path):
    template = Settings(bootstrap="", data=tmp_path, partitions=1, disk_floor_mb=HUGE_MB)
    with Stack(template, ["broadcaster", "gateway"]) as stack:
        stack.wait_ready(PATIENCE_S)
        with Client(stack.settings.bootstrap, namespace=stack.settings.namespace) as client:
            until(lambda: refusal_of(client) != "", "the client never knew")
            said = refusal_of(client)
            assert f"{tmp_path} has " in said
            assert f"below the floor of {HUGE_MB} MiB (disk_floor_mb)" in said
            before = ticks(stack.settings)
            code, found = status(tmp_path)
            assert (code, found["disk"]["low"], found["disk"]["floor_mb"]) == (3, True, HUGE_MB)
            # A person's command is taken.
            client.silence("m", "m/psi/all/x", until=datetime(2100, 1, 1, tzinfo=UTC))

            write_floor(floor_file(tmp_path), Floor(str(tmp_path), 0))
            until(lambda: refusal_of(client) == "", "the client never went on")
            until(lambda: ticks(stack.settings) > before, "no tick came again")
            client.flush()
        assert before == 0
        assert status(tmp_path)[0] == 0


def test_a_worker_below_the_floor_reads_nothing_and_goes_on(bootstrap, namespace, tmp_path):
    settings, recorded = new_settings(bootstrap, namespace, tmp_path, 1), recording(1)
    write_floor(floor_file(tmp_path), Floor(str(tmp_path), HUGE_MB))
    host = KafkaHost(settings, "meter", lambda p: make_fold("meter", p, 1, skew_max_ms=None))
    write(settings, recorded.rows)
    services = [service("detect"), lambda _, stop: host.run(stop)]
    with running(settings, services):
        until(lambda: 0 in host.hosts and host.hold.is_on, "it was never assigned")
        assert [inbox.position for inbox in host.hosts[0].fold.inboxes.values()] == [0, 0]
        write_floor(floor_file(tmp_path), Floor(str(tmp_path), 0))
        until(lambda: host.hosts[0].fold.epoch >= recorded.last_epoch, "it never went on")


def test_the_gateway_says_so(bootstrap, namespace, tmp_path, monkeypatch):
    settings = new_settings(bootstrap, namespace, tmp_path, 1)
    write_floor(floor_file(tmp_path), Floor(str(tmp_path), HUGE_MB))
    gateway = Gateway(settings)
    monkeypatch.setattr(gateway.scorer, "serving", lambda model: model)
    asked = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
    try:
        with TestClient(make_app(gateway)) as client:
            answer = client.post("/v2/models/m/infer", json=asked)
    finally:
        gateway.close()
    assert answer.status_code == 503
    assert f"below the floor of {HUGE_MB} MiB" in answer.json()["detail"]
