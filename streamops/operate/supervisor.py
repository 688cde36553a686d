"""Children kept running: started in order, started again when they end, ended in reverse.

Rule 1: one thread starts every child and lives as long as they do. Linux tells a child that its
        parent died when the thread that started it ends, not the process.
Rule 2: what a child's end means is `backoff`'s to say; how it is started and ended, `child`'s.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable

from streamops.operate.child import Child, Report, Task

LOG = logging.getLogger(__name__)
POLL_S = 0.05
CAP_EVERY_S = 5.0
END_TIMEOUT_S = 10.0

Reports = tuple[Report, ...]


class Supervisor:
    """Runs tasks until `stop`.

    on_change  called with all reports, whenever one has changed
    """

    def __init__(self, on_change: Callable[[Reports], None] = lambda reports: None) -> None:
        self._on_change = on_change
        self._children: list[Child] = []
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    @property
    def reports(self) -> Reports:
        """All children as they are, in order of `add`."""
        with self._changed:
            return tuple(child.report for child in self._children)

    @property
    def is_alive(self) -> bool:
        """Whether children are being watched."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to supervise."""
        self._thread.start()

    def add(self, tasks: Iterable[Task]) -> None:
        """Take tasks on; returns once each was started."""
        new = [Child(task) for task in tasks]
        with self._changed:
            self._children += new
            self._changed.wait_for(lambda: self._stopping.is_set() or all(map(was_started, new)))

    def retire(self, names: Collection[str]) -> None:
        """End these children and forget them; SIGKILL for who takes longer than 10 s."""
        with self._changed:
            leaving = [child for child in self._children if child.task.name in names]
            for child in reversed(leaving):
                child.retire()
        if not self.wait_for(lambda _: all(c.pid is None for c in leaving), END_TIMEOUT_S):
            for child in leaving:
                child.kill()
            self.wait_for(lambda _: all(c.pid is None for c in leaving), END_TIMEOUT_S)
        with self._changed:
            self._children = [child for child in self._children if child not in leaving]
            self.tell()

    def wait_for(self, holds: Callable[[Reports], bool], timeout_s: float) -> bool:
        """Whether `holds` is true of the reports, at the latest after `timeout_s` seconds."""
        with self._changed:
            return self._changed.wait_for(
                lambda: holds(tuple(child.report for child in self._children)), timeout_s
            )

    def tell(self) -> None:
        """Call `on_change` with the children as they are; never two calls at once."""
        with self._changed:
            self._on_change(tuple(child.report for child in self._children))
            self._changed.notify_all()

    def stop(self) -> None:
        """End all children: the highest stage first; SIGKILL for who takes longer than 10 s."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        cap_at = time.monotonic() + CAP_EVERY_S
        while not self._stopping.wait(POLL_S):
            now = time.monotonic()
            with self._changed:
                if self._note_ends(now) + self._start_due(now):
                    self.tell()
            if now >= cap_at:
                cap_at = now + CAP_EVERY_S
                for child in self._children:
                    child.cap_log()
        self._end_all()

    def _note_ends(self, now: float) -> int:
        ended = [child for child in self._children if child.has_ended(now)]
        for child in ended:
            if child.state == "stopped":
                continue
            LOG.warning("%s ended with status %s", child.task.name, child.exit_code)
        return len(ended)

    def _start_due(self, now: float) -> int:
        due = [child for child in self._children if child.state == "waiting" and child.due <= now]
        for child in due:
            child.start(now)
        return len(due)

    def _end_all(self) -> None:
        for stage in sorted({child.task.stage for child in self._children}, reverse=True):
            children = [c for c in reversed(self._children) if c.task.stage == stage]
            for child in children:
                child.ask_to_end()
            deadline = time.monotonic() + END_TIMEOUT_S
            for child in children:
                if not child.wait(deadline - time.monotonic()):
                    LOG.warning("%s did not end in %g s; killed", child.task.name, END_TIMEOUT_S)
                    child.kill()
                    child.wait(END_TIMEOUT_S)
        self.tell()


def was_started(child: Child) -> bool:
    return child.state != "waiting" or child.exit_code is not None
