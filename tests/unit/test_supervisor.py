"""The supervisor, with real processes: what ends is started again, what is ended stays ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from streamops.errors import ConfigError
from streamops.operate import child as child_module
from streamops.operate import supervisor as supervisor_module
from streamops.operate.backoff import FIRST_S, HEALTHY_S, LONGEST_S, judge
from streamops.operate.child import Child, Report, Task
from streamops.operate.folder import (
    Folder,
    ServiceSettings,
    StackState,
    end_leftovers,
    read_service_settings,
)
from streamops.operate.memory import families, pss_mb
from streamops.operate.process import started_at
from streamops.operate.supervisor import Supervisor
from streamops.settings import Settings

TIMEOUT_S = 30.0
WAITS = "import signal; signal.pause()"
# Says on a pipe that it can hear SIGTERM; when it does, adds its name to a file.
LISTENS = """
import signal, sys
name, pipe, heard = sys.argv[1:]
def end(*_):
    with open(heard, "a") as out:
        out.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
open(pipe, "w").close()
while True:
    signal.pause()
"""
IS_DEAF = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").close()
while True:
    signal.pause()
"""
SUPERVISES = """
import signal, sys
from pathlib import Path
from streamops.operate.child import Task
from streamops.operate.supervisor import Supervisor
child, log = sys.argv[1:]
supervisor = Supervisor()
supervisor.start()
import os
command = (sys.executable, "-c", child, str(os.getpid()))
supervisor.add([Task(name="a", command=command, log=Path(log))])
print(supervisor.reports[0].pid, flush=True)
signal.pause()
"""
ENDS_WITH_PARENT = """
import signal, sys
from streamops.operate.parent import end_with
end_with(int(sys.argv[1]))
signal.pause()
"""


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    started = Supervisor()
    started.start()
    yield started
    started.stop()


def task(folder: Path, name: str, program: str, *arguments: str, stage: int = 1) -> Task:
    command = (sys.executable, "-c", program, *arguments)
    return Task(name=name, command=command, log=folder / f"{name}.log", stage=stage)


def pid_of(supervisor: Supervisor, name: str) -> int:
    [pid] = [report.pid for report in supervisor.reports if report.name == name]
    assert pid is not None
    return pid


def pipe(folder: Path, name: str) -> Path:
    path = folder / name
    os.mkfifo(path)
    return path


def test_delays_double_up_to_the_longest():
    delays = [judge(1, 0.0, failures).delay_s for failures in range(8)]
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert judge(1, 0.0, 10_000).delay_s == LONGEST_S


def test_who_was_healthy_begins_again():
    assert judge(-9, HEALTHY_S, 5).delay_s == FIRST_S
    assert judge(-9, HEALTHY_S, 5).failures == 1
    assert judge(-9, HEALTHY_S - 0.001, 5).failures == 6


def test_a_wrong_configuration_is_never_started_again():
    assert judge(2, HEALTHY_S * 2, 0).delay_s is None
    assert judge(0, 0.0, 0).delay_s == FIRST_S  # nobody asked it to end


def test_a_killed_child_is_started_again(supervisor, tmp_path):
    supervisor.add([task(tmp_path, "a", WAITS)])
    killed = pid_of(supervisor, "a")
    os.kill(killed, signal.SIGKILL)
    assert supervisor.wait_for(lambda r: r[0].restarts == 1, TIMEOUT_S)
    [report] = supervisor.reports
    assert report.state == "running"
    assert report.exit_code == -signal.SIGKILL
    assert report.pid != killed


def test_a_child_that_refuses_its_configuration_is_reported(supervisor, tmp_path):
    supervisor.add([task(tmp_path, "a", "raise SystemExit(2)")])
    assert supervisor.wait_for(lambda r: r[0].state == "failed", TIMEOUT_S)
    assert supervisor.reports[0].restarts == 0


def test_a_program_that_is_not_there_is_tried_again_and_named(supervisor, tmp_path):
    log = tmp_path / "a.log"
    supervisor.add([Task(name="a", command=("/nowhere/java",), log=log)])
    assert supervisor.wait_for(lambda r: r[0].restarts >= 1, TIMEOUT_S)
    assert supervisor.reports[0].exit_code == 127
    assert "/nowhere/java" in log.read_text()


def test_a_stopped_child_is_left_alone_and_still_ends(supervisor, tmp_path):
    supervisor.add([task(tmp_path, "sleeper", WAITS), task(tmp_path, "other", WAITS)])
    sleeper = pid_of(supervisor, "sleeper")
    os.kill(sleeper, signal.SIGSTOP)
    os.kill(pid_of(supervisor, "other"), signal.SIGKILL)
    assert supervisor.wait_for(lambda r: r[1].restarts == 1, TIMEOUT_S)
    assert pid_of(supervisor, "sleeper") == sleeper
    supervisor.stop()
    assert not psutil.pid_exists(sleeper)
    assert {report.state for report in supervisor.reports} == {"stopped"}


def test_services_end_before_the_broker(supervisor, tmp_path):
    heard = tmp_path / "heard"
    for name, stage in (("broker", 0), ("meter", 1), ("control", 1)):
        ready = pipe(tmp_path, f"{name}.pipe")
        supervisor.add([task(tmp_path, name, LISTENS, name, str(ready), str(heard), stage=stage)])
        ready.read_bytes()
    supervisor.stop()
    order = heard.read_text().split()
    assert sorted(order[:2]) == ["control", "meter"]
    assert order[2:] == ["broker"]
    assert [report.exit_code for report in supervisor.reports] == [0, 0, 0]


