"""How METER's cost an event grows, in one process without Kafka: CPU time of decode, fold, encode.

python -m benchmarks.scaling

models        1 to 1,000 models behind the same number of events, all in every epoch; their
              activations, an epoch of their own, aren't counted
features      10 to 100 numeric features; per byte of a record
open_panes    panes kept open for 1 h and for 24 h
memory        of pending predictions with ten features: benchmarks.pending, and ten million reckoned
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.traffic import Mix, broadcast, play, tick
from streamops import codec
from streamops.core.output_rows import AddressedRows
from streamops.events import Event, Tick
from streamops.hosts.decoding import RawRow, to_records
from streamops.hosts.memory import make_fold
from streamops.settings import Settings

SETTINGS = Settings(bootstrap="", namespace="bench", data=Path(), partitions=1, driven=True)
CHUNK = 2000
REPEATS = 7
TEN_MILLION = 10_000_000
HOUR_S = 3600

Chunks = list[tuple[str, list[RawRow]]]


def main() -> None:
    """Measure and print."""
    # As the host has it.
    gc.set_threshold(100_000, 50, 1000)
    print(json.dumps(measure(), indent=1))


def measure() -> dict[str, object]:
    """Return all curves."""
    models = cost_us({n: Mix(rows=80_000, epochs=2, models=n) for n in (1, 10, 100, 1000)})
    features = per_byte({n: Mix(rows=10_000, epochs=8, features=n) for n in (10, 30, 100)})
    hours = (1, 24)
    panes = cost_us({h: Mix(rows=57_600, epochs=1440, horizon_s=h * HOUR_S) for h in hours})
    return {
        "cost_us_by_models": models,
        "models_1_to_1000": round(models[1000] / models[1], 2),
        "cost_ns_per_byte_by_features": features,
        "features_10_to_100_per_byte": round(features[100] / features[10], 2),
        "cost_us_by_hours_of_open_panes": panes,
        "open_panes_1h_to_24h": round(panes[24] / panes[1], 2),
        **pending_memory(),
    }


def cost_us(mixes: dict[int, Mix]) -> dict[int, float]:
    """Return microseconds of CPU an event of each."""
    found = least_s({n: recorded(mix) for n, mix in mixes.items()})
    return {n: round(found[n] / mix.events * 1e6, 2) for n, mix in mixes.items()}


def per_byte(mixes: dict[int, Mix]) -> dict[int, float]:
    """Return nanoseconds of CPU a byte of each one's input."""
    chunks = {n: recorded(mix) for n, mix in mixes.items()}
    sizes = {n: sum(len(row[3]) for _, rows in some for row in rows) for n, some in chunks.items()}
    found = least_s(chunks)
    return {n: round(found[n] / size * 1e9, 2) for n, size in sizes.items()}


def least_s(inputs: dict[int, Chunks]) -> dict[int, float]:
    """Return the seconds of CPU of each, the least of some turns: a machine's speed comes and
    goes."""
    turns = [{n: fold(chunks) for n, chunks in inputs.items()} for _ in range(REPEATS)]
    return {n: min(turn[n] for turn in turns) for n in inputs}


def recorded(mix: Mix) -> Chunks:
    """Return the mix as a client would hand it over, in chunks of a topic."""
    chunks: Chunks = []
    offsets: dict[str, int] = {}

    def write(topic: str, _: int, event: Event) -> None:
        if topic not in ("predictions", "labels"):
            return
        if isinstance(event, Tick):
            # One more before all others, so that what is activated lies in an epoch of its own.
            event = msgspec.structs.replace(event, epoch=event.epoch + 1)
        offset = offsets[topic] = offsets.get(topic, -1) + 1
        if not chunks or chunks[-1][0] != topic or len(chunks[-1][1]) >= CHUNK:
            chunks.append((topic, []))
        chunks[-1][1].append((offset, 0, b"k", codec.encode(event)))

    broadcast(SETTINGS, write, msgspec.structs.replace(tick(0), epoch=-1))
    play(SETTINGS, mix, write)
    return chunks


def fold(chunks: Sequence[tuple[str, list[RawRow]]]) -> float:
    """Return the seconds of CPU that decoding, folding, encoding and the checkpoint take."""
    each = make_fold("meter", 0, 1, skew_max_ms=None)
    first = next(at for at, (_, rows) in enumerate(chunks) if _has_prediction(rows))
    for topic, rows in chunks[:first]:
        each.feed_all(topic, to_records(topic, 0, rows))
    gc.collect()
    # The host freezes what is there before its first record; here it is the input besides.
    gc.freeze()
    started = time.thread_time()
    for topic, rows in chunks[first:]:
        for folded in each.feed_all(topic, to_records(topic, 0, rows)):
            for part in folded.outputs.parts:
                if not isinstance(part, AddressedRows):
                    _ = [a.value or codec.encode(a.event) for a in part]
    each.processor.join.take_changes(each.state.labels_us)
    took = time.thread_time() - started
    gc.unfreeze()
    return took


def _has_prediction(rows: Sequence[RawRow]) -> bool:
    return any(b'"PredictionMade"' in row[3] for row in rows)


def pending_memory() -> dict[str, int | float]:
    """Return what pending predictions take, measured in a process of their own, and ten million."""
    command = [sys.executable, "-m", "benchmarks.pending"]
    child = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found = json.loads(child.stdout)
    more = (TEN_MILLION - found["rows"]) * found["bytes_each"]
    return {
        "pending_bytes_each": found["bytes_each"],
        "pending_rows_measured": found["rows"],
        "pending_rss_mb": found["rss_mb"],
        # Reckoned: the rest of ten million at what each of the later ones took.
        "pending_10m_rss_mb": round(found["rss_mb"] + more / 2**20),
    }


if __name__ == "__main__":
    sys.exit(main())
