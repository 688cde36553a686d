"""Fetching jars, against a repository served on loopback: only what the lock names is kept."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streamops.errors import ConfigError, TransportError
from streamops.kafka import jars
from streamops.kafka.jars import MIRROR_VARIABLE, ensure_jars, read_lock

CONTENT = {"org/a/a-1.jar": b"first", "org/b/b-2.jar": b"second jar"}


class QuietHandler(SimpleHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """Serve CONTENT as a mirror; yields the paths that were asked for."""
    for path, content in CONTENT.items():
        file = tmp_path / "repository" / path
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
    QuietHandler.asked = []
    handler = partial(QuietHandler, directory=str(tmp_path / "repository"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv(MIRROR_VARIABLE, f"http://127.0.0.1:{server.server_port}/")
        yield QuietHandler.asked
        server.shutdown()
        thread.join()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    rows = [f"{hashlib.sha256(c).hexdigest()} {len(c)} {p}" for p, c in CONTENT.items()]
    file = tmp_path / "jars.lock"
    file.write_text("\n".join(rows))
    return file


def test_missing_jars_are_fetched_in_the_locks_order(asked, lock, tmp_path):
    seen: list[tuple[int, int]] = []
    files = ensure_jars(tmp_path / "cache", lock=lock, progress=lambda *at: seen.append(at))
    assert [f.read_bytes() for f in files] == [b"first", b"second jar"]
    assert seen[-1] == (15, 15)
    assert sorted(f.name for f in (tmp_path / "cache").iterdir()) == ["a-1.jar", "b-2.jar"]


def test_what_is_there_is_not_fetched_again(asked, lock, tmp_path):
    ensure_jars(tmp_path / "cache", lock=lock)
    asked.clear()
    ensure_jars(tmp_path / "cache", lock=lock)
    assert asked == []


def test_a_jar_changed_in_the_cache_is_fetched_again(asked, lock, tmp_path):
    ensure_jars(tmp_path / "cache", lock=lock)
    (tmp_path / "cache" / "a-1.jar").write_bytes(b"FIRST")  # the same size
    asked.clear()
    assert ensure_jars(tmp_path / "cache", lock=lock)[0].read_bytes() == b"first"
    assert asked == ["/org/a/a-1.jar"]


def test_a_jar_that_differs_from_the_lock_is_not_kept(asked, lock, tmp_path):
    (tmp_path / "repository" / "org/b/b-2.jar").write_bytes(b"tampered!!")
    with pytest.raises(TransportError, match=rf"b-2\.jar has SHA-256.*{MIRROR_VARIABLE}"):
        ensure_jars(tmp_path / "cache", lock=lock)
    assert not (tmp_path / "cache" / "b-2.jar").exists()


def test_a_jar_the_repository_lacks_is_asked_for_once(asked, lock, tmp_path):
    (tmp_path / "repository" / "org/a/a-1.jar").unlink()
    with pytest.raises(TransportError, match=rf"a-1\.jar can't be fetched.*404.*{MIRROR_VARIABLE}"):
        ensure_jars(tmp_path / "cache", lock=lock)
    assert len([path for path in asked if path.endswith("a-1.jar")]) == 1


def test_an_unreachable_repository_is_named_with_the_way_out(monkeypatch, lock, tmp_path):
    monkeypatch.setattr(jars, "ATTEMPTS", 1)
    monkeypatch.setenv(MIRROR_VARIABLE, "http://127.0.0.1:1")
    with pytest.raises(TransportError, match=f"127.0.0.1:1/.*{MIRROR_VARIABLE}"):
        ensure_jars(tmp_path / "cache", lock=lock)


def test_a_cache_that_cannot_be_made_is_named(asked, lock, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TransportError, match="XDG_CACHE_HOME"):
        ensure_jars(tmp_path / "file" / "cache", lock=lock)


@pytest.mark.parametrize("line", ["", "abc 1 p.jar", f"{'a' * 64} one p.jar", f"{'a' * 64} 1"])
def test_a_lock_that_cannot_be_read_names_its_line(tmp_path, line):
    lock = tmp_path / "jars.lock"
    lock.write_text(f"{'a' * 64} 1 org/a.jar\n{line}\n")
    with pytest.raises(ConfigError, match="line 2"):
        read_lock(lock)


def test_the_shipped_lock_is_complete_and_has_no_name_twice():
    names = [jar.name for jar in read_lock()]
    assert len(set(names)) == len(names) == 42
    assert "kafka-server-4.3.1.jar" in names


def test_the_cache_follows_the_users_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert jars.cache_folder() == tmp_path / "streamops" / "jars"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert jars.cache_folder() == tmp_path / "home" / ".cache" / "streamops" / "jars"
