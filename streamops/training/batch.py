"""Batch training in a child process with limits.

    answer = Trainer(folder).train(job)

Rule 1: a job is fitted in a process of its own, forked from one that has the libraries loaded: a
        crash, a memory bomb or an endless loop ends the job, never the trainer.
Rule 2: the child's error output and traceback are the error of the run.
Rule 3: a job's answer follows from the job alone: one thread, fixed seeds and hash order.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from streamops.errors import ConfigError, InputError, TransportError
from streamops.training.fitting import DEFAULT_MODEL
from streamops.training.frames import Columns, Row
from streamops.training.scoring import Answer, Task
from streamops.values import ReferenceProfile, Value

ERROR_CHARS_MAX = 2000
READY_TIMEOUT_S = 120.0
# Python warns of a fork beside threads; those are a library's own, and idle between jobs.
FORK_WARNING = "ignore:This process:DeprecationWarning"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one job may use: bytes of address space, seconds on the wall and of CPU."""

    memory_bytes: int = 4 << 30
    seconds: float = 600.0


DEFAULT_LIMITS = Limits()


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One training: rows in their fixed order, oldest first; the newest `holdout` are kept out.

    features   a JSON object of the model's columns a row
    labels     a label a row
    columns    (name, kind) of each column; empty: found in the rows
    recent     train on at most so many of the newest remaining rows; 0: on all
    model      see `fitting.fit`
    positive   text of a binary task's positive class; empty: the last class found
    champion   artifact to answer the held-out rows too; empty: none
    refit      store a model fitted again with the held-out rows, once they are scored
    times      event time of each row, microseconds, if known: what a season is found by
    """

    features: Sequence[msgspec.Raw]
    labels: Sequence[Value]
    task: Task
    columns: Columns = ()
    holdout: int = 0
    recent: int = 0
    model: str = DEFAULT_MODEL
    positive: str = ""
    champion: str = ""
    fit: bool = True
    refit: bool = False
    times: Sequence[int] = ()


class Trained(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a job brought.

    artifact   SHA-256 (hex) of the stored model
    rows       rows trained on
    content    SHA-256 over features and labels of the rows trained on
    metrics    metric -> value on the held-out rows (on the training rows where none is held out)
    answers    the model's on the held-out rows; champion: the champion's
    """

    artifact: str = ""
    task: Task = "binary"
    columns: Columns = ()
    profile: ReferenceProfile = ReferenceProfile(rows=0, features=())
    profile_hash: str = ""
    positive: str = ""
    rows: int = 0
    content: str = ""
    metrics: dict[str, float] = {}
    answers: tuple[Answer, ...] = ()
    champion: tuple[Answer, ...] = ()


class Failure(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Why a job brought nothing; `is_setting`: by a setting, not by its rows."""

    error: str
    is_setting: bool = False


def train(
    rows: Sequence[Row],
    labels: Sequence[Value],
    *,
    artifacts: Path,
    task: Task,
    columns: Columns = (),
    model: str = DEFAULT_MODEL,
    holdout: int = 0,
    limits: Limits = DEFAULT_LIMITS,
) -> Trained:
    """Train one model in a child process, store it in `artifacts`, and return what it is.

    holdout  newest rows kept from training, on which the metrics are measured
    Raises InputError or ConfigError as `Trainer.train` does.
    """
    features = [msgspec.Raw(msgspec.json.encode(row)) for row in rows]
    with Trainer(artifacts, limits) as trainer:
        return trainer.train(
            Job(
                features=features,
                labels=labels,
                task=task,
                columns=columns,
                model=model,
                holdout=holdout,
            )
        )


class Trainer:
    """Runs jobs one after another, each in a forked child; a context manager.

    artifacts  folder of the namespace's artifacts
    work       folder of a job's rows, this trainer's alone and emptied now: one that was killed may
               have left rows there; a temporary one if none
    """

    def __init__(
        self, artifacts: Path, limits: Limits = DEFAULT_LIMITS, work: Path | None = None
    ) -> None:
        self.artifacts = artifacts
        self.limits = limits
        self._work = empty(work) if work else Path(tempfile.mkdtemp(prefix="streamops-train-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child and remove its files."""
        self._end()
        shutil.rmtree(self._work, ignore_errors=True)

    def start(self) -> None:
        """Let the child load its libraries, some seconds, before the first job needs it."""
        self._started()

    def train(self, job: Job) -> Trained:
        """Run one job.

        Raises InputError with the child's own words where it fails, ConfigError where its model
        can't be loaded.
        """
        rows = self._work / "job"
        rows.write_bytes(_ENCODER.encode(job))
        try:
            return self._run()
        finally:
            # What is about persons is in the clear in it, and their keys may go.
            rows.unlink(missing_ok=True)

    def _run(self) -> Trained:
        (self._work / "answer").unlink(missing_ok=True)
        process = self._started()
        self._ask(process)
        child = self._line(process, READY_TIMEOUT_S)
        ended = self._line(process, self.limits.seconds) if child else ""
        if not ended:
            if child:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(int(child), signal.SIGKILL)
            self._end()
            limit = f"{self.limits.seconds:g} s" if child else f"{READY_TIMEOUT_S:g} s to start"
            raise InputError(f"training took more than {limit} and was ended; {self._words()}")
        return self._answer(int(ended))

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        arguments = [str(self._work), str(self.artifacts), str(self.limits.memory_bytes)]
        self._process = subprocess.Popen(
            [sys.executable, "-W", FORK_WARNING, "-m", "streamops.training.child", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A buffer would take in two lines where one is read; nobody would wait for the other.
            bufsize=0,
            env={**os.environ, **threads, "PYTHONHASHSEED": "0", "PYTHONPATH": _search_path()},
        )
        return self._process

    def _ask(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None, "the child was started with a pipe"
        try:
            process.stdin.write(f"{self.limits.seconds:g}\n".encode())
            process.stdin.flush()
        except BrokenPipeError:
            raise TransportError("training child ended by itself; see its log, try again") from None

    def _line(self, process: subprocess.Popen[bytes], seconds: float) -> str:
        assert process.stdout is not None, "the child was started with a pipe"
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        if not ready:
            return ""
        line = process.stdout.readline().decode().strip()
        if not line:
            raise TransportError("training child ended by itself; see its log, try again")
        return line

    def _answer(self, status: int) -> Trained:
        path = self._work / "answer"
        if status != 0 or not path.exists():
            how = f"signal {-status}" if status < 0 else f"status {status}"
            raise InputError(f"training ended with {how}; {self._words()}")
        answer = _ANSWER.decode(path.read_bytes())
        if isinstance(answer, Failure):
            if answer.is_setting:
                raise ConfigError(answer.error)
            raise InputError(f"training failed: {answer.error}; {self._words()}")
        return answer

    def _words(self) -> str:
        try:
            said = (self._work / "errors").read_text(errors="replace").strip()
        except OSError:
            said = ""
        return f"its last words: {said[-ERROR_CHARS_MAX:]}" if said else "it said nothing"

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        process.terminate()
        process.wait()


def empty(folder: Path) -> Path:
    """The folder, readable by its owner only and with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    return folder


def _search_path() -> str:
    """The parent's import path, so that `module:function` is found in the child too."""
    return os.pathsep.join(path or os.getcwd() for path in sys.path)


_ENCODER = msgspec.json.Encoder()
_ANSWER: msgspec.json.Decoder[Trained | Failure] = msgspec.json.Decoder(Trained | Failure)
