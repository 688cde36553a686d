"""One short `simulate` on an existing Kafka: --no-wait, --model, --kafka-config and --keep."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import msgspec
import pytest

from streamops.kafka.admin import delete_namespace
from streamops.operate.folder import Folder
from streamops.operate.summary import Summary
from tests.hosting import hears_ctrl_c

ROWS = 400
PANE_S = 120
TIMEOUT_S = 240.0
OWN_MODEL = """
from sklearn.linear_model import LogisticRegression

def make(x, y):
    return LogisticRegression().fit(x, y)
"""


@pytest.fixture
def run(bootstrap: str, tmp_path: Path) -> Iterator[list[str]]:
    """A command that plays a short table; its topics are deleted afterwards."""
    r = random.Random(7)
    rows = [(x := r.random(), int(x + r.gauss(0, 0.1) > 0.5)) for _ in range(ROWS)]
    file = tmp_path / "short.csv"
    file.write_text("x,y\n" + "".join(f"{x:.4f},{y}\n" for x, y in rows))
    (tmp_path / "own.py").write_text(OWN_MODEL)
    command = [sys.executable, "-m", "streamops", "simulate", str(file), "--target", "y"]
    yield [*command, "--pane", str(PANE_S), "--partitions", "2", "--home", str(tmp_path / "run"),
           "--bootstrap", bootstrap]  # fmt: skip
    given = Folder(tmp_path / "run").read_settings()
    if given is not None:
        delete_namespace({"bootstrap.servers": bootstrap}, given.settings.namespace)


def test_it_streams_at_full_speed_on_an_existing_kafka_and_keeps_the_page_up(run, broker, tmp_path):
    config = tmp_path / "client.properties"
    config.write_text("# as an operator has it\nsecurity.protocol=PLAINTEXT\n")
    log, result = tmp_path / "log", tmp_path / "result.json"
    options = ["--no-wait", "--model", "own:make", "--keep", "--json"]
    with log.open("w") as err, result.open("w") as out:
        playing = subprocess.Popen(
            [*run, *options, "--kafka-config", str(config)],
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
    assert broker.pid is not None
    given = Folder(tmp_path / "run").read_settings()
    assert given is not None
    assert given.settings.kafka == {"security.protocol": "PLAINTEXT"}

    summary = msgspec.json.decode(result.read_bytes(), type=Summary)
    assert summary.rows == summary.predictions == summary.labels == summary.outcomes == 360
    assert summary.panes == len({second // PANE_S for second in range(40, ROWS)})
    assert summary.views_match_topics
    assert summary.verified.ok
    assert summary.score.first_model > 0.8 > summary.score.previous_label


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
