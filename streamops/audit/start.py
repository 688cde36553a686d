"""Where a verification of some alerts begins: at the last seal before all that their proofs name.

Rule 1: a seal serves where every source has one of its epoch, all before the first raw record, and
        the first summary, metric and outcome, that a proof rests on.
Rule 2: METER's pending predictions are no part of a seal. They come back from raw records: METER is
        folded from an older seal, before the lowest of them, without output (EPOCHS 23). Their
        hash stands in the seal; where it isn't reached, an older one is tried, then the beginning.
Rule 3: detectors are no part of a seal either. Those that had begun before it stay silent, and what
        they said is not looked at; an alert that rests on one begins before its first outcome.
Rule 4: a seal that can't be used is a finding, and an older one is taken. In the end all is folded
        from the beginning, which needs no seal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from streamops.audit.chain import is_read
from streamops.audit.erasures import keys_of
from streamops.audit.namespace import Namespace
from streamops.audit.pace import by_epoch
from streamops.audit.records import PartitionReader
from streamops.audit.seals import Loaded, SealFiles, recorded_seals
from streamops.config import DRIFT_METRICS
from streamops.core.detect import Detect, Detector, DetectState
from streamops.core.epochs import Fold
from streamops.core.join import JoinTable
from streamops.core.meter import Meter
from streamops.core.processor import Processor
from streamops.core.seal_leaves import can_load
from streamops.core.seal_meter import join_hash
from streamops.errors import InputError, TransportError
from streamops.events import AlertRaised, DriftDetected, MetricEvaluated, OutcomeJoined, Sealed
from streamops.hosts.memory import make_fold
from streamops.personal import Opener
from streamops.values import MetricRef, RawEvidence, Span
from streamops.views.archive import ArchiveLog
from streamops.views.log import to_record

STAGES = ("meter", "detect", "monitor", "controller")
Place = tuple[str, int]
Version = tuple[str, str]
MakeDetector = Callable[[str], Detector]


class Silent:
    """A detector whose past isn't known here: it says nothing, and nobody asks."""

    platform = ""
    since_back = 0
    reason = ""

    def update(self, error: float) -> Literal["none", "warning", "drift"]:
        """Say nothing."""
        return "none"


class Start(NamedTuple):
    """Folds as they stood at the end of an epoch, and where their records go on.

    outcomes  how many DETECT had read of each version: these detectors aren't known here
    """

    epoch: int
    folds: dict[str, Fold[Any]]
    firsts: dict[Place, int]
    outcomes: dict[Version, int]


class Needs:
    """The first record of each raw partition, and the first epoch, that some proofs rest on."""

    def __init__(self) -> None:
        self.firsts: dict[Place, int] = {}
        self.epoch = 1 << 62
        self.time: datetime | None = None

    def meet(self, evidence: RawEvidence | None) -> None:
        """Take in the raw records of a summary or an outcome."""
        for span in () if evidence is None else evidence.spans:
            self._span(span)

    def since(self, epoch: int) -> None:
        """Take in a derived record of an epoch."""
        self.epoch = min(self.epoch, epoch)

    def pane(self, event: MetricEvaluated) -> None:
        """Take in the summaries that a pane was merged from."""
        for summary in () if event.evidence is None else event.evidence.summaries:
            self.since(summary.stamp.epoch)
            self.meet(summary.raw)

    def allows(self, epoch: int, seals: dict[str, Sealed]) -> bool:
        """Tell whether the seals of an epoch stand before all that is needed."""
        # What was concluded up to a seal is no later than the tick that closed its epoch.
        if self.time is not None and any(seal.time >= self.time for seal in ticked(seals)):
            return False
        return epoch < self.epoch and all(
            position_of(seals[f"meter/{p}"], topic) <= first
            for (topic, p), first in self.firsts.items()
        )

    def _span(self, span: Span) -> None:
        place = span.topic, span.partition
        self.firsts[place] = min(span.first, self.firsts.get(place, span.first))


