"""One machine's stack: broker, topics and services over one data folder.

    with Stack(Settings(bootstrap="", data=folder)) as stack:
        stack.wait_ready(60)
        ... stack.settings.bootstrap ...

An empty bootstrap asks for the embedded broker. The stack that is killed, however hard, leaves no
process behind, and its folder can be started again.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType

import msgspec
from confluent_kafka import KafkaException

from streamops import metrics
from streamops.errors import ConfigError, TransportError
from streamops.kafka.admin import connect, create_topics, partition_counts, warm_up
from streamops.kafka.broker import EmbeddedBroker, is_ready
from streamops.kafka.clients import base_conf
from streamops.kafka.ports import candidate_ports, is_free
from streamops.operate.child import Report, Task
from streamops.operate.folder import (
    Folder,
    ServiceSettings,
    StackState,
    end_leftovers,
    started_at,
)
from streamops.operate.memory import pss_mb
from streamops.operate.services import HOST, SERVICES, check_services
from streamops.operate.supervisor import Reports, Supervisor
from streamops.settings import Settings
from streamops.topics import load_topics, topic_name

BROKER_TIMEOUT_S = 60.0
READY_POLL_S = 0.05
WATCH_S = 0.5
# One thread a library: nine processes share the machine, and sums keep one order.
CHILD_ENV = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


class Stack:
    """Broker and services as child processes of this one.

    template  what all services share; `bootstrap` empty for the embedded broker
    services  names from `operate.services`; all if none

    Raises ConfigError for a folder in use, an unknown service, or another partition count than the
    namespace has; TransportError when the broker doesn't start or answer.
    """

    def __init__(self, template: Settings, services: Sequence[str] | None = None) -> None:
        self.folder = Folder(template.data)
        self.services = check_services(list(SERVICES if services is None else services))
        self.settings = msgspec.structs.replace(template, data=self.folder.path)
        self.given = ServiceSettings(settings=self.settings)
        self._embedded = not template.bootstrap
        self._phase = "starting the broker"
        self._is_held = False
        self._began: dict[int, float] = {}
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
            self._clear_leftovers()
            self._refuse_other_partitions()
            self._supervisor.start()
            if self._embedded:
                self._start_broker()
            self._prepare_topics()
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
        while not all(self._is_ready(report) for report in self.reports):
            self._refuse_failed(self.reports)
            if time.monotonic() > deadline:
                slow = [r for r in self.reports if not self._is_ready(r)]
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
        self._refuse_failed(self.reports)

    def stop_services(self) -> None:
        """End the services; the broker stays."""
        self._enter("stopping the services")
        self._supervisor.retire(self.services)
        self.services = []

    def start_services(self, names: Sequence[str]) -> None:
        """Start services beside what runs."""
        self.services = check_services([*self.services, *names])
        for name in names:
            self.folder.ready(name).unlink(missing_ok=True)
        self._supervisor.add([service_task(self.folder, name) for name in names])

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

    def _clear_leftovers(self) -> None:
        state = self.folder.read_state()
        if state is not None:
            end_leftovers(state)

    def _refuse_other_partitions(self) -> None:
        """Refuse at once what the embedded broker's folder has recorded otherwise."""
        before = self.folder.read_settings()
        if before is None or not self._embedded:
            return
        recorded, wanted = before.settings, self.settings
        if recorded.namespace == wanted.namespace and recorded.partitions != wanted.partitions:
            raise other_partitions(wanted, f"namespace {wanted.namespace}", recorded.partitions)

    def _start_broker(self) -> None:
        broker = EmbeddedBroker(self.folder.broker)
        broker.prepare()
        self.settings = msgspec.structs.replace(self.settings, bootstrap=broker.bootstrap)
        self._supervisor.add([broker_task(self.folder)])
        deadline = time.monotonic() + BROKER_TIMEOUT_S
        while not is_ready(broker.bootstrap):
            self._refuse_failed(self.reports)
            if time.monotonic() > deadline:
                raise TransportError(
                    f"the broker gave no answer at {broker.bootstrap} for {BROKER_TIMEOUT_S:g} s: "
                    f"see {broker.log_file}"
                )
            time.sleep(READY_POLL_S)

    def _prepare_topics(self) -> None:
        self._enter("preparing the topics")
        conf = base_conf(self.settings, "stack")
        check_partitions(self.settings)
        if self._embedded:
            warm_up(conf)
        create_topics(conf, self.settings.namespace, self.settings.partitions)

    def _start_services(self) -> None:
        self._enter("starting the services")
        before = self.folder.read_settings()
        self.given = ServiceSettings(
            settings=self.settings,
            gateway_port=choose_port(before.gateway_port if before else 0),
            page_port=choose_port(before.page_port if before else 0),
        )
        self.folder.write_settings(self.given)
        for name in self.services:
            self.folder.ready(name).unlink(missing_ok=True)
        self._supervisor.add([service_task(self.folder, name) for name in self.services])

    def _is_ready(self, report: Report) -> bool:
        if report.state != "running":
            return False
        if report.name == "broker":
            return is_ready(self.settings.bootstrap)
        try:
            return self.folder.ready(report.name).read_text() == str(report.pid)
        except FileNotFoundError:
            return False

    def _refuse_failed(self, reports: Reports) -> None:
        for report in reports:
            if report.state == "failed":
                raise ConfigError(
                    f"{report.name} refuses its configuration (exit {report.exit_code}): "
                    f"see {report.log}"
                )

    def _note(self, reports: Reports) -> None:
        self.folder.write_state(self._state(reports))

    def _state(self, reports: Reports) -> StackState:
        began = {r.name: self._started(r.pid) for r in reports if r.pid is not None}
        return StackState(
            pid=os.getpid(),
            began=self._started(os.getpid()),
            phase=self._phase,
            namespace=self.settings.namespace,
            bootstrap=self.settings.bootstrap,
            partitions=self.settings.partitions,
            gateway=self.gateway,
            page=self.page,
            children=reports,
            began_children=began,
        )

    def _started(self, pid: int) -> float:
        if pid not in self._began:
            self._began[pid] = started_at(pid) or 0.0
        return self._began[pid]


def check_partitions(settings: Settings) -> None:
    """ConfigError where the namespace's topics have another partition count than the settings."""
    try:
        counts = partition_counts(connect(base_conf(settings, "stack")))
    except KafkaException as error:
        raise ConfigError(f"kafka settings are refused: {error.args[0].str()}") from error
    for spec in load_topics().values():
        name = topic_name(settings.namespace, spec.name)
        wanted = spec.partition_count(settings.partitions)
        if counts.get(name, wanted) != wanted:
            raise other_partitions(settings, name, counts[name])


def other_partitions(settings: Settings, what: str, found: int) -> ConfigError:
    """The refusal of another partition count than the one that is fixed."""
    return ConfigError(
        f"partitions is {settings.partitions}, but {what} has {found}, fixed when the namespace "
        f"was made: use --partitions {found}, or another --namespace"
    )


def choose_port(before: int) -> int:
    """The port used before if it is free, else a free one of 127.0.0.1."""
    if before and is_free(before):
        return before
    return next(port for port in candidate_ports() if is_free(port))


def broker_task(folder: Folder) -> Task:
    command = (
        sys.executable, "-m", "streamops.kafka.broker", "--with-parent", str(folder.broker)
    )  # fmt: skip
    return Task(name="broker", command=command, log=folder.log("broker"), stage=0)


def service_task(folder: Folder, name: str) -> Task:
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


def _address(port: int, is_served: bool) -> str:
    return f"http://{HOST}:{port}" if port and is_served else ""