def test_a_child_that_does_not_hear_is_killed(supervisor, tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor_module, "END_TIMEOUT_S", 0.2)
    ready = pipe(tmp_path, "pipe")
    supervisor.add([task(tmp_path, "a", IS_DEAF, str(ready))])
    ready.read_bytes()
    pid = pid_of(supervisor, "a")
    supervisor.stop()
    assert not psutil.pid_exists(pid)


def test_a_retired_child_is_forgotten_and_the_others_stay(supervisor, tmp_path):
    supervisor.add([task(tmp_path, "a", WAITS), task(tmp_path, "b", WAITS)])
    gone = pid_of(supervisor, "a")
    supervisor.retire(["a"])
    assert not psutil.pid_exists(gone)
    assert [(report.name, report.state) for report in supervisor.reports] == [("b", "running")]


def test_each_change_is_told_with_all_reports(tmp_path):
    told: list[tuple[Report, ...]] = []
    supervisor = Supervisor(told.append)
    supervisor.start()
    supervisor.add([task(tmp_path, "a", WAITS)])
    supervisor.stop()
    assert [reports[0].state for reports in told] == ["running", "stopped"]


def test_kill_9_of_the_supervisor_leaves_nothing(tmp_path):
    command = [sys.executable, "-c", SUPERVISES, ENDS_WITH_PARENT, str(tmp_path / "a.log")]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait(TIMEOUT_S)
    child.wait(TIMEOUT_S)


def test_a_child_whose_parent_is_gone_already_ends_at_once():
    ended = subprocess.run([sys.executable, "-c", ENDS_WITH_PARENT, "1"], timeout=TIMEOUT_S)
    assert ended.returncode == 0


def test_a_log_is_capped_and_its_predecessor_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(child_module, "LOG_BYTES_MAX", 10)
    watched = Child(task(tmp_path, "a", WAITS))
    log = watched.task.log
    log.write_bytes(b"x" * 10)
    watched.cap_log()
    assert log.stat().st_size == 10
    log.write_bytes(b"x" * 11)
    watched.cap_log()
    assert log.stat().st_size == 0
    assert (tmp_path / "a.log.1").stat().st_size == 11


def test_a_folder_has_one_holder(tmp_path):
    folder = Folder(tmp_path)
    assert not folder.is_running()
    held = folder.lock()
    assert folder.is_running()
    with pytest.raises(ConfigError, match="is in use"):
        Folder(tmp_path).lock()
    held.close()
    assert not folder.is_running()
    Folder(tmp_path).lock().close()


def test_the_holder_is_named(tmp_path):
    folder = Folder(tmp_path)
    with folder.lock():
        folder.write_state(state(4711))
        with pytest.raises(ConfigError, match="by process 4711"):
            Folder(tmp_path).lock()


def test_settings_come_back_as_they_were_and_are_private(tmp_path):
    folder = Folder(tmp_path)
    given = ServiceSettings(
        settings=Settings(bootstrap="h:1", data=tmp_path, kafka={"sasl.password": "x"}),
        gateway_port=1,
    )
    folder.write_settings(given)
    assert folder.read_settings() == given
    assert read_service_settings(folder.settings_file) == given
    assert folder.settings_file.stat().st_mode & 0o777 == 0o600


def test_a_broken_or_missing_settings_file_is_named(tmp_path):
    folder = Folder(tmp_path)
    with pytest.raises(ConfigError, match=r"settings\.json is not there"):
        read_service_settings(folder.settings_file)
    folder.settings_file.write_text('{"settings": {}}')
    with pytest.raises(ConfigError, match=r"settings\.json can't be read.*bootstrap"):
        read_service_settings(folder.settings_file)


def test_only_a_leftover_with_its_start_time_is_ended(tmp_path):
    mine = subprocess.Popen([sys.executable, "-c", WAITS])
    began = started_at(mine.pid)
    assert began is not None
    try:
        assert end_leftovers(state(1, pid=mine.pid, began=began + 1)) == []
        assert mine.poll() is None
        assert end_leftovers(state(1, pid=mine.pid, began=began)) == [mine.pid]
    finally:
        mine.kill()
        mine.wait()
    assert end_leftovers(state(1, pid=mine.pid, began=began)) == []


def test_memory_counts_a_process_with_its_descendants(tmp_path):
    ready = pipe(tmp_path, "pipe")
    mine = subprocess.Popen([sys.executable, "-c", IS_DEAF, str(ready)])
    try:
        ready.read_bytes()
        assert families([os.getpid()]) >= {os.getpid(), mine.pid}
        alone = pss_mb([mine.pid])
        assert 0 < alone < pss_mb([os.getpid()])
        assert pss_mb([mine.pid, mine.pid]) < 1.5 * alone
    finally:
        mine.kill()
        mine.wait()
    assert pss_mb([mine.pid]) == 0


def state(supervisor: int, *, pid: int = 0, began: float = 0.0) -> StackState:
    report = Report(
        name="a", state="running", pid=pid, restarts=0, exit_code=None, log="", began=began
    )
    return StackState(
        pid=supervisor, began=0.0, phase="ready", namespace="n", bootstrap="h:1", partitions=1,
        children=(report,),
    )  # fmt: skip
