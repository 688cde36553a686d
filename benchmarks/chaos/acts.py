"""What is done to a stack: kill -9, pauses past the session, a second worker of the same name, and
a disk that takes no more of the archive or the views.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

import streamops
from streamops.errors import ServiceError
from streamops.operate.folder import Folder, ServiceSettings
from streamops.operate.stack import Stack

KILLED = (
    "meter", "meter-1", "meter", "meter-1", "control", "materializer", "archiver", "detect",
    "broker",
)  # fmt: skip
STOPPED = ("meter", "meter-1", "control")
WRITING = ("archiver", "materializer")
STOPPED_S = 8.0  # longer than the session of 6 s
BROKER_S = 4.0
TWIN_S = 6.0
FULL_BYTES = 4096
BACK_S = 90.0
# Beside so many kills: a pause of a worker, a twin; beside twice as many a pause of the broker, a
# full disk.
KILLS_AN_OTHER = 10


class Act(NamedTuple):
    """What is done to whom."""

    what: str
    name: str


def plan(kills: int, seed: int) -> list[Act]:
    """Return so many kills, in a random order with what else is done; of each kind at least one."""
    chance = random.Random(seed)
    often = -(-kills // KILLS_AN_OTHER)
    seldom = -(-often // 2)
    acts = [Act("kill", chance.choice(KILLED)) for _ in range(kills)]
    acts += [Act("stop", chance.choice(STOPPED)) for _ in range(often)]
    acts += [Act("twin", "meter")] * often + [Act("stop", "broker")] * seldom
    acts += [Act("full", WRITING[n % len(WRITING)]) for n in range(seldom)]
    chance.shuffle(acts)
    return acts


class Acts:
    """Disturbs in the order of a plan, one act at a time, until told to stop."""

    def __init__(self, stack: Stack, acts: Sequence[Act], seconds: float, seed: int) -> None:
        self._stack, self._acts, self._random = stack, acts, random.Random(seed)
        self._every_s = seconds / max(1, len(acts))
        self._does = {
            "kill": self._kill,
            "stop": self._pause,
            "twin": self._twin,
            "full": self._fill,
        }
        self.done: Counter[str] = Counter()
        self.trouble: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def is_over(self) -> bool:
        """Whether all was done that was to be done."""
        return not self._thread.is_alive()

    def start(self) -> None:
        """Begin to disturb."""
        self._thread.start()

    def stop(self) -> None:
        """End after the act under way."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        for act in self._acts:
            if self._stop.wait(self._random.uniform(0, self._every_s)):
                return
            pid = self._await(act.name, 0)
            if pid:
                self._do(act, pid)

    def _do(self, act: Act, pid: int) -> None:
        try:
            self._does[act.what](act.name, pid)
        except ServiceError as error:
            self.trouble.append(f"{act.what} {act.name}: {error}")
        else:
            self.done[f"{act.what} {act.name}"] += 1

    def _kill(self, name: str, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self._await(name, pid)

    def _pause(self, name: str, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        threading.Event().wait(BROKER_S if name == "broker" else STOPPED_S)
        os.kill(pid, signal.SIGCONT)

    def _fill(self, name: str, pid: int) -> None:
        """Let no file of a process grow, as where the disk is full, until it has failed of it."""
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (FULL_BYTES, before[1]))
        settings = self._stack.settings
        with streamops.Client(settings.bootstrap, namespace=settings.namespace) as client:
            client.request_seal(reason="chaos: the archiver writes all that it has")
            # The broker may have been killed a moment ago.
            client.flush(BACK_S)
        failed = self._stack.wait_for(lambda _: self._stack.pids.get(name) != pid, BACK_S)
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        if not failed:
            self.trouble.append(f"{name} wrote to a full disk for {BACK_S:g} s")

    def _twin(self, name: str, pid: int) -> None:
        """Run a second worker with the same id over a folder of its own, for a while."""
        given = self._stack.given
        folder = Folder(given.settings.data / "twin")
        folder.logs.mkdir(parents=True, exist_ok=True)
        settings = msgspec.structs.replace(given.settings, data=folder.path)
        folder.write_settings(ServiceSettings(settings=settings))
        command = (sys.executable, "-m", "streamops.operate.services", name)
        with folder.log(name).open("ab") as log:
            twin = subprocess.Popen(
                [*command, str(folder.settings_file), str(os.getpid())], stdout=log, stderr=log
            )
            threading.Event().wait(TWIN_S)
            twin.kill()
            twin.wait()

    def _await(self, name: str, before: int) -> int:
        """Return the process id of what runs under the name, another one than before."""
        stack = self._stack
        if stack.wait_for(lambda _: stack.pids.get(name) not in (None, before), BACK_S):
            return stack.pids[name]
        self.trouble.append(f"{name} was not back after {BACK_S:g} s")
        return 0
