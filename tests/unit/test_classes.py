"""The broker's class archive: used where it fits, and never in the way."""

from __future__ import annotations

import subprocess
from pathlib import Path

from streamops.kafka.broker import java_command
from streamops.kafka.classes import archive_flags, archive_of, make_archive
from streamops.kafka.jars import ensure_jars


def test_it_is_made_once_and_java_takes_it() -> None:
    archive = make_archive()
    made = archive.stat().st_mtime_ns
    assert make_archive() == archive
    assert archive.stat().st_mtime_ns == made
    command = java_command(ensure_jars(None))
    assert f"-XX:SharedArchiveFile={archive}" in command
    # With share:on Java refuses to start where it can't use the archive.
    subprocess.run([*command, "-Xshare:on", "-version"], check=True, capture_output=True)


def test_it_is_used_where_it_is_asked_for(monkeypatch) -> None:
    jars = ensure_jars(None)
    make_archive()
    assert archive_flags(jars)
    monkeypatch.delenv("STREAMOPS_SHARED_CLASSES")
    assert archive_flags(jars) == ()


def test_a_damaged_one_is_passed_over(tmp_path: Path) -> None:
    jars = [tmp_path / "a.jar"]
    assert archive_flags(jars) == ()
    archive_of(jars).write_bytes(b"not an archive")
    java = java_command(jars)
    subprocess.run([*java, "-version"], check=True, capture_output=True)
