"""From the tick that closes a pane to its alert: milliseconds, at half of full load, evenly spread.

python -m benchmarks.alert_latency [--quick] [--rate EVENTS_PER_S] [--ticks A_SECOND] [--chain]

The services are the stack's own processes, all that it starts by itself but the broadcaster, whose
work the generator does; generator, broker and services share the machine.
--rate: at this rate, full load isn't looked for: to compare two versions on one machine.
--ticks: as a live namespace has with --interval-s 1/A_SECOND; a pane closes each second.
--chain: only the services that an alert goes through.

full_events_per_s  the highest rate at which lag stays flat: of 15 rounds a second apart the last is
                   concluded within a second of its tick
flat_events_per_s  predictions and labels a second that the whole chain concludes of a backlog
p50, p99           from the append of the closing tick in its last partition until a consumer
                   has read AlertRaised
stages_ms          p50 and p99 of when each stage had closed the epoch, by the broker's clock
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.driver import Driver, until_concluded
from benchmarks.latency_stages import stages
from benchmarks.traffic import Mix, round_ended
from streamops.events import AlertRaised
from streamops.kafka.follow import Follower
from streamops.operate.services import default_services
from streamops.operate.stack import Stack
from streamops.settings import Settings

CHAIN = ("meter", "detect", "control")
# Two that number activations would contradict each other: the driver is the broadcaster, too.
SERVICES = tuple(name for name in default_services(is_driven=True) if name != "broadcaster")
ROUND_S = 1.0
PATIENCE_S = 300.0
SHARE = 0.5
# A round closes a pane of each: MONITOR's cost is by the pane, so their number is part of the load.
MODELS = 4
FLAT_OUT_ROWS = 4000
STEPS = 5
# What a round may take beyond its second: its last flush, and its tick.
SLACK = 1.05


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="12 rounds instead of 120")
    parser.add_argument("--rate", type=int, default=0, help="predictions and labels a second")
    parser.add_argument("--ticks", type=int, default=1, help="a second")
    parser.add_argument("--chain", action="store_true", help="without views, gateway and trainer")
    given = parser.parse_args(arguments)
    services = CHAIN if given.chain else SERVICES
    found = run(is_quick=given.quick, rate=given.rate, ticks=given.ticks, services=services)
    print(json.dumps(found, indent=1))


def run(
    *,
    is_quick: bool = False,
    rate: int = 0,
    ticks: int = 1,
    services: Sequence[str] = SERVICES,
) -> dict[str, object]:
    """Measure on a stack of its own.

    rate   events a second, 0: half of full load
    ticks  a second
    """
    folder = Path(tempfile.mkdtemp(prefix="streamops-bench-"))
    template = Settings(bootstrap="", namespace="bench", data=folder, driven=True)
    flat_out, paced, rounds = (5, 5, 12) if is_quick else (40, 15, 120)
    try:
        with Stack(template, services) as stack:
            stack.wait_ready()
            driver = Driver(stack.settings, Mix(models=MODELS), ticks=ticks)
            driver.open()
            flat = 0 if rate else flat_load(stack.settings, driver, flat_out)
            full = 0 if rate else full_load(stack.settings, driver, flat, paced)
            found = measure(stack.settings, driver, rate or round(full * SHARE), rounds)
    finally:
        shutil.rmtree(folder)
    return {
        "benchmark": "alert_latency",
        "services": services,
        "models": MODELS,
        "ticks_per_s": ticks,
        "full_events_per_s": full or None,
        "flat_events_per_s": flat or None,
        **found,
    }


def by_interval(*, is_quick: bool = False) -> dict[str, object]:
    """Measure with a tick a second, the default, and with two: each at half of its full load."""
    return {
        **run(is_quick=is_quick),
        "with_two_ticks_a_second": run(is_quick=is_quick, ticks=2),
    }


def full_load(settings: Settings, driver: Driver, flat: int, rounds: int) -> int:
    """Return the highest rate at which lag stays flat, by STEPS halvings."""
    low, high = 0, flat
    for _ in range(STEPS):
        rate = (low + high) // 2
        low, high = (rate, high) if keeps_pace(settings, driver, rate, rounds) else (low, rate)
    return low


def keeps_pace(settings: Settings, driver: Driver, rate: int, rounds: int) -> bool:
    """Tell whether generator and chain keep a rate of events a second."""
    began = time.monotonic()
    for _ in range(rounds):
        driver.round(round(rate * ROUND_S / 2), over_s=ROUND_S)
    wrote = time.monotonic()
    until_concluded(settings, driver.concluded, PATIENCE_S)
    is_late = time.monotonic() - wrote > ROUND_S
    return not is_late and wrote - began < rounds * ROUND_S * SLACK


def flat_load(settings: Settings, driver: Driver, rounds: int) -> int:
    """Return the events a second that the whole chain concludes of a backlog."""
    driver.round(FLAT_OUT_ROWS)
    until_concluded(settings, driver.concluded, PATIENCE_S)
    began = time.monotonic()
    for _ in range(rounds):
        driver.round(FLAT_OUT_ROWS)
    until_concluded(settings, driver.concluded, PATIENCE_S)
    return round(2 * FLAT_OUT_ROWS * rounds / (time.monotonic() - began))


def measure(settings: Settings, driver: Driver, rate: int, rounds: int) -> dict[str, object]:
    """Alert each second round at a rate of events a second."""
    found, stored = alerts(settings, driver, round(rate * ROUND_S / 2), rounds)
    return {
        "events_per_s": rate,
        "alerts": len(found),
        "p50": percentile(found, 0.5),
        "p99": percentile(found, 0.99),
        "stages_ms": {
            stage: [percentile(times, 0.5), percentile(times, 0.99)]
            for stage, times in stages(settings, stored, driver.ticks).items()
        },
    }


def alerts(
    settings: Settings, driver: Driver, rows: int, rounds: int
) -> tuple[list[float], dict[int, float]]:
    """Drive rounds of a second, each second one drifted.

    Returns each alert's milliseconds, sorted, and by round when its closing tick was stored.
    """
    stored: dict[int, float] = {}
    seen: dict[int, list[float]] = {}
    stop = threading.Event()
    reader = threading.Thread(target=read, args=(settings, seen, stop))
    reader.start()
    for number in range(rounds):
        epoch = driver.epoch
        stored[epoch] = driver.round(rows, drifted=bool(number % 2), over_s=ROUND_S)
    until_concluded(settings, driver.concluded, PATIENCE_S)
    time.sleep(ROUND_S)
    stop.set()
    reader.join()
    late = ((at - stored[e]) * 1000 for e, ats in seen.items() if e in stored for at in ats)
    return sorted(late), stored


def read(settings: Settings, seen: dict[int, list[float]], stop: threading.Event) -> None:
    """Note when each alert can be read, by the round whose closing tick ended its pane."""
    follower = Follower(settings, "people", ["alerts"])
    known: set[str] = set()
    while not stop.is_set():
        for record in follower.poll(0.02):
            event = record.event
            if isinstance(event, AlertRaised) and event.id not in known:
                known.add(event.id)
                seen.setdefault(round_ended(event.time), []).append(time.time())
    follower.close()


def percentile(ordered: list[float], share: float) -> float | None:
    """Return the value below which this share of the sorted values lies."""
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1) if ordered else None


if __name__ == "__main__":
    main(sys.argv[1:])