class Starter:
    """Finds and prepares the start for some alerts.

    findings  seals it could not use
    files     of seals: those it read
    firsts    where it began to read raw records for METER's pending predictions
    epochs    of the seals it read
    """

    def __init__(self, archive: Path, namespace: Namespace, make_detector: MakeDetector) -> None:
        self.findings: list[str] = []
        self.files = SealFiles(archive)
        self.firsts: dict[Place, int] = {}
        self.epochs: set[int] = set()
        self._open = Opener(keys_of(archive)).open
        self._archive, self._namespace, self._make = archive, namespace, make_detector
        sources = {f"{name}/{p}" for name in STAGES for p in range(namespace.partitions)}
        found = recorded_seals(archive, namespace.partitions)
        self._seals = {e: seals for e, seals in found.items() if sources <= seals.keys()}

    def start(self, alerts: Sequence[AlertRaised], since: datetime | None = None) -> Start | None:
        """Return the last start that serves all these alerts; None for the beginning.

        since  it also serves any alert from this time on that isn't recorded, though it should be
        """
        if not self._seals or (not alerts and since is None):
            return None
        try:
            needs = self._needs(alerts)
            needs.time = since
        except (InputError, TransportError):
            return None  # what can't be read is named by the whole pass
        for epoch in sorted(self._seals, reverse=True):
            if needs.allows(epoch, self._seals[epoch]):
                try:
                    return self.prepare(epoch)
                except InputError as error:
                    self.findings.append(f"{error}; an older seal is taken in its place")
        return None

    def _needs(self, alerts: Iterable[AlertRaised]) -> Needs:
        needs, log = Needs(), ArchiveLog(self._archive)
        drifts: dict[int, dict[Version, int]] = {}
        tested: dict[int, dict[Version, int]] = {}
        for alert in alerts:
            if alert.stamp is None or alert.evidence is None or not alert.evidence.metrics:
                raise InputError("it has no proof")
            needs.since(alert.stamp.epoch)
            for ref in alert.evidence.metrics:
                event = _metric(log, ref)
                needs.since(ref.stamp.epoch)
                if isinstance(event, DriftDetected):
                    last = event.evidence.last_epoch if event.evidence else ref.stamp.epoch
                    _extend(drifts, ref, event, last)
                    continue
                if alert.metric in DRIFT_METRICS:
                    _extend(tested, ref, event, ref.stamp.epoch)
                needs.pane(event)
        for partition, versions in drifts.items():
            self._outcomes(needs, partition, versions)
        for partition, versions in tested.items():
            self._panes(needs, partition, versions)
        return needs

    def _panes(self, needs: Needs, partition: int, versions: dict[Version, int]) -> None:
        """Take in every pane that a drift test had read when it alarmed."""
        for record in PartitionReader(self._archive, "metrics", partition):
            event = record.event
            if not isinstance(event, MetricEvaluated) or event.stamp is None:
                continue
            last = versions.get((event.model, event.version), -1)
            if event.evidence and event.evidence.panes and event.stamp.epoch <= last:
                needs.since(event.stamp.epoch)
                needs.pane(event)

    def _outcomes(self, needs: Needs, partition: int, versions: dict[Version, int]) -> None:
        """Take in every outcome that a detector had read when it spoke."""
        for record in PartitionReader(self._archive, "outcomes", partition):
            event = record.event
            if not isinstance(event, OutcomeJoined) or event.stamp is None or not is_read(event):
                continue
            if event.stamp.epoch <= versions.get((event.model, event.version), -1):
                needs.since(event.stamp.epoch)
                needs.meet(event.evidence)

    def prepare(self, epoch: int) -> Start:
        """Return the folds at the seals of an epoch; InputError where these can't be used."""
        folds: dict[str, Fold[Any]] = {}
        firsts: dict[Place, int] = {}
        outcomes: dict[Version, int] = {}
        for source in self._seals[epoch]:
            loaded = self._load(epoch, source)
            fold = self._fold(source)
            state = loaded.state(type(fold.processor.initial()))
            if isinstance(fold.processor, Meter):
                self._fill(fold, fold.processor, loaded)
            elif isinstance(fold.processor, Detect):
                _silence(fold.processor, state)
                outcomes.update(_read_before(state))
            folds[source] = fold.resumed(state, epoch, loaded.positions)
            firsts.update(((t, fold.partition), o) for t, o in loaded.positions.items())
        return Start(epoch, folds, firsts, outcomes)

    def _load(self, epoch: int, source: str) -> Loaded:
        event = self._seals[epoch][source]
        self.epochs.add(epoch)
        try:
            loaded = self.files.load(event)
        except InputError as error:
            raise InputError(f"seal of {source} at epoch {epoch}: {error}") from error
        known: Processor[Any] = self._fold(source).processor
        if not can_load(known.name, event.semantics, known.semantics):
            raise InputError(
                f"seal of {source} at epoch {epoch}: has semantics {event.semantics}, this version "
                f"has {known.semantics}"
            )
        return loaded

    def _fold(self, source: str) -> Fold[Any]:
        name, _, partition = source.partition("/")
        return make_fold(
            name,
            int(partition),
            self._namespace.partitions,
            skew_max_ms=self._namespace.skew_ms,
            seal_every=self._namespace.seal_every,
            make_detector=self._make,
            open_=self._open,
        )

    def _fill(self, fold: Fold[Any], meter: Meter, loaded: Loaded) -> None:
        """Fill METER's join table as it stood at a seal; InputError where raw records don't."""
        epoch, source = loaded.event.epoch, fold.source
        head = loaded.head()
        for older in self._before(loaded):
            meter.join = join = JoinTable()
            self._refold(fold, join, older, epoch)
            found = len(join.pending), len(join.matched), join_hash(join)
            if found == (head.pending, head.matched, head.join):
                for prediction_id in list(join.waiting):
                    join.drop_waiting(prediction_id)
                for label in head.waiting:
                    join.add_waiting(label)
                return
        raise InputError(
            f"seal of {source} at epoch {epoch}: the raw records before it don't give its "
            f"{head.pending} pending predictions"
        )

    def _before(self, loaded: Loaded) -> Iterator[Loaded | None]:
        """Yield where METER may be folded from to have all pending predictions: the last first."""
        source, reach = loaded.event.source, loaded.manifest.places.reach
        if reach < 0:
            yield loaded
        for epoch in sorted(self._seals, reverse=True):
            older = self._seals[epoch][source]
            if epoch < loaded.event.epoch and position_of(older, "predictions") <= reach:
                try:
                    yield self._load(epoch, source)
                except InputError as error:
                    self.findings.append(f"{error}; an older seal is taken in its place")
        yield None

    def _refold(self, fold: Fold[Any], join: JoinTable, older: Loaded | None, epoch: int) -> None:
        """Fold METER from an older seal, or from the beginning, to an epoch, without output."""
        if older is None:
            warm = fold.resumed(fold.processor.initial(), -1, {})
        else:
            for label in older.head().waiting:
                join.add_waiting(label)
            state = older.state(type(fold.processor.initial()))
            warm = fold.resumed(state, older.event.epoch, older.positions)
        readers = [
            (topic, iter(PartitionReader(self._archive, topic, fold.partition, inbox.position)))
            for topic, inbox in warm.inboxes.items()
        ]
        for topic, inbox in warm.inboxes.items():
            place = topic, fold.partition
            self.firsts[place] = min(inbox.position, self.firsts.get(place, inbox.position))
        warm.seal_every = 0
        if warm.epoch >= epoch:
            return
        for record in by_epoch(readers):
            warm.inboxes[record.topic].feed(record)
            warm.advance(epoch)
            if warm.epoch >= epoch:
                return


