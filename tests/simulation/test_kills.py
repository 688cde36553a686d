"""Simulation: a whole stack with one process killed, later stopped past its session and woken.

The supervisor starts what died; the result is that of the undisturbed run. Of the processes named
together each is disturbed when the one before is well again. A failure names its seed:
`STREAMOPS_SEEDS=417 pytest tests/simulation/test_kills.py` disturbs at the same moments.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from streamops.operate.stack import Stack
from tests.simulated import essence, play

KILL_ROUNDS = (0, 1)
STOP_ROUND = 2
WELL_ROUND = 3
TURN = 3  # rounds later it is the next one's turn
DELAY_S_MAX = 1.5
STOPPED_S = 8.0  # longer than the broker's session of 6 s
BACK_S = 60.0


def seed() -> int:
    return int(os.environ.get("STREAMOPS_SEEDS", "4").partition(":")[0])


class Disturbance:
    """Kills a process, and later stops and wakes it, each a moment into a round; then the next.

    One act at a time: rounds are short, and the one to stop must not be killed while it sleeps.
    """

    def __init__(self, names: Sequence[str], seed: int) -> None:
        self.acts: dict[int, tuple[float, Callable[[Stack, str], None], str]] = {}
        for turn, name in enumerate(names):
            r, from_ = random.Random(f"{name}/{seed}"), turn * TURN
            self.acts[from_ + r.choice(KILL_ROUNDS)] = (
                r.uniform(0, DELAY_S_MAX),
                self.kill,
                name,
            )
            self.acts[from_ + STOP_ROUND] = (r.uniform(0, DELAY_S_MAX), self.stop, name)
        self.well = {turn * TURN + WELL_ROUND for turn in range(len(names))}
        self.done: list[str] = []
        self._thread = ThreadPoolExecutor(1)
        self._under_way: list[Future[None]] = []

    def __call__(self, number: int, stack: Stack) -> None:
        if number in self.well:
            for act in self._under_way:
                act.result()
        if number in self.acts:
            self._under_way.append(self._thread.submit(self._act, stack, *self.acts[number]))
        if number == max(self.well):
            self._thread.shutdown()

    def _act(
        self, stack: Stack, delay_s: float, act: Callable[[Stack, str], None], name: str
    ) -> None:
        threading.Event().wait(delay_s)
        act(stack, name)

    def kill(self, stack: Stack, name: str) -> None:
        killed = pid_of(name, stack)
        os.kill(killed, signal.SIGKILL)
        if stack.wait_for(lambda _: stack.pids.get(name) not in (None, killed), BACK_S):
            self.done.append(f"{name} killed and back")

    def stop(self, stack: Stack, name: str) -> None:
        stopped = pid_of(name, stack)
        os.kill(stopped, signal.SIGSTOP)
        threading.Event().wait(STOPPED_S)
        os.kill(stopped, signal.SIGCONT)
        self.done.append(f"{name} stopped and woken")


def pid_of(name: str, stack: Stack) -> int:
    assert stack.wait_for(lambda _: name in stack.pids, BACK_S)
    return stack.pids[name]


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "names",
    [("broker", "trainer"), ("meter", "control", "materializer")],
    ids=" and ".join,
)
def test_a_process_killed_and_then_stopped_changes_nothing(names, quiet, root, tmp_path):
    disturb = Disturbance(names, seed())
    disturbed = play(root, tmp_path, disturb)
    where = f"seed {seed()}: disturbed at {disturb.acts}"
    done = [f"{name} {what}" for name in names for what in ("killed and back", "stopped and woken")]
    assert disturbed.rounds > max(disturb.well), where
    assert disturb.done == done, where
    assert essence(disturbed.summary) == essence(quiet.summary), where
    assert disturbed.summary.verified.ok, where
