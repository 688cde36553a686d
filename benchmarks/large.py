"""A large archive that verifies, and what looking into it costs.

    python -m benchmarks.large N FOLDER             write so many predictions and all that follows
    python -m benchmarks.large verify FOLDER        CPU and peak memory of a verification
    python -m benchmarks.large explain FOLDER N     milliseconds to explain one of them

The raw records of sixteen panes of the tests' story are written again and again, each time under
other ids and at later times; all that follows is folded as they pass. Nothing is held but an epoch.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from streamops import codec
from streamops.audit.asked import Asked
from streamops.audit.biography import biography
from streamops.audit.metering import forget_changes
from streamops.audit.verify import recompute
from streamops.core.output_rows import Addressed
from streamops.core.partition import partition_of
from streamops.core.times import SECOND_US, micros
from streamops.events import Tick, TopologyActivated
from streamops.hosts.decoding import to_rows
from streamops.hosts.garbage import rare_collections
from streamops.hosts.memory import MemoryHost, make_fold
from streamops.hosts.replay import ReplayHost
from streamops.views.archive import cover_of, write_raw
from streamops.views.key_index import KeyIndex
from streamops.views.log import Partition, RawRecord
from tests.story import PANE_S, RULES, at, introduce, make_counting, serve

PARTITIONS = 4
PERIOD = 16
PER_S = 50
# As the archiver's: it writes out what it holds at 16 MiB.
FILE_ROWS, FILE_BYTES = 20_000, 8 << 20
INPUTS = ("predictions", "labels")
ASKED = 20
MS = 1000.0
MURMUR_SEED, MURMUR_M = 0x9747B28C, np.uint32(0x5BD1E995)


class Part(NamedTuple):
    """A template's records of one topic and pane, without their ids and times."""

    ids: list[bytes]
    times_us: Any
    before: list[bytes]
    after: list[bytes]


