"""What the log says beside what was concluded here, one by one, byte by byte.

Rule 1: conclusions are compared as their canonical bytes. Evidence of METER too: it names raw
        offsets. Evidence of later stages is compared without offsets, as a repeat may have been
        read in place of the first; that the offsets hold is checked by reading.
Rule 2: within a source's epoch a conclusion is known by its id: ordinals shift where one before it
        is missing, and that is no fault of those behind.
Rule 3: every copy counts. A repeat that says something else is a fault of its own.
Rule 4: outcomes and refusals are forgotten WINDOW epochs later, so that what is held doesn't grow
        with the log; a copy that comes after that is counted, not compared. What is known of other
        records goes to disk (`shelf`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from streamops import codec
from streamops.audit.erasures import ERASED, NO_KEY
from streamops.audit.proven import Again, Known, Origin, Proven, Run, digests
from streamops.audit.shelf import Shelf
from streamops.core.output_rows import Addressed, AddressedRows
from streamops.core.processor import Record
from streamops.core.rows import Rows
from streamops.events import DriftDetected, EpochClosed, Event
from streamops.values import MetricEvidence, Proof, SealEvidence, Stamp

WINDOW = 64
# How reasons begin that are more than a difference.
FOREIGN = "not recomputable here: platform "
OTHER_CODE = "not recomputable here: detector "
# Those that say nothing against a record: it can't be computed again.
OPEN = (FOREIGN, OTHER_CODE, NO_KEY, ERASED)
ENDED = "its inputs in the archive end before epoch "
FORGOTTEN = frozenset({"outcomes", "dlq"})
FROM_RAW = frozenset({"outcomes", "summaries"})
RAW = frozenset({"predictions", "labels", "lifecycle"})


Place = tuple[str, int, int]


class Key(NamedTuple):
    """One conclusion: its topic, its source's epoch, and its id."""

    topic: str
    source: str
    epoch: int
    id: str


class Concluded(NamedTuple):
    """A conclusion drawn here: where it goes, and what is compared."""

    partition: int | None
    event: Event
    conclusion: bytes
    evidence: bytes


def no_archive(topic: str, partition: int, first: int, end: int) -> Iterable[Rows]:
    """Reads nothing again: for a ledger that is given no runs."""
    raise AssertionError(f"{topic}-{partition}: a ledger without an archive was given runs")


Excuse = Callable[[Record, Event, Concluded], str]


