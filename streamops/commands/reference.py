"""The manual's page of commands, written from their help.

python -m streamops.commands.reference          writes docs/reference/cli.md
python -m streamops.commands.reference --check  fails when it is stale
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from cyclopts import App
from rich.console import Console

from streamops.cli import COMMANDS, load, make_app

PAGE = Path("docs/reference/cli.md")
WIDTH = 88
HEAD = """\
# Commands

Written by `python -m streamops.commands.reference` from the commands' own help; a test compares.
Options that name a place (`--data`, `--namespace`, `--bootstrap`, `--kafka-config`) come before the
environment, that before what the data folder recorded. Data goes to stdout, all else to stderr.
Exit status: 0 well, 1 the answer is no (verify, topics, doctor), 2 a setting is wrong, 3 not
running (status), 75 broker, disk or network failed, 130 interrupted.
"""


def names() -> Iterator[tuple[str, ...]]:
    """Every command, a group's own commands after it."""
    for commands in COMMANDS.values():
        for name, place in commands.items():
            yield (name,)
            target = load(f"streamops.commands.{place}")
            if isinstance(target, App):
                yield from ((name, sub) for sub in target if not sub.startswith("-"))


def help_of(command: tuple[str, ...]) -> str:
    """The help a command prints, in one width and without colours."""
    out = io.StringIO()
    console = Console(file=out, width=WIDTH, color_system=None, legacy_windows=False)
    make_app(only=command[0])([*command, "--help"], console=console)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip()


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for command in names():
        title = " ".join(("streamops", *command))
        parts.append(f"## {title}\n\n```text\n{help_of(command)}\n```\n")
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    fresh = page()
    if arguments == ["--check"]:
        is_same = PAGE.exists() and PAGE.read_text() == fresh
        if not is_same:
            print(f"{PAGE} is stale: python -m streamops.commands.reference", file=sys.stderr)
        return 0 if is_same else 1
    PAGE.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
