"""Who goes first where CPUs are short: an alert never waits for a view, a file or a training.

Rule 1: by weight, not in turn: who stands behind keeps a share, so that it isn't left behind for
        ever by a machine that is always busy.
Rule 2: Linux weighs sessions before processes, and a service leads one: both are told.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

LOG = logging.getLogger(__name__)
SESSION = Path("/proc/self/autogroup")
# Of two that want a CPU, who has 5 more gets a quarter of it, who has 10 more a tenth.
BEHIND = {"materializer": 5, "archiver": 5, "trainer": 10}


def step_back(service: str) -> None:
    """Let this process's session stand where its service does; others stay as they are."""
    nice = BEHIND.get(service, 0)
    if not nice:
        return
    with suppress(OSError):
        nice = os.nice(nice)
    with suppress(OSError):
        SESSION.write_text(str(nice))
