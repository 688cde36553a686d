"""Workers' places in the processors' groups, and which partitions each was given.

Rule 1: who doesn't notice a rebalance goes on with what it held, as a zombie, until it notices.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from streamops.hosts.replay import STAGES
from tests.simulation.seeded.worker import Worker

INSTANCES = 2
NOTICING = 0.6


class Member:
    """A worker's place in its group: the process that runs there, and whether it kept up.

    start  makes a new process for the place
    """

    def __init__(self, name: str, instance: int, start: Callable[[Member], Worker]) -> None:
        self.name, self.instance, self._start = name, instance, start
        self.assigned: list[int] = []
        self.noticed = True
        self.worker: Worker

    def start(self) -> None:
        """Start a process; it is given what its place was."""
        self.noticed = True
        self.worker = self._start(self)
        self.worker.take_over(self.assigned)

    def notice(self) -> None:
        """Let go of what another worker holds, take over what is its own."""
        if not self.noticed:
            self.noticed = True
            self.worker.take_over(self.assigned)


def assign(group: list[Member], partitions: int, r: random.Random) -> None:
    """Give each partition to a member of a group, which doesn't know yet."""
    for member in group:
        member.assigned, member.noticed = [], False
    for partition in range(partitions):
        r.choice(group).assigned.append(partition)


def groups(start: Callable[[Member], Worker]) -> dict[str, list[Member]]:
    """Return the group of each processor."""
    return {name: [Member(name, n, start) for n in range(INSTANCES)] for name in STAGES}
