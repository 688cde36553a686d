"""What can't be computed again because values of persons can't be read: how far it still holds.

Rule 1: nothing is excused that the values don't explain. A summary must say what was concluded here
        but for the bins of features, where no more records may have moved out of `missing` than
        have values that can't be read; a close must fit the records before it; of a seal only those
        panes' leaves may differ.
Rule 2: a key whose erasure stands on the log was erased by that request. Any other is elsewhere:
        then the proof wasn't made here, and is neither good nor bad.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from streamops import codec
from streamops.audit.erasures import NO_KEY, Erased, erasures
from streamops.audit.ledger import Concluded, evidence_of
from streamops.audit.seals import SealFiles
from streamops.core.personal import NAME, key_of
from streamops.core.processor import Record
from streamops.core.rows import Rows, events_of, values_of
from streamops.core.seal import Manifest, decode_manifest
from streamops.core.times import micros
from streamops.errors import InputError
from streamops.events import EpochClosed, Event, PaneSummarized, PredictionMade, Sealed
from streamops.personal import Opener, sealed_in
from streamops.values import FeatureCounts
from streamops.views.archive import ArchiveLog

NAME_BYTES = NAME.encode()


class Unread(NamedTuple):
    """A prediction whose values no key opens here: partition, model and version, time, key."""

    place: tuple[int, str, str]
    time_us: int
    key: str


def unread_of(rows: Rows, opener: Opener) -> list[Unread]:
    """Return what no key opens of raw records, in their order."""
    found = list[Unread]()
    values, events = values_of(rows), events_of(rows)
    if NAME_BYTES not in b"".join(values):
        return found
    for at in [n for n, value in enumerate(values) if NAME_BYTES in value]:
        event = events[at]
        if not isinstance(event, PredictionMade):
            continue
        features = bytes(event.features)
        sealed = sealed_in(features)
        if sealed and not opener.names(event.id, features):
            place = rows.partition, event.model, event.version
            found.append(Unread(place, micros(event.time), key_of(sealed)))
    return found


class Unreadable:
    """Predictions with values that no key opens here, and what they explain.

    at  (partition, model, version) -> (time, name of the key) of each, in log order
    """

    def __init__(self, log: ArchiveLog, files: SealFiles) -> None:
        self._here: dict[tuple[str, int], Manifest] = {}
        self.at: dict[tuple[int, str, str], list[tuple[int, str]]] = {}
        self._log, self._files = log, files
        self._erasures: dict[str, Erased] | None = None
        self._epochs: dict[tuple[str, str, int], str] = {}

    def note(self, unread: Iterable[Unread]) -> None:
        """Remember what can't be read, in log order."""
        for place, time_us, name in unread:
            self.at.setdefault(place, []).append((time_us, name))

    def note_seal(self, event: Sealed, files: Mapping[str, bytes]) -> None:
        """Take what a seal of METER is made of here, where values before it can't be read."""
        if self.at and event.source.startswith("meter/") and event.evidence is not None:
            data = files[event.evidence.contents]
            self._here[event.source, event.epoch] = decode_manifest(data)

    def excuse(self, record: Record, event: Event, made: Concluded) -> str:
        """Return why a difference isn't one; empty where it is."""
        if not self.at:
            return ""
        concluded = made.event
        if isinstance(event, PaneSummarized) and isinstance(concluded, PaneSummarized):
            return self._summary(record, event, concluded, made)
        if isinstance(event, EpochClosed) and isinstance(concluded, EpochClosed):
            at = record.topic, event.source, event.epoch
            return self._epochs.get(at, "") if event.count == concluded.count else ""
        if isinstance(event, Sealed) and isinstance(concluded, Sealed):
            return self._seal(event, concluded)
        return ""

    def why(self, names: Iterable[str]) -> str:
        """Return what became of keys: erased by which requests, or that they are elsewhere."""
        if self._erasures is None:
            self._erasures = erasures(self._log)
        known = [self._erasures.get(name) for name in dict.fromkeys(names)]
        erased = sorted((e for e in known if e is not None), key=lambda e: e.number)
        if not erased or len(erased) < len(known):
            return NO_KEY
        return str(erased[0]) + (f" and {len(erased) - 1} more" if erased[1:] else "")

    def _summary(
        self, record: Record, event: PaneSummarized, concluded: PaneSummarized, made: Concluded
    ) -> str:
        """Evidence, counts and chain must be equal; bins only as far as values are unread."""
        partition = int(event.stamp.source.rpartition("/")[2]) if event.stamp else -1
        rows = sorted(self.at.get((partition, event.model, event.version), ()))
        first, end = micros(event.pane_start), micros(event.time)
        within = rows[bisect_left(rows, (first, "")) : bisect_left(rows, (end, ""))]
        same = replace(event, features=concluded.features, faults=concluded.faults)
        if not within or codec.conclusion(same) != made.conclusion:
            return ""
        if evidence_of(record.topic, event) != made.evidence:
            return ""
        if not explained(event, concluded, len(within)):
            return ""
        why = self.why(name for _, name in within)
        if event.stamp is not None:
            self._epochs[record.topic, event.stamp.source, event.stamp.epoch] = why
        return why

    def _seal(self, event: Sealed, concluded: Sealed) -> str:
        here = self._here.get((event.source, event.epoch))
        a, b = event.evidence, concluded.evidence
        if here is None or a is None or b is None or a.positions != b.positions:
            return ""
        try:
            there = self._files.manifest(event)
        except InputError:
            return ""  # `verify` names the file
        partition = int(event.source.rpartition("/")[2])
        models = {model for p, model, _ in self.at if p == partition}
        if len(here.leaves) != len(there.leaves):
            return ""
        for ours, theirs in zip(here.leaves, there.leaves, strict=True):
            if (ours.kind, ours.model) != (theirs.kind, theirs.model):
                return ""
            free = ours.kind == "panes" and ours.model in models
            if ours.sha256 != theirs.sha256 and not free:
                return ""
        rows = (rows for (p, _, _), rows in self.at.items() if p == partition)
        return self.why(name for some in rows for _, name in some)


def explained(event: PaneSummarized, concluded: PaneSummarized, records: int) -> bool:
    """Tell whether so many records, whose values are missing here, explain other bins there."""
    if [f.name for f in event.features] != [f.name for f in concluded.features]:
        return False
    moved = [
        _moved(there, here) for there, here in zip(event.features, concluded.features, strict=True)
    ]
    faults = event.faults - concluded.faults
    return all(0 <= n <= records for n in moved) and 0 <= faults <= sum(moved)


def _moved(there: FeatureCounts, here: FeatureCounts) -> int:
    """How many values stand in bins there and are missing here; -1 where that isn't all."""
    if len(there.counts) != len(here.counts) or sum(there.counts) != sum(here.counts):
        return -1
    more = [a - b for a, b in zip(there.counts, here.counts, strict=True)]
    if any(n < 0 for n in more[:-1]):
        return -1
    sums = zip(more, there.sums, here.sums, strict=False)
    if len(there.sums) != len(here.sums) or any(not n and a != b for n, a, b in sums):
        return -1
    return -more[-1]
