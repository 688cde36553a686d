"""A bad day: the workers of four processors over one log, disturbed as a seed chooses, then quiet.

Rule 1: everything that happens is drawn from the seed: a run repeats itself to the last byte.
Rule 2: what may happen: records arrive in any interleaving and a place may stall; sends are slow,
        fail, or are overtaken; a process dies between any two effects and comes back, with its disk
        or without; partitions move to a worker whose disk is older or empty; one that doesn't
        notice goes on as a zombie.
"""

from __future__ import annotations

import random
from pathlib import Path

from streamops.core.processor import Record
from streamops.errors import TransportError
from streamops.hosts.memory import Place
from streamops.settings import Settings
from tests.simulation.seeded.broker import NAMESPACE, Fuse, Killed, Log, Producer, Send
from tests.simulation.seeded.disk import Disks
from tests.simulation.seeded.member import NOTICING, Member, assign, groups
from tests.simulation.seeded.raw_log import RawLog
from tests.simulation.seeded.troubles import Troubles
from tests.simulation.seeded.worker import Worker

STEPS_EACH_RECORD = 0.8
STALL_STEPS = 40
FAILING = 0.02
SHARED = 0.3
LOSING = 0.05
ROUNDS_MAX = 1000


class Cluster:
    """Four processors, two workers each, and the records on their way to them.

    coming  place -> what has yet to arrive, last first
    flying  what dead processes had in the network
    """

    def __init__(self, raw: RawLog, seed: int, folder: Path, troubles: Troubles) -> None:
        self.r = random.Random(f"cluster/{seed}")
        self.raw, self.folder, self.troubles = raw, folder, troubles
        self.log = Log(raw.partitions)
        self.disks = Disks(shared=self.r.random() < SHARED)
        self.failing = FAILING
        self.flying: list[Send] = []
        self.coming: dict[Place, list[Record]] = {
            place: [row.record for row in reversed(rows)] for place, rows in raw.rows.items()
        }
        self.stalled = self.r.choice(list(self.coming))
        self.groups = groups(self._new_worker)
        self.members = [member for group in self.groups.values() for member in group]
        for group in self.groups.values():
            assign(group, raw.partitions, self.r)
        for member in self.members:
            member.start()

    def run(self) -> None:
        """Play the day to its end."""
        for step in range(int(sum(map(len, self.coming.values())) * STEPS_EACH_RECORD)):
            if step % STALL_STEPS == 0:
                self.stalled = self.r.choice(list(self.coming))
            self._arrive(self.r.randint(0, 3))
            self._turn(self.r.choice(self.members))
            self._disturb(self.r.random())
        self._end()

    def quarantined(self) -> list[str]:
        """Return the sources that set a close aside: there are none without a fault."""
        return [
            host.fold.source
            for member in self.members
            for host in member.worker.hosts.values()
            for inbox in host.fold.inboxes.values()
            if getattr(inbox, "quarantined", 0)
        ]

    def _new_worker(self, member: Member) -> Worker:
        settings = Settings(
            bootstrap="",
            namespace=NAMESPACE,
            data=self.folder / str(member.instance),
            partitions=self.raw.partitions,
            driven=self.raw.skew_max_ms is None,
            skew_max_ms=self.raw.skew_max_ms or 0,
        )
        producer = Producer(self.log, Fuse(), self.r, self.failing)
        return Worker(member.name, settings, self.log, producer, self.disks)

    def _arrive(self, count: int) -> None:
        for _ in range(count):
            places = [p for p, rows in self.coming.items() if rows and p != self.stalled]
            if places:
                place = self.r.choice(places)
                self.log.rows.setdefault(place, []).append(self.coming[place].pop())

    def _turn(self, member: Member) -> None:
        """Let a process read, send, settle or save; it may die of it."""
        try:
            self._work(member.worker)
        except Killed:
            self._die(member)
        except TransportError:
            self.troubles.failed_sends += 1
            self._die(member)

    def _work(self, worker: Worker) -> None:
        r = self.r
        if r.random() < 0.03:
            worker.fuse.left = r.randint(0, 12)
        for place in worker.unread():
            if r.random() < 0.6:
                worker.read(place, r.randint(1, 16), r.choice((0, 0, 0, 2)))
        worker.producer.carry(r.randint(0, 4))
        draw = r.random()
        if draw < 0.07:
            worker.settle()
            worker.fuse.left = r.randint(0, 2)
        if draw < 0.3:
            worker.checkpoint()
        elif draw < 0.7:
            worker.serve()

    def _disturb(self, draw: float) -> None:
        if draw < 0.015:
            self._die(self.r.choice(self.members))
        elif draw < 0.06:
            self._rebalance(self.r.choice(list(self.groups.values())))
        elif draw < 0.16:
            self.r.choice(self.members).notice()
        elif draw < 0.25:
            self._land(self.r.randint(1, 5))

    def _die(self, member: Member) -> None:
        """A process dies and its supervisor starts it again; what it had in the network remains."""
        self.troubles.deaths += 1
        self.flying += member.worker.producer.abandon()
        if self.r.random() < LOSING:
            self.disks.lose(member.worker.settings.data, member.name)
        member.start()

    def _land(self, count: int) -> None:
        """What dead processes had in the network arrives."""
        for send in self.flying[:count]:
            self.log.append(send.place, send.key, send.value)
        del self.flying[:count]

    def _rebalance(self, group: list[Member]) -> None:
        self.troubles.rebalances += 1
        assign(group, self.raw.partitions, self.r)
        for member in group:
            if self.r.random() < NOTICING:
                member.notice()
            else:
                self.troubles.zombies += 1

    def _end(self) -> None:
        """All records arrive, zombies wake a last time, everyone notices, reads and settles."""
        self.stalled = ("", 0)
        self._arrive(sum(map(len, self.coming.values())))
        for member in self.members:
            self._turn(member)
        self.failing = 0.0
        for member in self.members:
            member.worker.fuse.left, member.worker.producer.failing = None, 0.0
            member.notice()
        for _ in range(ROUNDS_MAX):
            worked = [self._finish(member) for member in self.members]
            if not any(worked) and not self.flying:
                return
            self._land(len(self.flying))
        raise AssertionError("the workers never came to an end")

    def _finish(self, member: Member) -> bool:
        """Read and settle all there is; tell whether there was anything."""
        worker = member.worker
        places = worker.unread()
        for place in places:
            worker.read(place, self.log.end(place))
        try:
            worker.settle()
        except TransportError:
            self._die(member)
            return True
        return bool(places)
