"""CPU time and memory of a command and all its descendants, by the part of streamops each plays."""

from __future__ import annotations

import re
import subprocess
import time
from collections import Counter
from collections.abc import Sequence

import msgspec
import psutil

from streamops.operate.memory import KIB_PER_MB, pss_kib

EVERY_S = 1.0


class Footprint(msgspec.Struct, frozen=True, kw_only=True):
    """What a command took.

    peak_mb   largest sum of PSS at one moment, MiB, and each part's share of it
    cpu_s     user and system seconds of each part, as last seen: up to EVERY_S are missing
    """

    seconds: float
    peak_mb: int
    peak_by_part: dict[str, int]
    cpu_s: dict[str, float]
    stdout: bytes


def footprint(command: Sequence[str]) -> Footprint:
    """Run a command to its end and look at its family once a second; raises if it fails."""
    started = time.monotonic()
    cpu: dict[tuple[str, int], float] = {}
    peak: Counter[str] = Counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        top = psutil.Process(process.pid)
        while True:
            now = look(top, cpu)
            peak = max(peak, now, key=lambda sums: sums.total())
            try:
                out, _ = process.communicate(timeout=EVERY_S)
                break
            except subprocess.TimeoutExpired:
                continue
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    total: dict[str, float] = {}
    for (part, _), seconds in cpu.items():
        total[part] = total.get(part, 0.0) + seconds
    return Footprint(
        seconds=round(time.monotonic() - started, 1),
        peak_mb=round(peak.total() / KIB_PER_MB),
        peak_by_part={part: round(kib / KIB_PER_MB) for part, kib in peak.most_common()},
        cpu_s={part: round(total[part], 1) for part in sorted(total, key=total.__getitem__)[::-1]},
        stdout=out,
    )


def look(top: psutil.Process, cpu: dict[tuple[str, int], float]) -> Counter[str]:
    """Return PSS in KiB by part; CPU seconds by part and process go into `cpu`."""
    sums: Counter[str] = Counter()
    try:
        family = [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return sums
    for process in family:
        try:
            part = part_of(" ".join(process.cmdline()))
            times = process.cpu_times()
            sums[part] += pss_kib(process.pid)
        except (psutil.Error, OSError):
            continue
        cpu[(part, process.pid)] = times.user + times.system
    return sums


def part_of(command: str) -> str:
    """Return what a process is by its command line."""
    service = re.search(r"operate\.services (\w+)", command)
    if service:
        return service[1]
    if "kafka.Kafka" in command or "kafka.broker" in command:
        return "broker"
    return "training child" if "training.child" in command else "command"
