"""The seals of an archive, and whether each follows from the one before.

A seal is read from `progress` in the archive, else from its copy in chain/seals, where it is until
`progress` is archived that far. Of several records with one number the first counts.

Rule 1: of what is there the seal counts whose own hashes hold, so that a forged one is named, and
        not the records that it speaks falsely of.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from streamops.audit.raw_rows import RawFileRows, raw_paths
from streamops.errors import TransportError
from streamops.events import CheckpointSealed
from streamops.values import SegmentSeal
from streamops.views.log import Partition
from streamops.views.record_hash import seal_head, segment_head
from streamops.views.seal import SealFile, read_seal, seal_paths
from streamops.views.seal_events import HOME, sealed_by


class Broken(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A place where the archive isn't what was sealed, and why, in words.

    next  end of the offsets that it is so for; offset + 1 for one record
    """

    topic: str
    partition: int
    offset: int
    next: int
    why: str

    def __str__(self) -> str:
        many = self.next > self.offset + 1
        where = f"offsets {self.offset} to {self.next - 1}" if many else f"offset {self.offset}"
        return f"{self.topic}-{self.partition} {where}: {self.why}"


class Found(NamedTuple):
    """A seal and the offset on `progress` at which it stands; -1 where only its copy is there."""

    event: CheckpointSealed
    offset: int


class SealChain:
    """The seals of an archive in order, those that hold; `broken` says which don't, and where.

    offsets    number of a seal -> its offset on `progress`
    segments   partition -> its segments, by offset
    unread     seal files that can't be read
    end        where `progress` ends in the archive
    """

    def __init__(self, archive: Path) -> None:
        self.seals: list[CheckpointSealed] = []
        self.offsets: dict[int, int] = {}
        self.broken: list[Broken] = []
        self.segments: dict[Partition, list[SegmentSeal]] = {}
        self.unread: list[str] = []
        self.end = 0
        self._heads: dict[Partition, tuple[int, str]] = {}
        copies = self._copies(archive)
        standing = self._standing(archive)
        self._last = max([*standing, *copies], default=0)
        for number in range(1, self._last + 1):
            copy = [Found(copies[number].event, -1)] if number in copies else []
            if not self._follow(number, [*standing.get(number, ()), *copy]):
                return

    @property
    def last(self) -> CheckpointSealed | None:
        """The last seal that holds."""
        return self.seals[-1] if self.seals else None

    def _copies(self, archive: Path) -> dict[int, SealFile]:
        found: dict[int, SealFile] = {}
        for path in seal_paths(archive):
            try:
                kept = read_seal(path)
            except TransportError as error:
                self.unread.append(str(error))
                continue
            found[kept.event.number] = kept
        return found

    def _standing(self, archive: Path) -> dict[int, list[Found]]:
        found: dict[int, list[Found]] = {}
        for path in raw_paths(archive, HOME):
            for row in RawFileRows(path, HOME):
                self.end = max(self.end, row.offset + 1)
                event = sealed_by(row.value)
                if event is not None:
                    found.setdefault(event.number, []).append(Found(event, row.offset))
        return found

    def _follow(self, number: int, candidates: list[Found]) -> bool:
        """Go on to the next seal; False where none of that number holds."""
        before = self.seals[-1].head if self.seals else ""
        reasons = [(found, self._fault(found.event, before)) for found in candidates]
        good = next((found for found, why in reasons if not why), None)
        behind = self._last - number
        rest = f"; {behind} behind it can't be checked" if good is None and behind else ""
        if not candidates:
            self._break(self._near(), f"seal {number} is gone{rest}")
        for found, why in reasons[:1]:
            if why:
                at = self._near() if found.offset < 0 else found.offset
                self._break(at, f"seal {number} {why}{rest}")
        if good is None:
            return False
        self.seals.append(good.event)
        self.offsets[number] = max(good.offset, 0)
        for segment in good.event.segments:
            self._add(segment)
        return True

    def _fault(self, event: CheckpointSealed, before: str) -> str:
        if event.head != seal_head(event):
            return "was altered: its head isn't that of what it says"
        heads = {place: head for place, (_, head) in self._heads.items()}
        for segment in event.segments:
            place = (segment.topic, segment.partition)
            if segment.head != segment_head(segment, heads.get(place, "")):
                return f"doesn't follow from the seals before, in {place[0]}-{place[1]}"
            heads[place] = segment.head
        if event.previous != before:
            return "doesn't follow from the seal before"
        return ""

    def _add(self, segment: SegmentSeal) -> None:
        place = (segment.topic, segment.partition)
        end, _ = self._heads.get(place, (segment.first, ""))
        if segment.first > end:
            why = "was sealed by nothing: the archive lacked it, or couldn't read it"
            self.broken.append(
                Broken(topic=place[0], partition=place[1], offset=end, next=segment.first, why=why)
            )
        self._heads[place] = (segment.next, segment.head)
        self.segments.setdefault(place, []).append(segment)

    def _near(self) -> int:
        """Return the first offset at which the seal behind the last one can stand."""
        return self.offsets[max(self.offsets)] + 1 if self.offsets else 0

    def _break(self, offset: int, why: str) -> None:
        topic, partition = HOME
        self.broken.append(
            Broken(topic=topic, partition=partition, offset=offset, next=offset + 1, why=why)
        )
