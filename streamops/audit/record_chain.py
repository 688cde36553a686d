"""verify-chain: whether an archive's records are those that were sealed, and where they aren't.

Rule 1: records are compared, not files. A file that was packed or cut again holds the same records.
Rule 2: every difference has a place: topic, partition, offset. Where a whole chain was made anew
        only a line kept elsewhere shows it, and the place is the seal that the line is of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import msgspec
import pyarrow.parquet as pq

from streamops.audit.raw_rows import raw_paths
from streamops.audit.seal_chain import Broken, SealChain
from streamops.audit.seal_line import SealLine, line_of
from streamops.audit.sealed_partition import FileSeen, SealedPartition
from streamops.errors import ConfigError
from streamops.views.archive import DAMAGE, ArchiveLog
from streamops.views.log import Partition
from streamops.views.seal import noted_files
from streamops.views.seal_events import HOME

INTACT = "file altered, records intact"
MOVED_ON = "its records stand in other files, intact"
UNSEALED = "and no seal covers all its records yet"
Progress = Callable[[int, int], None]


class ChainCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What verify-chain found.

    ok         no record differs from what was sealed, none lacks, and every seal holds
    broken     where not, by topic, partition and offset
    altered    files that aren't as they were archived though their records are
    unreadable files that can't be read, and why
    seals      seals that hold; sealed: records they cover; unsealed: records behind the last one
    time       of the last seal; line: its line, empty without one
    against    the line that the chain was held against, empty for none
    """

    ok: bool
    broken: tuple[Broken, ...]
    altered: tuple[str, ...]
    unreadable: tuple[str, ...]
    namespace: str
    seals: int
    sealed: int
    unsealed: int
    time: datetime | None
    line: str
    against: str


def verify_chain(
    archive: Path,
    *,
    against: SealLine | None = None,
    on_progress: Progress = lambda done, total: None,
) -> ChainCheck:
    """Check every sealed segment of an archive, and that `against` is a seal of its chain.

    Raises ConfigError where the folder is no archive or has no seal, or the line is another
    namespace's.
    """
    chain = SealChain(archive)
    last = chain.last
    if last is None and not chain.broken and against is None:
        raise ConfigError(
            f"archive {archive} has no seal, so nothing shows whether it was altered: "
            "`streamops seal` makes one"
        )
    if against is not None and last is not None and last.namespace != against.namespace:
        raise ConfigError(
            f"the line is of namespace {against.namespace!r}, the archive {archive} of "
            f"{last.namespace!r}; give the archive that it was printed for"
        )
    broken = [] if against is None else _held_against(chain, against)
    found = check_segments(archive, chain, on_progress)
    return msgspec.structs.replace(
        found,
        ok=found.ok and not broken,
        broken=(*found.broken, *broken),
        against="" if against is None else str(against),
    )


def check_chain(archive: Path, on_progress: Progress = lambda done, total: None) -> ChainCheck:
    """Check every sealed segment of an archive; one without any seal has nothing broken."""
    return check_segments(archive, SealChain(archive), on_progress)


def records_in(archive: Path) -> int:
    """Return how many records an archive's readable raw files say they have."""
    return sum(_rows(path) for place in _partitions(archive) for path in raw_paths(archive, place))


def check_segments(
    archive: Path, chain: SealChain, on_progress: Progress = lambda done, total: None
) -> ChainCheck:
    """Check the segments of a chain against the raw records."""
    places = sorted(chain.segments.keys() | _partitions(archive)) if chain.segments else []
    total = sum(_rows(path) for place in places for path in raw_paths(archive, place))
    partitions = list[SealedPartition]()
    done = 0

    def count(records: int) -> None:
        nonlocal done
        done += records
        on_progress(done, max(done, total))

    for place in places:
        partitions.append(SealedPartition(archive, place, chain.segments.get(place, [])))
        partitions[-1].check(count)
    broken = sorted({*chain.broken, *(b for part in partitions for b in part.broken)})
    last = chain.last
    return ChainCheck(
        ok=not broken,
        broken=tuple(broken),
        altered=tuple(line for part in partitions for line in _altered(archive, part)),
        unreadable=(
            *(file.error for part in partitions for file in part.files if file.error),
            *chain.unread,
        ),
        namespace="" if last is None else last.namespace,
        seals=len(chain.seals),
        sealed=sum(part.sealed for part in partitions),
        unsealed=sum(part.unsealed for part in partitions),
        time=None if last is None else last.time,
        line="" if last is None else str(line_of(last)),
        against="",
    )


def _held_against(chain: SealChain, line: SealLine) -> list[Broken]:
    event = next((event for event in chain.seals if event.number == line.number), None)
    if event is None:
        why = f"what stood from here on, up to seal {line.number} of the line, isn't proven: "
        why += "the chain is broken before it" if chain.broken else "the tail was cut off"
        ends = {place: segments[-1].next for place, segments in chain.segments.items()}
        return [_from(place, end, why) for place, end in sorted({**ends, HOME: chain.end}.items())]
    if event.head != line.head:
        why = f"seal {line.number} isn't the line's: records were altered and sealed again"
        return [_from(HOME, chain.offsets.get(line.number, 0), why)]
    return []


def _from(place: Partition, offset: int, why: str) -> Broken:
    topic, partition = place
    return Broken(topic=topic, partition=partition, offset=offset, next=offset + 1, why=why)


def _altered(archive: Path, part: SealedPartition) -> Iterator[str]:
    """Yield the files of a partition that aren't as they were archived, though no record differs.

    Of records that no seal covers yet nothing is said but that.
    """
    noted = noted_files(archive, part.place)
    seen = {str(file.path.relative_to(archive)): file for file in part.files}
    for name, digest in noted.items():
        file = seen.get(name)
        if file is None:
            first = Path(name).stem
            is_sealed = first.isdigit() and int(first) < part.end
            if not part.broken:
                yield f"{name}: is gone, {MOVED_ON if is_sealed else UNSEALED}"
        elif file.digest != digest and _is_intact(file, part):
            is_sealed = file.next <= part.end
            yield f"{name}: {INTACT if is_sealed else f'file altered, {UNSEALED}'}"


def _is_intact(file: FileSeen, part: SealedPartition) -> bool:
    return not file.error and not any(
        b.offset < file.next and file.first < b.next for b in part.broken
    )


def _partitions(archive: Path) -> set[Partition]:
    log = ArchiveLog(archive)
    return {(topic, partition) for topic in log.topics() for partition in log.partitions(topic)}


def _rows(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except DAMAGE:
        return 0
