"""A stack's data folder: who holds it, its settings, its state.

lock            held by the running supervisor; the kernel frees it when that dies
settings.json   what the services are started with; may hold a broker's password, so mode 0600
stack.json      state of the running stack, or of the last one
logs/NAME.log   output of each process; NAME.ready: its id, once it is loaded
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar

import msgspec
import psutil

from streamops.errors import ConfigError
from streamops.operate.child import Report
from streamops.operate.process import started_at
from streamops.settings import Settings

SETTINGS_NAME = "settings.json"
STATE_NAME = "stack.json"

T = TypeVar("T", bound=msgspec.Struct)


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a service child is started with.

    host  where gateway and page listen
    gateway_port, page_port  their ports, chosen free and kept; 0: the service's default
    metrics_ports            process -> port of its metrics, likewise
    worker                   number among the workers of the service
    """

    settings: Settings
    host: str = "127.0.0.1"
    gateway_port: int = 0
    page_port: int = 0
    metrics_ports: dict[str, int] = {}
    worker: int = 0


class StackState(msgspec.Struct, frozen=True, kw_only=True):
    """A stack as others see it.

    pid, began  the supervisor's process id and start time, as in `Report`
    phase       what the supervisor is doing
    children    broker and services
    metrics     (process, port of its metrics on this machine)
    """

    pid: int
    began: float
    phase: str
    namespace: str
    bootstrap: str
    partitions: int
    gateway: str = ""
    page: str = ""
    children: tuple[Report, ...] = ()
    metrics: tuple[tuple[str, int], ...] = ()


class Folder:
    """The files of one data folder."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self.broker = self.path / "broker"
        self.settings_file = self.path / SETTINGS_NAME
        self.state_file = self.path / STATE_NAME

    def log(self, name: str) -> Path:
        """The log of a process of the stack."""
        return self.broker / "broker.log" if name == "broker" else self.logs / f"{name}.log"

    def ready(self, name: str) -> Path:
        """Where a service writes its process id once it is loaded."""
        return self.logs / f"{name}.ready"

    def lock(self) -> IO[bytes]:
        """Hold the folder until the file is closed; ConfigError if another stack holds it, or where
        nothing can be written."""
        self.prepare()
        try:
            held = (self.path / "lock").open("ab")
        except OSError as error:
            raise self._unusable(error) from None
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            held.close()
            self._refuse("--data")
        return held

    def prepare(self) -> None:
        """Make the folder where it isn't there; ConfigError where that can't be."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from None

    def refuse_if_held(self, option: str) -> None:
        """Raise ConfigError, naming the option that chooses another, where a stack holds it."""
        if self.is_running():
            self._refuse(option)

    def is_running(self) -> bool:
        """Whether a supervisor holds the folder."""
        try:
            # For reading: asking leaves no trace in a folder that no stack made.
            with (self.path / "lock").open("rb") as probe:
                fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except BlockingIOError:
            return True
        except OSError as error:
            raise self._unusable(error) from None
        return False

    def _unusable(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"data folder {self.path} can't be used ({error.strerror}): choose another with --data "
            "(--home of simulate)"
        )

    def _refuse(self, option: str) -> NoReturn:
        state = self.read_state()
        who = f" by process {state.pid}" if state else ""
        raise ConfigError(
            f"data folder {self.path} is in use{who}: `streamops down --data {self.path}` ends "
            f"that stack, or choose another folder with {option}"
        ) from None

    def read_state(self) -> StackState | None:
        """State of the running stack or of the last one; None where there was none."""
        return _read(self.state_file, StackState)

    def write_state(self, state: StackState) -> None:
        _write(self.state_file, state)

    def read_settings(self) -> ServiceSettings | None:
        """What the services were last started with; None where there was no stack."""
        return _read(self.settings_file, ServiceSettings)

    def write_settings(self, settings: ServiceSettings, file: Path | None = None) -> None:
        _write(file or self.settings_file, settings)


def read_service_settings(file: Path) -> ServiceSettings:
    """The settings in a file; ConfigError names it when it is missing or can't be read."""
    found = _read(file, ServiceSettings)
    if found is None:
        raise ConfigError(f"settings file {file} is not there: `streamops up` writes it")
    return found


def end_leftovers(state: StackState | None) -> list[int]:
    """Kill what an earlier, killed supervisor may have left; returns the process ids.

    A recorded id counts only with its recorded start time: it may be another process's by now.
    """
    ended = []
    for child in state.children if state else ():
        if child.pid is None or child.began is None or started_at(child.pid) != child.began:
            continue
        process = psutil.Process(child.pid)
        process.kill()
        process.wait(10)
        ended.append(child.pid)
    return ended


def _read(file: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind, dec_hook=_decode_path)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{file} can't be read ({error}): mend or remove it") from error


def _write(file: Path, value: msgspec.Struct) -> None:
    fresh = file.with_suffix(".new")
    text = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(text)
    fresh.replace(file)


def _decode_path(kind: type[Any], value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"{kind} has no decoder")
