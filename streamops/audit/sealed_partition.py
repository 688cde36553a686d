"""One partition's raw records beside its sealed segments: what was changed, removed, added, moved.

Rule 1: a segment whose records give its root is intact, whatever files they lie in.
Rule 2: where they don't, the segment's leaves say which records it was. They are trusted only if
        they give the root themselves; without them the place is known to the segment.
Rule 3: one pass in the order of the files, one segment in memory.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from streamops.audit.in_order import in_order
from streamops.audit.raw_rows import RawFileRows, raw_paths
from streamops.audit.seal_chain import Broken
from streamops.core.merkle import merkle_root
from streamops.errors import TransportError
from streamops.values import SegmentSeal
from streamops.views.archive import DAMAGE
from streamops.views.log import Partition, RawRecord
from streamops.views.record_hash import leaf_hashes
from streamops.views.seal import digest_of, leaves_path

OFFSET = attrgetter("offset")
CHANGED = "was changed"
REMOVED = "was removed"
ADDED = "was added"
MOVED = "stands out of order, or twice"
UNREADABLE = "the file from here on can't be read"


class FileSeen(NamedTuple):
    """A raw file that was read: its SHA-256, its offsets [first, next), and what kept it unread."""

    path: Path
    digest: str
    first: int
    next: int
    error: str


class SealedPartition:
    """Checks one partition; call `check` once, then read what it found.

    end       where the last segment ends
    sealed    records that a seal covers and that are there
    unsealed  records behind the last seal
    files     the files read
    """

    def __init__(self, archive: Path, place: Partition, segments: list[SegmentSeal]) -> None:
        self._archive, self.place, self._segments = archive, place, segments
        self.end = segments[-1].next if segments else 0
        self.broken: list[Broken] = []
        self.files: list[FileSeen] = []
        self.sealed = self.unsealed = 0
        self._at = 0
        self._moved: set[int] = set()
        self._offsets: list[int] = []
        self._leaves: list[bytes] = []

    def check(self, on_records: Callable[[int], None] = lambda records: None) -> None:
        """Read the partition and compare; `on_records` is told how many were read."""
        for records in in_order(self._batches(), self._note_moved):
            on_records(len(records))
            self._take(records)
        while self._at < len(self._segments):
            self._finish()
        for file in self.files:
            if file.error and not any(file.first <= b.offset for b in self.broken):
                self._note(file.first, file.first + 1, UNREADABLE)

    def _batches(self) -> Iterator[list[RawRecord]]:
        for path in raw_paths(self._archive, self.place):
            rows = RawFileRows(path, self.place)
            first = end = int(path.stem) if path.stem.isdigit() else 0
            for batch in rows.batches():
                if batch:
                    end = max(end, batch[-1].offset + 1)
                    yield batch
            try:
                digest = digest_of(path)
            except TransportError as error:
                digest, rows.error = "", rows.error or str(error)
            self.files.append(FileSeen(path, digest, first, end, rows.error))

    def _note_moved(self, record: RawRecord) -> None:
        self._moved.add(record.offset)
        self._note(record.offset, record.offset + 1, MOVED)

    def _take(self, records: list[RawRecord]) -> None:
        start = 0
        while start < len(records):
            if self._at == len(self._segments):
                self.unsealed += len(records) - start
                return
            segment = self._segments[self._at]
            inside = bisect_left(records, segment.first, start, key=OFFSET)
            end = bisect_left(records, segment.next, start, key=OFFSET)
            for record in records[start:inside]:
                self._note(record.offset, record.offset + 1, f"{ADDED}: no seal covers it")
            part = records[inside:end]
            self._offsets += [record.offset for record in part]
            self._leaves += leaf_hashes(part)
            start = end
            if start < len(records):
                self._finish()

    def _finish(self) -> None:
        segment = self._segments[self._at]
        offsets, leaves = self._offsets, self._leaves
        self._at, self._offsets, self._leaves = self._at + 1, [], []
        self.sealed += len(offsets)
        if len(leaves) == segment.records and merkle_root(leaves).hex() == segment.root:
            return
        known = self._known(segment)
        if known is None:
            why = "some record of these isn't what was sealed; the leaves that say which are gone"
            self._note(segment.first, segment.next, f"{why} or altered")
            return
        self._compare(known, dict(zip(offsets, leaves, strict=True)))

    def _known(self, segment: SegmentSeal) -> dict[int, bytes] | None:
        """Return offset -> leaf as sealed, None where the file of leaves isn't what was sealed."""
        path = leaves_path(self._archive, self.place, segment.first)
        try:
            table = pq.read_table(path)
            offsets = table.column("offset").to_pylist()
            leaves = table.column("leaf").to_pylist()
            if len(leaves) != segment.records or merkle_root(leaves).hex() != segment.root:
                return None
        except DAMAGE:
            return None
        return dict(zip(offsets, leaves, strict=True))

    def _compare(self, sealed: dict[int, bytes], found: dict[int, bytes]) -> None:
        run: tuple[int, int, str] | None = None
        for offset in sorted(sealed.keys() | found.keys()):
            why = _difference(sealed.get(offset), found.get(offset))
            if why == REMOVED and offset in self._moved:
                why = ""
            if run is not None and why != run[2]:
                self._note(*run)
                run = None
            if why:
                run = (offset if run is None else run[0], offset + 1, why)
        if run is not None:
            self._note(*run)

    def _note(self, first: int, end: int, why: str) -> None:
        topic, partition = self.place
        self.broken.append(
            Broken(topic=topic, partition=partition, offset=first, next=end, why=why)
        )


def _difference(sealed: bytes | None, found: bytes | None) -> str:
    if sealed == found:
        return ""
    if found is None:
        return REMOVED
    return ADDED if sealed is None else CHANGED
