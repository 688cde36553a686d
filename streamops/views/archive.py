"""The Parquet archive: every record of every topic, for any engine to read.

    raw/topic=T/partition=P/FIRST.parquet           offset, timestamp_ms, key, value, headers: truth
    typed/type=E/topic=T/partition=P/FIRST.parquet  columns per event type: derived, disposable

Rule 1: a raw file covers the offsets [first, next) and says so in its metadata, with the gaps in
        which no record stands (transaction markers). The next file starts at its `next`.
Rule 2: a raw file is created once, by link, and never changed: of two archivers one loses.
Rule 3: the files are the archiver's only memory: it goes on at the last one's `next`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from streamops.errors import TransportError
from streamops.views.log import Held, Partition, RawColumns, RawRecord, missing, require_held
from streamops.views.raw_columns import in_columns

ROW_GROUP = 20_000
NO_END = 1 << 62
# Rows that a reader has in memory as Python objects: a fold may read dozens of partitions at once.
BATCH = 1000
# What folds read of a record: no headers.
COLUMNS = ["offset", "timestamp_ms", "key", "value"]
COVER = b"streamops.cover"
# Facts of the namespace, beside the raw files.
NAMESPACE_FILE = "namespace.json"
# What pyarrow raises for a damaged file, by where the damage lies.
DAMAGE = (
    pa.ArrowException,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    OverflowError,
    MemoryError,
    NotImplementedError,
)

HEADER = pa.struct([("name", pa.string()), ("value", pa.binary())])
SCHEMA = pa.schema(
    [
        ("offset", pa.int64()),
        ("timestamp_ms", pa.int64()),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("headers", pa.list_(HEADER)),
    ]
)


class Cover(msgspec.Struct, frozen=True):
    """What a raw file covers: offsets [first, next), without records in its `gaps` [from, to)."""

    first: int
    next: int
    gaps: tuple[tuple[int, int], ...] = ()


class RawFile(NamedTuple):
    """One raw file and its cover."""

    path: Path
    cover: Cover


def raw_folder(archive: Path, topic: str, partition: int) -> Path:
    """Return the folder of a partition's raw files."""
    return archive / "raw" / f"topic={topic}" / f"partition={partition}"


def file_name(first: int) -> str:
    """Return the name of the file that starts at an offset; names sort as offsets do."""
    return f"{first:020d}.parquet"


