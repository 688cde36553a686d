"""A training run: what was done, with what, and how it ended."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from streamops.errors import ServiceError
from streamops.events import Event, RunCompleted, RunFailed, RunStarted
from streamops.sdk.dataset import hash_file
from streamops.sdk.ids import new_id
from streamops.sdk.plain import plain_number, plain_value
from streamops.values import Value

GIT_TIMEOUT_S = 5.0
ERROR_LENGTH_MAX = 500


class Run:
    """A context: sends RunStarted on entry, RunCompleted or RunFailed on exit.

    Commit and environment are recorded without asking. What is logged inside goes into the closing
    event; an exception is recorded and goes on.
    """

    def __init__(self, send: Callable[[Event], None], started: RunStarted) -> None:
        self.id = started.run_id
        self.started = started
        self._send = send
        self._metrics: dict[str, float] = {}
        self._parameters: dict[str, Value] = {}
        self._artifact = ""
        self._rows = (0, 0, 0)

    def log_metric(self, name: str, value: float) -> None:
        """Record a number; the last one of a name counts. InputError unless it is finite."""
        self._metrics[name] = plain_number(f"metric {name}", value)

    def log_parameter(self, name: str, value: Value) -> None:
        """Record a parameter found while training. InputError for anything but a plain value."""
        self._parameters[name] = plain_value(f"parameter {name}", value)

    def log_artifact(self, content: bytes | str | Path) -> str:
        """Record the SHA-256 (hex) of the run's artifact, given as bytes or path; returns it."""
        if isinstance(content, bytes):
            self._artifact = hashlib.sha256(content).hexdigest()
        else:
            self._artifact = hash_file(Path(content))
        return self._artifact

    def log_rows(self, rows: int, *, first_epoch: int = 0, last_epoch: int = 0) -> None:
        """Record how many rows were trained on, and the epochs of the outcomes read."""
        self._rows = (rows, first_epoch, last_epoch)

    def __enter__(self) -> Run:
        self._send(self.started)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._send(self._completed())
            return
        try:
            self._send(self._failed(error))
        except ServiceError as failure:
            error.add_note(f"and its RunFailed was not sent: {failure}")

    def _completed(self) -> RunCompleted:
        rows, first_epoch, last_epoch = self._rows
        return RunCompleted(
            id=new_id(),
            time=self._end(),
            model=self.started.model,
            run_id=self.id,
            metrics=self._metrics,
            artifact=self._artifact,
            rows=rows,
            first_epoch=first_epoch,
            last_epoch=last_epoch,
            parameters=self._parameters,
        )

    def _failed(self, error: BaseException) -> RunFailed:
        return RunFailed(
            id=new_id(),
            time=self._end(),
            model=self.started.model,
            run_id=self.id,
            error=one_line(error),
            request_id=self.started.request_id,
            parameters=self._parameters,
        )

    def _end(self) -> datetime:
        return max(datetime.now(UTC), self.started.time)


def one_line(error: BaseException) -> str:
    """Type and message of an exception in one line of bounded length."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}"[:ERROR_LENGTH_MAX]


def read_commit(folder: Path | None = None) -> str:
    """The commit checked out in a folder (default: the current one), `-dirty` if changed.

    Empty where there is no repository or no git.
    """
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()


def read_environment() -> dict[str, str]:
    """Python, platform, and the version of each distribution that is imported, by name."""
    loaded = {name.partition(".")[0] for name in sys.modules}
    distributions = importlib.metadata.packages_distributions()
    names = sorted({d for module in loaded for d in distributions.get(module, ())})
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name.lower(): importlib.metadata.version(name) for name in names},
    }
