"""Numbers and times as people read them: with their unit, and "insufficient data" for none."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from streamops.web.markup import Markup, tag

Unit = Literal["share", "distance", "ms", "s", "per_s", "label", "count"]

SHARES = frozenset(
    {"accuracy", "precision", "recall", "f1", "coverage", "error_rate", "late_rate", "fault_rate"}
    | {"missing_rate", "new_category_rate", "label_missing_rate", "score_missing_rate"}
    | {
        "adwin",
        "ddm",
        "page_hinkley",
        "sr_mixture",
        "bf_sr",
    }  # what a detector reports is the error rate
)
NAMES = {
    "psi": "PSI",
    "js": "JS",
    "kl": "KL",
    "ks": "KS",
    "chi2": "χ²",
    "chi2_p": "χ² p-value",
    "mae": "MAE",
    "rmse": "RMSE",
    "f1": "F1",
    "log_loss": "log loss",
    "wasserstein": "Wasserstein",
    "adwin": "ADWIN",
    "ddm": "DDM",
    "page_hinkley": "Page-Hinkley",
    "sr_mixture": "SR mixture",
    "bf_sr": "BF-SR",
    "drift": "drift evidence",
}
HUGE = 1e9  # evidence of a test can have hundreds of digits
THIN = "\u202f"  # a narrow space that doesn't break
NONE = tag("span", "insufficient data", class_="none")
TEXTS: dict[str, str] = {"ms": " ms", "s": " s", "per_s": " /s"}


def unit_of(metric: str) -> Unit:
    """Return a metric's unit by its name."""
    if metric in SHARES:
        return "share"
    if metric.endswith("_ms"):
        return "ms"
    if metric.endswith("_per_s"):
        return "per_s"
    if metric.endswith("_s"):
        return "s"
    return "label" if metric in ("mae", "rmse") else "distance"


def name_of(metric: str) -> str:
    """Return a metric's name as people read it."""
    for prefix in ("score_", "label_"):
        rest = metric.removeprefix(prefix)
        if rest != metric and rest in NAMES:
            return f"{prefix[:-1]} {NAMES[rest]}"
    plain = metric.removesuffix("_ms").removesuffix("_per_s").replace("_", " ")
    return NAMES.get(metric, plain)


def number(value: float | None, unit: str) -> str | Markup:
    """Return a number with its unit; "insufficient data" where there is none."""
    if value is None:
        return NONE
    if unit == "share":
        return f"{value * 100:.1f} %"
    if unit == "count":
        return count(int(value))
    digits = f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}".replace(",", THIN)
    if 0 < abs(value) < 0.01 or abs(value) >= HUGE:
        digits = f"{value:.2g}"
    return digits + TEXTS.get(unit, "")


def measured(metric: str, value: float | None) -> str | Markup:
    """Return a metric's value with its unit."""
    return number(value, unit_of(metric))


def count(value: int | None) -> str | Markup:
    """Return a count with its thousands apart."""
    return NONE if value is None else f"{value:,}".replace(",", THIN)


def moment(value: datetime | None) -> Markup:
    """Return a time, UTC, to the second."""
    if value is None:
        return tag("span", "–", class_="none")
    text = f"{value:%Y-%m-%d %H:%M}" if value.second == 0 else f"{value:%Y-%m-%d %H:%M:%S}"
    return tag("time", text, datetime=value.isoformat(), title=f"{value.isoformat()} (UTC)")


def span(start: datetime | None, end: datetime | None) -> str | Markup:
    """Return a window in words: its start and its length."""
    if start is None or end is None:
        return moment(start)
    return tag("span", moment(start), ", ", duration(end - start), " long")


def duration(value: timedelta) -> str:
    """Return a length of time in the largest unit that fits."""
    seconds = value.total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
