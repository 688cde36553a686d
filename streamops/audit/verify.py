"""Verify: compute every alert of an archive again from the raw records its proof names.

One pass over the archive. Each stage is folded over its recorded inputs and its conclusions are
compared, byte for byte, with the recorded ones (`links`, `ledger`); an alert fails exactly if a
link in its own proof does (`chain`). What fails outside any alert's proof is a finding.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from streamops.audit.chain import Chains, Faults, failed
from streamops.audit.ledger import ENDED, FOREIGN, Key, Ledger, Place, place_of
from streamops.audit.links import Links
from streamops.audit.namespace import Namespace, namespace_of
from streamops.audit.pace import by_epoch
from streamops.audit.records import Hole, PartitionReader
from streamops.config import DRIFT_METRICS
from streamops.core import numeric
from streamops.core.detect import Detector
from streamops.core.error_tests import PLATFORM
from streamops.core.processor import Record, Refusal
from streamops.events import (
    AlertRaised,
    DriftDetected,
    EpochConcluded,
    Event,
    RecordRefused,
)
from streamops.views.archive import ArchiveLog

RAW = ("predictions", "labels", "lifecycle")
DERIVED = (
    "outcomes",
    "summaries",
    "metrics",
    "alerts",
    "retraining",
    "deployments",
    "progress",
    "dlq",
)
REPORT_EVERY = 2000
FINDINGS_MAX = 1000
VERIFIED = "verified"

Progress = Callable[[int, int], None]


class AlertVerdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What verify says of one alert.

    integrity     everything in its proof that is there equals what the recomputation concludes
    completeness  everything its proof rests on, and the alert itself, is there
    status        verified, failed, or why it can't be recomputed on this machine
    reasons       what failed, in words; empty where it is verified
    """

    id: str
    integrity: bool
    completeness: bool
    status: str
    reasons: tuple[str, ...] = ()


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What verify found: one verdict an alert, by id, and faults outside any alert's proof.

    findings  what differs, lacks or can't be read in the archive, alerts' own faults included
    records   records read; epochs: the last one concluded in every partition, -1 for none
    ok        every alert is verified and there is no finding
    """

    alerts: tuple[AlertVerdict, ...]
    findings: tuple[str, ...]
    records: int
    epochs: int
    ok: bool


def verify(
    archive: Path,
    *,
    make_detector: Callable[[str], Detector] | None = None,
    on_progress: Progress | None = None,
) -> Verification:
    """Verify all alerts of an archive.

    make_detector  detectors by name; river's unless given
    on_progress    called now and then with (records done, records in all)

    Raises ConfigError where the folder is no archive.
    """
    numeric.self_test()
    if make_detector is None:
        from streamops.training.detectors import make_detector as river

        make_detector = river
    audit = _Audit(archive, namespace_of(archive), make_detector)
    with _rare_collections():
        for done, record in enumerate(audit.records(), 1):
            audit.take(record)
            if on_progress is not None and (done % REPORT_EVERY == 0 or done == audit.total):
                on_progress(done, audit.total)
        return audit.finish()


class _Audit:
    """One pass: readers in, links and ledger fed, verdicts out."""

    def __init__(
        self, archive: Path, namespace: Namespace, make_detector: Callable[[str], Detector]
    ) -> None:
        self.namespace = namespace
        self.ledger = Ledger()
        self.chains = Chains(self.ledger)
        self.links = Links(
            namespace.partitions,
            namespace.skew_ms,
            make_detector,
            self.ledger.conclude,
            self.chains.take,
        )
        self.alerts: list[tuple[Record, AlertRaised]] = []
        self.findings: list[str] = []
        self.foreign: set[str] = set()
        self._unreadable: dict[Place, str] = {}
        self._refused: set[Place] = set()
        self._ours = {make_detector("adwin").platform, PLATFORM}
        self._concluded = dict.fromkeys(range(namespace.partitions), -1)
        self._records = 0
        self.readers = list(_readers(archive, namespace.partitions))
        self.total = sum(reader.rows() for reader in self.readers)

    def records(self) -> Iterator[Record]:
        """Yield the archive's records at one pace."""
        yield from by_epoch((reader.topic, iter(reader)) for reader in self.readers)

    def take(self, record: Record) -> None:
        """Put one record beside what is concluded, and feed it to the stages that read it."""
        self._records += 1
        event = record.event
        if record.topic in RAW:
            self.links.feed(record)
        elif isinstance(event, Refusal):
            self._unreadable[place_of(record)] = event.reason
        else:
            self._derived(record, event)
            self.links.feed(record)

    def finish(self) -> Verification:
        """Fold what is left and draw up the verdicts."""
        epochs = min(self._concluded.values())
        self.links.finish(epochs)
        holes = [hole for reader in self.readers for hole in reader.holes]
        self.chains.holes = holes
        missing = {key: e for key, e in self.ledger.missing() if self._is_missed(key, epochs)}
        strays = [(key, r, self._unfounded(key, r)) for key, r in self.ledger.unfounded()]
        self.chains.conclude(missing, {key: why for key, _, why in strays})
        faulty = dict(self.ledger.differing)
        faulty.update({place_of(record): (key, why) for key, record, why in strays})
        self._find(holes, missing, faulty)
        verdicts = [self._verdict(record, alert, faulty) for record, alert in self.alerts]
        verdicts += [
            _lacking(event, self.chains.faults_of(event.evidence))
            for event in missing.values()
            if isinstance(event, AlertRaised)
        ]
        alerts = _one_each(verdicts)
        good = all(alert.status == VERIFIED for alert in alerts)
        return Verification(
            alerts=alerts,
            findings=_capped(self.findings),
            records=self._records,
            epochs=epochs,
            ok=good and not self.findings,
        )

    def _derived(self, record: Record, event: Event) -> None:
        key = self.ledger.record(record, event)
        if key is None and isinstance(event, RecordRefused):
            # A host's own refusal: of junk on a derived topic, which lies in no epoch.
            self._refused.add((event.topic, event.partition, event.offset))
        elif key is None and "stamp" in event.__struct_fields__:
            kind = type(event).__name__
            self.findings.append(
                f"{_at(place_of(record))}: {kind} {event.id} was stamped by no stage"
            )
        if isinstance(event, AlertRaised):
            self.alerts.append((record, event))
        elif isinstance(event, EpochConcluded) and event.partition in self._concluded:
            last = self._concluded[event.partition]
            self._concluded[event.partition] = max(last, event.epoch)
        elif isinstance(event, DriftDetected) and event.platform not in self._ours:
            self.foreign.add(event.platform)
        if record.topic == "metrics":
            self.chains.note(event)

    def _is_missed(self, key: Key, epochs: int) -> bool:
        return key.epoch <= epochs and not self._is_foreign(key)

    def _is_foreign(self, key: Key) -> bool:
        """Other detectors than ours spoke: what DETECT says here proves nothing of theirs."""
        return bool(self.foreign) and key.source.startswith("detect/")

    def _unfounded(self, key: Key, record: Record) -> str:
        event = record.event
        if isinstance(event, DriftDetected) and event.platform not in self._ours:
            return f"{FOREIGN}{event.platform}"
        last = self.links.epoch_of(key.source)
        if key.epoch > last:
            return f"{ENDED}{key.epoch} ({key.source} reaches {last}), so nothing concludes it"
        return "nothing in its inputs concludes it"

    def _find(
        self,
        holes: list[Hole],
        missing: dict[Key, Event],
        faulty: dict[Place, tuple[Key, str]],
    ) -> None:
        self.findings += [str(hole) for hole in holes]
        for place in sorted(self._unreadable.keys() - self._refused):
            self.findings.append(f"{_at(place)}: can't be read: {self._unreadable[place]}")
        for place, (key, why) in sorted(faulty.items()):
            closes = key.id.startswith("close/") and self._is_foreign(key)
            if not why.startswith(FOREIGN) and not closes:
                self.findings.append(f"{_at(place)}: {why}")
        for key, event in missing.items():
            self.findings.append(f"{key.topic}: {event.id} is concluded but isn't in the archive")

    def _verdict(
        self, record: Record, alert: AlertRaised, faulty: dict[Place, tuple[Key, str]]
    ) -> AlertVerdict:
        of_test = alert.metric in DRIFT_METRICS
        faults = self.chains.faults_of(alert.evidence, of_test=of_test)
        own = "no stage stamped it" if alert.stamp is None else ""
        if place_of(record) in faulty:
            own = faulty[place_of(record)][1]
        if own:
            # A stamp from an epoch that never was is a forger's, too: it proves nothing by itself.
            mine = failed("the alert", own)
            faults = mine._replace(integrity=mine.integrity or mine.completeness).joined(faults)
        return _judged(alert.id, faults)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Records make no cycles, and a full collection walks all that the folds hold."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _readers(archive: Path, partitions: int) -> Iterator[PartitionReader]:
    log = ArchiveLog(archive)
    for topic in (*RAW, *DERIVED):
        for partition in sorted({*range(partitions), *log.partitions(topic)}):
            yield PartitionReader(archive, topic, partition)