class Ledger:
    """Recorded and concluded records, matched as they come in any order.

    differing  place of a record -> its key, and how it differs
    bad        keys of which some copy differs -> how
    late       copies that came too late to be compared
    stands     key -> (ordinal, offset) of each copy; not kept for outcomes and refusals
    excuse     says why a difference is none that speaks against the record; empty: it does
    proven     outcomes that stand as they were concluded, by whole runs; `again` reads them again
    """

    def __init__(self, again: Again = no_archive) -> None:
        self.differing: dict[Place, tuple[Key, str]] = {}
        self.bad: dict[Key, str] = {}
        self.late = 0
        self.stands = Shelf(tuple[tuple[int, int], ...])
        self._concluded: dict[Key, Concluded] = {}
        self._recorded: dict[Key, list[Record]] = {}
        self._settled = Shelf(bytes)
        self._forgettable: dict[int, list[Key]] = {}
        self._twins: dict[Key, set[int]] = {}
        self._floor = 0
        self._excused: dict[Key, Concluded] = {}
        self._unread: dict[tuple[str, int, bytes], Addressed] = {}
        self.proven = Proven(again)
        self._one_by_one: set[Origin] = set()
        self.excuse: Excuse = lambda record, event, made: ""

    def conclude_bytes(self, addressed: Addressed) -> None:
        """Take an outcome as the bytes of its record: one that is equal needs no other look."""
        assert addressed.partition is not None, "what is encoded ahead has a place"
        self._unread[addressed.topic, addressed.partition, addressed.value] = addressed

    def conclude_rows(self, rows: AddressedRows, source: str, epoch: int) -> None:
        """Take many outcomes of a source's epoch, as bytes."""
        if (rows.topic, source, epoch) not in self._one_by_one:
            self.proven.expect(rows, source, epoch)
            return
        for addressed in rows:
            self.conclude_bytes(addressed)

    def record_rows(self, run: Run, rows: Rows) -> bool:
        """Settle outcomes of one source's epoch that are what comes next; else False, and each is
        to be given to `record`."""
        if not self.proven.take(run, rows):
            return False
        self._forget(run.epoch - WINDOW)
        return True

    def conclude(self, addressed: Addressed, event: Event | None = None) -> None:
        """Take what a stage concludes from its recorded inputs; `event`: where it is read."""
        event = addressed.event if event is None else event
        key = key_of(addressed.topic, event)
        assert key is not None, "a fold stamps what it concludes"
        self._take_back(key, event)
        if key in self._concluded or key in self._settled:
            ordinal = ordinal_of(event)
            self._twins.setdefault(key, set()).add(ordinal)
            key = _twin(key, ordinal)
        conclusion = codec.conclusion(event)
        made = Concluded(addressed.partition, event, conclusion, evidence_of(key.topic, event))
        copies = self._recorded.pop(key, [])
        if not copies:
            self._concluded[key] = made
        for record in copies:
            self._compare(key, record, made)

    def record(self, record: Record, event: Event) -> Key | None:
        """Take a record of a derived topic; returns its key, None where nothing stamped it."""
        key = key_of(record.topic, event)
        if key is None:
            return None
        self._take_back(key, event)
        ordinal = ordinal_of(event)
        if self._is_as_concluded(key, record, ordinal):
            return key
        if ordinal in self._twins.get(key, ()):
            key = _twin(key, ordinal)
        if key.topic not in FORGOTTEN:
            self.stands[key] = (*(self.stands.get(key) or ()), (ordinal, record.offset))
        made = self._concluded.pop(key, None)
        if made is not None:
            self._compare(key, record, made)
        elif key in self._excused:
            self._compare(key, record, self._excused[key])
        elif (settled := self._settled.get(key)) is not None:
            if settled not in (_digest(record, event), _bytes_digest(record)):
                self._differs(key, record, "a repeat says something else")
        elif key.topic in FORGOTTEN and key.epoch < self._floor:
            self.late += 1
        else:
            self._recorded.setdefault(key, []).append(record)
        return key

    def read_all(self) -> None:
        """Compare what no record's bytes were equal to; before anything is asked at the end."""
        for known in self.proven.rest():
            self._unpack(known)
        unread, self._unread = self._unread, {}
        for addressed in unread.values():
            self.conclude(addressed)

    def _is_as_concluded(self, key: Key, record: Record, ordinal: int) -> bool:
        """Settle a record whose bytes, and place, are those that were concluded."""
        made = self._unread.pop((record.topic, record.partition, record.value), None)
        if made is None:
            return False
        if key in self._recorded:  # a copy before it says something else
            self.conclude(made)
            return False
        self._settle_as_told(key, ordinal, _bytes_digest(record))
        return True

    def _settle_as_told(self, key: Key, ordinal: int, digest: bytes) -> None:
        if key in self._settled:  # two of an epoch under one id
            self._twins.setdefault(key, set()).add(ordinal)
            key = _twin(key, ordinal)
        self._settle(key, digest)

    def _take_back(self, key: Key, event: Event) -> None:
        """Look at a source's epoch record by record from here on; a close says nothing of them."""
        if key.topic != "outcomes" or isinstance(event, EpochClosed):
            return
        origin = key[:3]
        self._one_by_one.add(origin)
        for known in self.proven.hand_back(origin):
            self._unpack(known)

    def _unpack(self, known: Known) -> None:
        run = known.run
        for id_, ordinal, digest in known.settled:
            self._settle_as_told(Key(*run.origin, id_), ordinal, digest)
        for key, value in known.to_come:
            self.conclude_bytes(Addressed(run.topic, run.partition, key, None, value))

    def _settle(self, key: Key, digest: bytes) -> None:
        self._settled[key] = digest
        if key.topic in FORGOTTEN:
            self._forgettable.setdefault(key.epoch, []).append(key)
            self._forget(key.epoch - WINDOW)

    def is_good(self, key: Key) -> bool:
        """Tell whether every copy so far equals what was concluded."""
        return key in self._settled and key not in self.bad

    def missing(self) -> Iterator[tuple[Key, Event]]:
        """Yield what was concluded and is not on the log, in stage order."""
        for key, made in self._concluded.items():
            yield key, made.event

    def unfounded(self) -> Iterator[tuple[Key, Record]]:
        """Yield what is on the log and was not concluded."""
        for key, records in self._recorded.items():
            for record in records:
                yield key, record

    def _compare(self, key: Key, record: Record, made: Concluded) -> None:
        event = record.event
        assert isinstance(event, Event), "a refusal has no stamp"
        if key not in self._settled:
            self._settle(key, _digest_of(record, event, made))
        why = difference(key.topic, record, event, made)
        excuse = self.excuse(record, event, made) if why else ""
        if excuse:
            self._excused[key] = made
            why = excuse
        if why:
            self._differs(key, record, why)

    def _differs(self, key: Key, record: Record, why: str) -> None:
        self.differing[place_of(record)] = (key, why)
        self.bad.setdefault(key, why)

    def _forget(self, epoch: int) -> None:
        if epoch > self._floor:
            self._floor = epoch
            self.proven.forget(epoch)
            self._one_by_one = {origin for origin in self._one_by_one if origin[2] >= epoch}
            for old in [e for e in self._forgettable if e < epoch]:
                for key in self._forgettable.pop(old):
                    self._settled.discard(key)


