"""up, down, status, logs, run: broker and services on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import msgspec
from cyclopts import Parameter, validators

from streamops.commands.output import print_json, print_table, say
from streamops.commands.place import (
    COUNT_MAX,
    HERE,
    PARTITIONS_MAX,
    Json,
    Place,
    marked,
    whole,
)
from streamops.disk import disk_of
from streamops.errors import ConfigError, TransportError
from streamops.operate.folder import (
    Folder,
    ServiceSettings,
    StackState,
    read_service_settings,
)
from streamops.operate.process import started_at
from streamops.operate.services import HOST
from streamops.settings import Settings

READY_TIMEOUT_S = 120.0
DOWN_TIMEOUT_S = 45.0
POLL_S = 0.1
TAIL_BYTES = 8192
NOT_RUNNING = 3
HEAR_S = 5.0

Partitions = Annotated[
    int | None,
    Parameter(
        env_var="STREAMOPS_PARTITIONS",
        converter=whole,
        validator=validators.Number(gte=1, lte=PARTITIONS_MAX),
        help="Partitions of each topic, fixed once; 4 embedded, 24 on a cluster.",
    ),
]
SealEvery = Annotated[
    int | None,
    Parameter(
        env_var="STREAMOPS_SEAL_EVERY",
        validator=validators.Number(gte=0, lte=COUNT_MAX),
        help="Seal the state at the end of every so many epochs, fixed once; 600, and 0 for never.",
    ),
]
Interval = Annotated[
    float | None,
    Parameter(
        env_var="STREAMOPS_INTERVAL_S",
        validator=validators.Number(gte=0.1, lte=3600),
        help="Seconds between ticks, .1 to 3,600, recorded when the namespace is made; 1 embedded, "
        "5 on a cluster.",
    ),
]
Port = Annotated[
    int,
    Parameter(
        env_var="STREAMOPS_PORT",
        validator=validators.Number(gte=0, lte=65535),
        help="Where gateway or page listen; 0: 8080 for the gateway, a free one for the page.",
    ),
]
Control = Annotated[
    Literal["faust", "kafka"],
    Parameter(env_var="STREAMOPS_CONTROL", help="Host of the control plane."),
]

Personal = Annotated[
    str | None,
    Parameter(
        env_var="STREAMOPS_PERSONAL",
        help="Features about persons, separated by commas: the gateway encrypts them in what it "
        'logs, as it did at the last start if left out; "" for none.',
    ),
]
PersonalIds = Annotated[
    str | None,
    Parameter(
        env_var="STREAMOPS_PERSONAL_IDS",
        help="Features whose values stand for persons: it logs pseudonyms of them.",
    ),
]


def up(
    *,
    place: Place = HERE,
    detach: Annotated[
        bool, Parameter(negative="", help="Return once all is ready; end it with `down`.")
    ] = False,
    partitions: Partitions = None,
    seal_every: SealEvery = None,
    interval_s: Interval = None,
    services: Annotated[
        str | None, Parameter(help="Only these services, separated by commas.")
    ] = None,
    control: Control = "faust",
    disk_floor_mb: Annotated[
        int,
        Parameter(
            env_var="STREAMOPS_DISK_FLOOR_MB",
            validator=validators.Number(gte=0, lte=COUNT_MAX),
            help="Free MiB of the data folder's disk below which nothing is taken; 0: never.",
        ),
    ] = 1024,
    meter_workers: Annotated[
        int,
        Parameter(
            env_var="STREAMOPS_METER_WORKERS", help="Processes of METER; at most one a partition."
        ),
    ] = 1,
    personal: Personal = None,
    personal_ids: PersonalIds = None,
) -> None:
    """Start the broker and the services, and keep them running until Ctrl-C.

    A process that dies is started again. Killed or not, the next `up` goes on with the folder's
    data.

    Example: streamops up --detach && streamops status
    """
    names = services.split(",") if services is not None else None
    if detach:
        _detach(Folder(place.data))
        return
    from streamops.operate.stack import Stack

    template = place.template(
        partitions,
        seal_every,
        interval_s,
        personal,
        personal_ids,
        control=control,
        meter_workers=meter_workers,
        disk_floor_mb=disk_floor_mb,
    )
    stack = Stack(template, names, is_measured=True)
    _end_on_sigterm()
    try:
        stack.start()
        say(f"broker {stack.settings.bootstrap}, namespace {stack.settings.namespace}; loading")
        stack.wait_ready(READY_TIMEOUT_S)
        say("ready; " + "".join(_addresses(stack.page, stack.gateway)) + "Ctrl-C ends it")
        stack.wait(threading.Event())
    except KeyboardInterrupt:
        say("stopping")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        stack.stop()


def down(*, place: Place = HERE) -> None:
    """End the stack that runs over a data folder; its data stays.

    Example: streamops down
    """
    folder = Folder(place.data)
    state = folder.read_state()
    if not folder.is_running() or state is None:
        say(f"no stack runs over {folder.path}")
        return
    deadline = time.monotonic() + DOWN_TIMEOUT_S
    asked = False
    while folder.is_running():
        state = folder.read_state() or state
        if not asked and started_at(state.pid) == state.began:
            os.kill(state.pid, signal.SIGTERM)
            asked = True
        if time.monotonic() > deadline:
            raise TransportError(
                f"process {state.pid} has not ended after {DOWN_TIMEOUT_S:g} s: kill -9 it, its "
                "children end with it"
            )
        time.sleep(POLL_S)
    say("stopped")


def status(*, place: Place = HERE, json: Json = False) -> int:
    """Show what runs: state, process id, restarts and memory of each process; and the disk.

    Exit status 0 when everything runs and the disk is above its floor, 3 otherwise.

    Example: streamops status --json
    """
    folder = Folder(place.data)
    state = folder.read_state()
    is_running = folder.is_running() and state is not None
    if state is None:
        found: dict[str, Any] = {"running": False, "data": str(folder.path), "processes": []}
    else:
        found = describe(folder, state, is_running=is_running)
    if json:
        print_json(found)
    else:
        _print_status(found)
    healthy = is_running and found["phase"] == "ready" and not found["disk"]["low"]
    return (
        0 if healthy and all(p["state"] == "running" for p in found["processes"]) else NOT_RUNNING
    )


def logs(
    name: Annotated[str, Parameter(help="broker, a service, or supervisor (after up --detach).")],
    *,
    place: Place = HERE,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], negative="", help="Go on as it grows.")
    ] = False,
) -> None:
    """Print the log of one process.

    Example: streamops logs meter --follow
    """
    folder = Folder(place.data)
    file = folder.log(name)
    if not file.exists():
        known = ", ".join(sorted(p.stem for p in folder.logs.glob("*.log"))) or "none yet"
        raise ConfigError(f"log is {name!r}, but {file} isn't there; there are: {known}")
    for line in _lines(file, follow=follow):
        sys.stdout.write(line)
        sys.stdout.flush()


def run(
    name: Annotated[str, Parameter(help="Name of the service.")],
    *,
    place: Place = HERE,
    settings: Annotated[
        Path | None, Parameter(help="A settings.json that `up` wrote; replaces the options.")
    ] = None,
    partitions: Partitions = None,
    seal_every: SealEvery = None,
    interval_s: Interval = None,
    control: Control = "faust",
    worker: Annotated[
        int,
        Parameter(
            validator=validators.Number(gte=0, lte=COUNT_MAX),
            help="Number of this worker of the service; each has its own.",
        ),
    ] = 0,
    host: Annotated[
        str,
        Parameter(env_var="STREAMOPS_HOST", help="Where gateway and page listen."),
    ] = HOST,
    port: Port = 0,
    personal: Personal = None,
    personal_ids: PersonalIds = None,
) -> NoReturn:
    """Run one service in the foreground, for containers and supervisors of your own.

    Example: streamops run meter --bootstrap kafka:9092 --data /var/lib/streamops
    """
    from streamops.operate.services import check_services, run_service

    check_services([name])
    if settings is not None:
        given = read_service_settings(settings)
    else:
        own = msgspec.structs.replace(place.settings(partitions), control=control)
        fixed = {"seal_every": seal_every, "interval_s": interval_s}
        own = msgspec.structs.replace(
            own,
            personal=marked(personal, own.personal),
            personal_ids=marked(personal_ids, own.personal_ids),
            **{k: v for k, v in fixed.items() if v is not None},
        )
        given = ServiceSettings(settings=own, host=host, gateway_port=port, page_port=port)
    tell_of_silence(given.settings, name)
    run_service(name, msgspec.structs.replace(given, worker=worker))
    # Threads of client libraries may outlive their service; none has anything left to do.
    sys.stdout.flush()
    os._exit(0)


def tell_of_silence(settings: Settings, name: str, timeout_s: float = HEAR_S) -> None:
    """Say that no broker answers: a service waits for one, however long, and says nothing more."""
    from streamops.kafka.admin import connect
    from streamops.kafka.clients import base_conf

    try:
        connect(base_conf(settings, "run"), timeout_s=timeout_s)
    except TransportError as error:
        say(f"{error}; {name} waits for it")


def describe(folder: Folder, state: StackState, *, is_running: bool) -> dict[str, Any]:
    """A stack as `status --json` prints it; memory in MiB of PSS."""
    from streamops.operate.memory import pss_mb

    def process(report: Any) -> dict[str, Any]:
        pid = report.pid if is_running else None
        return {
            "name": report.name,
            "state": report.state if is_running else "stopped",
            "pid": pid,
            "restarts": report.restarts,
            "exit_code": report.exit_code,
            "pss_mb": round(pss_mb([pid])) if pid else None,
            "log": report.log,
        }

    return {
        "running": is_running,
        "phase": state.phase if is_running else "stopped",
        "pid": state.pid if is_running else None,
        "data": str(folder.path),
        "namespace": state.namespace,
        "bootstrap": state.bootstrap,
        "partitions": state.partitions,
        "gateway": state.gateway,
        "page": state.page,
        "disk": describe_disk(folder),
        "processes": [process(report) for report in state.children],
    }


def describe_disk(folder: Folder) -> dict[str, Any]:
    """Free space and floor in MiB, and whether the one is below the other."""
    given = folder.read_settings()
    if given is None:
        return {"free_mb": None, "floor_mb": None, "low": False}
    disk = disk_of(given.settings)
    low = disk.is_low()
    return {"free_mb": disk.free_mb, "floor_mb": disk.floor.floor_mb, "low": low}


def _print_status(found: dict[str, Any]) -> None:
    if not found["running"]:
        say(f"no stack runs over {found['data']}")
        return
    say(
        f"{found['phase']}; broker {found['bootstrap']}, namespace {found['namespace']}, "
        + "".join(_addresses(found["page"], found["gateway"]))
        + f"process {found['pid']}"
    )
    if found["disk"]["low"]:
        disk = found["disk"]
        say(
            f"PAUSED: {found['data']} has {disk['free_mb']} MiB free, below the floor of "
            f"{disk['floor_mb']}; free some space on that disk"
        )
    columns = ["name", "state", "pid", "restarts", "exit_code", "pss_mb"]
    print_table(columns, [[p[column] for column in columns] for p in found["processes"]])


def _addresses(page: str, gateway: str) -> Iterator[str]:
    if page:
        yield f"page {page}, "
    if gateway:
        yield f"gateway {gateway}, "


def _end_on_sigterm() -> None:
    def end(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)


def _detach(folder: Folder) -> None:
    """Run this very command without --detach in a session of its own; wait until it is ready."""
    folder.refuse_if_held("--data")
    folder.prepare()
    log = folder.log("supervisor")
    command = [sys.executable, "-m", "streamops", *(a for a in sys.argv[1:] if a != "--detach")]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    while True:
        state = folder.read_state()
        if state is not None and state.pid == process.pid and state.phase == "ready":
            say(f"ready; process {state.pid}, broker {state.bootstrap}; `streamops down` ends it")
            return
        if process.poll() is not None:
            sys.stderr.write(log.read_text(errors="replace")[-TAIL_BYTES:])
            raise SystemExit(process.returncode or 1)
        time.sleep(POLL_S)


def _lines(file: Path, *, follow: bool) -> Iterator[str]:
    with file.open(errors="replace") as log:
        while True:
            line = log.readline()
            if line:
                yield line
            elif not follow:
                return
            else:
                time.sleep(POLL_S)
                if file.stat().st_size < log.tell():
                    log.seek(0)
