"""What producers and tickers wrote: a small raw log that follows from its seed.

Rule 1: times are whole seconds, and most fall on or beside a boundary, where faults live.
Rule 2: records are drawn for an epoch; what stands where is `layout`'s.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from streamops.config import ModelConfig
from streamops.events import Event
from streamops.hosts.memory import BROADCAST, Place
from tests.builders import config, label, made, rule
from tests.simulation.seeded.layout import FAR_S, Draft, Layout, Plan, Row

INTERVAL_S = 10
SKEW_MAX_MS = 2000


class RawLog(NamedTuple):
    """A namespace's raw topics.

    closes_s  place -> event time of the tick that closes each epoch, from epoch 0 on
    jumped    whether some partition lacks a tick that others have
    """

    partitions: int
    skew_max_ms: int | None
    config: ModelConfig
    rows: dict[Place, list[Row]]
    closes_s: dict[Place, list[int]]
    jumped: bool

    @property
    def epochs(self) -> int:
        """How many epochs are closed."""
        return len(self.closes_s[("predictions", 0)])


def raw_log(seed: int) -> RawLog:
    """Write the raw log of a seed."""
    return _Writer(random.Random(seed)).write()


class _Writer:
    def __init__(self, r: random.Random) -> None:
        self.r = r
        ticks_s = [0]
        for _ in range(r.randint(2, 4)):
            # The same time again is lock-step (EPOCHS 21), a jump is an outage.
            ticks_s.append(ticks_s[-1] + INTERVAL_S * r.choice((0, 1, 1, 1, 1, 2)))
        self.config = _config(r)
        self.plan = Plan(
            partitions=r.choice((1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 3)),
            skew_max_ms=r.choice((None, None, SKEW_MAX_MS)),
            config=self.config,
            # The last two close all that is open, and what that closed.
            ticks_s=[*ticks_s, ticks_s[-1] + FAR_S, ticks_s[-1] + 2 * FAR_S],
            drafted=len(ticks_s),
            jumps=r.random() < 0.15,
            drafts={},
        )

    def write(self) -> RawLog:
        r, plan = self.r, self.plan
        for number in range(r.randint(5, 11)):
            self._prediction(f"p{number}")
        for number in range(r.randint(0, 2)):
            self._add("labels", self._epoch(), label(f"ghost{number}", 1, r.randint(0, 40)))
        if r.random() < 0.3:
            junk = Draft("junk", b"{not json", refused=True)
            self._put(r.choice(("predictions", "labels")), self._epoch(), junk)
        rows: dict[Place, list[Row]] = {}
        closes_s: dict[Place, list[int]] = {}
        for topic in BROADCAST:
            for partition in range(plan.partitions):
                layout = Layout(r, plan, topic, partition)
                rows[(topic, partition)] = layout.rows
                closes_s[(topic, partition)] = layout.closes_s
        return RawLog(plan.partitions, plan.skew_max_ms, self.config, rows, closes_s, plan.jumps)

    def _epoch(self) -> int:
        return self.r.randrange(self.plan.drafted)

    def _put(self, topic: str, epoch: int, draft: Draft) -> None:
        bounded = min(max(epoch, 0), self.plan.drafted - 1)
        self.plan.drafts.setdefault((topic, bounded), []).append(draft)

    def _add(self, topic: str, epoch: int, event: Event) -> None:
        key = getattr(event, "prediction_id", event.id)
        self._put(topic, epoch, Draft(key, event))

    def _prediction(self, name: str) -> None:
        r, epoch = self.r, self._epoch()
        seconds = max(0, self.plan.ticks_s[epoch] + r.choice((-12, -10, -5, 0, 1, 5, 9, 10, 11)))
        event = made(seconds, name, prediction=r.choice((0, 1)), score=r.choice((0.2, 0.5, 0.9)))
        stands = epoch + (r.randint(1, 3) if r.random() < 0.2 else 0)
        self._add("predictions", stands, event)
        if r.random() < 0.2:
            other = made(seconds + r.choice((0, 0, 10)), name, prediction=1)
            self._add("predictions", stands + r.choice((0, 0, 1, 3)), r.choice((event, other)))
        if r.random() < 0.9:
            self._labels(name, epoch + r.choice((-2, -1, 0, 0, 0, 1, 1, 2, 3)), seconds)

    def _labels(self, name: str, epoch: int, seconds: int) -> None:
        r = self.r
        first = label(name, r.choice((0, 1)), seconds + r.choice((0, 1, 9, 30)), id=f"l/{name}")
        self._add("labels", epoch, first)
        if r.random() < 0.2:
            self._add("labels", epoch + r.choice((0, 0, 1)), first)
        if r.random() < 0.2:
            again = label(name, r.choice((0, 1)), seconds, id=f"again/{name}")
            self._add("labels", epoch + r.choice((0, 1)), again)


def _config(r: random.Random) -> ModelConfig:
    delay = r.choice((0, 5, 10))
    maturity = delay + r.choice((0, 5))
    return config(
        rules=(rule("acc", kind="performance", metric="accuracy", feature="", below=0.6),
               rule("cd", kind="concept_drift", metric="adwin", feature="")),
        detectors=("adwin",), cohort_delay_s=delay, maturity_s=maturity,
        horizon_s=maturity + r.choice((5, 10, 20)), allowed_lateness_s=r.choice((0, 0, 3, 10)),
        min_coverage=0.3,
    )  # fmt: skip
