"""A whole namespace in memory that can be treated badly: crashes, zombies, lost and repeated sends.

`story(seed)` makes the raw logs of a namespace; `clean` folds them once, in order, with a trainer
that answers; `Cluster` folds the same logs again as a bad day would. Both must conclude the same.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from streamops import codec
from streamops.config import RetrainPolicy
from streamops.core.epochs import Fold
from streamops.core.output_rows import Addressed
from streamops.core.partition import partition_of
from streamops.core.processor import Record
from streamops.events import (
    EpochClosed,
    EpochConcluded,
    Event,
    PredictionMade,
    PromotionRequested,
    RetrainRequested,
    RollbackRequested,
)
from streamops.hosts.decoding import to_record
from streamops.hosts.memory import BROADCAST, MemoryHost, Place, make_fold
from tests.builders import (
    MODEL,
    activated,
    at,
    config,
    failed,
    label,
    made,
    registered,
    rule,
    scored,
    tick,
    version,
)

EPOCHS = 12
NAMES = ("meter", "detect", "monitor", "controller")
CONCLUDED = ("outcomes", "summaries", "metrics", "alerts", "retraining", "deployments", "dlq")


class Toy:
    """A detector that calls every seventh error a drift."""

    platform = "toy"
    since_back = 3

    def __init__(self) -> None:
        self.errors = 0

    def update(self, error: float) -> str:
        self.errors += error > 0
        return "drift" if error > 0 and self.errors % 7 == 0 else "none"


class Line(NamedTuple):
    """One record of a story: to a key's partition, or to all (key None)."""

    topic: str
    key: str | None
    event: Event | bytes


def story(seed: int) -> list[list[Line]]:
    """What producers send, epoch by epoch; a line for all of `topic` "broadcast" is a tick."""
    r = random.Random(seed)
    epochs = [_opening(r)]
    waiting: list[str] = []
    for epoch in range(1, EPOCHS):
        lines = [Line("broadcast", None, tick(epoch, epoch * 10))]
        shown = [_prediction(r, epoch, n) for n in range(r.randint(3, 9))]
        lines += [Line("predictions", p.id, p) for p in shown]
        lines += [Line("predictions", p.id, p) for p in shown if r.random() < 0.1]
        waiting += [p.id for p in shown]
        for _ in range(r.randint(0, len(waiting))):
            name = waiting.pop(r.randrange(len(waiting)))
            lines += _labels(r, name, epoch)
        lines += _odd(r, epoch)
        first = lines[:1]
        rest = lines[1:]
        r.shuffle(rest)
        epochs.append(first + rest)
    epochs.append([Line("broadcast", None, tick(EPOCHS, EPOCHS * 10 + 500))])
    return epochs


def _opening(r: random.Random) -> list[Line]:
    retrain = RetrainPolicy(
        min_labels=r.choice((5, 20)), cooldown_panes=r.choice((0, 2)), strategies=("recent", "all"),
        recent_rows=10, holdout_rows=5,
    )  # fmt: skip
    rules = (
        rule(above=r.choice((0.2, 2.0)), raise_after=r.choice((1, 2))),
        rule("acc", kind="performance", metric="accuracy", feature="", below=0.6, resolve_after=1),
        rule("cd", kind="concept_drift", metric="adwin", feature=""),
    )
    delay = r.choice((0, 10))
    settings = config(
        rules=rules, retrain=retrain, detectors=("adwin",), maturity_s=delay, cohort_delay_s=delay,
        horizon_s=r.choice((10, 40, 100)), allowed_lateness_s=r.choice((0, 3)),
        segments={"s": ("a",)}, min_coverage=0.3,
    )  # fmt: skip
    return [
        Line("broadcast", None, tick(0, 0)),
        Line("broadcast", None, activated(settings, 1)),
        Line("broadcast", None, activated(version("v1"), 2)),
        Line("lifecycle", MODEL, registered("v1")[0]),
        Line("lifecycle", MODEL, registered("v1")[1]),
        Line("lifecycle", MODEL, PromotionRequested(
            id="promote", time=at(0), model=MODEL, version="v1", actor="ann")),
    ]  # fmt: skip


