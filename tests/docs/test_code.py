"""Code in the manual: it parses, runs or is accepted by what it is meant for."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest
from cyclopts.exceptions import CycloptsError

from streamops.cli import make_app
from streamops.operate.init import read_config
from streamops.views.store import statements

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SNIPPET = ROOT / "docs" / "snippets" / "sdk.py"
INLINE = re.compile(r"`(streamops [^`]+)`")
SQL = re.compile(r"`(select [^`]+)`")
# How pages write what stands for anything.
STANDS_FOR_ANYTHING = re.compile(r"…|\.\.\.|\b[A-Z]{2,}\b|\|")


class Block(NamedTuple):
    page: Path
    language: str
    text: str


def blocks(language: str) -> list[Block]:
    return [
        Block(page, language, text)
        for page in PAGES
        for found, text in BLOCK.findall(page.read_text())
        if found == language
    ]


def name(block: object) -> str:
    return block.page.name if isinstance(block, Block) else str(block)


def commands(text: str) -> Iterator[list[str]]:
    """The `streamops` commands in a shell block, as lists of words."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r" && |; | \| ", line.partition(" #")[0]):
            tokens = shlex.split(part)
            if tokens and tokens[0].removeprefix(".venv/bin/") == "streamops":
                yield tokens[1:]


def spoken() -> list[str]:
    """Commands that pages name in passing, where they stand for themselves."""
    found = {line for page in PAGES for line in INLINE.findall(page.read_text())}
    return sorted(line for line in found if not STANDS_FOR_ANYTHING.search(line))


def accept(tokens: list[str]) -> None:
    """Raise unless the command line takes these words."""
    app = make_app()
    if "--help" not in tokens and "--version" not in tokens:
        app.parse_args(tokens, exit_on_error=False, print_error=False)


def ask(sql: str) -> None:
    """Ask empty views; raises for a column or view that isn't there."""
    with duckdb.connect() as con:
        for statement in statements():
            con.execute(statement)
        con.execute(sql).fetchall()


def test_the_readme_shows_the_snippet_that_is_run():
    first = next(b for b in blocks("python") if b.page == ROOT / "README.md")
    assert first.text == SNIPPET.read_text()


@pytest.mark.parametrize("block", blocks("python"), ids=name)
def test_python_compiles_and_what_needs_no_broker_runs(block):
    code = compile(block.text, str(block.page), "exec")
    if "Client(" not in block.text:
        exec(code, {"__name__": "manual"})


@pytest.mark.parametrize("block", blocks("toml"), ids=name)
def test_toml_parses_and_a_configuration_is_accepted(block, tmp_path):
    tomllib.loads(block.text)
    if "[[models]]" in block.text:
        file = tmp_path / "streamops.toml"
        file.write_text(block.text)
        assert read_config(file)


@pytest.mark.parametrize("block", blocks("json"), ids=name)
def test_json_parses(block):
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks("sh"), ids=name)
def test_commands_are_accepted(block):
    for tokens in commands(block.text):
        accept(tokens)
        if tokens[:1] == ["sql"]:
            ask(tokens[1])


@pytest.mark.parametrize("line", spoken())
def test_a_command_named_in_passing_exists(line):
    command = shlex.split(line)[1:2]
    with pytest.raises(CycloptsError):
        accept([*command, "--no-such-option"])
    accept([*command, "--help"])
    known = {first for first in make_app() if not first.startswith("-")}
    assert set(command) <= known


@pytest.mark.parametrize(
    "sql", sorted({s for page in PAGES for s in SQL.findall(page.read_text())})
)
def test_a_question_named_in_passing_is_answered(sql):
    ask(sql)


@pytest.mark.parametrize("line", ["streamops nosuch", "streamops verify --nosuch"])
def test_a_wrong_command_would_be_seen(line):
    with pytest.raises(CycloptsError):
        accept(shlex.split(line)[1:])
