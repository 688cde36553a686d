"""A stack's children, and in which order they end."""

from __future__ import annotations

from pathlib import Path

from streamops.operate.folder import Folder
from streamops.operate.services import SERVICES
from streamops.operate.tasks import broker_task, service_task


def test_who_archives_ends_after_who_writes_and_before_the_broker(tmp_path: Path):
    folder = Folder(tmp_path)
    stages = {name: service_task(folder, name).stage for name in SERVICES}
    writing = {stage for name, stage in stages.items() if name != "archiver"}
    assert broker_task(folder).stage < stages["archiver"] < min(writing)
