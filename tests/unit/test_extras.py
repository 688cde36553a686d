"""What each installation can do: the base, `[train]`, `[serve]`, with all else not to be found."""

from __future__ import annotations

import importlib.metadata as metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Of standard library and installed packages, only the named ones are found.
PROGRAM = """\
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

BLOCKED = set(sys.argv.pop().split(","))
sys.meta_path.insert(0, Blocker())
"""
SERVICE = """\
from streamops.operate.folder import ServiceSettings
from streamops.operate.services import SERVICES
from streamops.settings import Settings
SERVICES[{name!r}](ServiceSettings(settings=Settings(bootstrap="127.0.0.1:1")))
"""
COMMAND = """\
from streamops.cli import main
sys.exit(main({arguments!r}))
"""


def needs(root: Path, extra: str) -> set[str]:
    """Distributions that `pip install streamops[extra]` brings, by name."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    waiting = list(project["dependencies"])
    waiting += project["optional-dependencies"][extra] if extra else []
    found: set[str] = set()
    while waiting:
        wanted = Requirement(waiting.pop())
        name = canonicalize_name(wanted.name)
        if name in found or not applies(wanted, ""):
            continue
        found.add(name)
        waiting += [
            text
            for text in metadata.requires(name) or ()
            if any(applies(Requirement(text), e) for e in ("", *wanted.extras))
        ]
    return found


def applies(wanted: Requirement, extra: str) -> bool:
    return wanted.marker is None or wanted.marker.evaluate({"extra": extra})


def run(root: Path, extra: str, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program that finds only what an installation brings."""
    brought = needs(root, extra)
    blocked = [
        module
        for module, names in metadata.packages_distributions().items()
        if module != "streamops" and not brought & {canonicalize_name(name) for name in names}
    ]
    return subprocess.run(
        [sys.executable, "-c", PROGRAM + program, ",".join(blocked)],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("extra", "program"),
    [
        ("", "import streamops; streamops.Client('127.0.0.1:1').close()"),
        ("train", SERVICE.format(name="trainer")),
        ("train", "from streamops.training.child import main"),
        ("train", "import sklearn.ensemble, skops.io, streamops.training.online"),
        ("serve", SERVICE.format(name="gateway")),
        ("train", COMMAND.format(arguments=["run", "--help"])),
        ("serve", COMMAND.format(arguments=["run", "--help"])),
    ],
)
def test_an_installation_has_what_it_is_for(root, extra, program):
    ran = run(root, extra, program)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("extra", "arguments"),
    [("", ["version"]), ("", []), ("serve", ["sql", "select 1", "--bootstrap", "127.0.0.1:1"])],
)
def test_a_command_that_lacks_a_package_names_the_installation(root, extra, arguments):
    ran = run(root, extra, COMMAND.format(arguments=arguments))
    [line] = ran.stderr.splitlines()
    assert line.startswith("streamops: the module ")
    assert " is not installed: " in line
    assert line.endswith("pip install 'streamops[server]'")
    assert ran.returncode == 2
