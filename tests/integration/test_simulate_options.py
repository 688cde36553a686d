"""An existing Kafka with TLS, SCRAM and rights of one prefix: one short `simulate` with --no-wait,
--model, --kafka-config and --keep; and what a wrong password, certificate or name is told.
"""

from __future__ import annotations

import os
import random
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import msgspec
import pytest

from streamops.errors import ConfigError, TransportError, exit_code
from streamops.operate.folder import Folder
from streamops.operate.summary import Summary
from tests.hosting import hears_ctrl_c
from tests.secured import PASSWORD, secured_broker

ROWS = 400
PANE_S = 120
TIMEOUT_S = 240.0
OWN_MODEL = """
from sklearn.linear_model import LogisticRegression

def make(x, y):
    return LogisticRegression().fit(x, y)
"""


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address and client settings of a broker of its own."""
    with secured_broker(tmp_path_factory.mktemp("secured"), "sim-") as place:
        yield place


@pytest.fixture
def run(secured: tuple[str, Path], tmp_path: Path) -> list[str]:
    """A command that plays a short table there."""
    r = random.Random(7)
    rows = [(x := r.random(), int(x + r.gauss(0, 0.1) > 0.5)) for _ in range(ROWS)]
    file = tmp_path / "short.csv"
    file.write_text("x,y\n" + "".join(f"{x:.4f},{y}\n" for x, y in rows))
    (tmp_path / "own.py").write_text(OWN_MODEL)
    command = [sys.executable, "-m", "streamops", "simulate", str(file), "--target", "y"]
    bootstrap, config = secured
    return [*command, "--pane", str(PANE_S), "--partitions", "2", "--home", str(tmp_path / "run"),
            "--bootstrap", bootstrap, "--kafka-config", str(config)]  # fmt: skip


def test_it_streams_at_full_speed_on_a_secured_kafka_and_keeps_the_page_up(run, tmp_path):
    log, result = tmp_path / "log", tmp_path / "result.json"
    options = ["--no-wait", "--model", "own:make", "--keep", "--json"]
    with log.open("w") as err, result.open("w") as out:
        playing = subprocess.Popen(
            [*run, *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
            stdout=out,
            stderr=err,
            start_new_session=True,
            preexec_fn=hears_ctrl_c,
        )
    try:
        page = kept_page(playing, log)
        os.killpg(playing.pid, signal.SIGINT)
        assert playing.wait(TIMEOUT_S) == 0
    finally:
        playing.kill()
    assert not answers(page)
    given = Folder(tmp_path / "run").read_settings()
    assert given is not None
    assert given.settings.kafka["security.protocol"] == "SASL_SSL"
    assert stat.S_IMODE((tmp_path / "run" / "settings.json").stat().st_mode) == 0o600

    summary = msgspec.json.decode(result.read_bytes(), type=Summary)
    assert summary.rows == summary.predictions == summary.labels == summary.outcomes == 360
    assert summary.panes == len({second // PANE_S for second in range(40, ROWS)})
    assert summary.views_match_topics
    assert summary.verified.ok
    assert summary.score.first_model > 0.8 > summary.score.previous_label


@pytest.mark.parametrize(
    ("change", "namespace", "status", "told"),
    [
        ((PASSWORD, "wrong"), "sim-a", TransportError, "invalid credentials"),
        (("ca.pem", "none.pem"), "sim-a", ConfigError, "ssl.ca.location"),
        (("ssl.ca.location", "#"), "sim-a", TransportError, "certificate verify failed"),
        (("", ""), "another", TransportError, "another.alerts: Authorization failed"),
    ],
)
def test_what_kafka_refuses_is_told_at_once(secured, tmp_path, change, namespace, status, told):
    bootstrap, good = secured
    config = tmp_path / "client.properties"
    config.write_text(good.read_text().replace(*change))
    asked = subprocess.run(
        [sys.executable, "-m", "streamops", "topics", "apply", "--bootstrap", bootstrap,
         "--kafka-config", str(config), "--namespace", namespace, "--partitions", "1"],
        capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
    )  # fmt: skip
    assert asked.returncode == exit_code(status(""))
    assert asked.stderr.count("\n") == 1
    assert told in asked.stderr


def kept_page(playing: subprocess.Popen[bytes], log: Path) -> str:
    """The address of the page, once the run has ended and its page answers again."""
    deadline = time.monotonic() + TIMEOUT_S
    page = ""
    while not (page and "Kept up" in log.read_text() and answers(page)):
        assert playing.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
        found = re.search(r"the page is at (http://127\.0\.0\.1:\d+)", log.read_text())
        page = found[1] if found else ""
    return page


def answers(page: str) -> bool:
    try:
        with urlopen(f"{page}/", timeout=30) as response:
            return "short" in response.read().decode()
    except OSError:
        return False
