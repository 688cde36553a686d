"""One child process of a supervisor: started, watched, ended.

Rule 1: a stopped (SIGSTOP) child is not dead; it is left alone and wakes later.
Rule 2: each child leads a session of its own, so that Ctrl-C reaches the supervisor alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Literal

import msgspec

from streamops.operate.backoff import judge
from streamops.operate.process import started_at

LOG_BYTES_MAX = 16 * 1024**2

State = Literal["running", "waiting", "failed", "stopped"]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What a child is.

    command  program and arguments
    log      file its output is appended to, capped at LOG_BYTES_MAX with one predecessor
    stage    lower stages end later: 0 is the broker's
    env      added to the supervisor's environment
    """

    name: str
    command: tuple[str, ...]
    log: Path
    stage: int = 1
    env: dict[str, str] = {}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A child as `status` shows it.

    state      running; waiting to be started again; failed: its configuration must change; stopped
    pid        none unless running
    began      its start time, seconds since 1970: no other process has both
    restarts   how often it was started again
    exit_code  of its last end; negative for the signal that killed it
    """

    name: str
    state: State
    pid: int | None
    restarts: int
    exit_code: int | None
    log: str
    began: float | None = None


class Child:
    """A task and its process, if it has one. All times are a monotonic clock's seconds."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.state: State = "waiting"
        self.due = 0.0
        self.restarts = 0
        self.exit_code: int | None = None
        self._failures = 0
        self._began = 0.0
        self._created: float | None = None
        self._is_retired = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def report(self) -> Report:
        return Report(
            name=self.task.name,
            state=self.state,
            pid=self.pid,
            restarts=self.restarts,
            exit_code=self.exit_code,
            log=str(self.task.log),
            began=None if self._process is None else self._created,
        )

    def start(self, now: float) -> None:
        """Start the process; a program that can't be started counts as one that ended."""
        self.restarts += self.exit_code is not None
        self._began = now
        with self.task.log.open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    self.task.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **self.task.env},
                    start_new_session=True,
                )
            except OSError as error:
                log.write(f"streamops: {self.task.command[0]}: {error}\n".encode())
                self._end(127, now)
                return
        self._created = started_at(self._process.pid)
        self.state = "running"

    def has_ended(self, now: float) -> bool:
        """Whether the process ended since the last look; then a delay to the next start is set."""
        code = self._process.poll() if self._process is not None else None
        if code is None:
            return False
        self._end(code, now)
        return True

    def ask_to_end(self) -> None:
        """SIGTERM, and SIGCONT so that a stopped process can hear it."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)

    def retire(self) -> None:
        """Ask it to end, and don't start it again."""
        self._is_retired = True
        self.ask_to_end()
        if self.state == "waiting":
            self.state = "stopped"

    def kill(self) -> None:
        """SIGKILL to the process and whatever else is in its session's group."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self, timeout_s: float) -> bool:
        """Whether the process has ended, at the latest after `timeout_s` seconds."""
        if self._process is not None:
            try:
                self.exit_code = self._process.wait(max(timeout_s, 0.0))
            except subprocess.TimeoutExpired:
                return False
        self._process = None
        self.state = "failed" if self.state == "failed" else "stopped"
        return True

    def cap_log(self) -> None:
        """Keep the log below its limit: what it holds becomes NAME.log.1, and it begins again."""
        log = self.task.log
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)

    def _end(self, code: int, now: float) -> None:
        self._process = None
        self.exit_code = code
        verdict = judge(code, now - self._began, self._failures)
        self._failures = verdict.failures
        self.state = "failed" if verdict.delay_s is None else "waiting"
        self.due = now + (verdict.delay_s or 0.0)
        if self._is_retired:
            self.state = "stopped"

    def _signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
