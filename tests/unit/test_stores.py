"""Which store a worker opens: the furthest that nobody holds; a held one is only read."""

from __future__ import annotations

import msgspec
import pytest

from streamops.errors import TransportError
from streamops.hosts.checkpoint import Checkpoint, Store
from streamops.hosts.stores import open_furthest


def at(epoch: int) -> Checkpoint:
    return Checkpoint(
        processor="meter", partition=0, semantics=1, epoch=epoch, positions={}, state=b""
    )


def put(folder, epoch: int, rows: dict[bytes, bytes | None] | None = None) -> None:
    store = Store(folder)
    store.save(at(epoch), rows or {})
    store.close()


def opened(root, instance: str) -> tuple[str, int, list[tuple[bytes, bytes]]]:
    """Name, epoch and rows of what the worker opens; it is closed again."""
    store = open_furthest(root, "meter-0", instance)
    try:
        checkpoint, rows = store.load()
        return store.folder.name, -1 if checkpoint is None else checkpoint.epoch, list(rows)
    finally:
        store.close()


def test_workers_share_a_store_that_nobody_holds(tmp_path):
    put(tmp_path / "meter-0", 7)
    assert opened(tmp_path, "0") == ("meter-0", 7, [])
    assert opened(tmp_path, "1") == ("meter-0", 7, [])


def test_a_first_start_makes_the_shared_one(tmp_path):
    assert opened(tmp_path, "1") == ("meter-0", -1, [])
    assert [path.name for path in tmp_path.iterdir()] == ["meter-0"]


def test_a_held_store_is_read_and_gone_on_with_beside(tmp_path):
    put(tmp_path / "meter-0", 7, {b"pending": b"row"})
    sleeper = Store(tmp_path / "meter-0")
    try:
        assert opened(tmp_path, "1") == ("meter-0.1", 7, [(b"pending", b"row")])
    finally:
        sleeper.close()


def test_the_furthest_wins_and_what_fell_behind_goes(tmp_path):
    put(tmp_path / "meter-0", 7)
    put(tmp_path / "meter-0.1", 9)
    assert opened(tmp_path, "0") == ("meter-0.1", 9, [])
    assert [path.name for path in tmp_path.iterdir()] == ["meter-0.1"]


def test_the_sleepers_checkpoint_never_replaces_a_later_one(tmp_path):
    put(tmp_path / "meter-0", 7)
    put(tmp_path / "meter-0.1", 9)
    sleeper = Store(tmp_path / "meter-0")
    try:
        assert opened(tmp_path, "1") == ("meter-0.1", 9, [])
    finally:
        sleeper.close()


def test_nothing_to_open_is_a_transport_error(tmp_path):
    held = [Store(tmp_path / name) for name in ("meter-0", "meter-0.1")]
    try:
        with pytest.raises(TransportError, match="stop the process that holds it"):
            open_furthest(tmp_path, "meter-0", "1")
    finally:
        for store in held:
            store.close()


def test_a_checkpoint_is_what_it_was_when_it_is_copied(tmp_path):
    put(tmp_path / "meter-0", 7)
    sleeper = Store(tmp_path / "meter-0")
    try:
        store = open_furthest(tmp_path, "meter-0", "1")
        checkpoint, _ = store.load()
        store.close()
    finally:
        sleeper.close()
    assert checkpoint == msgspec.structs.replace(at(7))