def _prediction(r: random.Random, epoch: int, n: int) -> Any:
    seconds = epoch * 10 + r.uniform(-4, 10)
    x = r.random() + (0.6 if epoch > 6 else 0.0)
    return made(
        round(seconds, 3), f"p{epoch}.{n}", prediction=r.choice((0, 1)), score=round(r.random(), 3),
        features={"x": x, "c": r.choice("abz")}, segments={"s": r.choice("ab")},
        model=MODEL if r.random() < 0.85 else "other",
        version=r.choice(("v1", "v1", "v9")), latency_ms=float(r.randint(1, 99)),
    )  # fmt: skip


def _labels(r: random.Random, name: str, epoch: int) -> list[Line]:
    found = [label(name, r.choice((0, 1)), epoch * 10, id=f"l/{name}")]
    if r.random() < 0.15:
        found += found
    if r.random() < 0.15:
        found.append(label(name, r.choice((0, 1)), epoch * 10, id=f"again/{name}"))
    return [Line("labels", name, event) for event in found]


def _odd(r: random.Random, epoch: int) -> list[Line]:
    lines: list[Line] = []
    if r.random() < 0.3:
        lines.append(Line("labels", f"ghost{epoch}", label(f"ghost{epoch}", 1, epoch * 10)))
    if r.random() < 0.3:
        early = f"p{epoch + 1}.0"
        lines.append(Line("labels", early, label(early, 0, epoch * 10, id=f"early/{early}")))
    if r.random() < 0.3:
        lines.append(Line("predictions", f"junk{epoch}", b"{not json"))
    if r.random() < 0.3:
        lines.append(Line("predictions", f"f{epoch}", failed(epoch * 10 + 1)))
    if epoch == 6:
        changed = config(pane_s=5, horizon_s=60, detectors=("adwin",), rules=(rule(),))
        lines.append(Line("broadcast", None, activated(changed, 3, first_pane=80)))
    if epoch == 9:
        lines.append(Line("lifecycle", MODEL, RollbackRequested(
            id="rollback", time=at(0), model=MODEL, actor="ann")))  # fmt: skip
    return lines


def answers(request: RetrainRequested) -> list[Line]:
    """What a trainer says to a request: the candidate is good where its strategy is `all`."""
    name = "v-" + request.id.replace("/", "-")
    good = 0.9 if request.strategy == "all" else 0.7
    reply = scored(name, good, request.id, champion_version=request.champion_version)
    return [
        *(Line("lifecycle", MODEL, event) for event in registered(name, request.id)),
        Line("lifecycle", MODEL, reply),
    ]


def clean(
    seed: int,
    partitions: int,
    choose: Callable[[list[Place]], Place] | None = None,
    *,
    seal_every: int = 0,
    reuse: bool = False,
) -> MemoryHost:
    """Fold a story epoch by epoch; requests are answered in the epoch after theirs.

    reuse  with ids of predictions that are used again, some while the first still waits
    """
    host = MemoryHost(partitions=partitions, make_detector=lambda _: Toy(), seal_every=seal_every)
    told: set[str] = set()
    told_story = story(seed)
    for epoch, lines in enumerate(told_story):
        for line in [*lines, *(_reused(told_story, seed, epoch) if reuse else ())]:
            _append(host, line)
        host.run(choose)
        asked = [e for e in host.events("retraining") if isinstance(e, RetrainRequested)]
        for request in sorted(asked, key=lambda e: e.id):
            if request.id not in told:
                told.add(request.id)
                for line in answers(request):
                    _append(host, line)
    host.tick(EPOCHS + 1, at(EPOCHS * 10 + 600))
    host.run(choose)
    return host