def _judged(id_: str, faults: Faults) -> AlertVerdict:
    reasons = tuple(dict.fromkeys((*faults.integrity, *faults.completeness)))
    status = "failed" if reasons else faults.foreign or VERIFIED
    return AlertVerdict(
        id=id_,
        integrity=not faults.integrity and not faults.foreign,
        completeness=not faults.completeness,
        status=status,
        reasons=reasons or ((faults.foreign,) if faults.foreign else ()),
    )


def _lacking(event: AlertRaised, faults: Faults) -> AlertVerdict:
    own = Faults(completeness=("the alert: is concluded but isn't in the archive",))
    return _judged(event.id, own.joined(faults))


def _one_each(verdicts: list[AlertVerdict]) -> tuple[AlertVerdict, ...]:
    """Return one verdict an id, in the order of the log; of several the worst."""
    found: dict[str, AlertVerdict] = {}
    for verdict in verdicts:
        before = found.get(verdict.id)
        if before is None or before.status == VERIFIED:
            found[verdict.id] = verdict
    return tuple(found.values())


def _capped(findings: list[str]) -> tuple[str, ...]:
    more = len(findings) - FINDINGS_MAX
    rest = (f"and {more} more",) if more > 0 else ()
    return (*findings[:FINDINGS_MAX], *rest)


def _at(place: Place) -> str:
    return f"{place[0]}-{place[1]} offset {place[2]}"
