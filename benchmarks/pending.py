"""What pending predictions take: METER's partition host with its RocksDB, in a process of its own.

python -m benchmarks.pending [rows] [--labels | --table]

Predictions with ten features come, none gets a label, none expires; every 20,000 a tick and a
checkpoint. Reported is the whole process: Python, open panes, RocksDB and all.

rss_mb          resident at the end; peak_mb: at most, ever
bytes_each      what each of the second half of the rows added
disk_mb         of the shelf, and of the checkpoint store
restore_s       a new process fills its table from the store; restored_peak_mb: its most
label_us        with --labels: CPU of decode, join, release and encoding, a label each of the newest
                predictions, of the oldest in their order, and of any at random
--table         the join's table alone, without records, panes or a store: some 5 µs a row
"""

from __future__ import annotations

import gc
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.traffic import START_US, Mix, opening, rows, tick
from streamops import codec
from streamops.core.blocks import BLOCK_ROWS
from streamops.core.join import JoinTable
from streamops.core.pending_block import GroupKey, Made
from streamops.core.times import SECOND_US, moment
from streamops.events import Event
from streamops.hosts.block_files import BlockFiles
from streamops.hosts.decoding import RawRow, to_records
from streamops.hosts.memory import make_fold
from streamops.hosts.partition_host import PartitionHost
from streamops.settings import Settings

EPOCH_ROWS = 20_000
CHUNK = 2_000
LABELS = 20_000
HORIZON_S = 30 * 24 * 3600
DEFAULT_ROWS = 1_500_000
PANE_US = 60 * SECOND_US


class Nowhere:
    """A sender whose records are delivered at once."""

    def send(self, folded: Any) -> None:
        """Drop them."""


