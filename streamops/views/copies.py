"""Copying the DuckDB file without giving up its lock.

Rule 1: the copy is made by another process. The lock is a POSIX one: a process loses it as soon as
        it closes any handle of that file, so it must never open the file beside DuckDB.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from streamops.errors import TransportError


def copy_store(views: Path, folder: Path) -> Path:
    """Copy a DuckDB file and its write-ahead log into a folder, while the caller has it locked.

    Raises TransportError if the disk refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [str(p) for p in (views, Path(f"{views}.wal")) if p.exists()]
    done = subprocess.run(["cp", "--", *paths, str(folder)], capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip()
        raise TransportError(f"{views} can't be copied to {folder} ({reason}); check the disk")
    return folder / views.name
