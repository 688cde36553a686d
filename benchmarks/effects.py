"""Materializer and archiver against decoding and writing alone, over the same records.

python -m benchmarks.effects [--quick]

materializer  consume, decode, and store with repeats dropped and positions kept, to the end
insert        the same records, in memory already, decoded and inserted in DuckDB, nothing else
archiver      consume, and write raw and typed files, to the end
parquet       the same records, in memory already, decoded and written as Parquet, nothing else: the
              same files, raw and typed
raw           the same without typed files, for which alone anything has to be decoded

Each pair by turns, TURNS times; events a second in the order of the turns, the median of their
ratios.
"""

from __future__ import annotations

import gc
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from operator import truediv
from pathlib import Path
from statistics import median

from msgspec.structs import replace

from benchmarks.traffic import Mix, send
from streamops.core.processor import Refusal
from streamops.kafka.admin import create_topics
from streamops.kafka.broker import EmbeddedBroker
from streamops.settings import Settings
from streamops.views.archive import cover_of, write_raw
from streamops.views.archiver import archive_until_end
from streamops.views.log import KafkaLog, RawRecord, to_record
from streamops.views.materializer import BATCH, Materializer
from streamops.views.store import insert, open_store
from streamops.views.tables import Row, arrow_rows, tables
from streamops.views.typed import write_typed

PARTITIONS = 4
FILE_ROWS = 100_000
TURNS = 5
QUICK = Mix(rows=20_000, epochs=8)


def main(arguments: list[str]) -> None:
    """Measure and print."""
    print(json.dumps(run(QUICK if "--quick" in arguments else Mix()), indent=1))


def run(mix: Mix) -> dict[str, object]:
    """Measure on a broker of its own."""
    folder = Path(tempfile.mkdtemp(prefix="streamops-bench-"))
    broker = EmbeddedBroker(folder / "broker")
    broker.start()
    try:
        return measure(broker.bootstrap, folder, mix)
    finally:
        broker.stop()
        shutil.rmtree(folder)


def measure(bootstrap: str, folder: Path, mix: Mix) -> dict[str, object]:
    """Send the mix once, then run everyone over it."""
    settings = Settings(
        bootstrap=bootstrap, namespace="bench", data=folder, partitions=PARTITIONS, driven=True
    )
    create_topics({"bootstrap.servers": bootstrap}, settings.namespace, PARTITIONS)
    send(settings, mix)
    by_place = read(settings)
    # The records held are many: whoever comes first would pay for looking through them.
    gc.freeze()
    views = by_turns(
        mix,
        lambda turn: materialize(of_turn(settings, turn)),
        lambda turn: insert_all(folder / f"alone-{turn}.duckdb", by_place),
    )
    files = by_turns(
        mix,
        lambda turn: archive_until_end(of_turn(settings, turn)),
        lambda turn: write_all(folder / f"alone-{turn}", by_place),
        lambda turn: write_raws(folder / f"raw-{turn}", by_place),
    )
    return {
        "benchmark": "effects",
        "events": mix.events,
        "materializer_events_per_s": views[0],
        "insert_events_per_s": views[1],
        "materializer_ratio": ratio(*views),
        "archiver_events_per_s": files[0],
        "parquet_events_per_s": files[1],
        "archiver_ratio": ratio(files[0], files[1]),
        "raw_events_per_s": files[2],
        "archiver_to_raw_ratio": ratio(files[0], files[2]),
    }


def of_turn(settings: Settings, turn: int) -> Settings:
    """Settings with a folder of this turn's own."""
    return replace(settings, data=settings.data / str(turn))


def by_turns(mix: Mix, *each: Callable[[int], object]) -> list[list[int]]:
    """Return events a second of each, a turn of all one after the other."""
    found: list[list[int]] = [[] for _ in each]
    for turn in range(TURNS):
        for rates, what in zip(found, each, strict=True):
            rates.append(rate(mix, partial(what, turn)))
    return found


def ratio(ours: list[int], alone: list[int]) -> float:
    """Return the median of the turns' ratios."""
    return round(median(map(truediv, ours, alone)), 2)


def rate(mix: Mix, run: Callable[[], object]) -> int:
    """Return events a second of one run."""
    gc.collect()
    started = time.monotonic()
    run()
    return round(mix.events / (time.monotonic() - started))


def materialize(settings: Settings) -> None:
    """Bring the views to the topics' ends."""
    with closing(Materializer(settings)) as materializer:
        materializer.run_to_end()


def read(settings: Settings) -> dict[tuple[str, int], list[RawRecord]]:
    """Return every record of the namespace, by topic and partition."""
    with closing(KafkaLog(settings)) as log:
        return {
            (topic, partition): list(log.read(topic, partition))
            for topic in log.topics()
            for partition in log.partitions(topic)
        }


def insert_all(file: Path, by_place: dict[tuple[str, int], list[RawRecord]]) -> None:
    """Decode and insert, a transaction a batch."""
    raws = [raw for records in by_place.values() for raw in records]
    with closing(open_store(file)) as con:
        for start in range(0, len(raws), BATCH):
            rows: dict[str, list[Row]] = {}
            for raw in raws[start : start + BATCH]:
                record = to_record(raw)
                assert not isinstance(record.event, Refusal), "the traffic is well-formed"
                rows.setdefault(type(record.event).__name__, []).append(Row(record, None))
            con.begin()
            for kind, some in rows.items():
                insert(con, tables()[kind].name, arrow_rows(tables()[kind], some)[0])
            con.commit()


def write_all(archive: Path, by_place: dict[tuple[str, int], list[RawRecord]]) -> None:
    """Write raw and typed files of 100,000 records."""
    for place, some in files_of(by_place):
        first, end = some[0].offset, some[-1].offset + 1
        write_raw(archive, some, place, cover_of([r.offset for r in some], first, end))
        write_typed(archive, some, place, first)


def write_raws(archive: Path, by_place: dict[tuple[str, int], list[RawRecord]]) -> None:
    """Decode, and write raw files of 100,000 records."""
    for place, some in files_of(by_place):
        for raw in some:
            to_record(raw)
        first, end = some[0].offset, some[-1].offset + 1
        write_raw(archive, some, place, cover_of([r.offset for r in some], first, end))


def files_of(
    by_place: dict[tuple[str, int], list[RawRecord]],
) -> Iterator[tuple[tuple[str, int], list[RawRecord]]]:
    """Yield the records of each file."""
    for place, records in by_place.items():
        for start in range(0, len(records), FILE_ROWS):
            yield place, records[start : start + FILE_ROWS]


if __name__ == "__main__":
    main(sys.argv[1:])