def read_cover(path: Path) -> Cover:
    """Return what a raw file covers; TransportError where it can't be read."""
    try:
        metadata = pq.read_metadata(path).metadata or {}
        return msgspec.json.decode(metadata[COVER], type=Cover)
    except (*DAMAGE, msgspec.MsgspecError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> TransportError:
    """Return the error for a file that is no raw file, or a damaged one."""
    said = " ".join(str(error).split()) or type(error).__name__
    return TransportError(f"{path} can't be read as an archive file ({said}); restore it")


def cover_of(offsets: Sequence[int], first: int, end: int) -> Cover:
    """Return the cover [first, end) of records at these ascending offsets."""
    gaps = list[tuple[int, int]]()
    expected = first
    for offset in offsets:
        if offset > expected:
            gaps.append((expected, offset))
        expected = offset + 1
    if end > expected:
        gaps.append((expected, end))
    return Cover(first, end, tuple(gaps))


def write_raw(archive: Path, records: Sequence[RawRecord], place: Partition, cover: Cover) -> Path:
    """Create the raw file of a cover, durably; returns its path.

    Raises TransportError if another archiver created it before, or the disk refuses.
    """
    return store_raw(archive, raw_table(records), place, cover)


def store_raw(archive: Path, rows: Any, place: Partition, cover: Cover) -> Path:
    """Do the same with records that are an Arrow table already."""
    folder = raw_folder(archive, *place)
    path = folder / file_name(cover.first)
    rows = rows.replace_schema_metadata({COVER: msgspec.json.encode(cover)})
    temporary = folder / f".{cover.first}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_table(rows, temporary)
        os.link(temporary, path)
        sync(folder)
    except FileExistsError:
        raise TransportError(
            f"{path} exists already: another archiver works on this archive; stop one of the two"
        ) from None
    except OSError as error:
        raise TransportError(f"{path} can't be written ({error}); check disk and rights") from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def raw_table(records: Sequence[RawRecord]) -> Any:
    """Return raw records as an Arrow table of the raw schema."""
    given = in_columns(records).columns
    pairs = list(chain.from_iterable(given.headers))
    names, values = [name for name, _ in pairs], [value for _, value in pairs]
    headers = pa.StructArray.from_arrays(
        [pa.array(names, pa.string()), pa.array(values, pa.binary())], fields=list(HEADER)
    )
    ends = pa.array(accumulate(map(len, given.headers), initial=0), pa.int32())
    columns = [
        pa.array(given.offsets, pa.int64()),
        pa.array(given.append_ms, pa.int64()),
        pa.array(given.keys, pa.binary()),
        pa.array(given.values, pa.binary()),
        pa.ListArray.from_arrays(ends, headers, type=pa.list_(HEADER)),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def write_table(rows: Any, path: Path, repeating: Sequence[str] | Literal[True] = True) -> None:
    """Write an Arrow table as Parquet and wait until the disk has it.

    repeating  the columns that get a dictionary; all if it isn't said
    """
    how = {"compression": "zstd", "row_group_size": ROW_GROUP, "use_dictionary": repeating}
    pq.write_table(rows, path, **how)
    sync(path)


def sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class ArchiveLog:
    """The Log port over an archive's raw files; sees files that appear while it is used."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._covers: dict[Path, Cover] = {}

    def topics(self) -> list[str]:
        """Return the topics that have a folder."""
        return _values(self._archive / "raw", "topic")

    def partitions(self, topic: str) -> list[int]:
        """Return the topic's partitions that have a folder."""
        return sorted(
            int(p) for p in _values(self._archive / "raw" / f"topic={topic}", "partition")
        )

    def files(self, topic: str, partition: int) -> list[RawFile]:
        """Return a partition's raw files in order; TransportError where one is missing between."""
        paths = sorted(raw_folder(self._archive, topic, partition).glob("[0-9]*.parquet"))
        found = list[RawFile]()
        for path in paths:
            cover = self._cover(path)
            if found and cover.first != found[-1].cover.next:
                raise missing(topic, partition, found[-1].cover.next, cover.first)
            found.append(RawFile(path, cover))
        return found

    def held(self, topic: str, partition: int) -> Held:
        """Return the offsets from the first file's first to the last one's next."""
        files = self.files(topic, partition)
        return Held(files[0].cover.first, files[-1].cover.next) if files else Held(0, 0)

    def read(
        self,
        topic: str,
        partition: int,
        first: int = 0,
        next: int | None = None,
    ) -> Iterator[RawRecord]:
        """Yield the records of [first, next) from the files that cover them."""
        held = self.held(topic, partition)
        end = held.next if next is None else next
        require_held(held, topic, partition, first, end)
        for path, cover in self.files(topic, partition):
            if first < cover.next and cover.first < end:
                yield from read_file(path, (topic, partition), first, end)

    def columns(self, topic: str, partition: int, rows: int) -> Iterator[RawColumns]:
        """Yield all records as `read` does, some rows at a time and without their headers."""
        require_held(held := self.held(topic, partition), topic, partition, 0, held.next)
        for path, _ in self.files(topic, partition):
            try:
                with pq.ParquetFile(path) as file:
                    for batch in file.iter_batches(rows, columns=COLUMNS, use_threads=False):
                        offsets, times, keys, values = (c.to_pylist() for c in batch.columns)
                        yield offsets, times, keys, values
            except DAMAGE as error:
                raise unreadable(path, error) from error

    def _cover(self, path: Path) -> Cover:
        if path not in self._covers:
            self._covers[path] = read_cover(path)
        return self._covers[path]


def _values(folder: Path, name: str) -> list[str]:
    return sorted(path.name.partition("=")[2] for path in folder.glob(f"{name}=*"))


def read_file(
    path: Path, place: Partition, first: int = 0, end: int = NO_END
) -> Iterator[RawRecord]:
    """Yield a raw file's records of [first, end); TransportError where it can't be read."""
    try:
        with pq.ParquetFile(path) as file:
            groups = [n for n in range(file.num_row_groups) if _meets(file, n, first, end)]
            for batch in file.iter_batches(BATCH, row_groups=groups):
                yield from _records(batch, place, first, end)
    except DAMAGE as error:
        raise unreadable(path, error) from error


def records_at(path: Path, place: Partition, offsets: Sequence[int]) -> Iterator[RawRecord]:
    """Yield the records of a raw file at ascending offsets; of the others no object is made."""
    wanted = set(offsets)
    if not wanted:
        return
    try:
        with pq.ParquetFile(path) as file:
            groups = [n for n in range(file.num_row_groups) if _meets_any(file, n, offsets)]
            for batch in file.iter_batches(BATCH, row_groups=groups, use_threads=False):
                there = batch.column(0).to_pylist()
                for at in [n for n, offset in enumerate(there) if offset in wanted]:
                    yield from _records(batch.slice(at, 1), place, 0, NO_END)
                if there[-1] >= offsets[-1]:
                    return
    except DAMAGE as error:
        raise unreadable(path, error) from error


def _meets_any(file: Any, group: int, offsets: Sequence[int]) -> bool:
    return any(_meets(file, group, offset, offset + 1) for offset in offsets)


def _meets(file: Any, group: int, first: int, end: int) -> bool:
    bounds = file.metadata.row_group(group).column(0).statistics
    return bounds is None or (bounds.max >= first and bounds.min < end)


def _records(batch: Any, place: Partition, first: int, end: int) -> Iterator[RawRecord]:
    offsets, times, keys, values = (batch.column(n).to_pylist() for n in range(4))
    pairs = _headers(batch.column(4))
    for n, offset in enumerate(offsets):
        if first <= offset < end:
            yield RawRecord(*place, offset, times[n], keys[n], values[n], pairs[n])


def _headers(column: Any) -> Sequence[tuple[tuple[str, bytes], ...]]:
    # `flatten` would do, and takes a quarter second to load what it compares by.
    if column.offsets[0] == column.offsets[len(column)]:
        return ((),) * len(column)
    return [tuple((h["name"], h["value"]) for h in headers) for headers in column.to_pylist()]
