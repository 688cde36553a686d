"""History under other rules without METER: from what it recorded, which doesn't depend on them.

    summaries -> MONITOR -> metrics -> CONTROLLER -> actions
    outcomes  -> DETECT ----^          where detectors, or their budget, are others
    what DETECT recorded ---^          where they are the same

Rule 1: METER's conclusions depend on a configuration by COUNTING alone, and name its hash. Where
        these settings are as recorded its records are taken, under the new hash; else it folds.
Rule 2: it gives what folding the raw records gives, to the byte of each conclusion
        (tests/replay/test_whatif.py). Evidence that names an offset is the recorded one.
Rule 3: records that their closes don't confirm are not folded: Unfit, and the raw ones are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from streamops import codec
from streamops.audit.links import RecordedInbox
from streamops.audit.pace import by_epoch
from streamops.config import ERROR_TESTS, ModelConfig, config_hash, segments_tested
from streamops.core.budget import ALL, error_tests, tested
from streamops.core.derived_inbox import close_hash, sources_of
from streamops.core.detect import Detector
from streamops.core.epochs import Fold
from streamops.core.output_rows import Addressed
from streamops.core.processor import Record
from streamops.events import (
    ConfigActivated,
    DriftDetected,
    EpochClosed,
    Event,
    PaneSummarized,
    Tick,
)
from streamops.hosts.memory import make_fold
from streamops.hosts.replay import Wiring

COUNTING = (
    "pane_s",
    "allowed_lateness_s",
    "maturity_s",
    "horizon_s",
    "cohort_delay_s",
    "segments",
)
COMMANDS = "lifecycle"
STAGES = ("detect", "monitor", "controller")
Configs = Mapping[str, ModelConfig]


class Unfit(Exception):
    """What METER recorded doesn't serve; the message says why."""


class Rehash:
    """Recorded events under the given configurations.

    configs   the given ones, by model
    recorded  every configuration that the given models ever had
    """

    def __init__(self, configs: Configs, recorded: Iterable[ConfigActivated]) -> None:
        self._configs = configs
        self._hashes = {model: config_hash(config) for model, config in configs.items()}
        self._known = {(e.config.model, e.config_hash) for e in recorded}

    def __call__(self, record: Record) -> Record:
        """Return the record as it would have been; itself where nothing in it changes."""
        event = record.event
        if isinstance(event, ConfigActivated):
            config = self._configs.get(event.config.model)
            if config is None:
                return record
            model = config.model
            given = replace(event, config=config, config_hash=self._hashes[model])
            return record._replace(event=given)
        if isinstance(event, PaneSummarized | DriftDetected):
            if (event.model, event.config_hash) not in self._known:
                return record
            hash_ = self._hashes[event.model]
            if isinstance(event, PaneSummarized):
                named = event.id.replace(f"/{event.config_hash[:12]}/", f"/{hash_[:12]}/")
                return record._replace(event=replace(event, id=named, config_hash=hash_))
            return record._replace(event=replace(event, config_hash=hash_))
        return record


def differs_in(given: ModelConfig, recorded: ModelConfig) -> str:
    """Return the first setting that METER counts by and that is another; empty for none."""
    others = (name for name in COUNTING if getattr(given, name) != getattr(recorded, name))
    if _counted(given) != _counted(recorded):
        return next(others, "rules of segments")
    return next(others, "")


def _counted(config: ModelConfig) -> set[str]:
    """Segments whose features METER counts."""
    return {s for s in segments_tested(config) if tested(config, s).features}


def finds_the_same(given: ModelConfig, recorded: ModelConfig) -> bool:
    """Tell whether DETECT finds under one configuration what it finds under the other."""
    if given.detectors != recorded.detectors or given.detector_code != recorded.detector_code:
        return False
    if not {*given.detectors} & {*ERROR_TESTS}:
        return True
    budgets = [
        (
            c.false_alarms_per_month,
            [(s, tested(c, s), error_tests(c, s)) for s in (ALL, *segments_tested(c))],
        )
        for c in (given, recorded)
    ]
    return budgets[0] == budgets[1]


