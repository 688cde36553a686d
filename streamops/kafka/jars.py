"""The jars of the embedded broker: fetched once, checked before every use.

    python -m streamops.kafka.jars      fetch what is missing, with progress on a terminal

`kafka-jars.lock` has a line for each jar: SHA-256, size in bytes, path in a Maven repository. They
are kept in a per-user cache. STREAMOPS_MAVEN_MIRROR names another repository for people behind a
mirror; a file whose SHA-256 differs from the lock's is never kept, wherever it came from.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from http.client import HTTPException
from pathlib import Path

import msgspec

from streamops.errors import ConfigError, ServiceError, TransportError

LOCK = Path(__file__).with_name("kafka-jars.lock")
MIRROR_VARIABLE = "STREAMOPS_MAVEN_MIRROR"
FETCHES_AT_ONCE = 8
ATTEMPTS = 4
BACKOFF_FIRST_S = 0.5
TIMEOUT_S = 60


class Jar(msgspec.Struct, frozen=True):
    """One line of the lock; `path` is relative to the root of a Maven repository."""

    sha256: str
    size: int
    path: str

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[1]


def read_lock(lock: Path = LOCK) -> list[Jar]:
    """The jars of a lock file, in its order; ConfigError names a line that can't be read."""
    jars = []
    for number, line in enumerate(lock.read_text().splitlines(), start=1):
        fields = line.split()
        if len(fields) != 3 or len(fields[0]) != 64 or not fields[1].isdigit():
            raise ConfigError(
                f"{lock}, line {number} is {line!r}: write SHA-256, size in bytes and path"
            )
        jars.append(Jar(fields[0], int(fields[1]), fields[2]))
    return jars


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/streamops/jars`, or below `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "streamops" / "jars"


def repository() -> str:
    """Address of the Maven repository: the mirror if one is set, else the central one."""
    mirror = os.environ.get(MIRROR_VARIABLE, "").rstrip("/")
    if mirror:
        return mirror
    # The package that resolves Maven artifacts knows the address; we name no host of our own.
    from jgo.constants import MAVEN_CENTRAL_URL

    return str(MAVEN_CENTRAL_URL).rstrip("/")


def is_intact(jar: Jar, file: Path) -> bool:
    """Whether `file` is, byte for byte, the jar of the lock."""
    try:
        if file.stat().st_size != jar.size:
            return False
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest() == jar.sha256
    except (FileNotFoundError, NotADirectoryError):
        return False


def ensure_jars(
    folder: Path | None = None,
    *,
    lock: Path = LOCK,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Fetch what is missing or damaged, check all, and return the files in the lock's order.

    progress  called with (bytes fetched, bytes to fetch) as each jar arrives
    Raises TransportError when the repository or the disk fails, and when a file isn't the lock's.
    """
    folder = folder or cache_folder()
    jars = read_lock(lock)
    missing = [jar for jar in jars if not is_intact(jar, folder / jar.name)]
    if missing:
        fetch(missing, folder, progress or (lambda _done, _total: None))
    return [folder / jar.name for jar in jars]


def fetch(jars: list[Jar], folder: Path, progress: Callable[[int, int], None]) -> None:
    """Download several at once into `folder`; the first failure stops the rest."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TransportError(
            f"jar cache {folder} can't be made ({error.strerror}): set XDG_CACHE_HOME to a folder "
            "you can write"
        ) from error
    base, done, total = repository(), 0, sum_bytes(jars)
    with ThreadPoolExecutor(FETCHES_AT_ONCE) as pool:
        running = {pool.submit(fetch_one, jar, base, folder): jar for jar in jars}
        try:
            for future in as_completed(running):
                future.result()
                done += running[future].size
                progress(done, total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def sum_bytes(jars: Iterable[Jar]) -> int:
    return sum(jar.size for jar in jars)


def fetch_one(jar: Jar, base: str, folder: Path) -> None:
    """Download one jar, check it, and put it in place whole or not at all."""
    content = download(f"{base}/{jar.path}", jar.size)
    found = hashlib.sha256(content).hexdigest()
    if found != jar.sha256:
        raise TransportError(
            f"{base}/{jar.path} has SHA-256 {found}, the lock asks for {jar.sha256}: the "
            f"repository serves another file; set {MIRROR_VARIABLE} to one you trust"
        )
    try:
        store(content, folder / jar.name)
    except OSError as error:
        raise TransportError(
            f"{folder / jar.name} can't be written ({error.strerror}): free some space or set "
            "XDG_CACHE_HOME"
        ) from error


def download(address: str, size: int) -> bytes:
    """The bytes at `address`, at most one more than `size`; TransportError after all attempts."""
    for attempt in range(ATTEMPTS):
        try:
            request = urllib.request.Request(address, headers={"User-Agent": "streamops"})
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return bytes(answer.read(size + 1))
        except (OSError, HTTPException, ValueError) as error:
            last: Exception = error
            if isinstance(error, urllib.error.HTTPError):
                error.close()
                if error.code < 500:
                    break
            if attempt + 1 < ATTEMPTS:
                time.sleep(BACKOFF_FIRST_S * 2**attempt)
    raise TransportError(
        f"{address} can't be fetched ({last}): check the connection, or set {MIRROR_VARIABLE} to "
        "a Maven repository you reach"
    ) from last


def store(content: bytes, file: Path) -> None:
    """Write atomically: a reader sees the whole file or none, also after a crash."""
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with open(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def show_progress(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(
        f"\rKafka's jars: {done >> 20} of {total >> 20} MiB", end=end, file=sys.stderr, flush=True
    )


def main() -> int:
    try:
        ensure_jars(progress=show_progress if sys.stderr.isatty() else None)
    except ServiceError as error:
        print(f"streamops: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
