"""The tutorial, block by block, as a newcomer would type it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TIMEOUT_S = 240.0


class Block(NamedTuple):
    """One fenced block: its language, the file it is saved as, its text."""

    language: str
    file: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    return (Block(*found) for found in BLOCK.findall(page.read_text()))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """An empty folder to work in; whatever runs there is ended."""
    yield tmp_path
    run("streamops down", tmp_path)


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line with this environment's commands first, and no settings from outside."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("STREAMOPS_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return subprocess.run(
        line, shell=True, cwd=folder, env={**kept, "PATH": path}, capture_output=True, text=True,
        timeout=TIMEOUT_S,
    )  # fmt: skip


@pytest.mark.timeout(600)
def test_the_tutorial_ends_in_a_proven_alert(root, home):
    said: dict[str, str] = {}
    for block in blocks(root / "docs/tutorial/first-model.md"):
        if block.language == "python":
            (home / block.file).write_text(block.text)
        for line in block.text.splitlines() if block.language == "sh" else []:
            done = run(line, home)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            said[line] = done.stdout + done.stderr
    assert "accuracy on held-out rows: 0.8" in said["python train.py"]
    alert = said["streamops alerts --follow --limit 1 --why"]
    assert re.search(r"raised +\w+ +demand 1: data_drift, drift of temperature is [\d.e+]+", alert)
    assert re.search(r"drifted +temperature \(PSI at least [\d.]+, since 20", alert)
    assert "Production" in said['streamops sql "select model, version, stage from current_models"']
    verified = said["streamops verify --all"]
    assert "every one matches" in verified
    assert "0 alerts" not in verified
