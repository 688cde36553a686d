"""From the tick that closes a pane to its alert: milliseconds, at half of full load, evenly spread.

python -m benchmarks.alert_latency [--quick]

The services are the stack's own processes; generator, broker and services share the machine.

full_events_per_s  predictions and labels a second that the whole chain concludes flat out
p50, p99           from the append of the closing tick in its last partition until a consumer
                   has read AlertRaised
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.driver import Driver, until_concluded
from benchmarks.traffic import PANE_S, START_US, Mix
from streamops.core.times import SECOND_US, micros
from streamops.events import AlertRaised
from streamops.kafka.follow import Follower
from streamops.operate.stack import Stack
from streamops.settings import Settings

SERVICES = ("meter", "detect", "control")
ROUND_S = 1.0
PATIENCE_S = 300.0
SHARE = 0.5
# A round closes a pane of each: MONITOR's cost is by the pane, so their number is part of the load.
MODELS = 4
FLAT_OUT_ROWS = 4000


def main(arguments: list[str]) -> None:
    """Measure and print."""
    print(json.dumps(run(is_quick="--quick" in arguments), indent=1))


def run(*, is_quick: bool = False) -> dict[str, object]:
    """Measure on a stack of its own."""
    folder = Path(tempfile.mkdtemp(prefix="streamops-bench-"))
    template = Settings(bootstrap="", namespace="bench", data=folder, driven=True)
    try:
        with Stack(template, SERVICES) as stack:
            stack.wait_ready()
            flat_out, rounds = (5, 12) if is_quick else (40, 120)
            return measure(stack.settings, flat_out, rounds)
    finally:
        shutil.rmtree(folder)


def measure(settings: Settings, flat_out: int, rounds: int) -> dict[str, object]:
    """Find full load, then alert each second round at half of it."""
    driver = Driver(settings, Mix(models=MODELS))
    driver.open()
    rows = FLAT_OUT_ROWS
    driver.round(rows)
    until_concluded(settings, 0, PATIENCE_S)
    began = time.monotonic()
    for _ in range(flat_out):
        driver.round(rows)
    until_concluded(settings, driver.epoch - 1, PATIENCE_S)
    full = 2 * rows * flat_out / (time.monotonic() - began)
    found = alerts(settings, driver, round(full * SHARE * ROUND_S / 2), rounds)
    return {
        "benchmark": "alert_latency",
        "models": MODELS,
        "full_events_per_s": round(full),
        "events_per_s": round(full * SHARE),
        "alerts": len(found),
        "p50": percentile(found, 0.5),
        "p99": percentile(found, 0.99),
    }


def alerts(settings: Settings, driver: Driver, rows: int, rounds: int) -> list[float]:
    """Drive rounds of a second, each second one drifted; return each alert's milliseconds."""
    stored: dict[int, float] = {}
    seen: dict[int, list[float]] = {}
    stop = threading.Event()
    reader = threading.Thread(target=read, args=(settings, seen, stop))
    reader.start()
    for number in range(rounds):
        epoch = driver.epoch
        stored[epoch] = driver.round(rows, drifted=bool(number % 2), over_s=ROUND_S)
    until_concluded(settings, driver.epoch - 1, PATIENCE_S)
    time.sleep(ROUND_S)
    stop.set()
    reader.join()
    return sorted((at - stored[e]) * 1000 for e, ats in seen.items() if e in stored for at in ats)


def read(settings: Settings, seen: dict[int, list[float]], stop: threading.Event) -> None:
    """Note when each alert can be read, by the epoch whose closing tick ended its pane."""
    follower = Follower(settings, "people", ["alerts"])
    known: set[str] = set()
    while not stop.is_set():
        for record in follower.poll(0.02):
            event = record.event
            if isinstance(event, AlertRaised) and event.id not in known:
                known.add(event.id)
                pane = (micros(event.time) - START_US) // (PANE_S * SECOND_US) - 1
                seen.setdefault(pane, []).append(time.time())
    follower.close()


def percentile(ordered: list[float], share: float) -> float | None:
    """Return the value below which this share of the sorted values lies."""
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1) if ordered else None


if __name__ == "__main__":
    main(sys.argv[1:])
