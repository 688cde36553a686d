"""From an alert back to the raw records: which faults lie in its own proof.

    alert -> metrics its Proof names -> summaries their evidence names -> raw records
                                     -> outcomes before a detector spoke -> raw records

Rule 1: an alert is affected exactly if a link in its own proof fails; other faults are findings.
Rule 2: a detector's conclusion rests on every outcome of its version up to the one it spoke at; a
        drift test's on every pane that the test read up to the one it alarmed in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from streamops.audit.erasures import ERASED
from streamops.audit.ledger import ENDED, OPEN, Key, Ledger
from streamops.audit.proven import Run
from streamops.audit.records import Hole
from streamops.audit.shelf import Shelf
from streamops.core.processor import Record
from streamops.core.rows import events_of
from streamops.events import DriftDetected, Event, MetricEvaluated, OutcomeJoined
from streamops.values import MetricEvidence, MetricRef, Proof, RawEvidence, Span, Stamp, SummaryRef

Version = tuple[str, str]
_ENCODER = msgspec.msgpack.Encoder()
_REFS = msgspec.msgpack.Decoder(tuple[SummaryRef, ...])
_VERSION, _ORIGIN = attrgetter("model", "version"), attrgetter("stamp.source", "stamp.epoch")


class Faults(NamedTuple):
    """What is wrong with a proof: contents that differ, parts that are missing.

    foreign  why a part can't be computed again here: a platform, keys, an erasure
    """

    integrity: tuple[str, ...] = ()
    completeness: tuple[str, ...] = ()
    foreign: str = ""

    def joined(self, other: Faults) -> Faults:
        """Return the faults of both, each once."""
        return Faults(
            _union(self.integrity, other.integrity),
            _union(self.completeness, other.completeness),
            _worse(self.foreign, other.foreign),
        )


class Drifted(NamedTuple):
    """What a detector's conclusion rests on: so many outcomes of a version, up to an epoch and, in
    that, to a time."""

    version: Version
    outcomes: int
    last: tuple[int, datetime]


class Metered(NamedTuple):
    """A recorded metric: its id, and the summaries or the outcomes it rests on.

    packed   the summaries as bytes: as objects, all of an archive's would be held
    earlier  stamp of the metric of the pane before, where drift tests had read one
    """

    id: str
    packed: bytes = b""
    drift: Drifted | None = None
    earlier: Stamp | None = None

    @property
    def summaries(self) -> tuple[SummaryRef, ...]:
        """The summaries it rests on, with the spans of their raw records."""
        return _REFS.decode(self.packed) if self.packed else ()


class OutcomeAt(NamedTuple):
    """A recorded outcome as DETECT read it: its version, its number there, its raw records."""

    version: Version
    number: int
    id: str
    spans: tuple[Span, ...]


class Chains:
    """Every recorded metric with what it rests on, and the outcomes that aren't proven."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._metrics = Shelf(Metered)
        self._tested: dict[tuple[Version, str, str], Stamp] = {}
        self._counts: dict[Version, int] = {}
        self._doubted: dict[Key, OutcomeAt] = {}
        self._broken: dict[Version, list[tuple[int, Faults]]] = {}
        self._lost: dict[Version, list[tuple[tuple[int, datetime], Faults]]] = {}
        self._why: dict[Key, str] = {}
        self._judged: dict[Stamp, Faults] = {}
        self.holes: list[Hole] = []

    def begin(self, outcomes: Mapping[Version, int]) -> None:
        """Go on counting where DETECT had read so many outcomes of each version."""
        self._counts.update(outcomes)

    def note(self, event: Event) -> None:
        """Remember what a recorded metric rests on."""
        stamp: Stamp | None = getattr(event, "stamp", None)
        if stamp is None or stamp in self._metrics:
            return
        if isinstance(event, MetricEvaluated):
            # Tests of labels read mature panes, others closed ones, and each segment has its own:
            # each has a chain of its own.
            evidence = event.evidence or MetricEvidence()
            tests = _version(event), event.cut, event.segment
            before = self._tested.get(tests) if evidence.panes > 1 else None
            self._metrics[stamp] = Metered(event.id, _packed(evidence.summaries), earlier=before)
            if evidence.panes:
                self._tested[tests] = stamp
        elif isinstance(event, DriftDetected):
            last = event.evidence.last_epoch if event.evidence else stamp.epoch
            drift = Drifted((event.model, event.version), event.outcomes, (last, event.time))
            self._metrics[stamp] = Metered(event.id, drift=drift)

    def take(self, topic: str, records: Sequence[Record]) -> None:
        """Number the outcomes that DETECT is about to read; keep those that may be wrong."""
        if topic != "outcomes" or not records:
            return
        events = [event for event in events_of(records) if type(event) is OutcomeJoined]
        if self._are_proven(events, records[0].partition):
            read = [event for event in events if is_read(event)]
            for version, number in Counter(map(_VERSION, read)).items():
                self._counts[version] = self._counts.get(version, 0) + number
            return
        for event in events:
            if is_read(event):
                version = (event.model, event.version)
                number = self._counts[version] = self._counts.get(version, 0) + 1
                assert event.stamp is not None, "an inbox holds stamped records"
                key = Key(topic, event.stamp.source, event.stamp.epoch, event.id)
                if not self._ledger.is_good(key):
                    spans = (event.evidence or RawEvidence()).spans
                    self._doubted[key] = OutcomeAt(version, number, event.id, spans)

    def _are_proven(self, events: Sequence[OutcomeJoined], partition: int) -> bool:
        """Tell whether outcomes all stand as they were concluded: then none may be wrong."""
        proven = self._ledger.proven
        origins = set(map(_ORIGIN, events))
        return all(proven.is_whole(Run("outcomes", partition, *each)) for each in origins)

    def conclude(self, missing: dict[Key, Event], unfounded: dict[Key, str]) -> None:
        """Draw up, at the end, which outcomes fail."""
        self._why = {**unfounded, **self._ledger.bad}
        for key, at in self._doubted.items():
            if key in self._why:
                faults = self._torn(f"outcome {at.id}", self._why[key], at.spans)
                self._broken.setdefault(at.version, []).append((at.number, faults))
        for key, event in missing.items():
            if key.topic == "outcomes" and isinstance(event, OutcomeJoined) and is_read(event):
                faults = Faults(completeness=(f"outcome {event.id}: is not in the archive",))
                # DETECT reads by epoch, and within it by time.
                read = key.epoch, event.time
                self._lost.setdefault((event.model, event.version), []).append((read, faults))

    def faults_of(self, proof: Proof | None, *, of_test: bool = False) -> Faults:
        """Return what is wrong below an action: in its metrics, and in what these rest on.

        of_test  it follows from a drift test, which read earlier panes too
        """
        refs = () if proof is None else proof.metrics
        if not refs:
            return Faults(completeness=("it names no metric",))
        faults = Faults()
        for ref in refs:
            faults = faults.joined(self._metric(ref))
            known = self._metrics.get(ref.stamp)
            if of_test and known is not None and known.earlier is not None:
                faults = faults.joined(self._up_to(known.earlier))
        return faults

    def _up_to(self, last: Stamp) -> Faults:
        """What is wrong in the panes that a test read up to one; alerts come in the order of the
        log, so that each goes back to the one before it, not to the first pane."""
        faults = Faults()
        at: Stamp | None = last
        while at is not None and at not in self._judged:
            known = self._metrics.get(at)
            for summary in () if known is None else known.summaries:
                faults = faults.joined(self._summary(summary))
            at = None if known is None else known.earlier
        if at is not None:
            faults = faults.joined(self._judged[at])
        self._judged[last] = faults
        return faults

    def _metric(self, ref: MetricRef) -> Faults:
        key = _key("metrics", ref)
        known = self._metrics.get(ref.stamp)
        if known is None:
            return Faults(completeness=(f"metric {ref.id}: is not in the archive",))
        faults = self._stands(f"metric {ref.id}", key, ref)
        if key in self._why:
            faults = faults.joined(self._torn(f"metric {ref.id}", self._why[key]))
        for summary in known.summaries:
            faults = faults.joined(self._summary(summary))
        if known.drift is not None:
            faults = faults.joined(self._drift(known.drift))
        return faults

    def _summary(self, ref: SummaryRef) -> Faults:
        key, what = _key("summaries", ref), f"summary {ref.id}"
        if key not in self._ledger.stands:
            return Faults(completeness=(f"{what}: is not in the archive",))
        faults = self._stands(what, key, ref)
        if key in self._why:
            return faults.joined(self._torn(what, self._why[key], ref.raw.spans))
        return faults

    def _drift(self, drift: Drifted) -> Faults:
        for number, faults in self._broken.get(drift.version, ()):
            if number <= drift.outcomes:
                return faults
        for read, faults in self._lost.get(drift.version, ()):
            if read <= drift.last:
                return faults
        return Faults()

    def _stands(self, what: str, key: Key, ref: MetricRef | SummaryRef) -> Faults:
        if (ref.stamp.ordinal, ref.offset) in (self._ledger.stands.get(key) or ()):
            return Faults()
        return Faults((f"{what}: doesn't stand at offset {ref.offset}",))

    def _torn(self, what: str, why: str, spans: tuple[Span, ...] = ()) -> Faults:
        return failed(what, why, [str(hole) for hole in self.holes if hole.meets(spans)])


