"""Capsules: a few alerts with everything that they rest on, to be verified without anything else.

    capsule.json              the manifest: what is in it, from where to where, every file's SHA-256
    archive/                  the cut of the archive: raw records, facts, the seals it begins at
    expected/alerts.ndjson    the alerts' conclusions, canonical, one a line, by id
    configurations/HASH.json  the configurations that the alerts were raised under
    versions/MODEL/NAME.json  the versions they are about, with their reference profiles

A capsule is a folder, or the same packed as one `.tar.zst`.

Rule 1: a file that is missing, changed, or not listed is a fault with its name. Its alerts are
        incomplete, whatever the fold says of what is left.
Rule 2: `format` grows when a reader of the one before would misread it; such a capsule is refused.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import msgspec

from streamops.audit.cut import Cut
from streamops.audit.packed import SUFFIX, is_plain, unpack
from streamops.core.controller import Controller
from streamops.core.detect import Detect
from streamops.core.meter import Meter
from streamops.core.monitor import Monitor
from streamops.errors import ConfigError, InputError

FORMAT = 1
MANIFEST = "capsule.json"
ARCHIVE = "archive"
ALERTS = "expected/alerts.ndjson"


class FileSum(msgspec.Struct, frozen=True):
    """One file of a capsule: its name in it, its size, its SHA-256 in hex."""

    name: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a capsule holds.

    format       of the capsule
    streamops    version that saved it
    name         given by who saved it
    alerts       ids that it proves
    semantics    processor -> what its conclusions meant to the version that saved it
    cut          offsets, the last epoch, and the seal that it begins at
    """

    format: int = FORMAT
    streamops: str
    name: str
    alerts: tuple[str, ...]
    semantics: dict[str, int]
    cut: Cut
    files: tuple[FileSum, ...]


class _Head(msgspec.Struct, frozen=True):
    format: int
    streamops: str = "a newer one"


class Capsule(msgspec.Struct, frozen=True):
    """A capsule that was opened: where it lies now, and files that aren't as they were saved."""

    path: Path
    folder: Path
    manifest: Manifest
    faults: tuple[str, ...]

    @property
    def archive(self) -> Path:
        """The archive inside."""
        return self.folder / ARCHIVE


def own_semantics() -> dict[str, int]:
    """Return what the conclusions of this version's processors mean, by processor."""
    return {kind.name: kind.semantics for kind in (Meter, Detect, Monitor, Controller)}


def configuration_name(config_hash: str) -> str:
    """Return the name of a configuration's file."""
    return f"configurations/{config_hash}.json"


def version_name(model: str, version: str) -> str:
    """Return the name of a version's file."""
    return f"versions/{quote(model, safe='')}/{quote(version, safe='')}.json"


def is_capsule(path: Path) -> bool:
    """Tell whether a path is meant as a capsule's: a packed one, or a folder with a manifest."""
    return path.name.endswith(SUFFIX) or (path / MANIFEST).is_file()


@contextmanager
def opened(path: Path) -> Iterator[Capsule]:
    """Open a capsule, unpacked for as long as it is used.

    Raises ConfigError where there is none, or one that only a newer version reads; InputError where
    it can't be read.
    """
    if not path.exists():
        raise ConfigError(f"capsule {path} isn't there; give the path that it was saved to")
    if path.is_dir():
        yield _read(path, path)
        return
    with tempfile.TemporaryDirectory(prefix="streamops-capsule-") as folder:
        unpack(path, Path(folder))
        yield _read(path, Path(folder))


def sum_of(folder: Path, name: str) -> FileSum:
    """Return a file's entry in the manifest."""
    data = (folder / name).read_bytes()
    return FileSum(name, len(data), sha256(data).hexdigest())


def names_in(folder: Path) -> list[str]:
    """Return the names of the files in a folder, sorted; without the manifest."""
    found = (path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    names = (path.relative_to(folder).as_posix() for path in found)
    return sorted(name for name in names if name != MANIFEST)


def _read(path: Path, folder: Path) -> Capsule:
    manifest = _manifest(path, folder)
    return Capsule(path, folder, manifest, tuple(_faults(folder, manifest)))


def _manifest(path: Path, folder: Path) -> Manifest:
    where = f"{path}: {MANIFEST}"
    try:
        data = (folder / MANIFEST).read_bytes()
        head = msgspec.json.decode(data, type=_Head)
        if head.format > FORMAT:
            raise ConfigError(
                f"{where} says format {head.format}, and this version reads up to {FORMAT}: "
                f"verify it with the streamops that saved it ({head.streamops}), or a newer one"
            )
        return msgspec.json.decode(data, type=Manifest)
    except OSError as error:
        raise InputError(
            f"{where} can't be read ({error.strerror}): this is no capsule, or not a whole one; "
            "copy it again from where it was saved"
        ) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(
            f"{where} can't be read ({error}); copy it again from where it was saved"
        ) from error


def _faults(folder: Path, manifest: Manifest) -> Iterator[str]:
    listed = {file.name: file for file in manifest.files}
    held = names_in(folder)
    for name in sorted({*listed, *held}):
        if name not in listed:
            yield f"{name}: the manifest doesn't list it; take it out"
        elif not is_plain(name) or name not in held:
            yield f"{name}: is missing; copy the capsule again from where it was saved"
        elif not (folder / name).is_file() or sum_of(folder, name) != listed[name]:
            yield (
                f"{name}: was changed, its SHA-256 isn't the manifest's; copy the capsule again "
                "from where it was saved"
            )
