"""How fast an archive is proven again: `python -m benchmarks.audit [PANES [PER_S]]`, JSON.

A played history of two models (two features, segments, rules, a detector of the tests' own) is
archived, PER_S predictions a model and second (a pane has 100 times as many); then its records are
only read and decoded, verified from the raw records, and folded under another limit: from recorded
summaries, with the detectors folded again, and from raw records. What-if counts raw records of the
history a second, whatever it reads. Seconds of CPU in one process, the best of three. Memory is the
peak of a fresh process at two sizes.
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

from msgspec.structs import replace

from streamops.audit.asked import Asked
from streamops.audit.records import PartitionReader
from streamops.audit.verify import recompute, verify
from streamops.audit.whatif import what_if
from streamops.config import ModelConfig
from streamops.events import ConfigActivated
from streamops.views.archive import ArchiveLog
from streamops.views.log import to_record
from tests.story import archive, make_counting, play

ROUNDS = 3
RAW = ("predictions", "labels", "lifecycle")
PANES = 60
PER_S = 2
SUMMARIES = ("lifecycle", "summaries", "metrics")


def made(panes: int, folder: Path, per_s: int = PER_S) -> Path:
    """A history of so many panes of 100 * per_s predictions and nearly as many labels."""
    return archive(play(panes=panes, per_s=per_s), folder, rows=20_000)


def read(folder: Path, topics: tuple[str, ...]) -> int:
    """Read and decode, nothing else; returns how many records."""
    log = ArchiveLog(folder)
    return sum(1 for t in topics for p in log.partitions(t) for _ in PartitionReader(folder, t, p))


def given(folder: Path) -> list[ModelConfig]:
    """The recorded configurations."""
    events = (to_record(raw).event for raw in ArchiveLog(folder).read("lifecycle", 0))
    return [event.config for event in events if isinstance(event, ConfigActivated)]


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


def measure(panes: int = PANES, per_s: int = PER_S) -> dict[str, object]:
    """Return records a second, ratios, and memory at two sizes."""
    with tempfile.TemporaryDirectory() as place:
        folder = made(panes, Path(place) / "archive", per_s)
        configs, topics = limits(given(folder)), tuple(ArchiveLog(folder).topics())
        others = [replace(c, detectors=(*c.detectors, "sr_mixture")) for c in configs]
        all_read = best(lambda: read(folder, topics))
        raw_read = best(lambda: read(folder, RAW))
        verified = best(lambda: verify(folder, make_detector=make_counting).records)

        def fold(some: list[ModelConfig], raw: bool = False) -> float:
            return best(lambda: what_if(folder, some, make_detector=make_counting, raw=raw).records)

        folded, detected, unfolded = fold(configs), fold(others), fold(configs, raw=True)
        records, raw = read(folder, topics), read(folder, RAW)
        inputs = read(folder, SUMMARIES)
        inputs_read = best(lambda: read(folder, SUMMARIES))
    return {
        "predictions_a_pane": 100 * per_s,
        "records": records,
        "raw_records": raw,
        "read_per_s": round(all_read),
        "verify_per_s": round(verified),
        "verify_to_read": round(verified / all_read, 3),
        "raw_read_per_s": round(raw_read),
        "whatif_per_s": round(folded),
        "whatif_to_raw_read": round(folded / raw_read, 3),
        "whatif_to_its_inputs_read": round(folded / raw * inputs / inputs_read, 3),
        "whatif_detectors_per_s": round(detected),
        "whatif_raw_per_s": round(unfolded),
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
