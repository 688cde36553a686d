"""Simulations of a real table on a stack of their own, and what of them has to be equal."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil
from rich.console import Console

from streamops.operate.simulate import OnRound, SimulateOptions, simulate
from streamops.operate.stack import Stack
from streamops.operate.summary import Summary

ROWS = 8000


class Play(NamedTuple):
    """A run that ended: its folder, its result, the processes it had, and how many rounds."""

    home: Path
    summary: Summary
    processes: tuple[psutil.Process, ...]
    rounds: int


def play(root: Path, home: Path, on_round: OnRound | None = None, **options: Any) -> Play:
    """Play Elec2's first rows, or another table, from start to end."""
    given = {"file": root / "replay/data/electricity.parquet", "rows": ROWS, **options}
    seen: dict[int, psutil.Process] = {}
    numbers: list[int] = []

    def note(number: int, stack: Stack) -> None:
        numbers.append(number)
        for pid in stack.pids.values():
            if psutil.pid_exists(pid):
                seen.setdefault(pid, psutil.Process(pid))
        if on_round is not None:
            on_round(number, stack)

    console = Console(file=io.StringIO())
    summary = simulate(SimulateOptions(home=home / "run", **given), console, note)
    return Play(home / "run", summary, tuple(seen.values()), len(numbers))


def essence(summary: Summary) -> Summary:
    """The result without what differs from run to run: time, memory, and when records came."""
    return msgspec.structs.replace(summary, seconds=0.0, peak_pss_mb=0, seal="")
