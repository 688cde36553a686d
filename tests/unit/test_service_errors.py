"""How a service ends of what the system refuses: a full disk is told, the rest is started again."""

from __future__ import annotations

import errno
import os

import pytest

from streamops.errors import EXIT_TRANSPORT
from streamops.operate import services
from streamops.operate.folder import Folder, ServiceSettings
from streamops.settings import Settings


@pytest.fixture
def ended(tmp_path, monkeypatch):
    """Run a service that fails so; returns its status."""
    folder = Folder(tmp_path)
    given = ServiceSettings(settings=Settings(bootstrap="127.0.0.1:1", data=tmp_path))
    folder.write_settings(given)
    monkeypatch.setattr(services, "end_with", lambda parent: None)

    def run(error: OSError) -> int:
        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(services, "run_service", fail)
        return services.main(["archiver", str(folder.settings_file), str(os.getpid())])

    return run


def test_a_full_disk_is_told(ended, caplog):
    assert ended(OSError(errno.ENOSPC, "No space left on device", "raw.parquet")) == EXIT_TRANSPORT
    assert "make room" in caplog.text


def test_a_file_that_is_gone_is_no_setting(ended):
    with pytest.raises(FileNotFoundError):
        ended(FileNotFoundError(errno.ENOENT, "No such file", "index.keys"))
