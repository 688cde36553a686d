"""Line 1: false alarms where nothing drifts, a model-month being 30 features x 720 windows.

A model has 20 continuous columns, 2 with 1% of their values missing, and 8 columns of six
categories; 60 streams in all, as in service.
"""

from __future__ import annotations

import numpy as np

from streamops.bench.figures import FEATURES, PANES_A_MONTH, Figures, alarm_at, rate
from streamops.bench.shipped import Shipped
from streamops.bench.streams import Column, Floats, Live, Random, category, numeric
from streamops.core.statistics import psi

NUMERIC, HOLED, CATEGORIES = 20, 2, 8
SHARES = (0.4, 0.25, 0.15, 0.1, 0.07, 0.03)
MISSING = 0.01
BATCH = 32


def model(rng: Random, rows: int, number: int = 0) -> list[Column]:
    """Return the columns of a model whose reference has `rows` rows."""
    return [
        *(numeric(rng, f"{number}/n{k}", rows) for k in range(NUMERIC)),
        *(numeric(rng, f"{number}/h{k}", rows, MISSING) for k in range(HOLED)),
        *(category(rng, f"{number}/c{k}", rows, SHARES) for k in range(CATEGORIES)),
    ]


def months(rows: int, window: int, count: int, budget: float, seed: int) -> Figures:
    """False alarms of what is shipped, `count` months; references of `rows`, windows of `window`.

    Never more than BATCH months at a time: a month each of as many models.
    """
    events, limit = 0, alarm_at(budget=budget)
    for part in range(0, count, BATCH):
        rng = np.random.default_rng((seed, rows, window, part, round(budget * 10)))
        models = range(min(BATCH, count - part))
        columns = [column for number in models for column in model(rng, rows, number)]
        shipped, live = Shipped(column.profile for column in columns), Live(columns)
        for _ in range(PANES_A_MONTH):
            events += len(shipped.step(live.pane(rng, window), limit))
    return rate(events, count)


def rules(rows: int, window: int, windows: int, seed: int) -> dict[str, Figures]:
    """Rules that people use, on continuous columns: alarms per 1,000 windows of 30 features."""
    rng = np.random.default_rng((seed, rows, window, 2))
    columns = [numeric(rng, f"n{k}", rows) for k in range(FEATURES)]
    live = Live(columns)
    past = np.array([np.array(live.pane(rng, window)) for _ in range(max(2, rows // window))])
    means = _means(past)
    centre, spread = means.mean(axis=0), means.std(axis=0, ddof=1)
    events = {"psi_0_1": 0, "psi_0_2": 0, "three_sigma": 0, "every_100th_window": windows // 100}
    for _ in range(windows):
        counts = live.pane(rng, window)
        known = zip(counts, columns, strict=True)
        values = [psi(c, column.profile.counts) or 0.0 for c, column in known]
        events["psi_0_1"] += sum(1 for value in values if value > 0.1)
        events["psi_0_2"] += sum(1 for value in values if value > 0.2)
        gaps = np.abs(_means(np.array(counts)) - centre)
        events["three_sigma"] += int((gaps > 3.0 * spread).sum())
    return {
        name: {"per_1000_windows": n * 1000 / windows, **rate(n, windows / PANES_A_MONTH)}
        for name, n in events.items()
    }


def _means(counts: Floats) -> Floats:
    """Mean bin of a pane's rows."""
    found: Floats = (counts * np.arange(counts.shape[-1])).sum(axis=-1) / counts.sum(axis=-1)
    return found
