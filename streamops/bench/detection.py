"""Run the bench of the detection: tasks over processes, timed ones alone.

    found = measure(QUICK)            # or WHOLE; see `tasks.Size`
    found.result.data_drift.upper95

Same seed, same figures, whatever the processes: each task draws from its own generator. Costs are
the machine's.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec

from streamops.bench import real, tools
from streamops.bench.result import Parts, Result, result
from streamops.bench.tasks import PARTS, QUICK, WHOLE, Size, Task, tasks
from streamops.errors import ConfigError

LIBRARIES = ("numpy", "scipy", "scikit-learn", "river", "pyarrow", "msgspec")
PROCESSES = 2
# Beside the parts: what each task took.
CPU_S = "cpu_s"
Progress = Callable[[int, int], None]
Work = Callable[..., dict[str, Any]]
Note = Callable[[Task, dict[str, Any], float], None]

__all__ = ["QUICK", "WHOLE", "Measured", "measure"]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A result, what it was measured on, and each task's figures by part.

    load  of the machine over the last 15 minutes: other work beside a bench makes costs larger
    """

    result: Result | None
    seed: int
    size: dict[str, int]
    seconds: float
    machine: dict[str, Any]
    versions: dict[str, str]
    parts: Parts


def measure(
    size: Size = WHOLE,
    *,
    seed: int = 1,
    parts: Sequence[str] = PARTS,
    environments: Path = tools.FOLDER,
    data: Path | None = None,
    processes: int = PROCESSES,
    known: Parts | None = None,
    on_progress: Progress | None = None,
    on_parts: Callable[[Parts], None] | None = None,
) -> Measured:
    """Measure parts of the bench; the result is None until every part it needs is there.

    environments  where `tools.prepare` made other tools' environments
    data          folder of the recorded tables; None: no real columns
    known         figures of an earlier run of the same seed and size, which are not measured again
    on_parts      called with all figures after each task

    Raises ConfigError for an unknown part, an environment or a table that isn't there.
    """
    began = time.perf_counter()
    for name in parts:
        if name not in PARTS:
            raise ConfigError(f"part {name!r} is none of {', '.join(PARTS)}")
    if "others" in parts:
        tools.check(environments)
    if data is not None:
        real.check(data)
    found: Parts = {part: dict(figures) for part, figures in (known or {}).items()}
    left = [
        task
        for task in tasks(size, seed, environments, data)
        if task.part in parts and task.name not in found.get(task.part, {})
    ]

    def note(task: Task, figures: dict[str, Any], cpu_s: float) -> None:
        found.setdefault(task.part, {})[task.name] = figures
        found.setdefault(CPU_S, {})[f"{task.part}/{task.name}"] = cpu_s
        done[0] += 1
        if on_parts is not None:
            on_parts(found)
        if on_progress is not None:
            on_progress(done[0], len(left))

    done = [0]
    _run([task for task in left if not task.alone], processes, note)
    for task in left:
        if task.alone:
            note(task, *timed(task.work, task.arguments))
    is_whole = all(_is_complete(part, found, size, seed, environments) for part in PARTS)
    return Measured(
        result=result(found, size) if is_whole else None,
        seed=seed,
        size=size._asdict(),
        seconds=time.perf_counter() - began,
        machine=machine(),
        versions={"python": platform.python_version(), **{n: version(n) for n in LIBRARIES}},
        parts=found,
    )


def timed(work: Work, arguments: tuple[Any, ...]) -> tuple[dict[str, Any], float]:
    """Return a task's figures, and the CPU time that it and its children took, seconds."""
    began = _cpu_s()
    return work(*arguments), _cpu_s() - began


def _cpu_s() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _run(some: list[Task], processes: int, note: Note) -> None:
    if processes <= 1 or len(some) <= 1:
        for task in some:
            note(task, *timed(task.work, task.arguments))
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        pending = {pool.submit(timed, task.work, task.arguments): task for task in some}
        try:
            for future in as_completed(pending):
                note(pending[future], *future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _is_complete(part: str, found: Parts, size: Size, seed: int, environments: Path) -> bool:
    """Tell whether a part has all that a result takes of it: nothing of real columns."""
    wanted = {t.name for t in tasks(size, seed, environments, None) if t.part == part}
    return part == "real" or (part in found and wanted <= set(found[part]))


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.platform(),
        "load_15_minutes": os.getloadavg()[2],
    }
