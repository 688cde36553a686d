"""All benchmarks into `build/bench.json`: `make bench`."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

from benchmarks import alert_latency, effects, loop, meter, recovery, scaling

OUT = Path("build/bench.json")
LIBRARIES = (
    "confluent-kafka", "duckdb", "faust-streaming", "msgspec", "numpy", "pyarrow", "rocksdict",
)  # fmt: skip


def machine() -> dict[str, object]:
    """Return what the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "system": platform.platform(),
    }


def main() -> None:
    """Run one after another; print and write."""
    views = effects.run(effects.Mix())
    found = {
        "meter": meter.run(meter.Mix()),
        "scaling": scaling.measure(),
        "alert_latency_ms": alert_latency.run(),
        "recovery_s": recovery.run(),
        "materializer_ratio": views["materializer_ratio"],
        "archiver_ratio": views["archiver_ratio"],
        "effects": views,
        "loop": loop.run(loop.TABLE, 0),
        "machine": machine(),
        "versions": {
            "python": platform.python_version(),
            **{library: version(library) for library in LIBRARIES},
        },
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1))
    print(OUT.read_text())


main()
