"""Memory of processes: proportional set size, in which a shared page counts once over all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil

KIB_PER_MB = 1024


def pss_mb(pids: Iterable[int]) -> float:
    """Sum of PSS over the processes and all their descendants, MiB; those gone count 0.

    Linux only (`/proc/PID/smaps_rollup`); elsewhere it is 0.
    """
    return sum(map(pss_kib, families(pids))) / KIB_PER_MB


def families(pids: Iterable[int]) -> set[int]:
    """The processes and all their descendants."""
    found: set[int] = set()
    for pid in pids:
        try:
            process = psutil.Process(pid)
            found |= {pid, *(child.pid for child in process.children(recursive=True))}
        except psutil.NoSuchProcess:
            continue
    return found


def pss_kib(pid: int) -> int:
    """PSS of one process, KiB; 0 for one that is gone, and elsewhere than on Linux."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
