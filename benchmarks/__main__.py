"""All benchmarks into `build/bench.json`: `make bench`.

python -m benchmarks [--quick] [--only meter,scaling] [--out build/bench.json]

One part after another; the file is written after each, so what was measured stays if a later part
fails. Exit status 1 names the parts that did. --quick: small sizes, some five minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from benchmarks import alert_latency, effects, loop, meter, recovery, scaling

OUT = Path("build/bench.json")
LIBRARIES = (
    "confluent-kafka", "duckdb", "faust-streaming", "msgspec", "numpy", "pyarrow", "rocksdict",
)  # fmt: skip
QUICK_MIX = meter.Mix(rows=20_000, epochs=meter.EPOCHS)
# A tenth of the table trains version 1; the rest of these is streamed.
QUICK_ROWS = 8_000

Found = dict[str, object]
# Each returns some of the file's fields.
PARTS: dict[str, Callable[[bool], Found]] = {
    "meter": lambda quick: {"meter": meter.run(QUICK_MIX if quick else meter.MIX)},
    "scaling": lambda quick: {"scaling": scaling.measure()},
    "alert_latency": lambda quick: {"alert_latency_ms": alert_latency.by_interval(is_quick=quick)},
    "recovery": lambda quick: {"recovery_s": recovery.run(is_quick=quick)},
    "effects": lambda quick: _of_views(effects.run(effects.QUICK if quick else effects.Mix())),
    "loop": lambda quick: {"loop": loop.run(loop.TABLE, QUICK_ROWS if quick else 0)},
}


def _of_views(views: Found) -> Found:
    ratios = {name: views[name] for name in ("materializer_ratio", "archiver_ratio")}
    return {**ratios, "effects": views}


def machine() -> Found:
    """Return what the figures were measured on, and how busy it was before."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "system": platform.platform(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
    }


def versions() -> Found:
    """Return the libraries that the figures depend on."""
    return {
        "python": platform.python_version(),
        **{library: version(library) for library in LIBRARIES},
    }


def main(arguments: list[str]) -> int:
    """Run the parts, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args(arguments)
    names = given.only.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f"--only names {unknown[0]!r}; there are {', '.join(PARTS)}")
    found: Found = {"machine": machine(), "versions": versions(), "quick": given.quick}
    failed = [name for name in names if not _measured(name, given.quick, found, given.out)]
    print(given.out.read_text())
    for name in failed:
        print(f"streamops: part {name} failed, see above", file=sys.stderr)
    return 1 if failed else 0


def _measured(name: str, quick: bool, found: Found, out: Path) -> bool:
    """Measure one part and write all there is; tell whether it went well."""
    print(f"streamops: measuring {name}", file=sys.stderr, flush=True)
    began = time.monotonic()
    try:
        found.update(PARTS[name](quick))
    except Exception:
        traceback.print_exc()
        return False
    finally:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found, indent=1))
    print(f"streamops: {name} took {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
