"""The pre-flight: each lack of a machine is found, and how to mend it is said."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def preflight(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("preflight", root / "bootstrap/preflight.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def told(preflight, capsys, monkeypatch):
    """What it prints on a machine that lacks one thing; this one may be short of disk too."""
    monkeypatch.setattr(preflight, "DISK_FREE_MIN_BYTES", 1)

    def run(*arguments: str) -> list[str]:
        assert preflight.main(list(arguments)) == 1
        return capsys.readouterr().err.splitlines()

    return run


def test_a_machine_with_everything_is_told_nothing(preflight, capsys, monkeypatch):
    monkeypatch.setattr(preflight, "DISK_FREE_MIN_BYTES", 1)
    assert preflight.main([]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("version", [(3, 10, 14), (3, 14, 0)])
def test_another_python_is_named(preflight, told, monkeypatch, version):
    monkeypatch.setattr(preflight.sys, "version_info", version)
    missing, mend = told()
    assert f"Python {version[0]}.{version[1]} at {sys.executable}; 3.11, 3.12 or 3.13" in missing
    assert "make setup PYTHON=" in mend


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 13, 9)])
def test_a_python_that_suits_is_not(preflight, monkeypatch, version):
    monkeypatch.setattr(preflight.sys, "version_info", version)
    assert preflight.check_python() == []


def test_a_python_without_venv_is_named(preflight, told, monkeypatch):
    monkeypatch.setattr(preflight, "DISK_FREE_MIN_BYTES", 1)
    real = importlib.util.find_spec
    monkeypatch.setattr(
        preflight.importlib.util, "find_spec", lambda n: None if n == "ensurepip" else real(n)
    )
    missing, mend = told()
    assert missing.endswith("lacks the module ensurepip")
    assert "apt install python3-venv" in mend


def test_a_full_disk_is_named(preflight, told, monkeypatch):
    monkeypatch.setattr(preflight, "DISK_FREE_MIN_BYTES", 1 << 60)
    missing, mend = told()
    assert f"GiB free at {preflight.ROOT}; 2 GiB are needed" in missing
    assert "free some space" in mend


def test_a_folder_that_cannot_be_written_is_named(preflight, told, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache" / "deep"))
    access = os.access
    monkeypatch.setattr(preflight.os, "access", lambda p, m: p != tmp_path and access(p, m))
    missing, mend = told()
    assert missing == f"streamops: {tmp_path} cannot be written"
    assert "XDG_CACHE_HOME" in mend


def test_a_sandbox_without_ports_is_named(preflight, told, monkeypatch):
    class NoSocket(socket.socket):
        def bind(self, address: object) -> None:
            raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(preflight.socket, "socket", NoSocket)
    missing, mend = told()
    assert "no port of 127.0.0.1 can be opened (Operation not permitted)" in missing
    assert "loopback" in mend


def test_a_machine_without_network_is_told_so_after_a_failure(
    preflight, told, monkeypatch, tmp_path
):
    """pip itself is asked, at an index where nobody listens."""
    monkeypatch.setattr(preflight, "ROOT", tmp_path)
    a_venv(tmp_path, f'exec {sys.executable} "$@"')
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    missing, mend = told("--explain")
    assert "pip reaches no package index" in missing
    assert "PIP_INDEX_URL" in mend
    assert "HTTPS_PROXY" in mend


def test_a_network_that_swallows_everything_is_none(preflight, told, monkeypatch, tmp_path):
    monkeypatch.setattr(preflight, "ROOT", tmp_path)
    monkeypatch.setattr(preflight, "REGISTRY_TIMEOUT_S", 0.1)
    a_venv(tmp_path, "exec sleep 5")
    missing, _ = told("--explain")
    assert "pip reaches no package index" in missing


def test_without_an_environment_pip_is_not_asked(preflight, monkeypatch, tmp_path):
    monkeypatch.setattr(preflight, "ROOT", tmp_path)
    assert preflight.check_registry() == []


def a_venv(root: Path, does: str) -> None:
    """An environment whose Python is a shell script."""
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{does}\n")
    python.chmod(0o755)


def find_python(root: Path, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Look for a Python among those in a folder."""
    for name in ("sh", "cat"):
        (folder / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    return subprocess.run(
        [str(folder / "sh"), str(root / "bootstrap" / "find-python")],
        env={"PATH": str(folder), **more},
        capture_output=True,
        text=True,
    )


def fake_python(path: Path, version: str, *, suits: bool) -> None:
    """A command that answers the probe by its status, and says its version."""
    status = 0 if suits else 1
    path.write_text(
        f'#!/bin/sh\ncase "$2" in *ensurepip*) exit {status};; *) echo {version};; esac\n'
    )
    path.chmod(0o755)


def test_the_first_python_that_suits_is_taken(root, tmp_path):
    (tmp_path / "python3.13").symlink_to(sys.executable)
    fake_python(tmp_path / "python3", "3.9", suits=False)
    found = find_python(root, tmp_path)
    assert (found.returncode, found.stdout) == (0, f"{tmp_path}/python3.13\n")


def test_what_was_found_instead_is_named(root, tmp_path):
    fake_python(tmp_path / "python3", "3.9", suits=False)
    fake_python(tmp_path / "python3.12", "3.12", suits=False)
    found = find_python(root, tmp_path)
    assert (found.returncode, found.stdout) == (1, "")
    assert f"{tmp_path}/python3.12 is Python 3.12, but has no venv module\n" in found.stderr
    assert f"{tmp_path}/python3 is Python 3.9\n" in found.stderr
    assert "make setup PYTHON=/path/to/python3.13" in found.stderr


def test_a_given_python_is_the_only_one_looked_at(root, tmp_path):
    (tmp_path / "python3.13").symlink_to(sys.executable)
    found = find_python(root, tmp_path, PYTHON="python2")
    assert found.returncode == 1
    assert "looked for: python2)" in found.stderr
