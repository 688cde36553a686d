"""Who goes first where CPUs are short: an alert never waits for a view or a training.

Rule 1: by weight, not in turn: who stands behind keeps a share, so that it isn't left behind for
        ever by a machine that is always busy. Who archives stays: what Kafka will drop can't wait.
Rule 2: Linux weighs sessions before processes, and a service leads one: both are told.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SESSION = Path("/proc/self/autogroup")
# Of two that want a CPU, who has 5 more gets a quarter of it.
BEHIND = {"materializer": 5, "trainer": 5}


def step_back(service: str) -> None:
    """Let this process's session stand where its service does; others stay as they are."""
    nice = BEHIND.get(service, 0)
    if not nice:
        return
    with suppress(OSError):
        nice = os.nice(nice)
    with suppress(OSError):
        SESSION.write_text(str(nice))
