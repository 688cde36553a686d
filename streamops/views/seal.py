"""Sealing an archive: segments of its records hashed and linked, and what lies beside it for that.

    chain/seals/NUMBER.json              a seal as its event says it, and the state after it
    chain/leaves/topic=T/partition=P/FIRST.parquet  offset and leaf hash of a segment's records
    chain/files/topic=T/partition=P.sha256          raw files as archived, as sha256sum writes them

Rule 1: a segment is a span of offsets, named in the seal. Files may be cut and packed otherwise.
Rule 2: a seal is written here, once, by link, before its event goes out: a crash between sends the
        same event again, and a second archiver is refused.
Rule 3: `progress` decides. What stands there is never sealed again otherwise, also where this
        folder was lost; leaves only say which record it was, and the root of the seal covers them.
Rule 4: a seal covers the records before its own event, which the next seal covers.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import file_digest
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from streamops.core.merkle import merkle_root
from streamops.core.times import EPOCH
from streamops.errors import TransportError
from streamops.events import CheckpointSealed
from streamops.values import SegmentSeal
from streamops.views.archive import Cover, file_name, sync, write_table
from streamops.views.log import Log, Partition, RawRecord
from streamops.views.raw_columns import in_columns
from streamops.views.record_hash import SIZE, leaf_hashes, seal_head, segment_head
from streamops.views.seal_events import HOME, seals_on

LEAVES = pa.schema([("offset", pa.int64()), ("leaf", pa.binary(SIZE))])


class SealPace(NamedTuple):
    """When the archiver seals by itself, and how long a segment is.

    records   of a segment at most
    open      records in segments that aren't closed, of all partitions; each costs 40 bytes
    unsealed  records that are in no seal; a restart reads them again
    every_s   seconds from a seal to the next, if anything came
    """

    records: int = 65_536
    open: int = 500_000
    unsealed: int = 2_000_000
    every_s: float = 600.0


DEFAULT_PACE = SealPace()
SEGMENT_RECORDS = DEFAULT_PACE.records


class Reach(msgspec.Struct, frozen=True, array_like=True):
    """How far a partition is sealed: offsets below `next`, and its chain's head."""

    next: int
    head: str


class SealFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of chain/seals: the event; for each partition, as topic/partition, the state after."""

    event: CheckpointSealed
    places: dict[str, Reach]


class Chain:
    """The state of a chain: its last seal, and how far each partition is sealed."""

    def __init__(self) -> None:
        self.number = 0
        self.head = ""
        self.places: dict[Partition, Reach] = {}

    def add(self, event: CheckpointSealed) -> None:
        """Go on to the next seal."""
        self.number, self.head = event.number, event.head
        for segment in event.segments:
            place = (segment.topic, segment.partition)
            self.places[place] = Reach(segment.next, segment.head)


@dataclass
class Segment:
    """Records of the offsets [first, next) of a partition that aren't sealed yet."""

    first: int
    next: int
    offsets: array[int] = field(default_factory=lambda: array("q"))
    leaves: bytearray = field(default_factory=bytearray)

    def add(self, records: Sequence[RawRecord]) -> None:
        """Take the next records."""
        self.offsets.extend(in_columns(records).columns.offsets)
        self.leaves += b"".join(leaf_hashes(records))
        self.next = self.offsets[-1] + 1

    def each(self) -> list[bytes]:
        """Return the leaf hashes one by one."""
        whole = bytes(self.leaves)
        return [whole[n : n + SIZE] for n in range(0, len(whole), SIZE)]