class RecordedHost:
    """MONITOR and CONTROLLER, and DETECT where it must, over recorded summaries and outcomes.

    topics  what is to be fed, all partitions at one pace
    """

    def __init__(
        self,
        *,
        partitions: int,
        rehash: Rehash,
        make_detector: Callable[[str], Detector] | None,
        skew_max_ms: int | None,
    ) -> None:
        self.partitions, self._rehash = partitions, rehash
        self._controllers: list[Fold[Any]] = []
        self.topics = (COMMANDS, "summaries", "metrics" if make_detector is None else "outcomes")
        self._wiring = Wiring(partitions)
        self._inboxes: list[RecordedInbox] = []
        self._found: dict[int, RecordedInbox] = {}
        self._next: dict[int, int] = dict.fromkeys(range(partitions), 0)
        names = ("monitor", "controller") if make_detector is None else STAGES
        for name in names:
            for partition in range(partitions):
                fold = make_fold(
                    name,
                    partition,
                    partitions,
                    skew_max_ms=skew_max_ms,
                    make_detector=make_detector,
                )
                self._add(fold)
        if make_detector is None:
            for partition in range(partitions):
                source = frozenset((f"detect/{partition}",))
                self._found[partition] = self._inbox("metrics", source)

    def feed(self, record: Record) -> list[Addressed]:
        """Take the next record of one of the topics; return what is concluded by it, in order."""
        found = self._found.get(record.partition) if record.topic == "metrics" else None
        return self._wiring.feed((record,) if found is None else self._finds(found, record))

    @property
    def epoch(self) -> int:
        """The last epoch that every controller has concluded."""
        return min(fold.epoch for fold in self._controllers)

    def paced(self, sources: Mapping[str, list[Iterator[Record]]]) -> Iterator[Record]:
        """Yield the records of `topics`, by topic and partition, each when it is to be fed.

        Commands of an epoch come before all that is concluded in it, and none of the next one does:
        else an answer to a request, which comes behind what was read, would come too late.
        """
        derived = by_epoch((t, records) for t in self.topics[1:] for records in sources[t])
        ticks = dict.fromkeys(range(self.partitions), -1)
        for record in by_epoch((COMMANDS, records) for records in sources[COMMANDS]):
            yield record
            if isinstance(record.event, Tick):
                ticks[record.partition] = max(ticks[record.partition], record.event.epoch)
                complete = min(ticks.values()) - 1
                while self.epoch < complete and (other := next(derived, None)) is not None:
                    yield other
        yield from derived

    def finish(self) -> None:
        """Raise Unfit where there are records that their closes don't confirm."""
        for inbox in self._inboxes:
            for source, epoch in inbox.doubted():
                raise Unfit(f"{inbox.topic} lack what {source} closed in epoch {epoch}")

    def _add(self, fold: Fold[Any]) -> None:
        if fold.processor.name == "controller":
            self._controllers.append(fold)
        for topic in fold.processor.derived:
            if topic != "metrics":
                sources = sources_of(topic, ("meter",), fold.partition, self.partitions)
                fold.inboxes[topic] = self._inbox(topic, sources)
        self._wiring.add(fold)

    def _inbox(self, topic: str, sources: frozenset[str]) -> RecordedInbox:
        inbox = RecordedInbox(topic, sources, _nothing, change=self._changed)
        self._inboxes.append(inbox)
        return inbox

    def _changed(self, records: list[Record]) -> list[Record]:
        """The records of one epoch under the given configurations."""
        found = [self._rehash(record) for record in records]
        panes = {_pane(event) for r in found if isinstance(event := r.event, PaneSummarized)}
        if len(panes) < sum(isinstance(r.event, PaneSummarized) for r in found):
            raise Unfit("a pane was counted under two configurations, which are one here")
        return found

    def _finds(self, inbox: RecordedInbox, record: Record) -> Iterator[Record]:
        """What DETECT recorded in the epochs that this record completes, with closes that fit."""
        inbox.feed(record)
        partition = record.partition
        while inbox.ready(epoch := self._next[partition]):
            self._next[partition] += 1
            taken, _, _ = inbox.take(epoch)
            records = sorted(taken, key=lambda r: r.event.stamp.ordinal)  # type: ignore[union-attr]
            yield from records
            events = (r.event for r in records)
            conclusions = [codec.conclusion(e) for e in events if isinstance(e, Event)]
            source = f"detect/{partition}"
            close = EpochClosed(
                id=f"close/{source}/{epoch}/metrics/{partition}",
                time=record.event.time,  # type: ignore[union-attr]
                source=source,
                epoch=epoch,
                count=len(conclusions),
                hash=close_hash(conclusions),
            )
            yield record._replace(event=close)


def _pane(event: PaneSummarized) -> tuple[Any, ...]:
    source = "" if event.stamp is None else event.stamp.source
    about = event.model, event.version, event.segment, event.pane_start, event.cut
    return (*about, event.restatement, source, event.config_hash, event.profile_hash)


def _nothing(topic: str, records: Sequence[Record]) -> None:
    """Nobody else asks for them."""
