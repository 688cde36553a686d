"""block_files: blocks on disk, without a name; a disk that is full; a crash with blocks on it."""

from __future__ import annotations

import errno
import os

import pytest

from streamops import codec
from streamops.core.join import JoinTable
from streamops.errors import TransportError
from streamops.hosts import block_files, partition_host
from streamops.hosts.block_files import BlockFiles
from streamops.hosts.decoding import to_records
from streamops.hosts.memory import make_fold
from streamops.hosts.partition_host import PartitionHost
from streamops.settings import Settings
from tests.builders import activated, config, made, tick, version


class Nowhere:
    def send(self, folded):
        pass


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_blocks_come_back_and_a_file_goes_with_its_last_one(tmp_path, monkeypatch):
    monkeypatch.setattr(block_files, "FILE_BYTES", 8)
    shelf = BlockFiles(tmp_path / "shelf")
    numbers = [shelf.put(text) for text in (b"first", b"second", b"third")]
    assert [shelf.get(number, 1, 3) for number in numbers] == [b"irs", b"eco", b"hir"]
    assert (shelf.size, list(shelf.folder.iterdir())) == (16, []), "files have no name"
    shelf.drop(numbers[0])
    assert shelf.size == 16
    shelf.drop(numbers[1])
    assert (shelf.size, shelf.get(numbers[2], 0, 5)) == (5, b"third")
    shelf.close()
    assert shelf.size == 0


def test_what_was_written_in_part_is_written_again(tmp_path, monkeypatch):
    shelf, write = BlockFiles(tmp_path), os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, text, at: write(file, text[:2], at))
    assert shelf.get(shelf.put(b"seven b"), 0, 7) == b"seven b"


def test_a_full_disk_is_told_with_the_fix(tmp_path, monkeypatch):
    shelf = BlockFiles(tmp_path / "shelf")
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(TransportError, match=r"takes no more pending predictions.*free the disk"):
        shelf.put(b"x")


def test_a_disk_that_can_not_be_read_is_told(tmp_path, monkeypatch):
    shelf = BlockFiles(tmp_path / "shelf")
    number = shelf.put(b"x")
    monkeypatch.setattr(os, "pread", full)
    with pytest.raises(TransportError, match="can't be read in folder"):
        shelf.get(number, 0, 1)


def test_a_crash_with_a_shelf_leaves_nothing_and_loses_nothing(tmp_path, monkeypatch):
    """First with a disk that takes no more, then from the checkpoint, which has all but what came
    after it."""
    monkeypatch.setattr(partition_host, "_rows_held", lambda partitions: 3)
    settings = Settings(bootstrap="", namespace="n", data=tmp_path, partitions=1, driven=True)
    events = [tick(0, 0), activated(version(), 1), activated(config(horizon_s=900), 2)]
    events += [made(n, f"p{n}") for n in range(40)] + [tick(1, 60)]
    late = [*(made(61, f"late{n}") for n in range(9)), tick(2, 70)]
    log = [(n, 0, b"k", codec.encode(event)) for n, event in enumerate([*events, *late])]
    ticks = [(n, 0, b"k", codec.encode(tick(n, n * 60))) for n in range(2)]

    def opened() -> tuple[PartitionHost, JoinTable]:
        host = PartitionHost(settings, make_fold("meter", 0, 1, skew_max_ms=None))
        return host, host.fold.processor.join

    host, join = opened()
    host.feed("labels", to_records("labels", 0, ticks), Nowhere())
    host.feed("predictions", to_records("predictions", 0, log[: len(events)]), Nowhere())
    assert (len(join.pending), host.shelf.size > 0) == (40, True)
    host.checkpoint()
    more = to_records("predictions", 0, log[len(events) :])
    cut = to_records("labels", 0, [(2, 0, b"k", codec.encode(tick(2, 70)))])
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        host.feed("labels", cut, Nowhere())
        with pytest.raises(TransportError, match="free the disk"):
            host.feed("predictions", more, Nowhere())
    assert list((settings.spill / "pending").iterdir()) == []
    host.store.close()  # the process's end; its shelf is just left
    host, again = opened()
    assert host.shelf.size > 0
    assert list(again.pending) == [f"p{n}" for n in range(40)]
    host.feed("labels", cut, Nowhere())
    host.feed("predictions", more, Nowhere())
    assert list(again.pending)[-1] == "late8"
    host.close()
