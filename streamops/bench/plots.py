"""Plots of a run as SVG files: alarms beside other rules, how soon shifts are found, and delays.

Rule 1: a bar's length is a logarithm where figures span decades, and its figure stands beside it.
Rule 2: what was not measured has no bar.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from streamops.bench.figures import PANES_A_MONTH
from streamops.bench.result import Parts, cell
from streamops.bench.tasks import BESIDE
from streamops.web.markup import Markup, tag

WIDTH, LEFT, RIGHT, BAR, GAP, TOP = 760, 270, 90, 18, 8, 34
STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .title { font-weight: 600 } .ours { fill: #0072b2 } .theirs { fill: #d55e00 }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }
"""


class Bar(NamedTuple):
    """One figure. shown: its text; ours: the colour."""

    label: str
    value: float
    shown: str
    ours: bool = True


def plots(parts: Parts) -> Iterator[tuple[str, str]]:
    """Yield (name, SVG) of each plot whose parts were measured."""
    if {"null", "others"} <= parts.keys() and _has_beside(parts):
        title = "Alarms in 1,000 windows of 30 features, nothing drifts (logarithmic)"
        yield "alarms", str(chart(title, list(_alarms(parts)), is_log=True))
    if "power" in parts:
        title = "Share of changes found in the first pane of 1,000 rows, reference of 10,000"
        bars = [
            Bar(name, found["within_1"], f"{found['within_1']:.3f}")
            for name, found in parts["power"].items()
        ]
        yield "power", str(chart(title, bars, is_log=False))
    if "correlated" in parts:
        title = "Rows to find a shift, median; AR(1) rows, reference of 50 panes (logarithmic)"
        yield "rows", str(chart(title, list(_rows(parts["correlated"])), is_log=True))
    if "errors" in parts:
        title = "Outcomes to find an error rate going from .2 to .3, median (logarithmic)"
        yield "errors", str(chart(title, list(_errors(parts["errors"])), is_log=True))


def _has_beside(parts: Parts) -> bool:
    rows, window = BESIDE
    return f"{rows}x{window}/0" in parts["null"] and "evidently" in parts["others"]


def _alarms(parts: Parts) -> Iterator[Bar]:
    rows, window = BESIDE
    ours = cell(parts["null"], f"{rows}x{window}")["upper95"] * 1000 / PANES_A_MONTH
    yield Bar("streamops, upper 95% bound", ours, f"{ours:.2g}")
    for name in ("evidently", "nannyml"):
        if name in parts["others"]:
            value = parts["others"][name]["per_1000_windows"]
            yield Bar(f"{name}, its defaults", value, f"{value:,.0f}", False)
    for name, found in parts["null"].items():
        if name.startswith("rules_"):
            window_rows = name.partition("x")[2]
            for rule, figures in found.items():
                value = figures["per_1000_windows"]
                label = f"{rule.replace('_', ' ')}, {int(window_rows):,} rows"
                yield Bar(label, value, f"{value:,.0f}", False)


def _rows(found: dict[str, Any]) -> Iterator[Bar]:
    for name, figures in found.items():
        if name.startswith("delay_"):
            _, rho, window, shift = name.split("_")
            value = figures["median_rows"]
            label = f"rho {rho}, panes of {int(window):,}, +{shift} sd"
            yield Bar(label, value, f"{value:,.0f}")


def _errors(found: dict[str, Any]) -> Iterator[Bar]:
    for name, figures in found.items():
        test = name.removesuffix("_0.2_0.3")
        if test != name and f"{test}_0.2" in found:
            value = figures["median_outcomes"]
            false = found[f"{test}_0.2"]["per_100k"]
            label = f"{test.replace('_', ' ')} ({false:.3g} false in 100,000)"
            yield Bar(label, value, f"{value:,.0f}", not test.startswith(("river", "every")))


def chart(title: str, bars: list[Bar], *, is_log: bool) -> Markup:
    """Return bars as a picture; a value of 0 has no bar."""
    height = TOP + len(bars) * (BAR + GAP) + GAP
    most = max((_length(bar.value, is_log) for bar in bars), default=0.0) or 1.0
    room = WIDTH - LEFT - RIGHT
    rows = []
    for number, bar in enumerate(bars):
        y = TOP + number * (BAR + GAP)
        width = round(_length(bar.value, is_log) / most * room, 1)
        looks = "ours" if bar.ours else "theirs"
        rows += [
            tag("text", bar.label, x=LEFT - 8, y=y + BAR - 5, text_anchor="end"),
            tag("rect", x=LEFT, y=y, width=width, height=BAR, class_=looks),
            tag("text", bar.shown, x=LEFT + width + 6, y=y + BAR - 5),
        ]
    return tag(
        "svg",
        tag("style", Markup(STYLE)),
        tag("title", title),
        tag("text", title, x=8, y=20, class_="title"),
        rows,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
    )


def _length(value: float, is_log: bool) -> float:
    # From a hundredth up: less is as good as nothing in these figures.
    return max(math.log10(max(value, 0.01)) + 2.0, 0.0) if is_log else max(value, 0.0)
