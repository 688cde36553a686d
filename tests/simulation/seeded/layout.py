"""Where the records of a raw partition stand: in a random order within their epoch, ticks between.

Rule 1: a row says in which epoch it stands, as its writer knows: who checks a fold needs no tick.
Rule 2: what is refused for its own sake (junk, a stranger's tick) is marked.
Rule 3: two tickers write, so a tick comes again, at once or behind later ones; where the plan
        `jumps`, a partition may get a tick only behind the next one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import replace

from streamops import codec
from streamops.config import ModelConfig
from streamops.core.partition import partition_of
from streamops.core.processor import Record
from streamops.events import Event, PromotionRequested, Tick
from tests.builders import MODEL, activated, at, profile, registered, version
from tests.builders import tick as tick_of
from tests.simulation.seeded.broker import stored

FAR_S = 1000
MARKERS = 0.05
STAND_S = 8  # how long after its epoch's tick a record is stored
# Without features, scores and labels in its profile: their statistics take most of a fold's time
# and follow from what is counted (`tests.simulation.test_chain` plays them).
VERSION = version(profile=profile(features=(), score=None, label=None))
ACTIVATED = activated(VERSION, 2)


class Draft(NamedTuple):
    """A record before it has a place in the log; `key` "broadcast" is every partition's."""

    key: str
    event: Event | bytes
    refused: bool = False


KNOWN, DELIVERED = registered("v1")
PROMOTE = PromotionRequested(id="promote", time=at(0), model=MODEL, version="v1", actor="ann")
# What people say of the model, by epoch.
LIFECYCLE = {
    0: (Draft(MODEL, replace(KNOWN, version=VERSION)), Draft(MODEL, DELIVERED)),
    1: (Draft(MODEL, PROMOTE),),
}


class Row(NamedTuple):
    """One raw record and the epoch it stands in."""

    epoch: int
    record: Record
    refused: bool


class Plan(NamedTuple):
    """What is to be laid out.

    ticks_s  event time of each epoch's opening tick
    drafted  how many epochs have records of their own: the last ticks only close
    jumps    whether a partition may miss a tick
    drafts   (topic, epoch) -> records, of all partitions
    """

    partitions: int
    skew_max_ms: int | None
    config: ModelConfig
    ticks_s: list[int]
    drafted: int
    jumps: bool
    drafts: dict[tuple[str, int], list[Draft]]


class Layout:
    """One partition: drafts in a random order within their epoch, ticks between, and noise."""

    def __init__(self, r: random.Random, plan: Plan, topic: str, partition: int) -> None:
        self.r, self.plan = r, plan
        self.topic, self.partition = topic, partition
        self.rows: list[Row] = []
        self.closes_s: list[int] = []
        self.behind: list[Tick] = []
        self.epoch = self.offset = -1
        for number in range(len(plan.ticks_s)):
            self._epoch(number)

    def _epoch(self, number: int) -> None:
        last = number >= self.plan.drafted
        tick = tick_of(number, self.plan.ticks_s[number])
        if self.plan.jumps and number and not last and self.r.random() < 0.15:
            self.behind.append(tick)
        else:
            self._tick(tick)
        drafts = list(self._drafts(number))
        self.r.shuffle(drafts)
        if number == 0:
            drafts[:0] = [
                Draft("broadcast", activated(self.plan.config, 1)),
                Draft("broadcast", ACTIVATED),
            ]
        for draft in drafts:
            self._append(self.plan.ticks_s[number] + STAND_S, draft)

    def _tick(self, tick: Tick) -> None:
        seconds = self.plan.ticks_s[tick.epoch]
        self.closes_s += [seconds] * (tick.epoch - max(self.epoch, 0))
        # A closing tick is the last record of what it closes; tick 0 the first of epoch 0.
        self._append(seconds, Draft("broadcast", tick))
        self.epoch = tick.epoch

    def _drafts(self, number: int) -> Iterator[Draft]:
        for draft in self.plan.drafts.get((self.topic, number), ()):
            if self._holds(draft.key):
                yield draft
        if self.topic == "lifecycle" and self._holds(MODEL):
            yield from LIFECYCLE.get(number, ())
        if number < self.plan.drafted:
            yield from self._noise()

    def _holds(self, key: str) -> bool:
        return partition_of(key, self.plan.partitions) == self.partition

    def _noise(self) -> Iterator[Draft]:
        """The second ticker's copies, at once or much later, and what a stranger writes."""
        old = [tick for tick in self.behind if tick.epoch < self.epoch]
        self.behind = [tick for tick in self.behind if tick.epoch > self.epoch]
        if self.r.random() < 0.4:
            old.append(tick_of(self.epoch, self.plan.ticks_s[self.epoch]))
        if self.epoch and self.r.random() < 0.3:
            old.append(tick_of(self.epoch - 1, self.plan.ticks_s[self.epoch - 1]))
        yield from (Draft("broadcast", tick) for tick in old)
        if self.r.random() < 0.15:
            yield self._stranger()

    def _stranger(self) -> Draft:
        """A tick that doesn't count: an old epoch whatever its time, a past or a far time."""
        now_s, far_s = self.plan.ticks_s[self.epoch], self.plan.ticks_s[-1] + FAR_S
        kinds = [Draft("x", tick_of(self.epoch - 1, now_s + 7))] if self.epoch > 0 else []
        kinds.append(Draft("x", tick_of(self.epoch + 200_000, now_s), refused=True))
        if now_s > 0:
            kinds.append(Draft("x", tick_of(self.epoch + 1, now_s - 3), refused=True))
        if self.plan.skew_max_ms is not None:
            kinds.append(Draft("x", tick_of(self.epoch + 1, far_s), refused=True))
        return self.r.choice(kinds)

    def _append(self, stored_s: int, draft: Draft) -> None:
        value = draft.event if isinstance(draft.event, bytes) else codec.encode(draft.event)
        stored_ms, key = stored_s * 1000, draft.key.encode()
        # A transaction's marker takes an offset, and no reader sees it.
        self.offset += 1 + (self.r.random() < MARKERS)
        record = stored((self.topic, self.partition), self.offset, stored_ms, key, value)
        self.rows.append(Row(self.epoch, record, draft.refused))