def ticked(seals: dict[str, Sealed]) -> list[Sealed]:
    """Return the seals whose time is a tick's: those of the last stage."""
    return [seal for source, seal in seals.items() if source.startswith("controller/")]


def position_of(event: Sealed, topic: str) -> int:
    """Return where a seal's source reads a topic on; where it doesn't say, nowhere."""
    return event.evidence.positions.get(topic, 1 << 62) if event.evidence else 1 << 62


def _metric(log: ArchiveLog, ref: MetricRef) -> MetricEvaluated | DriftDetected:
    place = "metrics", _partition(ref.stamp.source)
    raw = next(iter(log.read(*place, ref.offset, ref.offset + 1)), None)
    event = None if raw is None else to_record(raw).event
    if isinstance(event, MetricEvaluated | DriftDetected) and event.stamp == ref.stamp:
        return event
    raise InputError("its metric isn't there")


def _extend(
    found: dict[int, dict[Version, int]],
    ref: MetricRef,
    event: MetricEvaluated | DriftDetected,
    last: int,
) -> None:
    """Note the last epoch that an alert needs of a version, by the partition of its metrics."""
    of = found.setdefault(_partition(ref.stamp.source), {})
    version = event.model, event.version
    of[version] = max(last, of.get(version, -1))


def _partition(source: str) -> int:
    return int(source.rpartition("/")[2])


def _silence(detect: Detect, state: DetectState) -> None:
    for key in state.levels:
        detect.bank.detectors[key] = Silent()


def _read_before(state: DetectState) -> Iterator[tuple[Version, int]]:
    for key, stream in state.streams.items():
        model, _, version = key.partition("\t")
        yield (model, version), stream.outcomes
