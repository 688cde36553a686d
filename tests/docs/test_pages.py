"""The manual: links resolve, pages are found, what is generated is up to date."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from streamops import metrics
from streamops.operate.services import SERVICES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
VARIABLE = re.compile(r"\bSTREAMOPS_[A-Z_]+\b")
# Read by tests and by the continuous integration only.
NOT_FOR_USERS = {"STREAMOPS_SEEDS", "STREAMOPS_REQUIRE_BROWSER", "STREAMOPS_SHARED_CLASSES"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def links(page: Path) -> Iterator[str]:
    """Links of a page to other files of the project, and to its own headings."""
    for target in LINK.findall(prose(page)):
        if not target.startswith(("http://", "https://", "mailto:")):
            yield target


def anchors(page: Path) -> set[str]:
    """Headings as links name them: lower case, words joined by hyphens."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def is_broken(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    found = (page.parent / path).resolve() if path else page
    if not found.exists():
        return True
    return bool(anchor) and anchor not in anchors(found)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    assert [target for target in links(page) if is_broken(page, target)] == []


@pytest.mark.parametrize("target", ["nowhere.md", "README.md#no-such-heading"])
def test_a_broken_link_would_be_seen(target):
    assert is_broken(ROOT / "README.md", target)


def test_every_page_is_found_from_the_index():
    index = DOCS / "index.md"
    listed = {(DOCS / target.partition("#")[0]).resolve() for target in links(index)}
    assert {
        name(p) for p in DOCS.rglob("*.md") if p != index and p.resolve() not in listed
    } == set()


def test_what_is_generated_is_up_to_date():
    checked = subprocess.run(
        [sys.executable, "-m", "docs.build", "--check"], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_variable_of_the_environment_is_documented():
    sources = [*(ROOT / "streamops").rglob("*.py"), ROOT / "docker-compose.yml"]
    used = {found for source in sources for found in VARIABLE.findall(source.read_text())}
    page = (DOCS / "reference" / "configuration.md").read_text()
    assert used - NOT_FOR_USERS == set(VARIABLE.findall(page))


def test_every_prometheus_name_that_is_used_exists():
    known = set(get_args(metrics.Name))
    used = set()
    for file in [*PAGES, *(ROOT / "deploy").rglob("*.json")]:
        for found in re.findall(r"\bstreamops_[a-z_]+\b", file.read_text()):
            used.add(found)
    parts = {f"{name}{part}" for name in known for part in ("_bucket", "_sum", "_count")}
    assert used <= known | parts
    assert known <= used


def test_every_service_has_its_row():
    page = (DOCS / "reference" / "processes.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert rows == list(SERVICES)


def test_decisions_are_numbered_and_say_why():
    files = sorted((DOCS / "decisions").glob("*.md"))
    # Numbers are given out before they are written: one may be missing, none stands twice.
    numbers = [int(f.name[:3]) for f in files]
    assert numbers == sorted(set(numbers))
    for file in files:
        text = file.read_text()
        assert text.startswith(f"# {file.name[:3]}: "), file.name
        for part in ("**Context.**", "**Decision.**", "**Consequences.**"):
            assert part in text, f"{file.name} lacks {part}"


def test_every_library_has_a_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        required += extra
    page = (DOCS / "decisions" / "002-libraries.md").read_text()
    rows = [row.split("|")[1] for row in page.splitlines() if row.startswith("| ")]
    explained = {name for row in rows for name in row.strip().split(", ")}
    assert {re.split(r"[><=]", one)[0] for one in required} <= explained


def test_the_readme_is_short_and_shows_a_run():
    text = (ROOT / "README.md").read_text()
    shown = text[text.index("<!-- demo-output -->") : text.index("<!-- /demo-output -->")]
    assert len(text.splitlines()) < 160
    assert "alerts recomputed from the archive" in shown
