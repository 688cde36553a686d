"""History under other rules without METER: from what it recorded, which doesn't depend on them.

    summaries -> MONITOR -> metrics -> CONTROLLER -> actions    where tests, or their budget, differ
    outcomes  -> DETECT ----^          where detectors, or their budget, are others
    what either recorded ---^          where they are the same

Rule 1: METER's conclusions depend on a configuration by COUNTING alone, and name its hash. Where
        these settings are as recorded its records are taken, under the new hash; else it folds.
        MONITOR's depend on what is tested, its budget and the least coverage besides, DETECT's on
        its detectors: where these are as recorded, so are their metrics.
Rule 2: it gives what folding the raw records gives, to the byte of each conclusion
        (tests/replay/test_whatif.py). Evidence that names an offset is the recorded one.
Rule 3: records that their closes don't confirm are not folded: Unfit, and the raw ones are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain
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
    MetricEvaluated,
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
INPUTS = {"monitor": "summaries", "detect": "outcomes"}
Configs = Mapping[str, ModelConfig]
Evaluated = PaneSummarized | MetricEvaluated | DriftDetected
TWICE = "a pane was counted under two configurations, which are one here"


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
        if not isinstance(event, PaneSummarized | MetricEvaluated | DriftDetected):
            return record
        if (event.model, event.config_hash) not in self._known:
            return record
        if isinstance(event, MetricEvaluated) and event.status == "mixed":
            raise Unfit(TWICE)
        hash_ = self._hashes[event.model]
        return record if hash_ == event.config_hash else record._replace(event=_under(event, hash_))


def _under(event: Evaluated, hash_: str) -> Evaluated:
    """What would have been said under the configuration of another hash."""
    before, after = (f"/{each[:12]}/" for each in (event.config_hash, hash_))
    if isinstance(event, DriftDetected):
        return replace(event, config_hash=hash_)
    given = replace(event, id=event.id.replace(before, after), config_hash=hash_)
    if isinstance(given, PaneSummarized) or given.evidence is None:
        return given
    summaries = (replace(s, id=s.id.replace(before, after)) for s in given.evidence.summaries)
    return replace(given, evidence=replace(given.evidence, summaries=tuple(summaries)))


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
    return _promise(given) == _promise(recorded)


def measures_the_same(given: ModelConfig, recorded: ModelConfig) -> bool:
    """Tell whether MONITOR says of each pane under one configuration what it says under the other,
    where METER counts as it did."""
    if given.min_coverage != recorded.min_coverage:
        return False
    return _promise(given) == _promise(recorded)


def _promise(config: ModelConfig) -> tuple[Any, ...]:
    """What is tested, and the budget that it shares."""
    segments = (ALL, *segments_tested(config))
    asked = [(s, tested(config, s), error_tests(config, s)) for s in segments]
    return config.false_alarms_per_month, asked


class RecordedHost:
    """CONTROLLER, and MONITOR and DETECT where they must, over what was recorded before them.

    recorded  those of MONITOR and DETECT that are not folded: what they recorded is taken
    topics    what is to be fed, all partitions at one pace
    """

    def __init__(
        self,
        *,
        partitions: int,
        rehash: Rehash,
        recorded: Set[str],
        make_detector: Callable[[str], Detector],
        skew_max_ms: int | None,
    ) -> None:
        self.partitions, self._rehash = partitions, rehash
        self._controllers: list[Fold[Any]] = []
        folded = [name for name in STAGES if name not in recorded]
        read = [topic for name, topic in INPUTS.items() if name in folded]
        self.topics = (COMMANDS, *read, *(("metrics",) if recorded else ()))
        self._wiring = Wiring(partitions)
        self._inboxes: list[RecordedInbox] = []
        for name in folded:
            for partition in range(partitions):
                fold = make_fold(
                    name,
                    partition,
                    partitions,
                    skew_max_ms=skew_max_ms,
                    make_detector=make_detector,
                )
                self._add(fold)
        self._metrics = {
            partition: [
                _Metrics(name, self._inbox("metrics", frozenset((f"{name}/{partition}",))))
                for name in sorted(recorded)
            ]
            for partition in range(partitions)
        }

    def feed(self, record: Record) -> list[Addressed]:
        """Take the next record of one of the topics; return what is concluded by it, in order."""
        if record.topic != "metrics":
            return self._wiring.feed((record,))
        found = (metrics.feed(record) for metrics in self._metrics[record.partition])
        return self._wiring.feed(chain.from_iterable(found))

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
            raise Unfit(TWICE)
        return found


class _Metrics:
    """What a stage recorded in a partition of metrics, an epoch at a time, with closes that fit."""

    def __init__(self, stage: str, inbox: RecordedInbox) -> None:
        self._stage, self._inbox = stage, inbox
        self._next = 0

    def feed(self, record: Record) -> Iterator[Record]:
        """Yield the records of the epochs that this one completes."""
        self._inbox.feed(record)
        while self._inbox.ready(self._next):
            taken, _, _ = self._inbox.take(self._next)
            records = sorted(taken, key=lambda r: r.event.stamp.ordinal)  # type: ignore[union-attr]
            yield from records
            yield self._close(record, records)
            self._next += 1

    def _close(self, record: Record, taken: Sequence[Record]) -> Record:
        events = (r.event for r in taken)
        conclusions = [codec.conclusion(e) for e in events if isinstance(e, Event)]
        source = f"{self._stage}/{record.partition}"
        close = EpochClosed(
            id=f"close/{source}/{self._next}/metrics/{record.partition}",
            time=record.event.time,  # type: ignore[union-attr]
            source=source,
            epoch=self._next,
            count=len(conclusions),
            hash=close_hash(conclusions),
        )
        return record._replace(event=close)


def _pane(event: PaneSummarized) -> tuple[Any, ...]:
    source = "" if event.stamp is None else event.stamp.source
    about = event.model, event.version, event.segment, event.pane_start, event.cut
    return (*about, event.restatement, source, event.config_hash, event.profile_hash)


def _nothing(topic: str, records: Sequence[Record]) -> None:
    """Nobody else asks for them."""