class Sealer:
    """Takes what was archived, in order, and makes seals of it."""

    def __init__(
        self, archive: Path, namespace: str, pace: SealPace = DEFAULT_PACE, now: float = 0.0
    ) -> None:
        self._archive, self._namespace, self._pace = archive, namespace, pace
        self._open: dict[Partition, Segment] = {}
        self._closed: list[SegmentSeal] = []
        self._unsealed = 0
        self._last = now
        self.chain = Chain()
        self.time = EPOCH

    def resume(self, progress: Log) -> CheckpointSealed | None:
        """Go on behind the last seal; returns it if its event doesn't stand on `progress` yet.

        Raises TransportError where this folder and `progress` tell of two chains.
        """
        unsent: CheckpointSealed | None = None
        last = next(iter(sorted(seal_paths(self._archive), reverse=True)), None)
        if last is not None:
            kept = read_seal(last)
            unsent = kept.event
            self._follow(unsent)
            for name, sealed in kept.places.items():
                topic, _, partition = name.rpartition("/")
                self.chain.places[(topic, int(partition))] = sealed
        for event in seals_on(progress, self.sealed(HOME)):
            if event.number == self.chain.number and event.head != self.chain.head:
                raise self._forked(event)
            if event.number >= self.chain.number:
                unsent = None
            if event.number == self.chain.number + 1:
                if event.previous != self.chain.head:
                    raise self._forked(event)
                self._follow(event)
        return unsent

    def sealed(self, place: Partition) -> int:
        """Return the offset below which a partition is sealed."""
        known = self.chain.places.get(place)
        return 0 if known is None else known.next

    def take(
        self, place: Partition, records: Sequence[RawRecord], cover: Cover, path: Path
    ) -> None:
        """Hash what a raw file holds that comes behind what was taken before."""
        note_file(self._archive, place, path)
        segment = self._segment(place, cover.first)
        fresh = in_columns(records).behind(segment.next)
        if fresh:
            newest = max(fresh.columns.append_ms)
            self.time = max(self.time, EPOCH + timedelta(milliseconds=newest))
        start = 0
        while start < len(fresh):
            room = self._pace.records - len(segment.offsets)
            segment.add(fresh[start : start + room])
            start += room
            if len(segment.offsets) >= self._pace.records:
                segment = self._close(place)
        segment.next = max(segment.next, cover.next)
        self._unsealed += len(fresh)
        self._make_room()

    def due(self, now: float) -> bool:
        """Tell whether it is time for a seal; one of seals alone never is."""
        if self._unsealed >= self._pace.unsealed:
            return True
        return now - self._last >= self._pace.every_s and self._has_news()

    def seal(self, now: float, request: str = "") -> CheckpointSealed:
        """Seal all that was taken and write it down; the caller sends the event.

        Raises TransportError if another archiver did, or the disk refuses.
        """
        for place, segment in sorted(self._open.items()):
            if segment.offsets:
                self._close(place)
        event = self._event(request)
        self.chain.add(event)
        names = {f"{topic}/{n}": sealed for (topic, n), sealed in self.chain.places.items()}
        self._write(SealFile(event=event, places=names))
        self._closed, self._unsealed, self._last = [], 0, now
        return event

    def _event(self, request: str) -> CheckpointSealed:
        number = self.chain.number + 1
        order = sorted(self._closed, key=lambda s: (s.topic, s.partition, s.first))
        bare = CheckpointSealed(
            id=f"seal/{number}",
            time=self.time,
            namespace=self._namespace,
            number=number,
            previous=self.chain.head,
            segments=tuple(order),
            request=request,
            head="",
        )
        return msgspec.structs.replace(bare, head=seal_head(bare))

    def _segment(self, place: Partition, first: int) -> Segment:
        segment = self._open.get(place)
        if segment is None:
            start = self.chain.places[place].next if place in self.chain.places else first
            segment = self._open[place] = Segment(start, start)
        if first > segment.next:
            # Records are lost between: the seals say so by leaving the span out.
            if segment.offsets:
                self._close(place)
            segment = self._open[place] = Segment(first, first)
        return segment

    def _close(self, place: Partition) -> Segment:
        segment = self._open[place]
        leaves = segment.each()
        bare = SegmentSeal(
            *place,
            segment.first,
            segment.next,
            len(leaves),
            merkle_root(leaves).hex(),
            "",
        )
        before = self._head(place)
        self._closed.append(msgspec.structs.replace(bare, head=segment_head(bare, before)))
        write_leaves(self._archive, place, segment.first, segment.offsets, leaves)
        fresh = self._open[place] = Segment(segment.next, segment.next)
        return fresh

    def _head(self, place: Partition) -> str:
        for segment in reversed(self._closed):
            if (segment.topic, segment.partition) == place:
                return segment.head
        known = self.chain.places.get(place)
        return "" if known is None else known.head

    def _make_room(self) -> None:
        held = {place: len(segment.offsets) for place, segment in self._open.items()}
        while held and sum(held.values()) > self._pace.open:
            largest = max(held, key=lambda place: held[place])
            self._close(largest)
            del held[largest]

    def _has_news(self) -> bool:
        waiting = {place for place, segment in self._open.items() if segment.offsets}
        closed = {(segment.topic, segment.partition) for segment in self._closed}
        return bool((waiting | closed) - {HOME})

    def _follow(self, event: CheckpointSealed) -> None:
        self.chain.add(event)
        self.time = max(self.time, event.time)

    def _write(self, made: SealFile) -> None:
        path = seal_path(self._archive, made.event.number)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(msgspec.json.encode(made, order="deterministic"))
            sync(temporary)
            os.link(temporary, path)
            sync(path.parent)
        except FileExistsError:
            raise TransportError(
                f"{path} exists already: another archiver seals this archive; stop one of the two"
            ) from None
        except OSError as error:
            raise TransportError(f"{path} can't be written ({error}); check the disk") from error
        finally:
            temporary.unlink(missing_ok=True)

    def _forked(self, event: CheckpointSealed) -> TransportError:
        return TransportError(
            f"seal {event.number} on progress isn't the one in {self._archive / 'chain'}: another "
            "archive of this namespace is sealed, too; let one archiver run, with one archive"
        )


