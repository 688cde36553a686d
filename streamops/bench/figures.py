"""What figures have in common: rates with their upper bounds, delays with their quantiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FEATURES = 30
PANES_A_MONTH = 720
# In service a feature's values and whether it has any are a stream each.
STREAMS = 2 * FEATURES
NEVER = np.inf

Figures = dict[str, float]
Delays = NDArray[np.float64]


def alarm_at(panes_a_month: int = PANES_A_MONTH, budget: float = 1.0) -> float:
    """Return A of a model of 30 features that accepts `budget` false alarms a month."""
    return STREAMS * panes_a_month / budget


def upper95(events: int, exposure: float) -> float:
    """Return the upper end of the exact one-sided 95% interval of a Poisson rate."""
    return float(stats.chi2.ppf(0.95, 2 * (events + 1)) / 2.0 / exposure)


def rate(events: int, exposure: float) -> Figures:
    """Return a rate with its bound and what it rests on; exposure is in model-months."""
    return {
        "events": events,
        "months": exposure,
        "rate": events / exposure,
        "upper95": upper95(events, exposure),
    }


def add_rates(parts: list[Figures]) -> Figures:
    """Return the rate of several shares of one cell, measured apart."""
    return rate(int(sum(p["events"] for p in parts)), sum(p["months"] for p in parts))


def delay_figures(delays: Delays, horizon: float, unit: str = "rows") -> Figures:
    """Return median and nine tenths, as order statistics; what was never found is at the horizon.

    found  share of the changes that were found at all: below .5 the median is a lower bound
    """
    capped = np.minimum(delays, horizon)
    median, most = (float(np.quantile(capped, q, method="higher")) for q in (0.5, 0.9))
    return {
        f"median_{unit}": median,
        f"p90_{unit}": most,
        "found": float(np.isfinite(delays).mean()),
        "runs": len(delays),
    }
