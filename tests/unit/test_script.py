"""What a person is told to type."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from streamops.operate.script import own_command


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command of an environment that isn't on the path."""
    made = tmp_path / "project" / ".venv" / "bin" / "streamops"
    made.parent.mkdir(parents=True)
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(made.parent / "python"))
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.chdir(tmp_path / "project")
    return made


def test_from_the_checkout_it_is_a_short_path(script):
    assert own_command() == ".venv/bin/streamops"


def test_from_far_away_it_is_the_whole_path(script, tmp_path, monkeypatch):
    far = tmp_path.joinpath(*(f"a-long-way-from-home-{i}" for i in range(9)))
    far.mkdir(parents=True)
    monkeypatch.chdir(far)
    assert own_command() == min(str(script), "../" * 9 + "project/.venv/bin/streamops", key=len)
    monkeypatch.chdir("/")
    assert own_command() == str(script).removeprefix("/")


def test_on_the_path_it_is_its_name(script, monkeypatch):
    monkeypatch.setenv("PATH", str(script.parent))
    assert own_command() == "streamops"


def test_another_streamops_on_the_path_is_not_it(script, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    (other / "streamops").write_text("#!/bin/sh\n")
    (other / "streamops").chmod(0o755)
    monkeypatch.setenv("PATH", str(other))
    assert own_command() == ".venv/bin/streamops"


def test_without_a_script_it_is_the_module(script):
    script.unlink()
    assert own_command() == f"{sys.executable} -m streamops"
