"""Files of seals: whole, once, under what they hold; read only if they hold it."""

from __future__ import annotations

import asyncio
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from streamops import codec
from streamops.audit.seals import SealFiles
from streamops.core.epochs import Fold, Folded
from streamops.errors import InputError, TransportError
from streamops.events import Sealed
from streamops.hosts.lane import Lane
from streamops.hosts.memory import make_fold
from streamops.hosts.partition_host import PartitionHost
from streamops.hosts.seal_files import keep, read_kept, seal_path
from streamops.settings import Settings
from tests.chain import clean

DATA = b"a state"
NAME = hashlib.sha256(DATA).hexdigest()


def test_what_is_kept_is_read_again(tmp_path):
    keep(tmp_path, {NAME: DATA})
    assert seal_path(tmp_path, NAME) == tmp_path / "seals" / NAME[:2] / NAME
    assert read_kept(tmp_path, NAME) == DATA


def test_what_is_there_is_not_written_again(tmp_path):
    keep(tmp_path, {NAME: DATA})
    first = os.stat(seal_path(tmp_path, NAME))
    keep(tmp_path, {NAME: DATA})
    again = os.stat(seal_path(tmp_path, NAME))
    assert (first.st_ino, first.st_mtime_ns) == (again.st_ino, again.st_mtime_ns)


def test_partitions_that_share_leaves_keep_them_at_once(tmp_path):
    files = {hashlib.sha256(b"%d" % n).hexdigest(): b"%d" % n for n in range(40)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: keep(tmp_path, files), range(8)))
    assert {name: read_kept(tmp_path, name) for name in files} == files
    left = [path for path in (tmp_path / "seals").rglob("*") if path.is_file()]
    assert {path.name for path in left} == set(files)


def test_a_changed_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(InputError, match=f"seals/{NAME[:2]}/{NAME} can't be read"):
        read_kept(tmp_path, NAME)
    keep(tmp_path, {NAME: DATA})
    seal_path(tmp_path, NAME).write_bytes(b"another state")
    with pytest.raises(InputError, match=f"{NAME} was changed: its SHA-256 is "):
        read_kept(tmp_path, NAME)


def test_what_a_killed_worker_left_is_in_nobodys_way(tmp_path):
    folder = seal_path(tmp_path, NAME).parent
    folder.mkdir(parents=True)
    (folder / f".{NAME}.1.2.tmp").write_bytes(b"half")
    keep(tmp_path, {NAME: DATA})
    assert read_kept(tmp_path, NAME) == DATA


def test_a_folder_that_can_not_be_written_is_an_error_of_the_disk(tmp_path):
    blocked = Path(tmp_path) / "seals"
    blocked.write_text("a file where the folder should be")
    with pytest.raises(TransportError, match="check disk and rights"):
        keep(tmp_path, {NAME: DATA})


EVERY = 3
LOG = clean(0, 1, seal_every=EVERY).log


class Sink:
    """Takes what a host sends, and looks whether a seal's files are there by then."""

    def __init__(self, archive: Path) -> None:
        self.files, self.seals = SealFiles(archive), 0

    def look(self, event: object) -> None:
        if isinstance(event, Sealed):
            self.files.check(event)
            self.seals += 1

    def send(self, folded: Folded) -> None:
        for addressed in folded.outputs:
            self.look(addressed.event)


class AioSink(Sink):
    async def send(self, topic: str, value: bytes, *_: Any, **__: Any) -> Any:  # type: ignore[override]
        self.look(codec.decode(value))
        return asyncio.sleep(0)


def fold_of(name: str) -> Fold[Any]:
    return make_fold(name, 0, 1, skew_max_ms=None, seal_every=EVERY)


def test_files_are_there_before_the_confluent_host_sends_their_seal(tmp_path):
    settings = Settings(bootstrap="nowhere:1", data=tmp_path)
    host, sink = PartitionHost(settings, fold_of("meter")), Sink(settings.archive)
    for topic in host.fold.inboxes:
        host.feed(topic, LOG[(topic, 0)], sink)  # type: ignore[arg-type]
    host.close()
    assert sink.seals == 4


def test_files_are_there_before_a_lane_sends_their_seal(tmp_path):
    settings = Settings(bootstrap="nowhere:1", data=tmp_path)
    sink = AioSink(settings.archive)

    async def run() -> None:
        lane = Lane(settings, fold_of("monitor"), sink, instance="0")
        for record in LOG[("summaries", 0)]:
            lane.feed(record)
        await lane.settle()

    asyncio.run(run())
    assert sink.seals == 4
