"""The services by name: what `streamops run NAME` and each child of a stack runs.

    python -m streamops.operate.services NAME[-WORKER] SETTINGS_FILE PARENT_PID

Everything a service needs is imported when it is started: the meter never loads scikit-learn.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from streamops import metrics
from streamops.core.processor import Record
from streamops.disk import disk_of
from streamops.errors import ConfigError, ServiceError, TransportError, exit_code
from streamops.hosts.backlog import ReadArchive
from streamops.operate.folder import Folder, ServiceSettings, read_service_settings
from streamops.operate.parent import end_with
from streamops.operate.priority import step_back
from streamops.system_errors import of_system

LOG = logging.getLogger("streamops.operate.services")
HOST = "127.0.0.1"
# Of a service started by itself; a stack chooses free ones.
GATEWAY_PORT = 8600
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

Stop = threading.Event
Run = Callable[[Stop], None]
# Loads what the service needs, then returns what runs it.
Service = Callable[[ServiceSettings], Run]


def archive_of(given: ServiceSettings) -> ReadArchive:
    """Return what reads the namespace's archive. Only who must read it pays for its engine."""

    def read(topic: str, partition: int, first: int, next: int) -> Iterator[Record]:
        from streamops.views.archive import ArchiveLog
        from streamops.views.log import to_record

        archive = ArchiveLog(given.settings.archive)
        yield from map(to_record, archive.read(topic, partition, first, next))

    return read


def meter(given: ServiceSettings) -> Run:
    from streamops.hosts.services import run_fold

    read, worker = archive_of(given), str(given.worker)
    return lambda stop: run_fold(given.settings, "meter", stop, instance=worker, read_archive=read)


def detect(given: ServiceSettings) -> Run:
    from streamops.hosts.services import run_fold
    from streamops.training.detectors import make_detector

    read = archive_of(given)
    return lambda stop: run_fold(
        given.settings, "detect", stop, make_detector=make_detector, read_archive=read
    )


def control(given: ServiceSettings) -> Run:
    from streamops.hosts.services import run_control

    if given.settings.control == "faust":
        import streamops.hosts.control  # noqa: F401  (loaded before the service counts as ready)
    read = archive_of(given)
    return lambda stop: run_control(given.settings, stop, read_archive=read)


def trainer(given: ServiceSettings) -> Run:
    from streamops.training.worker import run_trainer

    return lambda stop: run_trainer(given.settings, stop)


def broadcaster(given: ServiceSettings) -> Run:
    from streamops.hosts.services import run_broadcaster

    return lambda stop: run_broadcaster(given.settings, stop)


def standby(given: ServiceSettings) -> Run:
    from streamops.hosts.services import run_broadcaster

    return lambda stop: run_broadcaster(given.settings, stop, is_standby=True)


def gateway(given: ServiceSettings) -> Run:
    from streamops.serving.gateway import run_gateway

    port = given.gateway_port or GATEWAY_PORT
    return lambda stop: run_gateway(given.settings, given.host, port, stop)


def materializer(given: ServiceSettings) -> Run:
    from streamops.web.serve import run_with_page

    return lambda stop: run_with_page(given.settings, stop, host=given.host, port=given.page_port)


def archiver(given: ServiceSettings) -> Run:
    from streamops.views.archiver import run_archiver

    return lambda stop: run_archiver(given.settings, stop)


# In the order in which they are started; they end in reverse.
SERVICES: dict[str, Service] = {
    "broadcaster": broadcaster,
    "standby": standby,
    "meter": meter,
    "detect": detect,
    "control": control,
    "trainer": trainer,
    "gateway": gateway,
    "materializer": materializer,
    "archiver": archiver,
}


def default_services(*, is_driven: bool) -> list[str]:
    """All services; a driven namespace has its driver as the only ticker, and no standby."""
    return [name for name in SERVICES if not (is_driven and name == "standby")]


def check_services(names: list[str]) -> list[str]:
    """The names in starting order; ConfigError for one that isn't a service."""
    for name in names:
        if name not in SERVICES:
            raise ConfigError(f"service is {name!r}; use one of {', '.join(SERVICES)}")
    return [name for name in SERVICES if name in names]


def worker_names(name: str, workers: int) -> list[str]:
    """Names of a service's processes: the first has the service's own."""
    return [name, *(f"{name}-{number}" for number in range(1, workers))]


def worker_of(name: str) -> tuple[str, int]:
    """The service and the number that a process's name stands for."""
    service, dash, number = name.rpartition("-")
    return (service, int(number)) if dash and number.isdigit() else (name, 0)


def check_workers(workers: int, partitions: int) -> int:
    """The number of meter workers; ConfigError for one that leaves workers without partitions."""
    if not 1 <= workers <= partitions:
        raise ConfigError(
            f"meter_workers is {workers}; use 1 to {partitions}, the partitions of the namespace"
        )
    return workers


def run_service(
    name: str, given: ServiceSettings, *, on_loaded: Callable[[], None] = lambda: None
) -> None:
    """Run one service in this process until SIGTERM or SIGINT; raises what it raises.

    on_loaded  called once everything is loaded, before the service begins
    """
    check_services([name])
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run = SERVICES[name](given)
    withdraw = metrics.serve()
    metrics.EXPOSED.add(disk_of(given.settings).samples)
    on_loaded()
    LOG.info("%s runs as process %d", name, os.getpid())
    try:
        run(stop)
    finally:
        withdraw()
    LOG.info("%s ends", name)


def mark_ready(file: Path) -> None:
    """Write this process's id where the supervisor looks for it."""
    file.write_text(str(os.getpid()))


def main(arguments: list[str]) -> int:
    """The entry of a stack's child: exit status as `streamops.errors` says."""
    process, file, parent = arguments
    name, worker = worker_of(process)
    end_with(int(parent))
    step_back(name)
    try:
        given = msgspec.structs.replace(read_service_settings(Path(file)), worker=worker)
        ready = Folder(given.settings.data).ready(process)
        run_service(name, given, on_loaded=lambda: mark_ready(ready))
    except ServiceError as error:
        return _told(error)
    except OSError as error:
        refused = of_system(error)
        # Another file's trouble may pass; as a setting's it would not be started again.
        if not isinstance(refused, TransportError):
            raise
        return _told(refused)
    return 0


def _told(error: ServiceError) -> int:
    LOG.error("%s: %s", type(error).__name__, error)
    return exit_code(error)


if __name__ == "__main__":
    # Threads of client libraries may outlive their service; none has anything left to do.
    status = main(sys.argv[1:])
    logging.shutdown()
    os._exit(status)
