"""METER's partitions in processes of their own: the same answer, and no process left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from streamops.audit.metering import Job
from streamops.audit.namespace import namespace_of
from streamops.audit.verify import verify
from streamops.audit.whatif import what_if
from streamops.audit.workers import SMALL, Workers, workers_for
from streamops.errors import ConfigError, TransportError
from streamops.views.archive import raw_folder
from tests.story import archive, make_counting, play
from tests.unit.test_whatif import with_psi_above

# Ends itself by a signal when it has read the first epoch.
INTERRUPTED = """
import os
import sys
from pathlib import Path
from streamops.audit.metering import Job
from streamops.audit.namespace import namespace_of
from streamops.audit.workers import Workers

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with Workers([Job(folder, 0, namespace_of(folder))], 2) as processes:
        for source in processes.sources():
            next(source)
        print(*(lane._process.pid for lane in processes._lanes), flush=True)
        os.kill(os.getpid(), int(sys.argv[2]))
        for source in processes.sources():
            list(source)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    story = play(partitions=3, panes=6, every_s=3, seal_every=4)
    return archive(story, tmp_path_factory.mktemp("story") / "archive", rows=50)


@pytest.fixture(scope="module")
def damaged(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = Path(shutil.copytree(folder, tmp_path_factory.mktemp("damaged") / "archive"))
    sorted(raw_folder(copy, "predictions", 1).glob("[0-9]*.parquet"))[1].unlink()
    return copy


def test_any_number_of_processes_finds_the_same_bytes(damaged):
    here, there = (verify(damaged, make_detector=make_counting, workers=n) for n in (1, 2))
    assert any("no file holds them" in finding for finding in here.findings)
    assert any("summaries" in finding for finding in here.findings)
    assert msgspec.json.encode(there) == msgspec.json.encode(here)


def test_history_folded_by_processes_gives_the_same_difference(folder):
    given = [with_psi_above(0.02)]
    here, there = (
        what_if(folder, given, make_detector=make_counting, workers=n, raw=True) for n in (1, 2)
    )
    assert here.alerts.recorded
    assert msgspec.json.encode(there) == msgspec.json.encode(here)


def test_what_stops_a_process_is_said_in_one_sentence(folder, damaged):
    lacking = [Job(damaged, 1, namespace_of(folder), configs=b"[]")]
    with (
        Workers(lacking, 2) as processes,
        pytest.raises(TransportError, match=r"predictions-1: offsets .* are missing") as said,
    ):
        list(processes.sources()[0])
    assert "\n" not in str(said.value)
    with Workers([Job(folder, 0, namespace_of(folder))], 2) as processes:
        source = processes.sources()[0]
        next(source)
        os.kill(processes._lanes[0]._process.pid, signal.SIGKILL)
        with pytest.raises(TransportError, match=r"worker 0 ended with exit status -9 .* meter/0"):
            list(source)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_no_process_outlives_the_one_that_started_it(folder, number, tmp_path):
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    ended = subprocess.run(
        [sys.executable, str(script), str(folder), str(int(number))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert ended.returncode
    pids = list(map(int, ended.stdout.split()))
    assert len(pids) == 1
    deadline = time.monotonic() + 60
    while any(map(is_running, pids)):
        assert time.monotonic() < deadline, f"still there: {pids}"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """A process that ended and that nobody asked about yet isn't running."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_few_records_need_no_process():
    assert workers_for(SMALL - 1, 24) == 1
    assert 1 <= workers_for(SMALL, 24) <= len(os.sched_getaffinity(0))
    assert workers_for(SMALL, 1) == 1
    with pytest.raises(ConfigError, match="--workers is 0"):
        Workers([], 0)
