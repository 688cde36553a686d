"""What `simulate` refuses before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamops.errors import ConfigError
from streamops.operate.folder import Folder
from streamops.operate.simulate import clear_home


def test_a_folder_that_no_simulation_made_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "thesis.tex"
    precious.write_text("years of work")
    with pytest.raises(ConfigError, match="no simulation made"):
        clear_home(tmp_path)
    assert precious.read_text() == "years of work"


def test_an_earlier_run_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{}")
    (tmp_path / "views.duckdb").write_text("")
    clear_home(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "settings.json").write_text("{}")
    with folder.lock(), pytest.raises(ConfigError, match=r"in use: .* another folder with --home"):
        clear_home(tmp_path)
    assert (tmp_path / "settings.json").exists()
    clear_home(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    clear_home(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