def _reused(told: list[list[Line]], seed: int, epoch: int) -> list[Line]:
    """Ids of one to six epochs ago under another time, and a label for some of them."""
    r = random.Random(f"{seed} {epoch}")
    old = [
        line.key
        for lines in told[max(0, epoch - 6) : epoch]
        for line in lines
        if line.topic == "predictions" and line.key and isinstance(line.event, PredictionMade)
    ]
    lines: list[Line] = []
    for key in r.sample(old, min(2, len(old))):
        lines.append(Line("predictions", key, made(epoch * 10 + r.randint(-5, 9), key)))
        if r.random() < 0.5:
            lines.append(Line("labels", key, label(key, 1, epoch * 10, id=f"reused/{key}/{epoch}")))
    return lines


def _append(host: MemoryHost, line: Line) -> None:
    if line.key is not None:
        host.append(line.topic, line.key, line.event)
    elif isinstance(line.event, Event):
        host.broadcast(line.event)


def facts(log: dict[Place, list[Record]], topics: tuple[str, ...] = CONCLUDED) -> dict[Any, bytes]:
    """Each derived record once: place and stamp to conclusion; closes by their ids."""
    found: dict[Any, bytes] = {}
    for (topic, partition), rows in log.items():
        for record in rows if topic in (*topics, "progress") else ():
            event = record.event
            assert isinstance(event, Event), event
            stamp = event.id if isinstance(event, EpochClosed) else event.stamp  # type: ignore[attr-defined]
            told = codec.conclusion(event)
            assert found.setdefault((topic, partition, stamp), told) == told, (
                "a stamp said two things"
            )
    return found


def conclusions(host: MemoryHost) -> list[bytes]:
    """What the namespace concluded, whatever its partitions."""
    topics = ("metrics", "alerts", "retraining", "deployments")
    return sorted(
        codec.conclusion(event)
        for topic in topics
        for event in host.events(topic)
        if not isinstance(event, EpochClosed | EpochConcluded)
    )


class Checkpoint(NamedTuple):
    """What a worker saved: as bytes where the real one saves bytes."""

    epoch: int
    positions: dict[str, int]
    state: bytes
    rows: dict[bytes, bytes]
    detectors: Any


class Worker:
    """One processor's fold over one partition, what it has yet to send, and its checkpoint."""

    def __init__(
        self, name: str, partition: int, partitions: int, saved: Checkpoint | None
    ) -> None:
        self.name, self.partition, self.partitions = name, partition, partitions
        self.saved = saved
        self.fold: Fold[Any] = make_fold(
            name, partition, partitions, skew_max_ms=None, make_detector=lambda _: Toy()
        )
        self.outbox: list[Addressed] = []
        self.positions: dict[str, int] | None = None
        if saved is not None:
            self._restore(saved)

    def _restore(self, saved: Checkpoint) -> None:
        processor = self.fold.processor
        if self.name == "detect":
            processor.bank.detectors = copy.deepcopy(saved.detectors)  # type: ignore[attr-defined]
        state: Any = msgspec.msgpack.decode(saved.state, type=type(processor.initial()))
        if self.name == "meter":
            processor.join.restore(  # type: ignore[attr-defined]
                list(saved.rows.items()), state.labels_us
            )
        self.fold = self.fold.resumed(state, saved.epoch, saved.positions)

    def unread(self, log: dict[Place, list[Record]]) -> list[str]:
        """The inputs that hold more than was read."""
        return [
            topic
            for topic, inbox in self.fold.inboxes.items()
            if inbox.position < len(log.get((topic, self.partition), ()))
        ]

    def read(self, log: dict[Place, list[Record]], topic: str) -> None:
        """Read one record of an input."""
        position = self.fold.inboxes[topic].position
        for folded in self.fold.feed(log[(topic, self.partition)][position]):
            self.outbox += folded.outputs
            self.positions = folded.positions

    def checkpoint(self) -> None:
        """Save, if everything that was concluded is sent."""
        if self.outbox or self.positions is None:
            return
        processor: Any = self.fold.processor
        rows = dict(self.saved.rows) if self.saved else {}
        if self.name == "meter":
            for key, value in processor.join.take_changes(self.fold.state.labels_us).items():
                if value is None:
                    rows.pop(key, None)
                else:
                    rows[key] = value
        bank = copy.deepcopy(processor.bank.detectors) if self.name == "detect" else None
        state = msgspec.msgpack.encode(self.fold.state)
        self.saved = Checkpoint(self.fold.epoch, self.positions, state, rows, bank)
        self.positions = None


