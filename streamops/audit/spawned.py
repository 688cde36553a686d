"""A process of our own that sends what it finds, one thing after the other.

Rule 1: it is spawned: a fork of a process with Arrow's and librdkafka's threads may hang.
Rule 2: it hears no Ctrl-C: it ends when the one that started it lets go of its pipe.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from streamops.errors import ConfigError, ServiceError, TransportError

ENDS_S = 2.0


class Failed(NamedTuple):
    """Why a process can't go on, in a sentence, and whether the operator gave it the cause."""

    why: str
    is_config: bool


class Spawned:
    """One process, from its start until `close`.

    target  called with what is given and the end of a pipe to send to
    does    what it is there for, as it is said where it ends before that is done
    """

    def __init__(
        self, target: Callable[..., None], given: tuple[Any, ...], *, name: str, does: str
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe(duplex=False)
        self._process = context.Process(
            target=target, args=(*given, theirs), name=name, daemon=True
        )
        self._process.start()
        self._does = does
        theirs.close()

    @property
    def pid(self) -> int | None:
        """Its process id."""
        return self._process.pid

    def receive(self) -> Any:
        """Return what it sends next; raises what it says it failed with, TransportError where it
        ended before."""
        try:
            found = self._ours.recv()
        except (EOFError, OSError):
            self._process.join(ENDS_S)
            raise TransportError(
                f"{self._process.name} ended with exit status {self._process.exitcode} while it "
                f"{self._does}; is memory short? Try --workers 1"
            ) from None
        if isinstance(found, Failed):
            raise (ConfigError if found.is_config else TransportError)(found.why)
        return found

    def close(self) -> None:
        """End it."""
        self._ours.close()
        self._process.terminate()
        self._process.join(ENDS_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def begin_spawned() -> None:
    """Take signals as such a process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def send_back(out: Connection, found: object) -> None:
    """Send something to who started this process; where nobody reads on, it ends here."""
    try:
        out.send(found)
    except (BrokenPipeError, ConnectionResetError):
        # It was ended, or has what it needs.
        os._exit(0)


def failed(error: ServiceError) -> Failed:
    """Return what is sent of an error."""
    return Failed(str(error), isinstance(error, ConfigError))
