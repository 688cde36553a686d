"""What MONITOR runs: from rows of a reference to its profile, its plan, and closed panes.

Unlike the other parts nothing is chosen here: how far rows depend on each other is measured on the
reference, and live panes are as long as they are, whatever panes the reference was cut into.
"""

from __future__ import annotations

import time

import numpy as np
from scipy.signal import lfilter

from benchmarks.detection.figures import FEATURES, PANES_A_MONTH, rate
from benchmarks.detection.streams import Floats, Random
from streamops.core import drift
from streamops.core.drift_plan import Plan, plan_of
from streamops.core.pane_rows import measure_rows, numeric_bins
from streamops.core.profile import numeric_profile
from streamops.values import FeatureProfile

LIMIT = 2.0 * FEATURES * PANES_A_MONTH


class Rows:
    """AR(1) normal rows of many features, [feature, row]."""

    def __init__(self, rng: Random, features: int, rho: float) -> None:
        self.rng, self.rho = rng, rho
        self.last = rng.standard_normal((features, 1))

    def take(self, rows: int) -> Floats:
        """Return the next rows."""
        noise = self.rng.standard_normal((len(self.last), rows)) * (1 - self.rho**2) ** 0.5
        found, _ = lfilter([1.0], [1.0, -self.rho], noise, zi=self.rho * self.last)
        self.last = found[:, -1:]
        return np.asarray(found, dtype=np.float64)


def profiles(values: Floats) -> tuple[FeatureProfile, ...]:
    """Return the columns' profiles as a trainer makes them."""
    found = []
    for number, column in enumerate(values):
        plain = numeric_profile(f"x{number}", column.tolist())
        rows = measure_rows(plain, numeric_bins(plain, column), len(values))
        found.append(FeatureProfile(**{**_fields(plain), "rows": rows}))
    return tuple(found)


def _fields(feature: FeatureProfile) -> dict[str, object]:
    return {name: getattr(feature, name) for name in feature.__struct_fields__}


def counted(plan: Plan, values: Floats, panes: int) -> list[list[tuple[int, ...]]]:
    """Return counts by pane and column, of equal panes."""
    by_column = []
    for feature, column in zip(plan.columns, values, strict=True):
        width = len(feature.counts)
        at = (
            numeric_bins(feature, column)
            + np.repeat(np.arange(panes), len(column) // panes) * width
        )
        by_column.append(np.bincount(at, minlength=panes * width).reshape(panes, width).tolist())
    return [[tuple(column[pane]) for column in by_column] for pane in range(panes)]


def months(rho: float, reference: int, window: int, count: int, seed: int) -> dict[str, float]:
    """False alarms of whole models, a month each, and the CPU time of a feature's pane."""
    events, by_pane, took = 0, 0, 0.0
    for month in range(count):
        rows = Rows(np.random.default_rng((seed, int(rho * 100), window, month)), FEATURES, rho)
        plan = plan_of(profiles(rows.take(reference)), None)
        by_pane += len(plan.by_pane)
        state = drift.initial(plan, "bench")
        panes = counted(plan, rows.take(window * PANES_A_MONTH), PANES_A_MONTH)
        began = time.process_time()
        for number, counts in enumerate(panes):
            state, read = drift.step(plan, state, counts, number, LIMIT)
            events += len(read.alarms)
        took += time.process_time() - began
    return {
        **rate(events, count),
        "by_pane": by_pane / (FEATURES * count),
        "us_a_feature_pane": took / (count * PANES_A_MONTH * FEATURES) * 1e6,
    }


def delay(
    rho: float, reference: int, window: int, shift: float, models: int, seed: int
) -> dict[str, float]:
    """Panes from a shift of every feature, after 30 clean panes, to its alarm."""
    found: list[float] = []
    for model in range(models):
        rows = Rows(np.random.default_rng((seed, 7, int(rho * 100), window, model)), FEATURES, rho)
        plan = plan_of(profiles(rows.take(reference)), None)
        state, first = drift.initial(plan, "bench"), dict[str, int]()
        panes = counted(plan, rows.take(30 * window), 30)
        panes += counted(plan, rows.take(60 * window) + shift, 60)
        for number, counts in enumerate(panes):
            state, read = drift.step(plan, state, counts, number, LIMIT)
            for alarm in read.alarms if number >= 30 else ():
                first.setdefault(alarm.feature, number - 29)
        found += [first.get(f.name, np.inf) for f in plan.columns]
    median, most = (float(np.quantile(found, q, method="higher")) for q in (0.5, 0.9))
    return {"median_panes": median if np.isfinite(median) else -1.0,
            "p90_panes": most if np.isfinite(most) else -1.0}  # fmt: skip
