"""The core reads no clock, draws no random number, does no I/O and imports no host."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = sorted((ROOT / "streamops" / "core").rglob("*.py"))

# Everything the core may import; `datetime` and `numpy` are held to their pure parts below.
ALLOWED = {
    "__future__", "abc", "base64", "bisect", "collections", "collections.abc", "dataclasses",
    "datetime", "enum", "fractions", "functools", "hashlib", "heapq", "itertools", "json", "math",
    "operator", "re", "struct", "types", "typing", "unicodedata", "msgspec", "msgspec.json",
    "msgspec.msgpack", "msgspec.structs", "numpy", "numpy.typing",
}  # fmt: skip
OURS = ("streamops.core", "streamops.events", "streamops.codec", "streamops.errors")
# Facts on the log whose types stand beside the events.
OUR_VALUES = ("streamops.config", "streamops.quiet", "streamops.values", "streamops.versions")
IMPURE_CALLS = {
    "now", "utcnow", "today", "open", "print", "input", "exec", "eval", "urandom", "uuid1", "uuid4",
}  # fmt: skip
IMPURE_NUMPY = {"random", "load", "save", "savez", "fromfile", "memmap", "genfromtxt", "loadtxt"}


def imports(tree: ast.AST) -> set[str]:
    """Full names of the imported modules; `from streamops import x` imports `streamops.x`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            package = node.module == "streamops"
            found |= {f"streamops.{a.name}" if package else str(node.module) for a in node.names}
    return found


def is_allowed(module: str) -> bool:
    ours = any(module == name or module.startswith(f"{name}.") for name in OURS + OUR_VALUES)
    return ours or module in ALLOWED


def impurities(tree: ast.AST) -> set[str]:
    """Calls by name that would read a clock, a file or chance."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            found |= {name} & IMPURE_CALLS
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") in ("np", "numpy"):
            found |= {node.attr} & IMPURE_NUMPY
    return found


@pytest.mark.parametrize("path", CORE, ids=lambda p: p.stem)
def test_a_core_module_imports_only_what_is_pure(path: Path):
    tree = ast.parse(path.read_text())
    assert sorted(m for m in imports(tree) if not is_allowed(m)) == []
    assert impurities(tree) == set()


@pytest.mark.parametrize(
    "module", ["events", "codec", "errors", "config", "quiet", "values", "versions"]
)
def test_what_the_core_leans_on_is_pure_as_well(module: str):
    path = ROOT / "streamops" / f"{module}.py"
    tree = ast.parse(path.read_text())
    assert sorted(m for m in imports(tree) if not is_allowed(m)) == []
    assert impurities(tree) == set()


@pytest.mark.parametrize(
    "line",
    [
        "import time",
        "import random",
        "from os import path",
        "import numpy.random",
        "from streamops.kafka import admin",
        "from streamops import client",
        "import logging",
    ],
)
def test_an_impure_import_would_be_seen(line):
    assert not all(is_allowed(module) for module in imports(ast.parse(line)))


@pytest.mark.parametrize("line", ["datetime.now()", "np.random.normal()", "open('f')", "print()"])
def test_an_impure_call_would_be_seen(line):
    assert impurities(ast.parse(line))
