"""METER's workers under load: seconds until all is folded again after a kill, a join, a leave.

python -m benchmarks.recovery [--quick]

worker  from kill -9 of one of three workers until each of its partitions has closed a new epoch:
        started again by its supervisor, state restored
join    from the start of a third worker's process beside two until it holds partitions and every
        partition has closed a new epoch
leave   from SIGTERM to a worker until every partition has closed a new epoch

A new epoch is one whose tick was written after the event. Twelve partitions (quick: six).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.driver import Driver
from benchmarks.traffic import Mix
from streamops.events import EpochClosed
from streamops.kafka.admin import create_topics
from streamops.kafka.broker import EmbeddedBroker
from streamops.kafka.follow import Follower
from streamops.operate.folder import Folder, ServiceSettings
from streamops.operate.supervisor import Supervisor
from streamops.operate.tasks import service_task
from streamops.settings import Settings

PARTITIONS, PARTITIONS_QUICK = 12, 6
ROUND_S = 0.25
ROWS = 500
PATIENCE_S = 120.0
POLL_S = 0.02


def main(arguments: list[str]) -> None:
    """Measure and print."""
    print(json.dumps(run(is_quick="--quick" in arguments), indent=1))


def run(*, is_quick: bool = False) -> dict[str, object]:
    """Measure on a broker of its own."""
    folder = Path(tempfile.mkdtemp(prefix="streamops-bench-"))
    broker = EmbeddedBroker(folder / "broker")
    broker.start()
    partitions = PARTITIONS_QUICK if is_quick else PARTITIONS
    settings = Settings(
        bootstrap=broker.bootstrap,
        namespace="bench",
        data=folder,
        partitions=partitions,
        driven=True,
    )
    try:
        create_topics({"bootstrap.servers": broker.bootstrap}, settings.namespace, partitions)
        with Traffic(settings) as traffic:
            return measure(Workers(settings), traffic, repeats=1 if is_quick else 3)
    finally:
        broker.stop()
        shutil.rmtree(folder)


class Workers:
    """Processes of METER that come and go."""

    def __init__(self, settings: Settings) -> None:
        self.folder = Folder(settings.data)
        self.folder.logs.mkdir(parents=True, exist_ok=True)
        self.file = self.folder.path / "meter.json"
        self.folder.write_settings(ServiceSettings(settings=settings), self.file)
        self.supervisor = Supervisor()
        self.supervisor.start()

    def start(self, *names: str) -> None:
        """Start workers by their names: meter, meter-1, ..."""
        tasks = [service_task(self.folder, name, settings_file=self.file) for name in names]
        self.supervisor.add(tasks)

    def pid(self, name: str) -> int:
        """Return a worker's process id."""
        return next(r.pid for r in self.supervisor.reports if r.name == name and r.pid)

    def held(self, name: str) -> list[int]:
        """Return the partitions that a worker was given last, by its log."""
        log = self.folder.log(name)
        lines = [x for x in log.read_text().splitlines() if "meter holds partitions" in x]
        return json.loads(lines[-1].rpartition("partitions ")[2]) if lines else []


class Traffic:
    """Rounds in a thread, and which epoch each partition has closed last."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.driver = Driver(settings, Mix(models=1))
        self.closed: dict[int, int] = {}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=run) for run in (self._drive, self._read)]

    def __enter__(self) -> Traffic:
        self.driver.open()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def until_new(self, partitions: Iterable[int]) -> None:
        """Wait until these have closed an epoch whose tick is not written yet."""
        wanted, new = list(partitions), self.driver.epoch + 1
        wait(lambda: all(self.closed.get(p, -1) >= new for p in wanted), f"epoch {new}")

    def _drive(self) -> None:
        while not self._stop.is_set():
            due = time.monotonic() + ROUND_S
            self.driver.round(ROWS)
            time.sleep(max(0.0, due - time.monotonic()))

    def _read(self) -> None:
        follower = Follower(self.settings, "closes", ["outcomes"])
        while not self._stop.is_set():
            for record in follower.poll(POLL_S):
                event = record.event
                if isinstance(event, EpochClosed):
                    partition = int(event.source.rpartition("/")[2])
                    self.closed[partition] = max(event.epoch, self.closed.get(partition, -1))
        follower.close()


def measure(workers: Workers, traffic: Traffic, repeats: int) -> dict[str, object]:
    """Kill, leave and join, some times each; the worst counts."""
    everyone = range(traffic.settings.partitions)
    found: dict[str, list[float]] = {"worker": [], "join": [], "leave": []}
    try:
        workers.start("meter", "meter-1", "meter-2")
        traffic.until_new(everyone)
        wait(lambda: all(workers.held(n) for n in ("meter", "meter-1", "meter-2")), "a balance")
        for _ in range(repeats):
            found["worker"].append(seconds(lambda: kill(workers, traffic)))
            found["leave"].append(seconds(lambda: leave(workers, traffic, everyone)))
            found["join"].append(seconds(lambda: join(workers, traffic, everyone)))
    finally:
        workers.supervisor.stop()
    return {
        "benchmark": "recovery",
        "partitions": len(everyone),
        "events_per_s": round(2 * ROWS / ROUND_S),
        **{name: round(max(times), 2) for name, times in found.items()},
    }


def kill(workers: Workers, traffic: Traffic) -> None:
    """Kill a worker; return when its partitions go on."""
    held = workers.held("meter-1")
    os.kill(workers.pid("meter-1"), signal.SIGKILL)
    traffic.until_new(held)


def leave(workers: Workers, traffic: Traffic, everyone: Iterable[int]) -> None:
    """Ask a worker to end; return when the others have its partitions."""
    workers.supervisor.retire(["meter-2"])
    traffic.until_new(everyone)


def join(workers: Workers, traffic: Traffic, everyone: Iterable[int]) -> None:
    """Start a worker; return when it has its share and all go on."""
    workers.folder.log("meter-2").unlink(missing_ok=True)
    workers.start("meter-2")
    wait(lambda: workers.folder.log("meter-2").exists() and workers.held("meter-2"), "its share")
    traffic.until_new(everyone)


def seconds(run: Callable[[], object]) -> float:
    """Return how long it takes."""
    started = time.monotonic()
    run()
    return time.monotonic() - started


def wait(holds: Callable[[], object], what: str) -> None:
    """Return when it holds; raises SystemExit after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {PATIENCE_S:g} s for {what}")
        time.sleep(POLL_S)


if __name__ == "__main__":
    main(sys.argv[1:])
