"""A child that ends with its parent, so that kill -9 of a supervisor leaves nothing behind."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Ask Linux for SIGKILL when the parent's thread ends; elsewhere only look once.

    parent  process id of the supervisor; one that is gone already ends this process here
    Killed and not asked: without its broker a clean end could wait for ever, and every service is
    made to be killed.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)
