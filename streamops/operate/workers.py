"""METER alone: a supervised process a worker, sharing the partitions of an existing broker.

    with MeterWorkers(settings, 3) as workers:
        workers.wait(stop)

Each has a number that is the same after a restart: its place in the consumer group waits for it
(static membership), so a worker that is killed is back with its partitions before they move.
"""

from __future__ import annotations

import threading
from types import TracebackType

import msgspec

from streamops.errors import ConfigError, TransportError
from streamops.operate.folder import Folder, ServiceSettings
from streamops.operate.services import check_workers, worker_names
from streamops.operate.stack import refuse_failed
from streamops.operate.supervisor import Reports, Supervisor
from streamops.operate.tasks import is_loaded, metrics_ports, service_task
from streamops.settings import Settings

WATCH_S = 0.5


class MeterWorkers:
    """Supervises `workers` processes of METER; raises ConfigError for a number that can't be, or
    where a stack over the same folder runs METER already."""

    def __init__(self, settings: Settings, workers: int) -> None:
        self.folder = Folder(settings.data)
        self.settings = msgspec.structs.replace(
            settings,
            data=self.folder.path,
            meter_workers=check_workers(workers, settings.partitions),
        )
        self.names = worker_names("meter", workers)
        self.ports = metrics_ports(self.names, {})
        self._supervisor = Supervisor()

    @property
    def reports(self) -> Reports:
        """The workers as they are."""
        return self._supervisor.reports

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the workers that run now."""
        return {report.name: report.pid for report in self.reports if report.pid is not None}

    def wait(self, stop: threading.Event) -> None:
        """Return when `stop` is set; ConfigError where a worker refuses its configuration."""
        while not stop.wait(WATCH_S):
            refuse_failed(self.reports)
            if not self._supervisor.is_alive:
                raise TransportError("the supervisor ended: see above, mend it and start again")

    def wait_ready(self, timeout_s: float) -> None:
        """Return once every worker is loaded; TransportError, naming logs, after the timeout."""

        def are_loaded(reports: Reports) -> bool:
            refuse_failed(reports)
            return all(is_loaded(self.folder, report) for report in reports)

        stop = threading.Event()
        for _ in range(round(timeout_s / WATCH_S)):
            if are_loaded(self.reports):
                return
            stop.wait(WATCH_S)
        raise TransportError(f"not ready after {timeout_s:g} s: see {self.folder.logs}")

    def __enter__(self) -> MeterWorkers:
        state = self.folder.read_state()
        if self.folder.is_running() and state and any(c.name == "meter" for c in state.children):
            raise ConfigError(
                f"the stack over {self.folder.path} runs METER already: "
                "`streamops up --meter-workers N` runs more of them"
            )
        self.folder.prepare()
        file = self.folder.path / "meter.json"
        self.folder.write_settings(
            ServiceSettings(settings=self.settings, metrics_ports=self.ports), file
        )
        self._supervisor.start()
        self._supervisor.add(
            service_task(self.folder, name, metrics_port=self.ports[name], settings_file=file)
            for name in self.names
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._supervisor.stop()