class Writer:
    """Writes what passes into files of so many rows; `next` is each partition's next offset."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.next: dict[Partition, int] = {}
        self._held: dict[Partition, list[RawRecord]] = {}
        self.index = KeyIndex(folder)

    def add(
        self, place: Partition, keys: Sequence[bytes], values: Sequence[bytes], ms: int
    ) -> range:
        """Take records of a partition; returns their offsets."""
        first = self.next.get(place, 0)
        offsets = range(first, first + len(keys))
        self.next[place] = offsets.stop
        held = self._held.setdefault(place, [])
        held += [
            RawRecord(*place, n, ms, k, v) for n, k, v in zip(offsets, keys, values, strict=True)
        ]
        if len(held) >= FILE_ROWS or sum(map(len, values[-1:])) * len(held) >= FILE_BYTES:
            self._write(place)
        return offsets

    def close(self) -> None:
        """Write what is left."""
        for place in list(self._held):
            self._write(place)

    def _write(self, place: Partition) -> None:
        rows = self._held.pop(place)
        cover = cover_of([row.offset for row in rows], rows[0].offset, rows[-1].offset + 1)
        write_raw(self.folder, rows, place, cover)
        self.index.add(place, rows, cover)


def template() -> list[dict[str, Part]]:
    """The raw records of one period, by pane and topic."""
    host = MemoryHost(partitions=1, make_detector=make_counting, names=())
    chance, found = random.Random(7), list[dict[str, Part]]()
    for pane in range(PERIOD):
        host.log.clear()
        for second in range(pane * PANE_S, (pane + 1) * PANE_S):
            serve(host, chance, second, pane, {}, None, PER_S)
        found.append({topic: _part(host.log[topic, 0]) for topic in INPUTS})
    return found


def _part(records: Sequence[Any]) -> Part:
    ids, times, pieces = list[bytes](), list[int](), list[list[bytes]]()
    for record in records:
        id_ = record.key
        time_ = record.event.time
        text = codec.encode(record.event)
        said = text[text.index(b'"time":"') + 8 :].split(b'"', 1)[0]
        before, rest = text.split(b'"time":"' + said + b'"', 1)
        ids.append(id_)
        times.append(micros(time_))
        pieces.append([before, rest])
    return Part(ids, np.array(times), [p[0] for p in pieces], [p[1] for p in pieces])


def shifted(part: Part, number: int) -> tuple[list[bytes], list[bytes]]:
    """Keys and values of a part in a later period."""
    mark = b"p%d-" % number
    ids = [mark + id_ for id_ in part.ids]
    moved = part.times_us + number * PERIOD * PANE_S * SECOND_US
    texts = np.datetime_as_string(moved.astype("datetime64[us]")).tolist()
    values = [
        b"".join((a.replace(old, new), b'"time":"', t.encode(), b'Z"', c.replace(old, new)))
        for a, old, new, t, c in zip(part.before, part.ids, ids, texts, part.after, strict=True)
    ]
    return ids, values


def partitions_of(keys: Sequence[bytes]) -> list[int]:
    """The partition of each key (`core.partition`), all of one length together."""
    lengths = np.array([len(key) for key in keys])
    found = np.zeros(len(keys), np.int64)
    for length in set(lengths.tolist()):
        there = np.flatnonzero(lengths == length)
        text = b"".join(keys[at] + b"\0" * (-length % 4) for at in there)
        words = np.frombuffer(text, "<u4").reshape(len(there), -1).T
        h = np.full(len(there), MURMUR_SEED ^ length, np.uint32)
        for word in words[: length // 4]:
            k = word * MURMUR_M
            h = h * MURMUR_M ^ (k ^ k >> np.uint32(24)) * MURMUR_M
        if length % 4:
            h = (h ^ words[-1]) * MURMUR_M
        h = (h ^ h >> np.uint32(13)) * MURMUR_M
        found[there] = ((h ^ h >> np.uint32(15)) & np.uint32(0x7FFFFFFF)) % PARTITIONS
    assert found[-1] == partition_of(keys[-1].decode(), PARTITIONS)
    return found.tolist()


class Maker:
    """Folds raw records as they are written, and writes what follows."""

    def __init__(self, folder: Path) -> None:
        self.writer = Writer(folder)
        self.meters = [
            make_fold("meter", p, PARTITIONS, skew_max_ms=None) for p in range(PARTITIONS)
        ]
        self.host = ReplayHost(
            partitions=PARTITIONS, make_detector=make_counting, without=("meter",)
        )
        self.predictions = 0

    def begin(self) -> None:
        """What every partition has before any traffic."""
        host = MemoryHost(partitions=PARTITIONS, make_detector=make_counting, names=())
        host.broadcast(
            TopologyActivated(id="topology", time=at(0), partitions=PARTITIONS, driven=True)
        )
        host.tick(0, at(0))
        for number, model in enumerate(("churn", "calm")):
            introduce(host, model, number * 2 + 1, RULES, ("adwin",))
        for place, records in sorted(host.log.items()):
            self._raw(place, [r.key for r in records], [r.value for r in records], micros(at(0)))

    def pane(self, number: int, parts: dict[str, Part]) -> None:
        """One pane: its tick, then its records."""
        self.tick(number + 1, number)
        now = micros(at(number * PANE_S))
        for topic, part in parts.items():
            keys, values = shifted(part, number // PERIOD)
            groups: list[tuple[list[bytes], list[bytes]]] = [([], []) for _ in range(PARTITIONS)]
            for p, key, value in zip(partitions_of(keys), keys, values, strict=True):
                group = groups[p]
                group[0].append(key)
                group[1].append(value)
            for p, group in enumerate(groups):
                self._raw((topic, p), *group, now)
            self.predictions += len(keys) if topic == "predictions" else 0

    def tick(self, epoch: int, pane: int) -> None:
        """Cut every partition."""
        time_ = at(pane * PANE_S)
        value = codec.encode(Tick(id=f"tick/{epoch}", time=time_, epoch=epoch))
        for topic in (*INPUTS, "lifecycle"):
            for p in range(PARTITIONS):
                self._raw((topic, p), [b"broadcast"], [value], micros(time_))

    def _raw(self, place: Partition, keys: list[bytes], values: list[bytes], us: int) -> None:
        if not keys:
            return
        offsets = self.writer.add(place, keys, values, us // 1000)
        rows = to_rows(*place, list(offsets), [us // 1000] * len(keys), keys, values)
        if place[0] == "lifecycle":
            for record in rows:
                self._write(self.host.feed(record), us)
            return
        for folded in self.meters[place[1]].feed_all(place[0], rows):
            forget_changes(self.meters[place[1]])
            self._write(self.host.take(folded.outputs), us)

    def _write(self, outputs: Sequence[Addressed], us: int) -> None:
        groups: dict[Partition, tuple[list[bytes], list[bytes]]] = {}
        for out in outputs:
            p = partition_of(out.key, PARTITIONS) if out.partition is None else out.partition
            keys, values = groups.setdefault((out.topic, p), ([], []))
            keys.append(out.key.encode())
            values.append(out.value or codec.encode(out.event))
        for place, group in groups.items():
            self.writer.add(place, *group, us // 1000)


def make(folder: Path, predictions: int) -> int:
    """Write an archive of at least so many predictions; returns how many."""
    maker, parts, number = Maker(folder), template(), 0
    with rare_collections():
        maker.begin()
        while maker.predictions < predictions:
            maker.pane(number, parts[number % PERIOD])
            number += 1
        for extra in range(3):
            maker.tick(number + 1 + extra, number + extra)
        maker.writer.close()
    return maker.predictions


def verified(folder: Path) -> Iterator[tuple[str, object]]:
    """Verify in this process; what it took."""
    begun = time.process_time()
    found = recompute(folder, Asked(), make_detector=make_counting)
    yield "ok", found.ok
    yield "findings", found.findings[:5]
    yield "alerts", len(found.alerts)
    yield "records", found.records
    yield "cpu_s", round(time.process_time() - begun, 1)
    yield "peak_mb", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def explained(folder: Path, predictions: int) -> Iterator[tuple[str, object]]:
    """Explain predictions drawn from the whole; milliseconds on the clock, each looked up anew."""
    chance, spent, cpu = random.Random(1), list[float](), list[float]()
    for _ in range(ASKED):
        pane = chance.randrange(predictions // (2 * PER_S * PANE_S) - 1)
        period, second = pane // PERIOD, pane % PERIOD * PANE_S + chance.randrange(PANE_S)
        id_ = f"p{period}-churn-{second}-{chance.randrange(PER_S)}"
        begun = time.perf_counter(), time.process_time()
        found = biography(folder, id_)
        spent.append((time.perf_counter() - begun[0]) * MS)
        cpu.append((time.process_time() - begun[1]) * MS)
        assert found.made[0].event.id == id_
    for name, all_ in (("explain_ms", spent), ("explain_cpu_ms", cpu)):
        all_.sort()
        yield name, {"median": round(all_[ASKED // 2]), "worst": round(all_[-1])}


if __name__ == "__main__":
    what, place = sys.argv[1], Path(sys.argv[2])
    if what == "verify":
        print(json.dumps(dict(verified(place))))
    elif what == "explain":
        print(json.dumps(dict(explained(place, int(sys.argv[3])))))
    else:
        cpu = time.process_time()
        print(
            json.dumps(
                {
                    "predictions": make(place, int(what)),
                    "cpu_s": round(time.process_time() - cpu, 1),
                }
            )
        )
