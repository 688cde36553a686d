"""What looking back costs: a question as of a time beside the same question now.

    python -m benchmarks.asof [PREDICTIONS] [--archive DIR]

Over an archive's own records, or over so many predictions. Each question is asked as a person asks
it, in a sandbox's child, now and as of the middle of what was recorded, by turns; the least of five
counts. `engine` is the query alone, in one process that has both sets of views.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from streamops import codec
from streamops.core.times import SECOND_US, moment
from streamops.events import PredictionMade
from streamops.views.archive import ArchiveLog
from streamops.views.asof import AsOf, prepare
from streamops.views.log import RawRecord
from streamops.views.queries import Question, answer_question
from streamops.views.store import open_store, store, travel_to

ROUNDS = 5
BATCH = 20_000
START_US = 1_777_600_000 * SECOND_US
QUESTIONS = {
    "counts": "SELECT model, version, count(*), avg(score) FROM predictions GROUP BY ALL",
    "current_models": "SELECT * FROM current_models",
    "performance_by_pane": "SELECT * FROM performance_by_pane",
    "drift_by_feature": "SELECT * FROM drift_by_feature",
    "alerts_open": "SELECT * FROM alerts_open",
    "model_timeline": "SELECT * FROM model_timeline",
    "restatements": "SELECT count(*), max(change) FROM restatements",
    "lineage": "SELECT version, count(*), count(label) FROM lineage GROUP BY ALL",
}


def made(count: int) -> Iterator[RawRecord]:
    """Predictions in the order of a partition, one a millisecond."""
    for n in range(count):
        event = PredictionMade(
            id=f"p{n}",
            time=moment(START_US + n * 1000),
            model="demand",
            version=f"{n * 8 // count}",
            prediction=n % 2 == 0,
            score=n % 100 / 100,
            features=msgspec.Raw(msgspec.json.encode({f"f{k}": (n + k) % 97 for k in range(8)})),
        )
        yield RawRecord("predictions", 0, n, START_US // 1000 + n, b"k", codec.encode(event))


def archived(folder: Path) -> Iterator[RawRecord]:
    """An archive's records, a partition after the other."""
    log = ArchiveLog(folder)
    for topic in log.topics():
        for partition in log.partitions(topic):
            yield from log.read(topic, partition)


def fill(path: Path, records: Iterator[RawRecord]) -> int:
    """Store records as the materializer does; returns how many."""
    con, at, total = open_store(path), {}, 0
    while some := list(islice(records, BATCH)):
        at.update(store(con, some, at, None))
        total += len(some)
    con.execute("CHECKPOINT")
    con.close()
    return total


def middle(path: Path) -> datetime:
    """The append time by which half of the predictions were recorded."""
    with duckdb.connect(str(path), read_only=True) as con:
        found = con.execute("SELECT quantile_disc(append_time, 0.5) FROM predictions").fetchone()
    assert found is not None
    return found[0].replace(tzinfo=UTC)


def least(calls: Sequence[Callable[[], Any]]) -> list[float]:
    """The least seconds of each call; they take turns."""
    found = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for n, call in enumerate(calls):
            begun = time.perf_counter()
            call()
            found[n] = min(found[n], time.perf_counter() - begun)
    return found


def measure(path: Path) -> dict[str, dict[str, float]]:
    """Seconds of each question now and as of the middle."""
    at = AsOf(recorded=middle(path))
    config: dict[str, Any] = {"threads": 1}
    now, then = duckdb.connect(str(path), read_only=True), duckdb.connect(config=config)
    now.execute("SET threads = 1")
    other = path.with_name("again.duckdb")
    other.write_bytes(path.read_bytes())
    prepare(then, str(other), travel_to(at))
    found = {}
    for name, sql in QUESTIONS.items():
        asked = least(
            [
                lambda sql=sql: answer_question(path, Question(sql)),
                lambda sql=sql: answer_question(path, Question(sql, at)),
                lambda sql=sql: now.execute(sql).fetchall(),
                lambda sql=sql: then.execute(sql).fetchall(),
            ]
        )
        found[name] = {
            "now_s": round(asked[0], 4),
            "as_of_s": round(asked[1], 4),
            "ratio": round(asked[1] / asked[0], 2),
            "engine_now_s": round(asked[2], 4),
            "engine_as_of_s": round(asked[3], 4),
            "engine_ratio": round(asked[3] / asked[2], 2),
        }
    return found


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("predictions", nargs="?", type=int, default=500_000)
    parser.add_argument("--archive", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "views.duckdb"
        records = archived(given.archive) if given.archive else made(given.predictions)
        total = fill(path, records)
        questions = measure(path)
    worst = max(found["ratio"] for found in questions.values())
    print(json.dumps({"records": total, "worst_ratio": worst, "questions": questions}, indent=2))


if __name__ == "__main__":
    main()
