"""Bring the generated parts of the documentation up to date.

    python -m docs.build [--check]                            pages, blocks and the picture
    python -m docs.build --demo .streamops/demo/summary.json  the demo's output in README.md
    python -m docs.build --results NAME=SUMMARY.json ...      rows of docs/reference/results.md
    python -m docs.build --bench build/bench-detection.details.json  docs/explanation/detection.md

A generated block of a page stands between `<!-- NAME -->` and `<!-- /NAME -->`; the rest of the
page is written by hand. With --check nothing is written, and stale files are named.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console

from docs import bench, loop, tables
from streamops import schemas
from streamops.commands import reference as commands
from streamops.operate.summary import Summary, print_summary
from streamops.views import reference as views

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results.json"
DEMO = "demo-output"
WIDTH = 96
# What is left of 45,312 rows after the training tenth.
DEMO_ROWS = 40_781


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table of results: a summary without its list of alerts."""

    rows: int
    panes: int
    alerts: dict[str, int]
    requested: int
    promoted: int
    refused: int
    metric: str
    first_model: float
    operated: float
    previous_label: float
    verified: bool
    seconds: float
    peak_pss_mb: int


def result_of(summary: Summary) -> Result:
    """Reduce a summary to its row."""
    retrains, score = summary.retrains, summary.score
    return Result(
        rows=summary.rows,
        panes=summary.panes,
        alerts=dict(sorted(Counter(alert.kind for alert in summary.alerts).items())),
        requested=retrains.requested,
        promoted=retrains.promoted,
        refused=retrains.refused,
        metric=score.metric,
        first_model=score.first_model,
        operated=score.operated,
        previous_label=score.previous_label,
        verified=summary.verified.ok,
        seconds=summary.seconds,
        peak_pss_mb=summary.peak_pss_mb,
    )


def read_results() -> dict[str, Result]:
    """Return the recorded rows by table."""
    if not RESULTS.exists():
        return {}
    return msgspec.json.decode(RESULTS.read_bytes(), type=dict[str, Result])


def results_table() -> str:
    """Return the table of results."""
    lines = [
        (
            "| table | rows streamed | panes | alerts | retrains asked / promoted / refused "
            "| first model left alone | as operated | previous label | verified |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, found in sorted(read_results().items()):
        kinds = ", ".join(f"{n} {kind}" for kind, n in found.alerts.items()) or "none"
        lines.append(
            f"| {name} | {found.rows:,} | {found.panes} | {kinds} "
            f"| {found.requested} / {found.promoted} / {found.refused} "
            f"| {found.first_model:.4f} | **{found.operated:.4f}** | {found.previous_label:.4f} "
            f"| {'every alert' if found.verified else 'NO'} |"
        )
    return "\n".join(lines)


def demo_output(summary: Summary) -> str:
    """Return what the demo prints at its end, as a code block."""
    out = io.StringIO()
    console = Console(file=out, width=WIDTH, color_system=None)
    print_summary(summary, console, where=".streamops/demo", command=".venv/bin/streamops")
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    part = f"(This run played {summary.rows:,} of {DEMO_ROWS:,} rows only.)\n\n"
    note = "" if summary.rows == DEMO_ROWS else part
    return f"{note}```text\n" + "\n".join(lines) + "\n```"


BLOCKS: dict[str, Callable[[], str]] = {
    "model-config": tables.model_config,
    "settings": tables.settings,
    "prometheus": tables.prometheus,
    "simulate-options": tables.simulate_options,
    "simulate-summary": tables.simulate_summary,
    "simulate-defaults": tables.simulate_defaults,
    "results": results_table,
    "bench-lines": bench.line_table,
    "bench-null": bench.null_table,
    "bench-power": bench.power_table,
    "bench-correlated": bench.correlated_table,
    "bench-errors": bench.error_table,
    "bench-alerts": bench.alert_table,
}


def pages() -> list[Path]:
    """Return every Markdown page of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def with_block(text: str, name: str, body: str) -> str:
    """Return the text with the block's body replaced, where it has one."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    return pattern.sub(lambda _: f"{begin}\n{body}\n{end}", text)


def filled(text: str) -> str:
    """Return a page with every generated block as it should be."""
    for name, body in BLOCKS.items():
        if f"<!-- {name} -->" in text:
            text = with_block(text, name, body())
    return text


def generated() -> dict[Path, str]:
    """Return every generated file, or page with generated blocks, and its text."""
    found = {ROOT / path: text for path, text in schemas.generated().items()}
    found[ROOT / "docs" / "reference" / "cli.md"] = commands.page()
    found[ROOT / "docs" / "reference" / "views.md"] = views.page()
    found[ROOT / "docs" / "loop.svg"] = loop.draw()
    found |= bench.pictures()
    for page in pages():
        text = page.read_text()
        if page not in found and (whole := filled(text)) != text:
            found[page] = whole
    return found


def stale() -> list[Path]:
    """Return generated files that are not as they should be."""
    return [p for p, text in generated().items() if not p.exists() or p.read_text() != text]


def refresh_demo(file: Path) -> None:
    """Put a run's output into the README."""
    summary = msgspec.json.decode(file.read_bytes(), type=Summary)
    readme = ROOT / "README.md"
    readme.write_text(with_block(readme.read_text(), DEMO, demo_output(summary)))


def record_results(given: list[str]) -> None:
    """Record rows given as NAME=SUMMARY.json."""
    found = read_results()
    for one in given:
        name, _, file = one.partition("=")
        summary = msgspec.json.decode(Path(file).read_bytes(), type=Summary)
        found[name] = result_of(summary)
    text = msgspec.json.format(msgspec.json.encode(dict(sorted(found.items()))), indent=1)
    RESULTS.write_bytes(text + b"\n")


def main(arguments: list[str]) -> int:
    """Run as a command; exit status 1 for stale files under --check."""
    parser = argparse.ArgumentParser(prog="python -m docs.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, name stale files")
    parser.add_argument("--demo", type=Path, help="summary.json of the demo, for README.md")
    parser.add_argument("--results", nargs="+", default=[], help="NAME=SUMMARY.json")
    parser.add_argument("--bench", type=Path, help="details of a run of the detection's bench")
    options = parser.parse_args(arguments)
    if options.check:
        found = stale()
        for path in found:
            print(f"{path.relative_to(ROOT)} is stale; run python -m docs.build")
        return int(bool(found))
    if options.demo:
        refresh_demo(options.demo)
    if options.bench:
        bench.record(options.bench)
    record_results(options.results)
    for path, text in generated().items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
