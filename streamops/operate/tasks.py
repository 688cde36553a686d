"""The children of a stack: their commands, environment and ports."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from streamops import metrics
from streamops.kafka.ports import candidate_ports, is_free
from streamops.operate.child import Report, Task
from streamops.operate.folder import Folder, ServiceSettings
from streamops.operate.services import SERVICES, worker_names, worker_of
from streamops.settings import Settings

# One thread a library: nine processes share the machine, and sums keep one order. And what is freed
# goes back to it: by themselves glibc and Arrow keep a batch's memory for the next.
CHILD_ENV = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}

# Who archives ends when nobody writes any more, and so writes out all there is.
ARCHIVED, WRITING = 1, 2


def broker_task(folder: Folder) -> Task:
    """The embedded broker, which ends last."""
    command = (
        sys.executable, "-m", "streamops.kafka.broker", "--with-parent", str(folder.broker)
    )  # fmt: skip
    return Task(name="broker", command=command, log=folder.log("broker"), stage=0)


def service_task(
    folder: Folder, name: str, *, metrics_port: int = 0, settings_file: Path | None = None
) -> Task:
    """A worker of a service; what an earlier one of its name said about being loaded is forgotten.

    metrics_port   where it exposes metrics unless the environment says so; 0 for nowhere
    settings_file  the stack's own if none
    """
    folder.ready(name).unlink(missing_ok=True)
    command = (
        sys.executable,
        "-m",
        "streamops.operate.services",
        name,
        str(settings_file or folder.settings_file),
        str(os.getpid()),
    )
    env = CHILD_ENV | metrics.port_for(place_of(name), metrics_port)
    stage = ARCHIVED if name == "archiver" else WRITING
    return Task(name=name, command=command, log=folder.log(name), stage=stage, env=env)


def service_tasks(folder: Folder, given: ServiceSettings, services: Sequence[str]) -> list[Task]:
    """The processes of services, each with the port of its metrics."""
    return [
        service_task(folder, name, metrics_port=given.metrics_ports.get(name, 0))
        for name in processes_of(services, given.settings)
    ]


def processes_of(services: Sequence[str], settings: Settings) -> list[str]:
    """Names of the processes that services have in a stack."""
    workers = {"meter": settings.meter_workers}
    return [process for name in services for process in worker_names(name, workers.get(name, 1))]


def place_of(name: str) -> int:
    """The number of a worker's metrics port: services first, then the meter's further workers."""
    service, number = worker_of(name)
    return list(SERVICES).index(service) if number == 0 else len(SERVICES) + number - 1


def metrics_ports(names: Sequence[str], before: Mapping[str, int]) -> dict[str, int]:
    """A port for each worker: those of the environment, else those before that are free still."""
    first = metrics.port_from_environment()
    if first:
        return {name: first + place_of(name) for name in names}
    taken: set[int] = set()
    found = {}
    for name in names:
        port = choose_port(0 if before.get(name, 0) in taken else before.get(name, 0))
        while port in taken:
            port = choose_port(0)
        taken.add(port)
        found[name] = port
    return found


def is_loaded(folder: Folder, report: Report) -> bool:
    """Whether the service that runs under this report has loaded what it needs."""
    try:
        return folder.ready(report.name).read_text() == str(report.pid)
    except FileNotFoundError:
        return False


def choose_port(before: int) -> int:
    """The port used before if it is free, else a free one of 127.0.0.1."""
    if before and is_free(before):
        return before
    return next(port for port in candidate_ports() if is_free(port))
