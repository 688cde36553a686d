"""A whole stack disturbed under load, and held against one who knows the truth: `make chaos`.

python -m benchmarks.chaos [--kills 40] [--minutes 5] [--seed 1] [--home DIR]

kill -9 of METER's two workers, control, detect, materializer, archiver and broker in random order;
SIGSTOP past the session, of the broker too; a second worker with the same id; a disk that takes no
more of the archive or of the views. At the end every pane's counts are the truth's
to the last unit, every prediction is joined once and rightly, the views are the topics, and every
alert is verified from the archive. JSON on stdout; exit status 1 where anything differs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.chaos.acts import Acts, plan
from benchmarks.chaos.truth import Found, Truth, differences
from benchmarks.driver import Driver, until_concluded
from benchmarks.traffic import PANE_S, START_US, Mix
from streamops.audit.verify import verify
from streamops.core.times import SECOND_US, moment
from streamops.operate.compare import views_counts
from streamops.operate.stack import Stack
from streamops.operate.summary import COUNTED, read_facts
from streamops.settings import Settings
from streamops.views.archiver import archive_until_end

SERVICES = ("meter", "detect", "control", "materializer", "archiver")
ROWS = 200
ROUND_S = 0.5
AHEAD_MAX = 40
MATURITY_PANES = 3
PATIENCE_S = 300.0


def main(arguments: list[str]) -> int:
    """Disturb, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument(
        "--kills", type=int, default=40, help="kill -9; other acts come beside them"
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="in which all happens")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--home", type=Path, help="kept; else a folder that goes if all is well")
    given = parser.parse_args(arguments)
    home = given.home or Path(tempfile.mkdtemp(prefix="streamops-chaos-"))
    found = run(home, given.kills, given.minutes * 60, given.seed)
    print(json.dumps(found, indent=1))
    if found["faults"]:
        print(f"logs: {home / 'logs'}", file=sys.stderr)
        return 1
    if given.home is None:
        shutil.rmtree(home)
    return 0


def run(home: Path, kills: int, seconds: float, seed: int) -> dict[str, object]:
    """Return what was done and what differed; `faults` is empty where nothing did."""
    mix, began = Mix(models=4, features=3), time.monotonic()
    truth = Truth(mix)
    template = Settings(
        bootstrap="", namespace="chaos", data=home, driven=True, meter_workers=2, disk_floor_mb=0
    )
    with Stack(template, SERVICES) as stack:
        stack.wait_ready(PATIENCE_S)
        acts = Acts(stack, plan(kills, seed), seconds, seed)
        driver = Driver(stack.settings, mix, truth.note)
        driver.open()
        acts.start()
        try:
            drive(driver, acts, seconds)
        finally:
            acts.stop()
        settle(driver)
        until_concluded(stack.settings, driver.epoch - 1, PATIENCE_S, stack.check)
        restarts = sum(report.restarts for report in stack.reports)
        stack.stop_services()
        archive_until_end(stack.settings)
        found = Found(stack.settings)
        faults = [*acts.trouble, *differences(truth, found, *starts(driver.epoch))]
        facts = read_facts(stack.settings)
        views = views_counts(stack.settings, COUNTED)
    if views != facts.counts:
        faults.append(f"views hold {views}, topics {facts.counts}")
    verified = verify(home / "archive")
    if not verified.ok:
        faults.append("an alert was not verified")
    return {
        "benchmark": "chaos",
        "seed": seed,
        "acts": dict(sorted(acts.done.items())),
        "restarts": restarts,
        "predictions": truth.predictions.total(),
        "outcomes": len(found.joins),
        "panes": len(truth.predictions),
        "repeats_dropped": found.repeats,
        "alerts": len(facts.alerts),
        "alerts_verified": len(verified.alerts),
        "seconds": round(time.monotonic() - began),
        "faults": faults,
    }


def drive(driver: Driver, acts: Acts, seconds: float) -> None:
    """Write rounds while there are acts; the fold may be some epochs behind."""
    end = time.monotonic() + 3 * seconds
    while not acts.is_over and time.monotonic() < end:
        due = time.monotonic() + ROUND_S
        driver.round(ROWS, drifted=bool(driver.epoch // 3 % 2))
        if driver.epoch % AHEAD_MAX == 0:
            until_concluded(driver.settings, driver.epoch - AHEAD_MAX, PATIENCE_S)
        time.sleep(max(0.0, due - time.monotonic()))


def settle(driver: Driver) -> None:
    """Send the last labels, and ticks until every pane is mature."""
    for _ in range(MATURITY_PANES + 1):
        driver.round(0)


def starts(epochs: int) -> tuple[set[str], set[str]]:
    """Return the starts of panes that must have closed, and of those that must have matured."""
    at = [moment(START_US + n * PANE_S * SECOND_US).isoformat() for n in range(epochs)]
    return set(at), set(at[: epochs - MATURITY_PANES])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
