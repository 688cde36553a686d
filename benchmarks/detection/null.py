"""Line 1: false alarms where nothing drifts, a model-month being 30 features x 720 windows.

20 numeric features, 8 categories of 6 values, 2 missing rates of 1 %. A feature that the default
gives to t-SR is tested on panes of a fiftieth of the reference, with the threshold that so many
panes a month ask for.
"""

from __future__ import annotations

import numpy as np

from benchmarks.detection.figures import FEATURES, PANES_A_MONTH, rate
from benchmarks.detection.monitor import PANES, SHORT, Default, PaneTest, RowTest
from benchmarks.detection.streams import Integers, Random, categories, deal, merge, numeric

NUMERIC, CATEGORIES, MISSING = 20, 8, 2
SHARES = (0.4, 0.25, 0.15, 0.1, 0.07, 0.03)
BATCH = 32


def default(rows: int, window: int, months: int, budget: float, seed: int) -> dict[str, float]:
    """False alarms of the shipped default; references of `rows`, windows of `window` rows."""
    events = 0
    for part in range(0, months, BATCH):
        rng = np.random.default_rng((seed, rows, window, part))
        events += _default(rng, rows, window, min(BATCH, months - part), budget)
    return rate(events, months)


def _default(rng: Random, rows: int, window: int, months: int, budget: float) -> int:
    reference, shares = numeric(rng, NUMERIC * months, rows)
    test = Default(deal(rng, reference, rows // SHORT))
    known, true = categories(rng, CATEGORIES * months, rows, SHARES)
    gone, rates = categories(rng, MISSING * months, rows, (0.99, 0.01))
    others = [(RowTest(known, False), true), (RowTest(gone, False), rates)]
    alarm_at = FEATURES * PANES_A_MONTH / budget
    events = 0
    for _ in range(PANES_A_MONTH):
        counts = rng.multinomial(window, shares[test.by_row])
        events += int(test.rows.step(counts, alarm_at).sum())
        for one, p in others:
            events += int(one.step(rng.multinomial(window, p), alarm_at).sum())
    fine = max(test.pane_rows, window // PANES)
    if fine == test.pane_rows and len(test.by_pane):
        panes = PANES_A_MONTH * window // fine
        for _ in range(panes):
            counts = rng.multinomial(fine, shares[test.by_pane])
            events += int(test.panes.step(counts, FEATURES * panes / budget).sum())
    return events


def panes(rows: int, window: int, months: int, budget: float, seed: int) -> dict[str, float]:
    """False alarms of t-SR alone: 30 numeric features, panes as long as windows."""
    events = 0
    for part in range(0, months, BATCH):
        rng = np.random.default_rng((seed, rows, window, part, 1))
        size = min(BATCH, months - part)
        reference, shares = numeric(rng, FEATURES * size, rows)
        test = PaneTest(deal(rng, reference, rows // window))
        for _ in range(PANES_A_MONTH):
            counts = rng.multinomial(window, shares)
            events += int(test.step(counts, FEATURES * PANES_A_MONTH / budget).sum())
    return rate(events, months)


def naive(rows: int, window: int, windows: int, seed: int) -> dict[str, dict[str, float]]:
    """Rules people use, on the same kind of stream: alarms per 1,000 windows of 30 features."""
    rng = np.random.default_rng((seed, rows, window, 2))
    reference, shares = numeric(rng, FEATURES, rows)
    past = merge(deal(rng, reference, rows // SHORT), max(1, window // SHORT))
    means = (past * np.arange(past.shape[2])).sum(axis=2) / past.sum(axis=2)
    centre, spread = means.mean(axis=0), means.std(axis=0, ddof=1)
    psi = three_sigma = 0
    for _ in range(windows):
        counts = rng.multinomial(window, shares)
        psi += int((_psi(counts, reference) > 0.1).sum())
        mean = (counts * np.arange(counts.shape[1])).sum(axis=1) / window
        three_sigma += int((np.abs(mean - centre) > 3.0 * spread).sum())
    months = windows / PANES_A_MONTH
    found = {"psi_0_1": psi, "three_sigma": three_sigma, "every_100th_window": windows // 100}
    return {
        name: {"per_1000_windows": events * 1000 / windows, **rate(events, months)}
        for name, events in found.items()
    }


def _psi(counts: Integers, reference: Integers) -> Integers:
    p = (counts + 0.5) / (counts.sum(axis=1, keepdims=True) + 10.0)
    q = (reference + 0.5) / (reference.sum(axis=1, keepdims=True) + 10.0)
    found: Integers = ((p - q) * np.log(p / q)).sum(axis=1)
    return found
