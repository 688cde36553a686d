"""Says what this machine lacks before anything is installed. Standard library only.

    python bootstrap/preflight.py            before the environment exists
    python bootstrap/preflight.py --explain  after pip or the jar fetch failed: why, most likely

Every finding is two lines: what is missing, and how to mend it. Exit status 1 if there is one.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

PYTHON_MIN = (3, 11)
PYTHON_END = (3, 14)
DISK_FREE_MIN_BYTES = 2 * 1024**3
REGISTRY_TIMEOUT_S = 60
ROOT = Path(__file__).resolve().parent.parent

Finding = tuple[str, str]


def check_python() -> list[Finding]:
    version = sys.version_info[:2]
    if PYTHON_MIN <= version < PYTHON_END:
        return []
    return [
        (
            f"Python {version[0]}.{version[1]} at {sys.executable}; 3.11, 3.12 or 3.13 is needed",
            "install one and run: make setup PYTHON=/path/to/python3.13",
        )
    ]


def check_venv() -> list[Finding]:
    missing = [n for n in ("venv", "ensurepip") if importlib.util.find_spec(n) is None]
    if not missing:
        return []
    return [
        (
            f"{sys.executable} lacks the module {' and '.join(missing)}",
            "on Debian or Ubuntu: apt install python3-venv",
        )
    ]


def check_disk() -> list[Finding]:
    free = shutil.disk_usage(ROOT).free
    if free >= DISK_FREE_MIN_BYTES:
        return []
    return [
        (
            f"{free / 1024**3:.1f} GiB free at {ROOT}; 2 GiB are needed",
            "free some space, or clone to a larger disk",
        )
    ]


def check_writable() -> list[Finding]:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    found = []
    for folder in (ROOT, Path(home)):
        nearest = next(p for p in (folder, *folder.parents) if p.exists())
        if not os.access(nearest, os.W_OK):
            mend = "change its owner or mode, or set XDG_CACHE_HOME to a folder of yours"
            found.append((f"{nearest} cannot be written", mend))
    return found


def check_loopback() -> list[Finding]:
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError as error:
        return [
            (
                f"no port of 127.0.0.1 can be opened ({error.strerror})",
                "the broker and the page listen there: allow loopback sockets in this sandbox",
            )
        ]
    return []


def check_registry() -> list[Finding]:
    """Ask pip, with its own settings, whether it reaches a package index at all."""
    pip = [str(ROOT / ".venv" / "bin" / "python"), "-m", "pip"]
    unreachable = ("Max retries", "connection", "resolve", "No matching distribution", "timed out")
    ask = ["install", "--dry-run", "--ignore-installed", "--no-deps", "--retries", "0", "pip"]
    try:
        asked = subprocess.run(
            [*pip, *ask], capture_output=True, text=True, timeout=REGISTRY_TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        return []  # there is no environment yet, and so no pip that failed
    except subprocess.TimeoutExpired:
        pass  # a network that swallows what is sent is none either
    else:
        if asked.returncode == 0 or not any(word in asked.stderr for word in unreachable):
            return []
    return [
        (
            "pip reaches no package index (no network, or a proxy is needed)",
            "check the connection; a mirror is set by PIP_INDEX_URL, a proxy by HTTPS_PROXY",
        )
    ]


def report(findings: list[Finding]) -> int:
    for missing, mend in findings:
        print(f"streamops: {missing}\n  To mend: {mend}", file=sys.stderr)
    return 1 if findings else 0


def main(arguments: list[str]) -> int:
    checks = [check_python, check_venv, check_disk, check_writable, check_loopback]
    if arguments == ["--explain"]:
        checks = [check_disk, check_registry]
    return report([finding for check in checks for finding in check()])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
