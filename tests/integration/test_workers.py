"""METER's partitions in processes of their own: the same answer, and no process left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import msgspec
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamops import codec
from streamops.audit.beside import ChainBeside
from streamops.audit.metering import Job
from streamops.audit.namespace import namespace_of
from streamops.audit.verify import verify
from streamops.audit.whatif import what_if
from streamops.audit.workers import SMALL, Workers, workers_for
from streamops.errors import ConfigError, TransportError
from streamops.views.archive import ArchiveLog, cover_of, raw_folder, write_raw
from streamops.views.seal import Sealer
from streamops.views.seal_events import HOME
from tests.sealed import raw
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
        print(*(lane.pid for lane in processes._lanes), flush=True)
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


@pytest.fixture(scope="module")
def sealed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same history, sealed, and the seal archived."""
    copy = Path(shutil.copytree(folder, tmp_path_factory.mktemp("sealed") / "archive"))
    log, sealer = ArchiveLog(copy), Sealer(copy, "shop")
    for place in [(topic, p) for topic in log.topics() for p in log.partitions(topic)]:
        for path, cover in log.files(*place):
            sealer.take(place, list(log.read(*place, cover.first, cover.next)), cover, path)
    value, first = codec.encode(sealer.seal(0.0)), log.held(*HOME).next
    write_raw(copy, [raw(HOME, first, value)], HOME, cover_of([first], first, first + 1))
    return copy


@pytest.mark.parametrize("harm", ["", "a record"])
def test_the_chain_is_checked_beside_with_the_same_result(sealed, harm, tmp_path):
    copy = Path(shutil.copytree(sealed, tmp_path / "archive"))
    if harm:
        path = sorted(raw_folder(copy, "labels", 1).glob("[0-9]*.parquet"))[0]
        table = pq.read_table(path)
        values = table.column("value").to_pylist()
        values[3] = values[3].replace(b"2026", b"2025", 1)
        assert values != table.column("value").to_pylist()
        pq.write_table(table.set_column(3, "value", pa.array(values, pa.binary())), path)
    seen = list[tuple[int, int]]()
    here, there = (
        verify(
            copy, make_detector=make_counting, workers=n, on_progress=lambda *at: seen.append(at)
        )
        for n in (1, 2)
    )
    assert msgspec.json.encode(there) == msgspec.json.encode(here)
    assert [(b.topic, b.partition, b.offset) for b in here.chain.broken] == (
        [("labels", 1, 3)] if harm else []
    )
    assert here.ok is not bool(harm)
    assert seen[-1][0] == seen[-1][1], "all was looked at"


def test_a_check_that_is_killed_is_said_and_none_stays_behind(sealed):
    with closing(ChainBeside(sealed, 2)) as chain:
        assert chain._process is not None
        os.kill(pid := chain._process.pid, signal.SIGKILL)
        with pytest.raises(TransportError, match=r"chain ended with exit status -9 .* the chain;"):
            chain.result(lambda done, total: None)
    with closing(ChainBeside(sealed, 2)) as chain:
        assert chain._process is not None
        other = chain._process.pid
    assert not [each for each in (pid, other) if psutil.pid_exists(each)]


def test_without_a_seal_no_process_is_started(folder):
    with closing(ChainBeside(folder, 2)) as chain:
        assert chain._process is None
        assert chain.result(lambda done, total: None).seals == 0


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
        os.kill(processes._lanes[0].pid, signal.SIGKILL)
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
