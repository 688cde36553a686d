"""A small archive that was sealed several times, as the archiver would leave it."""

from __future__ import annotations

import random
from pathlib import Path

from streamops import codec
from streamops.events import CheckpointSealed
from streamops.views.archive import cover_of, write_raw
from streamops.views.log import MemoryLog, Partition, RawRecord
from streamops.views.seal import Sealer, SealPace
from streamops.views.seal_events import HOME

NAMESPACE = "shop"
PACE = SealPace(records=16)
NOON_MS = 1_777_600_000_000


class SealedArchive:
    """Records written and sealed in steps; `log` has what a consumer of the topics would see."""

    def __init__(self, folder: Path, pace: SealPace = PACE) -> None:
        self.folder = folder
        self.log: dict[Partition, list[RawRecord]] = {}
        self.ends: dict[Partition, int] = {}
        self.seals: list[CheckpointSealed] = []
        self.sealer = Sealer(folder, NAMESPACE, pace)
        self.sealer.resume(MemoryLog([]))

    def write(self, place: Partition, records: list[RawRecord], end: int | None = None) -> Path:
        """Archive records in one file, and give it to the sealer."""
        first = self.ends.get(place, 0)
        end = records[-1].offset + 1 if end is None else end
        cover = cover_of([record.offset for record in records], first, end)
        path = write_raw(self.folder, records, place, cover)
        self.sealer.take(place, records, cover, path)
        self.log.setdefault(place, []).extend(records)
        self.ends[place] = end
        return path

    def seal(self, request: str = "") -> CheckpointSealed:
        """Seal what was written; the event is archived, too."""
        event = self.sealer.seal(0.0, request)
        self.seals.append(event)
        self.write(HOME, [raw(HOME, self.ends.get(HOME, 0), codec.encode(event), b"archiver")])
        return event


def raw(place: Partition, offset: int, value: bytes, key: bytes = b"k") -> RawRecord:
    headers = (("ce_id", b"%d" % offset), ("ce_source", b"shop")) if offset % 3 else ()
    return RawRecord(*place, offset, NOON_MS + offset, key, value, headers)


PLACES: tuple[Partition, ...] = (("predictions", 0), ("labels", 1))


def sealed_archive(
    folder: Path, *, files: int = 3, seed: int = 1, places: tuple[Partition, ...] = PLACES
) -> SealedArchive:
    """Partitions with gaps, as transaction markers leave them, sealed after each file."""
    chance = random.Random(seed)
    made = SealedArchive(folder)
    for _ in range(files):
        for place in places:
            start = made.ends.get(place, 0)
            offsets = [n for n in range(start, start + 40) if chance.random() > 0.1]
            rows = [raw(place, n, b'{"n":%d,"x":%f}' % (n, chance.random())) for n in offsets]
            made.write(place, rows, start + 40)
        made.seal()
    return made
