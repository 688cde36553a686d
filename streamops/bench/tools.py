"""Other tools' own rules, run from their libraries, each in an environment of its own.

Their requirements and a script that runs each are in `benchmarks/NAME` of the checkout, and go with
an installed package as `streamops/_tools/NAME`. `prepare` makes the environments once; a run only
starts them.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path

import msgspec

from streamops.errors import ConfigError, TransportError

NAMES = ("evidently", "nannyml")
FOLDER = Path("build/detection-tools")
PACKAGED = Path(__file__).parents[1] / "_tools"
CHECKOUT = Path(__file__).parents[2] / "benchmarks"
LOCK, SCRIPT, STAMP = "requirements.lock", "rule.py", "streamops.lock.sha256"
TIMEOUT_S = 900

Step = Callable[[int, int], None]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool said of windows without drift, and what that took in its process.

    cpu_s, wall_s  of judging, and of reading the files; starting the process isn't in them
    """

    windows: int
    alarms: int
    windows_with_alarm: int
    cpu_s: float
    wall_s: float
    version: str


def source(name: str) -> Path:
    """Return the folder of a tool's requirements and script."""
    return next((p / name for p in (PACKAGED, CHECKOUT) if (p / name).is_dir()), CHECKOUT / name)


def prepare(folder: Path, on_step: Step | None = None) -> list[str]:
    """Make each tool's environment in `folder`, from its locked requirements; return the made ones.

    One that is as its lock wants it stays. Raises TransportError where pip fails.
    """
    made = []
    for done, name in enumerate(NAMES):
        if on_step is not None:
            on_step(done, len(NAMES))
        if _is_ready(folder, name):
            continue
        home, lock = folder / name, source(name) / LOCK
        if not lock.is_file():
            raise ConfigError(f"{lock} is missing; it pins what {name}'s environment holds")
        venv.create(home, clear=True, with_pip=True, symlinks=True)
        pip = [str(_python(folder, name)), "-m", "pip", "install", "--quiet", "--no-deps"]
        found = subprocess.run([*pip, "--require-hashes", "-r", str(lock)], check=False)
        if found.returncode:
            raise TransportError(
                f"pip could not install {name} from {lock} (status {found.returncode}, above); "
                "see docs/how-to/behind-a-mirror.md"
            )
        (home / STAMP).write_text(_digest(name))
        made.append(name)
    return made


def check(folder: Path) -> None:
    """Raise ConfigError, naming the step that makes them, if an environment isn't ready."""
    missing = [name for name in NAMES if not _is_ready(folder, name)]
    if missing:
        raise ConfigError(
            f"no environment of {' and '.join(missing)} as locked in {folder}: make it first with "
            "`streamops bench detection --prepare` (in a checkout `make bench-detection-tools`), "
            "a few minutes of downloading"
        )


def ask(folder: Path, name: str, what: str, reference: Path, current: Path) -> Answer:
    """Run a tool's script on two Parquet files; raises TransportError where it fails."""
    command = [str(_python(folder, name)), str(source(name) / SCRIPT), what]
    found = subprocess.run(
        [*command, str(reference), str(current)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, **ONE_THREAD},
        check=False,
    )
    last = (found.stdout.strip().splitlines() or [""])[-1]
    if found.returncode or not last:
        why = (found.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise TransportError(f"{name} failed on {current} (status {found.returncode}): {why}")
    return msgspec.json.decode(last, type=Answer)


def ask_ours(reference: Path, current: Path) -> Answer:
    """Run `streamops drift` on two Parquet files, measured as the other tools' scripts are."""
    found = subprocess.run(
        [sys.executable, "-m", "streamops.bench.tools", str(reference), str(current)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, **ONE_THREAD},
        check=False,
    )
    if found.returncode:
        raise TransportError(f"streamops drift failed on {current}: {found.stderr.strip()}")
    return msgspec.json.decode(found.stdout, type=Answer)


# Other processes of a bench run beside it: nobody takes a second core unasked.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def _python(folder: Path, name: str) -> Path:
    return folder / name / "bin" / "python"


def _digest(name: str) -> str:
    lock = source(name) / LOCK
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else ""


def _is_ready(folder: Path, name: str) -> bool:
    stamp = folder / name / STAMP
    return stamp.is_file() and stamp.read_text() == _digest(name) and _python(folder, name).exists()


def _main(reference: str, current: str) -> None:
    """Print what our comparison of two tables says and takes."""
    from streamops import __version__
    from streamops.operate.two_tables import compare

    began_wall, began = time.perf_counter(), _cpu_s()
    found = compare(Path(reference), Path(current))
    alarms = len([column for column in found.columns if column.drifted])
    answer = Answer(
        windows=1,
        alarms=alarms,
        windows_with_alarm=min(alarms, 1),
        cpu_s=_cpu_s() - began,
        wall_s=time.perf_counter() - began_wall,
        version=__version__,
    )
    print(msgspec.json.encode(answer).decode())


def _cpu_s() -> float:
    """CPU time of this process and of its children that ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    _main(*sys.argv[1:])