def key_of(topic: str, event: Event) -> Key | None:
    """Return what identifies a conclusion; None for an event without a stamp."""
    if isinstance(event, EpochClosed):
        return Key(topic, event.source, event.epoch, event.id)
    stamp: Stamp | None = getattr(event, "stamp", None)
    return None if stamp is None else Key(topic, stamp.source, stamp.epoch, event.id)


def ordinal_of(event: Event) -> int:
    """Return an event's number in its source's epoch; -1 for a close."""
    stamp: Stamp | None = getattr(event, "stamp", None)
    return -1 if stamp is None else stamp.ordinal


def _twin(key: Key, ordinal: int) -> Key:
    """Two conclusions of an epoch under one id are told apart by their ordinals."""
    return key._replace(id=f"{key.id}#{ordinal}")


def place_of(record: Record) -> Place:
    """Return topic, partition and offset."""
    return record.topic, record.partition, record.offset


def difference(topic: str, record: Record, event: Event, made: Concluded) -> str:
    """Return how a recorded event differs from what was concluded; empty where it doesn't."""
    if made.partition is not None and made.partition != record.partition:
        return f"stands on partition {record.partition}, not {made.partition}"
    if codec.conclusion(event) != made.conclusion:
        return _fields(event, made.event)
    if evidence_of(topic, event) != made.evidence:
        if topic in FROM_RAW:
            return "the raw records aren't those it was made of: spans, number or chain differ"
        return "its evidence names other records"
    return ""


def evidence_of(topic: str, event: Event) -> bytes:
    """Return the part of an event's evidence that every run shares, as bytes."""
    evidence = getattr(event, "evidence", None)
    if isinstance(evidence, MetricEvidence):
        refs = tuple(replace(ref, offset=0) for ref in evidence.summaries)
        evidence = replace(evidence, summaries=refs)
    elif isinstance(evidence, Proof):
        named = tuple(replace(ref, offset=0) for ref in evidence.metrics)
        evidence = replace(evidence, metrics=named)
    elif isinstance(evidence, SealEvidence):
        raw = {topic: at for topic, at in evidence.positions.items() if topic in RAW}
        evidence = replace(evidence, positions=raw)
    return b"" if evidence is None else msgspec.json.encode(evidence, order="deterministic")


def _fields(event: Event, concluded: Event) -> str:
    if type(event) is not type(concluded):
        return f"is a {type(event).__name__}, but {type(concluded).__name__} was concluded"
    match event, concluded:
        case DriftDetected(), DriftDetected() if event.platform != concluded.platform:
            return f"{FOREIGN}{event.platform}"
    names = [
        name
        for name in event.__struct_fields__
        if name not in ("stamp", "evidence") and _said(event, name) != _said(concluded, name)
    ]
    return f"the recomputation gives another {', '.join(names)}"


def _said(event: Event, name: str) -> bytes:
    return msgspec.json.encode(getattr(event, name), order="deterministic")


def _digest_of(record: Record, event: Event, made: Concluded) -> bytes:
    """What a repeat of a record must say: what was concluded, where the first copy stands."""
    return _sha(record, ordinal_of(event), made.conclusion, made.evidence)


def _digest(record: Record, event: Event) -> bytes:
    evidence = evidence_of(record.topic, event)
    return _sha(record, ordinal_of(event), codec.conclusion(event), evidence)


def _bytes_digest(record: Record) -> bytes:
    """The same of a record that is known by its bytes."""
    return digests(record.partition, (record.value,))[0]


def _sha(record: Record, ordinal: int, conclusion: bytes, evidence: bytes) -> bytes:
    about = b"%d %d\n" % (record.partition, ordinal)
    return hashlib.sha256(b"\n".join((about, conclusion, evidence))).digest()[:16]
