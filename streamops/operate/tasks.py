"""The children of a stack: their commands, environment and ports."""

from __future__ import annotations

import os
import sys

from streamops import metrics
from streamops.kafka.ports import candidate_ports, is_free
from streamops.operate.child import Report, Task
from streamops.operate.folder import Folder
from streamops.operate.services import SERVICES

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


def broker_task(folder: Folder) -> Task:
    """The embedded broker, which ends last."""
    command = (
        sys.executable, "-m", "streamops.kafka.broker", "--with-parent", str(folder.broker)
    )  # fmt: skip
    return Task(name="broker", command=command, log=folder.log("broker"), stage=0)


def service_task(folder: Folder, name: str) -> Task:
    """A service; what an earlier one of its name said about being loaded is forgotten."""
    folder.ready(name).unlink(missing_ok=True)
    command = (
        sys.executable,
        "-m",
        "streamops.operate.services",
        name,
        str(folder.settings_file),
        str(os.getpid()),
    )
    env = CHILD_ENV | metrics.port_for(list(SERVICES).index(name))
    return Task(name=name, command=command, log=folder.log(name), env=env)


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
