"""Materializer and archiver against decoding and writing alone, over the same records.

python -m benchmarks.effects [--quick]

materializer  consume, decode, and store with repeats dropped and positions kept, to the end
insert        the same records, in memory already, decoded and inserted in DuckDB, nothing else
archiver      consume, and write raw and typed files, to the end
parquet       the same records, in memory already, decoded and written as raw Parquet, nothing else
"""

from __future__ import annotations

import gc
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

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

PARTITIONS = 4
FILE_ROWS = 100_000
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
    materializer = rate(mix, lambda: materialize(settings))
    archiver = rate(mix, lambda: archive_until_end(settings))
    by_place = read(settings)
    inserted = rate(mix, lambda: insert_all(folder / "alone.duckdb", by_place))
    written = rate(mix, lambda: write_all(folder / "alone", by_place))
    return {
        "benchmark": "effects",
        "events": mix.events,
        "materializer_events_per_s": materializer,
        "insert_events_per_s": inserted,
        "materializer_ratio": round(materializer / inserted, 2),
        "archiver_events_per_s": archiver,
        "parquet_events_per_s": written,
        "archiver_ratio": round(archiver / written, 2),
    }


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
    """Decode, and write raw files of 100,000 records."""
    for place, records in by_place.items():
        for start in range(0, len(records), FILE_ROWS):
            some = records[start : start + FILE_ROWS]
            for raw in some:
                to_record(raw)
            first, end = some[0].offset, some[-1].offset + 1
            write_raw(archive, some, place, cover_of([r.offset for r in some], first, end))


if __name__ == "__main__":
    main(sys.argv[1:])