class Feed:
    """A partition host and where its inputs stand."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(bootstrap="", namespace="bench", data=folder, partitions=1, driven=True)
        self.host = PartitionHost(settings, make_fold("meter", 0, 1, skew_max_ms=None))
        self._next = {"predictions": 0, "labels": 0}

    def send(self, topic: str, values: Sequence[bytes]) -> None:
        """Feed records as a client hands them over."""
        for first in range(0, len(values), CHUNK):
            some = values[first : first + CHUNK]
            at = self._next[topic]
            raw: list[RawRow] = [(at + n, 0, b"k", value) for n, value in enumerate(some)]
            self._next[topic] += len(some)
            self.host.feed(topic, to_records(topic, 0, raw), Nowhere())  # type: ignore[arg-type]

    @property
    def pending(self) -> int:
        """How many predictions wait."""
        processor: Any = self.host.fold.processor
        return len(processor.join.pending)

    def cut(self, epoch: int) -> None:
        """End an epoch, and write what changed."""
        self.both(tick(epoch))
        self.host.checkpoint()

    def both(self, event: Event) -> None:
        """Feed what is told to all inputs."""
        for topic in self._next:
            self.send(topic, [codec.encode(event)])


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    gc.set_threshold(100_000, 50, 1000)
    if arguments[:1] == ["--restore"]:
        print(json.dumps(restored(Path(arguments[1]))))
        return
    count = next((int(each) for each in arguments if each.isdigit()), DEFAULT_ROWS)
    if "--table" in arguments:
        print(json.dumps(table(count), indent=1))
        return
    print(json.dumps(measure(count, labels="--labels" in arguments), indent=1))


def measure(count: int, *, labels: bool = False) -> dict[str, object]:
    """Return what so many pending predictions take."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        feed = Feed(folder)
        resident = dict[int, int]()
        started = time.perf_counter()
        for made in fill(feed, count):
            resident[made] = memory_kib("VmRSS")
            if made % 1_000_000 == 0:
                print(f"{made} rows: {resident[made] >> 10} MiB", file=sys.stderr, flush=True)
        seconds = time.perf_counter() - started
        half = min(resident, key=lambda made: abs(made - count // 2))
        last = max(resident)
        found: dict[str, object] = {
            "rows": feed.pending,
            "fill_s": round(seconds),
            "rss_mb": resident[last] >> 10,
            "peak_mb": memory_kib("VmHWM") >> 10,
            "bytes_each": round((resident[last] - resident[half]) * 1024 / (last - half), 1),
            "disk_mb": {"shelf": feed.host.shelf.size >> 20, "store": stored_mb(folder)},
        }
        if labels:
            found["label_us"] = label_costs(feed, count)
        feed.host.close()
        child = [sys.executable, "-m", "benchmarks.pending", "--restore", name]
        again = subprocess.run(child, capture_output=True, check=True)
        found |= json.loads(again.stdout)
        return found


def fill(feed: Feed, count: int) -> Iterator[int]:
    """Feed predictions; yield how many there are after each epoch."""
    mix = Mix(rows=EPOCH_ROWS, epochs=1, horizon_s=HORIZON_S)
    for event in opening(Settings(bootstrap="", partitions=1, driven=True), mix):
        feed.both(event)
    sample = [codec.encode(made) for made, _ in rows(mix, 0, EPOCH_ROWS)]
    for epoch in range(count // EPOCH_ROWS):
        minute = moment(START_US + epoch * PANE_US).strftime("%Y-%m-%dT%H:%M").encode()
        name = b"p-%05d-" % epoch
        values = [
            value.replace(b"p-00000-", name, 1).replace(b"2026-01-01T00:00", minute, 1)
            for value in sample
        ]
        feed.send("predictions", values)
        feed.cut(epoch + 1)
        yield (epoch + 1) * EPOCH_ROWS


def table(count: int) -> dict[str, object]:
    """Return what the join's table takes with so many predictions; each id is looked for first."""
    groups, of_group = [GroupKey("model", "v1", 0, "h", False)], np.zeros(BLOCK_ROWS, np.int64)
    text = bytes(next(rows(Mix(), 0, 1))[0].features)
    with tempfile.TemporaryDirectory() as name:
        shelf = BlockFiles(Path(name))
        join = JoinTable(shelf)
        before, started = memory_kib("VmRSS"), time.thread_time()
        for first in range(0, count, BLOCK_ROWS):
            ids = [f"p-{n:016d}" for n in range(first, first + BLOCK_ROWS)]
            assert not join.pending.index.has_any(set(ids)), "each is new"
            at = first + np.arange(BLOCK_ROWS)
            texts = [bytes(bytearray(text)) for _ in ids]
            made = Made(
                ids, at, at + HORIZON_S * SECOND_US, groups, of_group, [1] * len(ids),
                [0.5] * len(ids), texts, [{}] * len(ids), range(first, first + BLOCK_ROWS),
            )  # fmt: skip
            join.add_all(made)
        return {
            "rows": len(join.pending),
            "row_us": round((time.thread_time() - started) / len(join.pending) * 1e6, 1),
            "before_mb": before >> 10,
            "rss_mb": memory_kib("VmRSS") >> 10,
            "peak_mb": memory_kib("VmHWM") >> 10,
            "shelf_mb": shelf.size >> 20,
        }


def label_costs(feed: Feed, count: int) -> dict[str, float]:
    """Return microseconds of CPU a label, of predictions in memory and of some on the shelf."""
    epochs = count // EPOCH_ROWS
    any_ = random.Random(5).sample(range(count), LABELS)
    chosen = {
        "newest": range(count - LABELS, count),
        "oldest": range(LABELS),
        "random": [n for n in any_ if LABELS <= n < count - LABELS],
    }
    found = dict[str, float]()
    for more, (name, places) in enumerate(chosen.items()):
        values = [label_of(*divmod(n, EPOCH_ROWS), epochs) for n in places]
        started = time.thread_time()
        feed.send("labels", values)
        feed.cut(epochs + 1 + more)
        found[name] = round((time.thread_time() - started) / len(values) * 1e6, 1)
    return found


def label_of(epoch: int, n: int, now: int) -> bytes:
    """Return a label of a prediction."""
    name = f"p-{epoch:05d}-{n:08d}"
    at = moment(START_US + now * PANE_US).isoformat().replace("+00:00", "Z")
    text = f'"id":"l-{name}","time":"{at}","prediction_id":"{name}","label":{n % 2}'
    return f'{{"type":"LabelArrived",{text}}}'.encode()


def restored(folder: Path) -> dict[str, object]:
    """Return what a fresh process takes to fill its table from the store."""
    started = time.perf_counter()
    feed = Feed(folder)
    seconds = time.perf_counter() - started
    found: dict[str, object] = {
        "restored_rows": feed.pending,
        "restore_s": round(seconds, 1),
        "restored_peak_mb": memory_kib("VmHWM") >> 10,
    }
    feed.host.close()
    return found


def memory_kib(name: str) -> int:
    """Return a line of this process's status, KiB."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith(name)).split()[1])


def stored_mb(folder: Path) -> int:
    """Return what the checkpoint store takes on disk."""
    files = (folder / "state").rglob("*")
    return sum(path.stat().st_size for path in files if path.is_file()) >> 20


if __name__ == "__main__":
    main(sys.argv[1:])
