"""Line 2: how soon a shift is found; references of 10,000 independent rows, windows of 1,000."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.figures import STREAMS_A_MONTH
from benchmarks.detection.monitor import SHORT, Default, PaneTest, RowTest
from benchmarks.detection.streams import Floats, Random, categories, deal, merge, numeric, shifted

ROWS, WINDOW, WINDOWS = 10_000, 1_000, 12
NEVER = 1 << 40
SHIFTS = {
    "mean_01": (0.1, 1.0),
    "mean_025": (0.25, 1.0),
    "mean_05": (0.5, 1.0),
    "spread_15_variance": (0.0, 1.5**0.5),
    "spread_15": (0.0, 1.5),
}
Delays = NDArray[np.int64]


def numeric_delays(shift: tuple[float, float], repetitions: int, seed: int) -> Delays:
    """Rows from the shift to the default's alarm, one a repetition."""
    rng = np.random.default_rng((seed, *np.array(shift).view(np.uint64).tolist()))
    reference, shares = numeric(rng, repetitions, ROWS)
    short = deal(rng, reference, ROWS // SHORT)
    return default_delays(rng, short, shifted(shares, *shift))


def default_delays(rng: Random, short: NDArray[np.int64], live: Floats) -> Delays:
    """Rows to the default's alarm, of the test that each feature's reference allows."""
    test = Default(short)
    delays = np.full(len(live), NEVER)
    for window in range(1, WINDOWS + 1):
        alarms = test.rows.step(rng.multinomial(WINDOW, live[test.by_row]), STREAMS_A_MONTH)
        _note(delays, test.by_row, alarms, window * WINDOW)
    fine = test.pane_rows
    for pane in range(1, WINDOWS * WINDOW // fine + 1):
        counts = rng.multinomial(fine, live[test.by_pane])
        alarms = test.panes.step(counts, STREAMS_A_MONTH * WINDOW / fine)
        _note(delays, test.by_pane, alarms, pane * fine)
    return delays


def pane_delays(shift: tuple[float, float], fine: int, repetitions: int, seed: int) -> Delays:
    """Rows to an alarm of t-SR alone, on panes of `fine` rows."""
    rng = np.random.default_rng((seed, fine, *np.array(shift).view(np.uint64).tolist()))
    reference, shares = numeric(rng, repetitions, ROWS)
    live = shifted(shares, *shift)
    test = PaneTest(merge(deal(rng, reference, ROWS // SHORT), fine // SHORT))
    delays, everyone = np.full(repetitions, NEVER), np.arange(repetitions)
    for pane in range(1, WINDOWS * WINDOW // fine + 1):
        alarms = test.step(rng.multinomial(fine, live), STREAMS_A_MONTH * WINDOW / fine)
        _note(delays, everyone, alarms, pane * fine)
    return delays


def category_delays(
    before: tuple[float, ...], after: tuple[float, ...], repetitions: int, seed: int
) -> Delays:
    """Rows from a change of category shares to e-SR's alarm."""
    rng = np.random.default_rng((seed, len(before)))
    reference, _ = categories(rng, repetitions, ROWS, before)
    test, live = RowTest(reference, False), np.repeat(np.array([after]), repetitions, axis=0)
    delays, everyone = np.full(repetitions, NEVER), np.arange(repetitions)
    for window in range(1, WINDOWS + 1):
        alarms = test.step(rng.multinomial(WINDOW, live), STREAMS_A_MONTH)
        _note(delays, everyone, alarms, window * WINDOW)
    return delays


def _note(delays: Delays, which: NDArray[np.int64], alarms: NDArray[np.int64], rows: int) -> None:
    first = which[(alarms > 0) & (delays[which] == NEVER)]
    delays[first] = rows


def summary(delays: Delays) -> dict[str, float]:
    """Share found within one, two and three windows, and the median of rows (-1: never)."""
    within = {f"within_{k}": float((delays <= k * WINDOW).mean()) for k in (1, 2, 3)}
    middle = float(np.median(delays))
    return {**within, "median_rows": middle if middle < NEVER else -1.0}


def measure(repetitions: int, seed: int) -> dict[str, dict[str, float]]:
    """All rows of line 2, and t-SR alone on panes of 200, 100 and 40 rows beside them."""
    found = {k: summary(numeric_delays(v, repetitions, seed)) for k, v in SHIFTS.items()}
    for name in ("mean_025", "spread_15_variance"):
        for fine in (200, 100, 40):
            delays = pane_delays(SHIFTS[name], fine, repetitions, seed)
            found[f"{name}_tsr_{fine}"] = summary(delays)
    rest = (0.4, 0.25, 0.15, 0.1, 0.05, 0.05)
    lifted = (*(p * 0.92 / 0.95 for p in rest[:5]), 0.08)
    found["category_5_8"] = summary(category_delays(rest, lifted, repetitions, seed))
    missing = category_delays((0.99, 0.01), (0.97, 0.03), repetitions, seed)
    found["missing_1_3"] = summary(missing)
    return found
