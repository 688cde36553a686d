"""The code's own form: sizes of modules, functions and classes."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "streamops").rglob("*.py"))
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

MODULE_LINES_MAX = 700
CORE_LINES_MAX = 250
FUNCTION_LINES_MAX = 70
FUNCTION_LINES_MEDIAN = 10
METHODS_MAX = 20


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text()))


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first decorator to the end."""
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return (node.end_lineno or first) - first + 1


def functions() -> dict[str, int]:
    return {
        f"{name(path)}:{node.lineno} {node.name}": length(node)
        for path in SOURCES
        for node in nodes(path)
        if isinstance(node, DEFINITIONS)
    }


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_module_is_short_enough_to_read(path):
    lines = len(path.read_text().splitlines())
    in_core = "core" in path.relative_to(ROOT).parts
    assert lines <= (CORE_LINES_MAX if in_core else MODULE_LINES_MAX)


def test_functions_are_short():
    lengths = functions()
    assert {n: lines for n, lines in lengths.items() if lines > FUNCTION_LINES_MAX} == {}
    assert statistics.median(lengths.values()) <= FUNCTION_LINES_MEDIAN


def test_classes_have_few_methods():
    counts = {
        f"{name(path)} {node.name}": sum(isinstance(child, DEFINITIONS) for child in node.body)
        for path in SOURCES
        for node in nodes(path)
        if isinstance(node, ast.ClassDef)
    }
    assert {n: count for n, count in counts.items() if count > METHODS_MAX} == {}


def test_inheritance_goes_one_level_deep():
    """A class of ours has at most one ancestor of ours; errors and events are shown as trees."""
    bases = {
        node.name: [base.id for base in node.bases if isinstance(base, ast.Name)]
        for path in SOURCES
        for node in nodes(path)
        if isinstance(node, ast.ClassDef)
    }
    grandparents = {
        child: [grand for parent in parents for grand in bases.get(parent, []) if grand in bases]
        for child, parents in bases.items()
    }
    assert {child: found for child, found in grandparents.items() if found} == {}


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_no_module_is_named_utils():
    assert [name(p) for p in SOURCES if p.stem in ("utils", "util", "helpers", "misc")] == []
