"""Recorded runs of the bench in the manual: the table of lines, cells, and pictures.

`python -m docs.build --bench DETAILS.json` records one in docs/detection.json.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from streamops.bench import errors, tasks
from streamops.bench.detection import Measured
from streamops.bench.lines import lines
from streamops.bench.plots import plots
from streamops.bench.result import cell

DOCS = Path(__file__).parent
RECORDED = DOCS / "detection.json"
PICTURES = DOCS / "explanation"
RISE_LAST = tasks.RISES[-1]


def record(details: Path) -> None:
    """Keep a run's details: what the manual shows is made of them."""
    found = read(details)
    RECORDED.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")


def read(file: Path = RECORDED) -> Measured:
    """Return a run's details."""
    return msgspec.json.decode(file.read_bytes(), type=Measured)


def pictures() -> dict[Path, str]:
    """Return each plot of the recorded run and its text."""
    return {PICTURES / f"detection-{name}.svg": text for name, text in plots(read().parts)}


def line_table() -> str:
    """Return the table of lines: asked, measured, holds."""
    found = read()
    if found.result is None:
        known = ", ".join(part for part in tasks.PARTS if part in found.parts)
        return f"The recorded run is not whole: it has figures of {known}."
    rows = ["| line | what | asked | measured | holds |", "|---|---|---|---|---|"]
    for one in lines(found.result):
        holds = "yes" if one.holds else "**no**"
        rows.append(f"| {one.line} | {one.what} | {one.asked} | {one.shown} | {holds} |")
    alone = found.parts["cost"]["feature_pane"]
    worse = max(alone["independent"], alone["correlated"])
    rows.append(f"| 6 | CPU us a feature-pane of a lone model | | {worse:.3g} | |")
    return "\n".join([*rows, "", _made_of(found)])


def _made_of(found: Measured) -> str:
    took = sum(found.parts.get("cpu_s", {}).values()) / 60.0
    libraries = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    return (
        f"Seed {found.seed}, {took:.0f} minutes of CPU time on {found.machine['cores']} cores "
        f"(load over 15 minutes {found.machine['load_15_minutes']:.1f}); {libraries}. "
        f"Default `{found.result.config_hash[:12] if found.result else ''}`."
    )


def null_table() -> str:
    """Return false alarms by cell, each with its own bound."""
    found = read().parts["null"]
    rows = [
        "| reference rows | window | budget | months | alarms | a month | upper 95% |",
        "|---|---|---|---|---|---|---|",
    ]
    for one, budget in ((c, "1") for c in tasks.CELLS):
        rows.append(_null_row(found, one, budget, ""))
    for one in tasks.TENTH:
        rows.append(_null_row(found, one, "0.1", "_tenth"))
    return "\n".join(rows)


def _null_row(found: dict[str, Any], one: tuple[int, int], budget: str, suffix: str) -> str:
    rate = cell(found, f"{one[0]}x{one[1]}{suffix}")
    return (
        f"| {one[0]:,} | {one[1]:,} | {budget} | {rate['months']:.0f} | {rate['events']:.0f} "
        f"| {rate['rate']:.3f} | {rate['upper95']:.3f} |"
    )


def correlated_table() -> str:
    """Return false alarms and delays by rho."""
    found = read().parts["correlated"]
    rows = [
        "| rho | rows of a pane | alarms (months; upper 95%) | by t-SR | +.25 sd | +.5 sd |",
        "|---|---|---|---|---|---|",
    ]
    for name, rate in found.items():
        if name.startswith("months_"):
            _, rho, window = name.split("_")
            alarms = f"{rate['events']:.0f} ({rate['months']:.0f}; {rate['upper95']:.2f})"
            delays = " | ".join(
                _delay(found.get(f"delay_{rho}_{window}_{shift}")) for shift in ("0.25", "0.5")
            )
            rows.append(
                f"| {rho} | {int(window):,} | {alarms} | {rate['by_pane']:.2f} | {delays} |"
            )
    return "\n".join(rows)


def _delay(figures: dict[str, Any] | None) -> str:
    if figures is None:
        return ""
    least = ">= " if figures["found"] < 0.5 else ""
    return f"{least}{figures['median_rows']:,.0f} ({figures['p90_rows']:,.0f})"


def power_table() -> str:
    """Return how soon each change is found."""
    rows = ["| change | 1 | 2 | 3 | rows |", "|---|---|---|---|---|"]
    for name, f in read().parts["power"].items():
        within = " | ".join(f"{f[f'within_{k}']:.3f}" for k in (1, 2, 3))
        rows.append(f"| {name} | {within} | {f['median_rows']:,.0f} |")
    return "\n".join(rows)


def error_table() -> str:
    """Return false alarms and delays of error tests, and of river's detectors."""
    found = read().parts["errors"]
    tests = [t for t in errors.TESTS if f"{t}_{RISE_LAST[0]}_{RISE_LAST[1]}" in found]
    rows = [
        "| | false at .05, .2, .3 | errors in runs | .2→.3 | .1→.3 | .2→.25 |",
        "|---|---|---|---|---|---|",
    ]
    for test in tests:
        false = ", ".join(f"{found[f'{test}_{rate}']['per_100k']:.3g}" for rate in tasks.RATES)
        runs = f"{found[f'{test}_markov']['per_100k']:.3g}"
        delays = " | ".join(_outcomes(found[f"{test}_{a}_{b}"]) for a, b in tasks.RISES)
        rows.append(f"| {test.replace('_', ' ')} | {false} | {runs} | {delays} |")
    return "\n".join(rows)


def _outcomes(figures: dict[str, Any]) -> str:
    least = ">= " if figures["found"] < 0.5 else ""
    early = f", {figures['early']:.0f} before" if figures["early"] else ""
    return f"{least}{figures['median_outcomes']:,.0f} ({figures['p90_outcomes']:,.0f}){early}"


def alert_table() -> str:
    """Return alerts of recorded tables in their own order."""
    rows = [
        "| table | row | column | stream | test | direction | mean, sd of the reference |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*rows, *_alert_rows(read().parts.get("real", {}))])


def _alert_rows(real: dict[str, Any]) -> Iterator[str]:
    for name, figures in real.items():
        for a in figures.get("alerts", ()):
            gap = "" if a["mean_sd"] is None else f"{a['mean_sd']:+.2f}"
            yield (
                f"| {name.replace('_', ' ')} | {a['row']:,} | {a['feature']} | {a['stream']} "
                f"| {a['test']} | {a['direction']} | {gap} |"
            )
