"""Names that must not stand in the project: registry hosts, paths of one machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Taken apart, so that this file names none of them either.
NAMES = ("maven", "maven.apache", "pypi", "pythonhosted", "debian")
HOSTS = (*(f"{name}.org" for name in NAMES), "npmjs" + ".com")
FORBIDDEN = re.compile(
    "|".join(h.replace(".", "[.]") for h in HOSTS) + "|/" + "work/(main|shared)|/" + "root/"
)
THIS = Path(__file__).name


def tracked() -> list[Path]:
    """Text files under version control; in a copy without it, every file that would be."""
    try:
        listed = subprocess.run(
            ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        folders = ("streamops", "tests", "topics", "docs", "deploy", "bootstrap")
        found = [p for folder in folders for p in (ROOT / folder).rglob("*") if p.is_file()]
        return sorted(p for p in found if "__pycache__" not in p.parts)
    return [ROOT / name for name in listed if (ROOT / name).is_file()]


def text_of(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return ""


def test_no_file_names_a_registry_or_a_path_of_this_machine():
    named = {
        str(path.relative_to(ROOT)): sorted({m.group() for m in FORBIDDEN.finditer(text)})
        for path in tracked()
        if path.name != THIS
        for text in [text_of(path)]
        if FORBIDDEN.search(text)
    }
    assert named == {}


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_would_be_seen(host):
    assert FORBIDDEN.search(f"https://{host}/simple")


def test_the_lock_names_no_address():
    assert "://" not in (ROOT / "requirements.lock").read_text()
