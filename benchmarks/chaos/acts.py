"""What is done to a stack: kill -9, a pause past the session, a second worker of the same name."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable

import msgspec

from streamops.operate.folder import Folder, ServiceSettings
from streamops.operate.stack import Stack

KILLED = ("meter", "meter-1", "meter", "meter-1", "control", "materializer", "detect", "broker")
STOPPED = ("meter", "meter-1", "control")
STOPPED_S = 8.0  # longer than the session of 6 s
TWIN_S = 6.0
BACK_S = 90.0
# Of ten acts one is a pause, one a twin.
PAUSE, TWIN = 0.1, 0.2


class Acts:
    """Disturbs in the order that the seed gives, one act at a time, until told to stop."""

    def __init__(self, stack: Stack, acts: int, seconds: float, seed: int) -> None:
        self._stack, self._left, self._random = stack, acts, random.Random(seed)
        self._every_s = seconds / max(1, acts)
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
        while self._left > 0 and not self._stop.wait(self._random.uniform(0, self._every_s)):
            self._left -= 1
            chance = self._random.random()
            if chance < PAUSE:
                self._do("stop", self._random.choice(STOPPED), self._pause)
            elif chance < TWIN:
                self._do("twin", "meter", self._twin)
            else:
                self._do("kill", self._random.choice(KILLED), self._kill)

    def _do(self, what: str, name: str, act: Callable[[str, int], None]) -> None:
        pid = self._await(name, 0)
        if pid:
            act(name, pid)
            self.done[f"{what} {name}"] += 1

    def _kill(self, name: str, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self._await(name, pid)

    def _pause(self, name: str, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        threading.Event().wait(STOPPED_S)
        os.kill(pid, signal.SIGCONT)

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
