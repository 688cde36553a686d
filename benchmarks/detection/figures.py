"""What figures have in common: upper bounds of rates, and how many months were looked at."""

from __future__ import annotations

from scipy import stats

FEATURES = 30
PANES_A_MONTH = 720
STREAMS_A_MONTH = FEATURES * PANES_A_MONTH


def upper95(events: int, exposure: float) -> float:
    """Upper end of the exact one-sided 95% interval of a Poisson rate."""
    return float(stats.chi2.ppf(0.95, 2 * (events + 1)) / 2.0 / exposure)


def rate(events: int, exposure: float) -> dict[str, float]:
    """Return a rate with its bound and what it rests on."""
    return {
        "events": events,
        "months": exposure,
        "rate": events / exposure,
        "upper95": upper95(events, exposure),
    }
