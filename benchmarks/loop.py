"""The whole loop in lock-step, as `make demo` runs it, against the same work without its parts.

python -m benchmarks.loop [FILE] [ROWS]

ceiling    every record of the run's archive read and decoded in one process, nothing concluded
baseline   the same records folded again in one process without Kafka (`streamops replay`)
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.footprint import footprint
from streamops.views.archive import ArchiveLog
from streamops.views.log import to_record

TABLE = "replay/data/electricity.parquet"
STREAMOPS = (sys.executable, "-m", "streamops")


def main(arguments: list[str]) -> None:
    """Measure and print."""
    table, rows = [*arguments, *(TABLE, "0")[len(arguments) :]]
    print(json.dumps(run(table, int(rows)), indent=1))


def run(table: str, rows: int) -> dict[str, object]:
    """Measure in a home of its own."""
    home = Path(tempfile.mkdtemp(prefix="streamops-bench-")) / "run"
    try:
        return measure(table, rows, home)
    finally:
        shutil.rmtree(home.parent)


def measure(table: str, rows: int, home: Path) -> dict[str, object]:
    """Play the table, then read, then fold its archive."""
    given = (table, "--rows", str(rows), "--home", str(home), "--json")
    played = footprint((*STREAMOPS, "simulate", *given))
    summary = json.loads(played.stdout)
    records, ceiling_s = read_archive(home / "archive")
    folded = footprint((*STREAMOPS, "replay", "--archive", str(home / "archive"), "--json"))
    return {
        "benchmark": "loop",
        "table": table,
        "rows": summary["rows"],
        "panes": summary["panes"],
        "retrains": summary["retrains"],
        "records": records,
        "seconds": played.seconds,
        "rows_per_s": round(summary["rows"] / played.seconds),
        "cpu_s": played.cpu_s,
        "cpu_s_total": round(sum(played.cpu_s.values()), 1),
        "peak_pss_mb": played.peak_mb,
        "peak_by_part_mb": played.peak_by_part,
        "ceiling_s": round(ceiling_s, 1),
        "baseline_s": folded.seconds,
        "ratio_to_ceiling": round(played.seconds / ceiling_s, 1),
        "ratio_to_baseline": round(played.seconds / folded.seconds, 1),
    }


def read_archive(archive: Path) -> tuple[int, float]:
    """Return how many records an archive holds, and the seconds to read and decode them."""
    started, records = time.monotonic(), 0
    log = ArchiveLog(archive)
    for topic in log.topics():
        for partition in log.partitions(topic):
            for raw in log.read(topic, partition):
                to_record(raw)
                records += 1
    return records, time.monotonic() - started


if __name__ == "__main__":
    main(sys.argv[1:])
