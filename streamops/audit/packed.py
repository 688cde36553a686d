"""Folders as one file, and back: a tar in the order of the names, compressed with zstd.

Rule 1: equal files give equal bytes: no times, owners or rights are kept.
Rule 2: what is unpacked is a stranger's: plain files under plain relative names, no more bytes than
        asked for, and nothing outside the folder.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pyarrow as pa

from streamops.errors import InputError

SUFFIX = ".tar.zst"
# A capsule is small; this only keeps a bomb from filling the disk.
UNPACKED_MAX = 1 << 30


def pack(folder: Path, names: Iterable[str], path: Path) -> None:
    """Write files of a folder, by their names relative to it, as one file in this order."""
    with (
        pa.CompressedOutputStream(str(path), "zstd") as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name in names:
            about = tarfile.TarInfo(name)
            about.size = (folder / name).stat().st_size
            with (folder / name).open("rb") as file:
                tar.addfile(about, file)


def unpack(path: Path, folder: Path, limit: int = UNPACKED_MAX) -> None:
    """Write what a packed file holds into a folder.

    Raises InputError where it is damaged, or holds what no capsule holds.
    """
    left = limit
    try:
        with (
            pa.CompressedInputStream(str(path), "zstd") as stream,
            tarfile.open(fileobj=stream, mode="r|") as tar,
        ):
            for member in tar:
                if not member.isreg() or not is_plain(member.name):
                    raise InputError(f"{path} holds {member.name!r}, which belongs in no capsule")
                left -= member.size
                if left < 0:
                    raise InputError(f"{path} unpacks to more than {limit:,} bytes")
                _write(tar, member, folder / member.name)
    except (pa.ArrowException, tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise InputError(
            f"{path} can't be unpacked ({' '.join(str(error).split())}): it is damaged or cut "
            "short; copy it again from where it was saved"
        ) from error


def is_plain(name: str) -> bool:
    """Tell whether a name stays inside the folder that it is relative to."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and "\\" not in name


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = tar.extractfile(member)
    assert source is not None, "a regular file has contents"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        while data := source.read(1 << 20):
            file.write(data)