def _packed(refs: Sequence[SummaryRef]) -> bytes:
    return _ENCODER.encode([replace(r, raw=RawEvidence(spans=r.raw.spans)) for r in refs])


def _version(event: MetricEvaluated) -> Version:
    return event.model, event.version


def failed(what: str, why: str, lacking: Sequence[str] = ()) -> Faults:
    """Return the faults that a reason stands for; `lacking` says which parts aren't there.

    Where the inputs end, nothing there differs: the proof is incomplete, its integrity open.
    """
    if why.startswith(OPEN):
        return Faults(foreign=why)
    absent = tuple(f"{what}: {part}" for part in lacking)
    if why.startswith(ENDED):
        return Faults(completeness=(f"{what}: {why}", *absent))
    return Faults((f"{what}: {why}",), absent)


def is_read(event: OutcomeJoined) -> bool:
    """Tell whether DETECT reads an outcome (EPOCHS 17, 19)."""
    return not event.after_cohort and not event.correction


def _key(topic: str, ref: MetricRef | SummaryRef) -> Key:
    return Key(topic, ref.stamp.source, ref.stamp.epoch, ref.id)


def _worse(a: str, b: str) -> str:
    """What isn't proven here for another reason than an erasure may be proven elsewhere."""
    return b if b and a.startswith(ERASED) else a or b


def _union(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    return (*a, *(item for item in b if item not in a))