def seal_path(archive: Path, number: int) -> Path:
    """Return the file of a seal; names sort as numbers do."""
    return archive / "chain" / "seals" / f"{number:012d}.json"


def seal_paths(archive: Path) -> list[Path]:
    """Return the files of all seals, the first one first."""
    return sorted((archive / "chain" / "seals").glob("[0-9]*.json"))


def read_seal(path: Path) -> SealFile:
    """Return what a file of a seal says; TransportError where it can't be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=SealFile)
    except (OSError, msgspec.MsgspecError) as error:
        raise TransportError(
            f"{path} can't be read as a seal ({error}); restore it, or delete the folder chain/: "
            "the seals stand on progress, too"
        ) from error


def leaves_path(archive: Path, place: Partition, first: int) -> Path:
    """Return the file of a segment's leaves."""
    topic, partition = place
    folder = archive / "chain" / "leaves" / f"topic={topic}" / f"partition={partition}"
    return folder / file_name(first)


def write_leaves(
    archive: Path, place: Partition, first: int, offsets: Iterable[int], leaves: list[bytes]
) -> None:
    """Write a segment's leaves, in place of those of a segment that a crash left unsealed."""
    path = leaves_path(archive, place, first)
    columns: list[Any] = [pa.array(offsets, pa.int64()), pa.array(leaves, pa.binary(SIZE))]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(pa.Table.from_arrays(columns, schema=LEAVES), temporary)
        temporary.replace(path)
    except OSError as error:
        raise TransportError(f"{path} can't be written ({error}); check the disk") from error
    finally:
        temporary.unlink(missing_ok=True)


def files_path(archive: Path, place: Partition) -> Path:
    """Return the list of a partition's raw files."""
    topic, partition = place
    return archive / "chain" / "files" / f"topic={topic}" / f"partition={partition}.sha256"


def note_file(archive: Path, place: Partition, path: Path) -> None:
    """Add a raw file to its partition's list, with its SHA-256. Of two lines the first counts."""
    line = f"{digest_of(path)}  {path.relative_to(archive)}\n"
    listed = files_path(archive, place)
    try:
        listed.parent.mkdir(parents=True, exist_ok=True)
        with listed.open("a") as file:
            file.write(line)
    except OSError as error:
        raise TransportError(f"{listed} can't be written ({error}); check the disk") from error


def noted_files(archive: Path, place: Partition) -> dict[str, str]:
    """Return raw file, below the archive -> SHA-256 when it was archived; a torn line is none."""
    try:
        text = files_path(archive, place).read_text(errors="replace")
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in text.splitlines():
        digest, gap, name = line.partition("  ")
        if gap and len(digest) == 2 * SIZE:
            found.setdefault(name, digest)
    return found


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, hex; TransportError where it can't be read."""
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TransportError(f"{path} can't be read ({error}); restore it") from error
