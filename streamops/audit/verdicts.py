"""Verdicts: what became of each alert, and faults outside any alert's proof, once all was read.

Rule 1: an alert fails exactly if a link in its own proof does (`chain`), or if it doesn't stand as
        it was concluded itself.
Rule 2: what follows from a foreign platform, a missing key or an erasure is no fault of the record.
"""

from __future__ import annotations

import msgspec

from streamops.audit.asked import Asked
from streamops.audit.chain import Chains, Faults, failed
from streamops.audit.erasures import ERASED
from streamops.audit.ledger import ENDED, OPEN, Key, Ledger, Place, place_of
from streamops.audit.links import Links
from streamops.audit.platforms import Platforms
from streamops.audit.record_chain import ChainCheck
from streamops.audit.records import Hole
from streamops.config import DRIFT_METRICS
from streamops.core.processor import Record, Refusal
from streamops.events import AlertRaised, DriftDetected, Event, RecordRefused

FINDINGS_MAX = 1000
VERIFIED = "verified"


class AlertVerdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What verify says of one alert.

    integrity     everything in its proof that is there equals what the recomputation concludes
    completeness  everything its proof rests on, and the alert itself, is there
    status        verified, failed, or why it can't be recomputed: a platform, keys that are not
                  here, or `erased by request N`, which is no failure
    reasons       what failed, in words; empty where it is verified
    """

    id: str
    integrity: bool
    completeness: bool
    status: str
    reasons: tuple[str, ...] = ()


class BrokenAt(msgspec.Struct, frozen=True, kw_only=True):
    """A place at which the archive isn't what was sealed; the findings say why."""

    topic: str
    partition: int
    offset: int


class ChainVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether every sealed segment's records are those that were sealed; well without any seal."""

    ok: bool
    broken: tuple[BrokenAt, ...] = ()


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What verify found: one verdict an alert, by id, and faults outside any alert's proof.

    findings  what differs, lacks or can't be read in the archive, alerts' own faults included
    records   records read; epochs: the last one concluded in every partition, -1 for none
    ok        every alert is verified or rests on what was erased by request, there is no finding,
              and the chain holds
    erased    alerts that rest on values that were erased
    seals     seals whose files were checked; start_epoch: the seal it began at, -1: no seal
    chain     what became of the sealed records (`record_chain`); checked where all alerts are
    """

    alerts: tuple[AlertVerdict, ...]
    findings: tuple[str, ...]
    records: int
    epochs: int
    ok: bool
    seals: int = 0
    start_epoch: int = -1
    chain: ChainVerdict = ChainVerdict(ok=True)
    erased: int = 0


class Docket:
    """What is met while an archive is read and has a part in the verdicts.

    findings  what differs, lacks or can't be read, so far
    """

    def __init__(
        self, ledger: Ledger, chains: Chains, links: Links, platforms: Platforms, asked: Asked
    ) -> None:
        self._ledger, self._chains, self._links = ledger, chains, links
        self._platforms, self._asked = platforms, asked
        self.findings: list[str] = []
        self._alerts: list[tuple[Record, AlertRaised]] = []
        self._foreign: set[str] = set()
        self._unreadable: dict[Place, str] = {}
        self._refused: set[Place] = set()

    def note_unreadable(self, record: Record, refusal: Refusal) -> None:
        """Remember a record that says nothing."""
        self._unreadable[place_of(record)] = refusal.reason

    def note(self, record: Record, event: Event, key: Key | None) -> None:
        """Remember a record of a derived topic; `key`: of what it concludes, if a stage did."""
        if key is None and isinstance(event, RecordRefused):
            # A host's own refusal: of junk on a derived topic, which lies in no epoch.
            self._refused.add((event.topic, event.partition, event.offset))
        elif key is None and "stamp" in event.__struct_fields__:
            kind = type(event).__name__
            self.findings.append(f"{at(record)}: {kind} {event.id} was stamped by no stage")
        if isinstance(event, AlertRaised) and self._asked.names(event):
            self._alerts.append((record, event))
        elif isinstance(event, DriftDetected) and self._platforms.why_foreign(event):
            self._foreign.add(event.platform)

    def conclude(self, holes: list[Hole], epochs: int) -> tuple[AlertVerdict, ...]:
        """Return the verdicts of what is concluded up to an epoch, once all was read and folded."""
        self.findings += self._links.broken.values()
        self._ledger.read_all()
        self._chains.holes = holes
        missing = {key: e for key, e in self._ledger.missing() if self._is_missed(key, epochs)}
        strays = [(key, r, self._unfounded(key, r)) for key, r in self._ledger.unfounded()]
        self._doubt()
        self._chains.conclude(missing, {key: why for key, _, why in strays})
        faulty = dict(self._ledger.differing)
        faulty.update({place_of(record): (key, why) for key, record, why in strays})
        self._find(holes, missing, faulty)
        verdicts = [self._verdict(record, alert, faulty) for record, alert in self._alerts]
        verdicts += [
            _lacking(event, self._chains.faults_of(event.evidence))
            for event in missing.values()
            if isinstance(event, AlertRaised) and self._asked.names(event)
        ]
        return _one_each(verdicts)

    def _doubt(self) -> None:
        """A close is excused only where it fits what stands before it."""
        for at, (key, why) in self._ledger.differing.items():
            if (
                key.id.startswith("close/")
                and why.startswith(OPEN)
                and not self._links.is_confirmed(key.topic, key.source, key.epoch)
            ):
                said = "its hash isn't that of the records before it"
                self._ledger.differing[at] = key, said
                self._ledger.bad[key] = said

    def _is_missed(self, key: Key, epochs: int) -> bool:
        return key.epoch <= epochs and not self._is_foreign(key)

    def _is_foreign(self, key: Key) -> bool:
        """Other detectors than ours spoke: what DETECT says here proves nothing of theirs."""
        return bool(self._foreign) and key.source.startswith("detect/")

    def _unfounded(self, key: Key, record: Record) -> str:
        event = record.event
        if isinstance(event, DriftDetected) and (why := self._platforms.why_foreign(event)):
            return why
        last = self._links.epoch_of(key.source)
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
            about = key.id.startswith(("close/", "seal/")) and self._is_foreign(key)
            if not why.startswith(OPEN) and not about:
                self.findings.append(f"{_at(place)}: {why}")
        for key, event in missing.items():
            self.findings.append(f"{key.topic}: {event.id} is concluded but isn't in the archive")

    def _verdict(
        self, record: Record, alert: AlertRaised, faulty: dict[Place, tuple[Key, str]]
    ) -> AlertVerdict:
        of_test = alert.metric in DRIFT_METRICS
        faults = self._chains.faults_of(alert.evidence, of_test=of_test)
        own = "no stage stamped it" if alert.stamp is None else ""
        if place_of(record) in faulty:
            own = faulty[place_of(record)][1]
        if own:
            # A stamp from an epoch that never was is a forger's, too: it proves nothing by itself.
            mine = failed("the alert", own)
            faults = mine._replace(integrity=mine.integrity or mine.completeness).joined(faults)
        return _judged(alert.id, faults)


def with_chain(found: Verification, checked: ChainCheck) -> Verification:
    """Return what was found with what became of the sealed records."""
    broken = tuple(
        BrokenAt(topic=b.topic, partition=b.partition, offset=b.offset) for b in checked.broken
    )
    return msgspec.structs.replace(
        found,
        findings=capped([*found.findings, *(f"chain: {b}" for b in checked.broken)]),
        chain=ChainVerdict(ok=checked.ok, broken=broken),
        ok=found.ok and checked.ok,
    )


def _judged(id_: str, faults: Faults) -> AlertVerdict:
    reasons = tuple(dict.fromkeys((*faults.integrity, *faults.completeness)))
    is_erased = faults.foreign.startswith(ERASED)
    status = "failed" if reasons else faults.foreign or VERIFIED
    return AlertVerdict(
        id=id_,
        integrity=not faults.integrity and (not faults.foreign or is_erased),
        completeness=not faults.completeness and not is_erased,
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


def capped(findings: list[str]) -> tuple[str, ...]:
    """Return findings, of too many the first and how many more there are."""
    more = len(findings) - FINDINGS_MAX
    rest = (f"and {more} more",) if more > 0 else ()
    return (*findings[:FINDINGS_MAX], *rest)


def at(record: Record) -> str:
    """Return where a record stands, in words."""
    return _at(place_of(record))


def _at(place: Place) -> str:
    return f"{place[0]}-{place[1]} offset {place[2]}"
