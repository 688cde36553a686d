"""Which process it is: an id alone may be another's by now."""

from __future__ import annotations

import psutil


def started_at(pid: int) -> float | None:
    """When a process began, seconds since 1970; None for one that is gone."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None
