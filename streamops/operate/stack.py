"""One machine's stack: broker, topics and services over one data folder.

    with Stack(Settings(bootstrap="", data=folder)) as stack:
        stack.wait_ready(60)
        ... stack.settings.bootstrap ...

An empty bootstrap asks for the embedded broker. The stack that is killed, however hard, leaves no
process behind, and its folder can be started again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType

import msgspec

from streamops.disk import Floor, floor_file, write_floor
from streamops.errors import ConfigError, TransportError
from streamops.kafka.admin import create_topics, warm_up
from streamops.kafka.broker import EmbeddedBroker, is_ready
from streamops.kafka.clients import base_conf
from streamops.operate.child import Report
from streamops.operate.folder import Folder, ServiceSettings, StackState, end_leftovers
from streamops.operate.memory import pss_mb
from streamops.operate.partitions import check_cluster, check_recorded, check_seals
from streamops.operate.process import started_at
from streamops.operate.services import (
    HOST,
    check_services,
    check_workers,
    default_services,
)
from streamops.operate.supervisor import Reports, Supervisor
from streamops.operate.tasks import (
    broker_task,
    choose_port,
    is_loaded,
    metrics_ports,
    processes_of,
    service_tasks,
)
from streamops.settings import Settings

BROKER_TIMEOUT_S = 60.0
READY_POLL_S = 0.05
WATCH_S = 0.5


class Stack:
    """Broker and services as child processes of this one.

    template  what all services share; `bootstrap` empty for the embedded broker
    services  names from `operate.services`; those that fit the namespace if none
    is_measured  whether each process exposes metrics though the environment names no port

    Raises ConfigError for a folder in use, an unknown service, or another partition count than the
    namespace has; TransportError when the broker doesn't start or answer.
    """

    def __init__(
        self,
        template: Settings,
        services: Sequence[str] | None = None,
        *,
        is_measured: bool = False,
    ) -> None:
        self.folder = Folder(template.data)
        given = default_services(is_driven=template.driven) if services is None else services
        self.services = check_services(list(given))
        check_workers(template.meter_workers, template.partitions)
        self.settings = msgspec.structs.replace(template, data=self.folder.path)
        self._is_measured = is_measured
        self.given = ServiceSettings(settings=self.settings)
        self._embedded = not template.bootstrap
        self._phase = "starting the broker"
        self._is_held = False
        self._began = started_at(os.getpid()) or 0.0
        self._supervisor = Supervisor(self._note)
        self._held = ExitStack()

    @property
    def reports(self) -> Reports:
        """Broker and services as they are."""
        return self._supervisor.reports

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of what runs now, by name; `broker` is the embedded broker's."""
        return {report.name: report.pid for report in self.reports if report.pid is not None}

    @property
    def gateway(self) -> str:
        """Address of the gateway, http://host:port; empty when it isn't among the services."""
        return _address(self.given.gateway_port, "gateway" in self.services)

    @property
    def page(self) -> str:
        """Address of the page, http://host:port; empty when it isn't among the services."""
        return _address(self.given.page_port, "materializer" in self.services)

    def start(self) -> None:
        """Start the broker, then the services; returns once each was started."""
        self._held.enter_context(self.folder.lock())
        self._is_held = True
        try:
            end_leftovers(self.folder.read_state())
            before = self.folder.read_settings()
            recorded = before.settings if before else None
            if self._embedded:
                check_recorded(self.settings, recorded)
            check_seals(self.settings, recorded)
            self._supervisor.start()
            if self._embedded:
                self._start_broker()
            self._enter("preparing the topics")
            prepare_topics(self.settings, is_embedded=self._embedded)
            self._start_services()
        except BaseException:
            self.stop()
            raise

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return once the broker answers and every service is loaded.

        Raises ConfigError for a service that refuses its configuration, TransportError after the
        timeout; both name the log.
        """
        deadline = time.monotonic() + timeout_s
        while slow := [r for r in self.reports if not is_up(self.folder, self.settings, r)]:
            refuse_failed(self.reports)
            if time.monotonic() > deadline:
                named = ", ".join(f"{r.name} ({r.state}, see {r.log})" for r in slow)
                raise TransportError(f"not ready after {timeout_s:g} s: {named}")
            time.sleep(READY_POLL_S)
        self._enter("ready")

    def pss_mb(self) -> float:
        """Memory of the stack with this process, MiB of PSS."""
        return pss_mb([os.getpid(), *self.pids.values()])

    def wait(self, stop: threading.Event) -> None:
        """Return when `stop` is set; raises TransportError if supervising itself ends."""
        while not stop.wait(WATCH_S):
            if not self._supervisor.is_alive:
                raise TransportError(
                    f"the supervisor ended (its data folder {self.folder.path} gone, or its disk "
                    "full?): see above, mend it and start again"
                )

    def wait_for(self, holds: Callable[[Reports], bool], timeout_s: float) -> bool:
        """Whether `holds` is true of the reports, at the latest after `timeout_s` seconds."""
        return self._supervisor.wait_for(holds, timeout_s)

    def check(self) -> None:
        """Raise ConfigError where a service refuses its configuration."""
        refuse_failed(self.reports)

    def stop_services(self) -> None:
        """End the services; the broker stays."""
        self._enter("stopping the services")
        self._supervisor.retire(processes_of(self.services, self.settings))
        self.services = []

    def start_services(self, names: Sequence[str]) -> None:
        """Start services beside what runs."""
        self.services = check_services([*self.services, *names])
        self._supervisor.add(service_tasks(self.folder, self.given, names))

    def stop(self) -> None:
        """End the services, then the broker, and free the folder; a second call does nothing."""
        if not self._is_held:
            return
        self._enter("stopping")
        self._supervisor.stop()
        self._enter("stopped")
        self._held.close()
        self._is_held = False

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _enter(self, phase: str) -> None:
        self._phase = phase
        self._supervisor.tell()

    def _start_broker(self) -> None:
        broker = EmbeddedBroker(self.folder.broker)
        broker.prepare()
        floor = Floor(str(self.folder.path), self.settings.disk_floor_mb)
        write_floor(floor_file(self.folder.path), floor)
        self.settings = msgspec.structs.replace(self.settings, bootstrap=broker.bootstrap)
        self._supervisor.add([broker_task(self.folder)])
        deadline = time.monotonic() + BROKER_TIMEOUT_S
        while not is_ready(broker.bootstrap):
            refuse_failed(self.reports)
            if time.monotonic() > deadline:
                raise TransportError(
                    f"the broker gave no answer at {broker.bootstrap} for {BROKER_TIMEOUT_S:g} s: "
                    f"see {broker.log_file}"
                )
            time.sleep(READY_POLL_S)

    def _start_services(self) -> None:
        self._enter("starting the services")
        before = self.folder.read_settings()
        processes = processes_of(self.services, self.settings) if self._is_measured else []
        self.given = ServiceSettings(
            settings=self.settings,
            gateway_port=choose_port(before.gateway_port if before else 0),
            page_port=choose_port(before.page_port if before else 0),
            metrics_ports=metrics_ports(processes, before.metrics_ports if before else {}),
        )
        self.folder.write_settings(self.given)
        self._supervisor.add(service_tasks(self.folder, self.given, self.services))

    def _note(self, reports: Reports) -> None:
        self.folder.write_state(
            StackState(
                pid=os.getpid(),
                began=self._began,
                phase=self._phase,
                namespace=self.settings.namespace,
                bootstrap=self.settings.bootstrap,
                partitions=self.settings.partitions,
                gateway=self.gateway,
                page=self.page,
                children=reports,
                metrics=tuple(self.given.metrics_ports.items()),
            )
        )


def prepare_topics(settings: Settings, *, is_embedded: bool) -> None:
    """Create what is missing of a namespace whose partition count is as fixed."""
    check_cluster(settings)
    conf = base_conf(settings, "stack")
    if is_embedded:
        warm_up(conf)
    create_topics(conf, settings.namespace, settings.partitions)


def is_up(folder: Folder, settings: Settings, report: Report) -> bool:
    """Whether the broker answers, or the service has loaded what it needs."""
    if report.state != "running":
        return False
    if report.name == "broker":
        return is_ready(settings.bootstrap)
    return is_loaded(folder, report)


def refuse_failed(reports: Reports) -> None:
    """ConfigError for a service that ended because a setting of its own is wrong."""
    for report in reports:
        if report.state == "failed":
            raise ConfigError(
                f"{report.name} refuses its configuration (exit {report.exit_code}): "
                f"see {report.log}"
            )


def _address(port: int, is_served: bool) -> str:
    return f"http://{HOST}:{port}" if port and is_served else ""