class Cluster:
    """Workers over logs that grow record by record, in an order that a seed chooses."""

    def __init__(self, raw: dict[Place, list[Record]], partitions: int, seed: int) -> None:
        self.r = random.Random(seed)
        self.coming = {place: list(rows) for place, rows in raw.items() if place[0] in BROADCAST}
        self.log: dict[Place, list[Record]] = {}
        self.partitions = partitions
        self.workers = [Worker(n, p, partitions, None) for n in NAMES for p in range(partitions)]
        self.zombies: list[Worker] = []
        self.slow = self.r.choice(sorted(self.coming))
        self.crashes = 0

    def run(self) -> None:
        """A bad day, then a quiet end: everything arrives, everyone reads and sends."""
        for step in range(sum(len(rows) for rows in self.coming.values()) * 12):
            self._step(step)
        self.slow = ("", 0)
        while self._arrive(500) or any(self._work(worker, 100) for worker in self.workers):
            pass
        for zombie in self.zombies:
            self._send(zombie, len(zombie.outbox))
        while any(self._work(worker, 100) for worker in self.workers):
            pass

    def _step(self, step: int) -> None:
        self._arrive(1)
        self._work(self.r.choice(self.workers), self.r.randint(1, 6))
        draw = self.r.random()
        if draw < 0.03:
            self._crash(self.r.randrange(len(self.workers)))
        elif draw < 0.10:
            self.r.choice(self.workers).checkpoint()
        elif draw < 0.2 and self.zombies:
            self._work(self.r.choice(self.zombies), 3)
        if step % 200 == 0:
            self.slow = self.r.choice(sorted(self.coming))

    def _arrive(self, count: int) -> bool:
        came = False
        for _ in range(count):
            places = [p for p in sorted(self.coming) if self.coming[p] and p != self.slow]
            if places:
                came = True
                place = self.r.choice(places)
                self.log.setdefault(place, []).append(self.coming[place].pop(0))
        return came

    def _work(self, worker: Worker, count: int) -> bool:
        worked = False
        for _ in range(count):
            if topics := worker.unread(self.log):
                worker.read(self.log, self.r.choice(topics))
                worked = True
        return bool(self._send(worker, count)) or worked

    def _send(self, worker: Worker, count: int) -> int:
        sent = 0
        while worker.outbox and sent < count:
            # A failed send that the next one overtakes: its repeat comes later (EPOCHS 9).
            place = 1 if len(worker.outbox) > 1 and self.r.random() < 0.05 else 0
            self._write(worker.outbox.pop(place))
            sent += 1
        return sent

    def _write(self, addressed: Addressed) -> None:
        partition = addressed.partition
        if partition is None:
            partition = partition_of(addressed.key, self.partitions)
        rows = self.log.setdefault((addressed.topic, partition), [])
        value = codec.encode(addressed.event)
        for _ in range(1 + (self.r.random() < 0.02)):
            key = addressed.key.encode()
            rows.append(to_record(addressed.topic, partition, len(rows), 0, key, value))

    def _crash(self, number: int) -> None:
        """Start a worker again from its checkpoint; half the time the old one lives on."""
        self.crashes += 1
        old = self.workers[number]
        self.workers[number] = Worker(old.name, old.partition, self.partitions, old.saved)
        if self.r.random() < 0.5:
            self.zombies = [*self.zombies[-3:], old]
