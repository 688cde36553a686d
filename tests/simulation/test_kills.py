"""Simulation: a whole stack with one process killed, later stopped past its session and woken.

The supervisor starts what died; the result is that of the undisturbed run. A failure names its
seed: `STREAMOPS_SEEDS=417 pytest tests/simulation/test_kills.py` disturbs at the same moments.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from streamops.operate.stack import Stack
from tests.simulated import essence, play

KILL_ROUNDS = (2, 3, 4)
STOP_ROUNDS = (5, 6)
LAST_ROUND = 8
DELAY_S_MAX = 1.5
STOPPED_S = 8.0  # longer than the broker's session of 6 s
BACK_S = 60.0


def seed() -> int:
    return int(os.environ.get("STREAMOPS_SEEDS", "4").partition(":")[0])


class Disturbance:
    """Kills one process, and later stops and wakes it, each a moment into a round.

    One act at a time: rounds are short, and the one to stop must not be killed while it sleeps.
    """

    def __init__(self, name: str, seed: int) -> None:
        r = random.Random(f"{name}/{seed}")
        self.name = name
        self.acts = {
            r.choice(KILL_ROUNDS): (r.uniform(0, DELAY_S_MAX), self.kill),
            r.choice(STOP_ROUNDS): (r.uniform(0, DELAY_S_MAX), self.stop),
        }
        self.done: list[str] = []
        self._thread = ThreadPoolExecutor(1)
        self._under_way: list[Future[None]] = []

    def __call__(self, number: int, stack: Stack) -> None:
        if number in self.acts:
            self._under_way.append(self._thread.submit(self._act, stack, *self.acts[number]))
        if number == LAST_ROUND:
            for act in self._under_way:
                act.result()
            self._thread.shutdown()

    def _act(self, stack: Stack, delay_s: float, act: Callable[[Stack], None]) -> None:
        threading.Event().wait(delay_s)
        act(stack)

    def kill(self, stack: Stack) -> None:
        killed = self._pid(stack)
        os.kill(killed, signal.SIGKILL)
        if stack.wait_for(lambda _: stack.pids.get(self.name) not in (None, killed), BACK_S):
            self.done.append("killed and back")

    def stop(self, stack: Stack) -> None:
        stopped = self._pid(stack)
        os.kill(stopped, signal.SIGSTOP)
        threading.Event().wait(STOPPED_S)
        os.kill(stopped, signal.SIGCONT)
        self.done.append("stopped and woken")

    def _pid(self, stack: Stack) -> int:
        assert stack.wait_for(lambda _: self.name in stack.pids, BACK_S)
        return stack.pids[self.name]


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["broker", "meter", "control", "trainer", "materializer"])
def test_a_process_killed_and_then_stopped_changes_nothing(name, quiet, root, tmp_path):
    disturb = Disturbance(name, seed())
    disturbed = play(root, tmp_path, disturb)
    where = f"seed {seed()}: {name} disturbed at {disturb.acts}"
    assert disturb.done == ["killed and back", "stopped and woken"], where
    assert essence(disturbed.summary) == essence(quiet.summary), where
    assert disturbed.summary.verified.ok, where
