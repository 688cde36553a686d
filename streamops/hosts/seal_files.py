"""Files of seals in the archive: `seals/<aa>/<sha256>`, each named by what it holds.

Rule 1: a file appears whole and once, by link, and is on disk before the seal that names it is
        sent. A worker that is killed, or runs twice, finds or writes the same files.
Rule 2: what has not changed has its name already and isn't written again.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from streamops.errors import InputError, TransportError

FOLDER = "seals"


def seal_path(archive: Path, name: str) -> Path:
    """Return where the file of a SHA-256 (hex) lies."""
    return archive / FOLDER / name[:2] / name


def keep(archive: Path, files: Mapping[str, bytes]) -> None:
    """Write what isn't there yet and wait until the disk has it.

    Raises TransportError where the disk refuses.
    """
    for name, data in files.items():
        path = seal_path(archive, name)
        if path.exists():
            continue
        try:
            _create(path, data)
        except OSError as error:
            raise TransportError(
                f"{path} can't be written ({error}); check disk and rights"
            ) from error


def read_kept(archive: Path, name: str) -> bytes:
    """Return what lies under a name; InputError where it is missing or says something else."""
    path = seal_path(archive, name)
    where = path.relative_to(archive)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{where} can't be read ({error.strerror}); restore it") from error
    found = hashlib.sha256(data).hexdigest()
    if found != name:
        raise InputError(f"{where} was changed: its SHA-256 is {found}; restore it")
    return data


def _create(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Partitions share leaves, and a worker writes those of several partitions at once.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        temporary.unlink(missing_ok=True)
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
