"""Line 2: how soon a change is found; references of 10,000 independent rows, windows of 1,000."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from streamops.bench.figures import NEVER, Delays, Figures, alarm_at
from streamops.bench.shipped import Shipped
from streamops.bench.streams import Column, Live, Random, category, numeric, shifted

ROWS, WINDOW, WINDOWS = 10_000, 1_000, 12
BATCH = 500
BEFORE = (0.4, 0.25, 0.15, 0.1, 0.05, 0.05)
RAISED = 0.08


def _moved(mean: float, spread: float) -> Callable[[Random, str], tuple[Column, Column]]:
    def pair(rng: Random, name: str) -> tuple[Column, Column]:
        column = numeric(rng, name, ROWS)
        return column, shifted(column, mean, spread)

    return pair


def _category(rng: Random, name: str) -> tuple[Column, Column]:
    """One of six categories rises from 5 to 8%, the others fall alike."""
    column = category(rng, name, ROWS, BEFORE)
    rest = [p * (1.0 - RAISED) / (1.0 - BEFORE[-1]) for p in BEFORE[:-1]]
    return column, Column(column.profile, np.array([*rest, RAISED, 0.0, 0.0]))


def _missing(rng: Random, name: str) -> tuple[Column, Column]:
    """Missing values rise from 1 to 3%."""
    column = numeric(rng, name, ROWS, 0.01)
    there = column.shares[:-1] * (0.97 / 0.99)
    return column, Column(column.profile, np.append(there, 0.03))


CHANGES: dict[str, Callable[[Random, str], tuple[Column, Column]]] = {
    "mean_01": _moved(0.1, 1.0),
    "mean_025": _moved(0.25, 1.0),
    "mean_05": _moved(0.5, 1.0),
    "spread_15": _moved(0.0, 1.5**0.5),
    "sd_15": _moved(0.0, 1.5),
    "missing_1_3": _missing,
    "category_5_8": _category,
}


def delays(change: str, repetitions: int, seed: int) -> Figures:
    """Share found within one, two and three windows, and the median of rows.

    Each repetition has a reference of its own. spread_15 is a variance times 1.5.
    """
    found: Delays = np.concatenate(
        [
            _delays(np.random.default_rng((seed, list(CHANGES).index(change), part)), change, size)
            for part in range(0, repetitions, BATCH)
            for size in (min(BATCH, repetitions - part),)
        ]
    )
    within = {f"within_{k}": float((found <= k * WINDOW).mean()) for k in (1, 2, 3)}
    horizon = WINDOW * WINDOWS
    median = float(np.quantile(np.minimum(found, horizon), 0.5, method="higher"))
    return {**within, "median_rows": median, "repetitions": repetitions}


def _delays(rng: Random, change: str, count: int) -> Delays:
    pairs = [CHANGES[change](rng, str(number)) for number in range(count)]
    shipped, live = Shipped(before.profile for before, _ in pairs), Live([a for _, a in pairs])
    found, limit = np.full(count, NEVER), alarm_at()
    for window in range(1, WINDOWS + 1):
        for alarm in shipped.step(live.pane(rng, WINDOW), limit):
            at = int(alarm.feature)
            found[at] = min(found[at], window * WINDOW)
    return found
