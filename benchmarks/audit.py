"""How fast an archive is proven again: `python -m benchmarks.audit [PANES [PER_S]]`, JSON.

A played history of two models (two features, segments, rules, a detector of the tests' own) is
archived, PER_S predictions a model and second (a pane has 100 times as many); then its records are
only read and decoded, linked and hashed besides (`benchmarks.floor`), verified from the raw
records, and folded under another limit: from recorded metrics, under another coverage besides from
summaries, with the detectors folded again, and from raw records. What-if counts raw records of the
history a second, whatever it reads. Seconds of CPU in one process, the best of three.

Then by one process and by WORKERS that fold METER, turn by turn: seconds on the clock, and CPU of
the main process and of the others, for the clock tells nothing where CPUs are shared. Memory is the
peak of a fresh process at two sizes; `python -m benchmarks.audit --only ARCHIVE` gives it for one.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from msgspec.json import encode
from msgspec.structs import replace

from benchmarks.floor import AuditFloor, AuditJobFloor
from streamops.audit.asked import Asked
from streamops.audit.records import PartitionReader
from streamops.audit.verify import recompute, verify
from streamops.audit.whatif import what_if
from streamops.config import ModelConfig
from streamops.events import ConfigActivated, VersionActivated
from streamops.values import ModelVersion
from streamops.views.archive import ArchiveLog
from streamops.views.log import to_record
from tests.story import archive, make_counting, play

ROUNDS = 3
WORKERS = 2
RAW = ("predictions", "labels", "lifecycle")
PANES = 60
PER_S = 2
METRICS = ("lifecycle", "metrics")


def made(panes: int, folder: Path, per_s: int = PER_S) -> Path:
    """A history of so many panes of 100 * per_s predictions and nearly as many labels."""
    return archive(play(panes=panes, per_s=per_s), folder, rows=20_000)


def read(folder: Path, topics: tuple[str, ...]) -> int:
    """Read and decode, nothing else; returns how many records."""
    log = ArchiveLog(folder)
    return sum(1 for t in topics for p in log.partitions(t) for _ in PartitionReader(folder, t, p))


def floor(folder: Path, topics: tuple[str, ...], found: AuditFloor) -> int:
    """What no verification can do without, and nothing else; returns how many records."""
    for topic in topics:
        for partition in ArchiveLog(folder).partitions(topic):
            for rows in PartitionReader(folder, topic, partition).batches():
                found.take(rows, topic)
    return found.records


def given(folder: Path) -> list[ModelConfig]:
    """The recorded configurations."""
    events = (to_record(raw).event for raw in ArchiveLog(folder).read("lifecycle", 0))
    return [event.config for event in events if isinstance(event, ConfigActivated)]


def versions(folder: Path) -> list[ModelVersion]:
    """The recorded versions, the last of each model."""
    events = (to_record(raw).event for raw in ArchiveLog(folder).read("lifecycle", 0))
    return [event.version for event in events if isinstance(event, VersionActivated)]


def limits(configs: list[ModelConfig]) -> list[ModelConfig]:
    """Those with half the limit of each rule that has one."""
    return [
        replace(c, rules=tuple(replace(r, above=r.above and r.above / 2) for r in c.rules))
        for c in configs
    ]


def best(what: Callable[[], int]) -> float:
    """Records a second of CPU."""
    found = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        count = what()
        found.append(count / (time.process_time() - begun))
    return max(found)


def proven(folder: Path, workers: int) -> bytes:
    """What verify finds."""
    return encode(verify(folder, make_detector=make_counting, workers=workers))


def folded_raw(folder: Path, configs: list[ModelConfig], workers: int) -> bytes:
    """What a what-if from raw records finds."""
    found = what_if(folder, configs, make_detector=make_counting, raw=True, workers=workers)
    return encode(found)


def by_turns(what: Callable[[int], bytes]) -> dict[str, object]:
    """Seconds, least of each, of one process and of WORKERS beside it, that give the same bytes.

    possible  CPU of one process against half of all, or the main one's alone: what two CPUs to
              themselves could gain at most
    """
    rounds: dict[int, list[Spent]] = {1: [], WORKERS: []}
    found = set[bytes]()
    for _ in range(ROUNDS):
        for workers, spent in rounds.items():
            before = Spent.now()
            found.add(what(workers))
            spent.append(Spent(*(b - a for a, b in zip(before, Spent.now(), strict=True))))
    assert len(found) == 1, "another number of processes found something else"
    one, more = (
        Spent(*(min(each) for each in zip(*spent, strict=True))) for spent in rounds.values()
    )
    return {
        "workers": WORKERS,
        "one_s": round(one.wall_s, 2),
        "more_s": round(more.wall_s, 2),
        "gain": round(one.wall_s / more.wall_s, 2),
        "one_cpu_s": round(one.main_s, 2),
        "more_cpu_s": {"main": round(more.main_s, 2), "others": round(more.others_s, 2)},
        "possible": round(one.main_s / max(more.main_s, (more.main_s + more.others_s) / 2), 2),
    }


class Spent(NamedTuple):
    """Seconds on the clock, and of CPU in this process and in those that ended."""

    wall_s: float
    main_s: float
    others_s: float

    @classmethod
    def now(cls) -> Spent:
        """Since whenever."""
        spent = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return cls(time.monotonic(), *(each.ru_utime + each.ru_stime for each in spent))


def measure(panes: int = PANES, per_s: int = PER_S) -> dict[str, object]:
    """Return records a second, ratios, and memory at two sizes."""
    with tempfile.TemporaryDirectory() as place:
        folder = made(panes, Path(place) / "archive", per_s)
        configs, topics = limits(given(folder)), tuple(ArchiveLog(folder).topics())
        coverages = [replace(c, min_coverage=c.min_coverage / 2) for c in configs]
        others = [replace(c, detectors=(*c.detectors, "sr_mixture")) for c in configs]
        all_read = best(lambda: read(folder, topics))
        least = best(lambda: floor(folder, topics, AuditFloor()))
        job = best(lambda: floor(folder, topics, AuditJobFloor(versions(folder))))
        raw_read = best(lambda: read(folder, RAW))
        verified = best(lambda: verify(folder, make_detector=make_counting).records)

        def fold(some: list[ModelConfig], raw: bool = False) -> float:
            return best(lambda: what_if(folder, some, make_detector=make_counting, raw=raw).records)

        folded, summed = fold(configs), fold(coverages)
        detected, unfolded = fold(others), fold(configs, raw=True)
        records, raw = read(folder, topics), read(folder, RAW)
        inputs = read(folder, METRICS)
        inputs_read = best(lambda: read(folder, METRICS))
        both = {
            "verify": by_turns(lambda n: proven(folder, n)),
            "whatif_raw": by_turns(lambda n: folded_raw(folder, configs, n)),
        }
    return {
        "predictions_a_pane": 100 * per_s,
        "records": records,
        "raw_records": raw,
        "read_per_s": round(all_read),
        "floor_per_s": round(least),
        "job_per_s": round(job),
        "verify_per_s": round(verified),
        "verify_to_read": round(verified / all_read, 3),
        "raw_read_per_s": round(raw_read),
        "whatif_per_s": round(folded),
        "whatif_to_raw_read": round(folded / raw_read, 3),
        "whatif_to_its_inputs_read": round(folded / raw * inputs / inputs_read, 3),
        "whatif_summaries_per_s": round(summed),
        "whatif_detectors_per_s": round(detected),
        "whatif_raw_per_s": round(unfolded),
        "one_and_more_processes": both,
        "verify_peak_mb": {str(n): peak(n, per_s) for n in (panes // 4, panes)},
        "note": "seconds of CPU",
    }


def peak(panes: int, per_s: int) -> dict[str, int]:
    """Records, and the peak memory in MB of a process that verifies them."""
    with tempfile.TemporaryDirectory() as place:
        folder = made(panes, Path(place) / "archive", per_s)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.audit", "--only", str(folder)],
            capture_output=True,
            text=True,
            check=True,
        )
    found: dict[str, int] = json.loads(done.stdout)
    return found


def only(folder: Path) -> dict[str, int]:
    """Verify, in this process, and say what it took."""
    found = recompute(folder, Asked(), make_detector=make_counting)
    assert found.ok, found.findings
    return {
        "records": found.records,
        "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["--only"]:
        print(json.dumps(only(Path(arguments[1]))))
    else:
        print(json.dumps(measure(*map(int, arguments[:2])), indent=1))
