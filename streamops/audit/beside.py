"""The chain of an archive, checked beside the fold where there are processes for it.

Rule 1: what is found is no matter of where it is checked.
"""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from streamops.audit.record_chain import ChainCheck, Progress, check_chain
from streamops.audit.spawned import Spawned, begin_spawned, failed, send_back
from streamops.errors import ServiceError
from streamops.views.seal import seal_paths

PARTS = 100


class ChainBeside:
    """The check of an archive's chain; close it after use: its process, if any, ends then.

    workers  processes that serve; with one the chain is checked here, when it is asked for
    """

    def __init__(self, archive: Path, workers: int) -> None:
        self._archive = archive
        self._process: Spawned | None = None
        # Without them there is nothing to hash, or so much is wrong that time doesn't matter.
        if workers > 1 and seal_paths(archive):
            self._process = Spawned(check, (archive,), name="chain", does="checked the chain")

    def result(self, on_progress: Progress) -> ChainCheck:
        """Return what was found; raises TransportError where its process ended before."""
        if self._process is None:
            return check_chain(self._archive, on_progress)
        while not isinstance(found := self._process.receive(), bytes):
            on_progress(*found)
        return msgspec.json.decode(found, type=ChainCheck)

    def close(self) -> None:
        """End its process."""
        if self._process is not None:
            self._process.close()


def check(archive: Path, out: Connection) -> None:
    """Check a chain in this process; send how far it is, now and then, and what was found."""
    begin_spawned()
    sent = 0

    def report(done: int, total: int) -> None:
        nonlocal sent
        if done * PARTS // max(1, total) > sent:
            sent = done * PARTS // max(1, total)
            send_back(out, (done, total))

    try:
        send_back(out, msgspec.json.encode(check_chain(archive, report)))
    except ServiceError as error:
        send_back(out, failed(error))
