"""Line 3: rows that depend on each other (AR(1)); the reference is 50 panes of N rows."""

from __future__ import annotations

import numpy as np

from benchmarks.detection.figures import FEATURES, PANES_A_MONTH, STREAMS_A_MONTH, rate
from benchmarks.detection.monitor import PANES, SHORT, Default, PaneTest
from benchmarks.detection.streams import (
    CELLS,
    Chain,
    Integers,
    in_bins,
    merge,
    quantile_cells,
)

BATCH = 25


class Reference:
    """50 panes of a chain, as short panes of 20 rows, and the cells their bins begin at."""

    def __init__(self, chain: Chain, rows: int) -> None:
        short = [chain.histogram(SHORT).astype(np.int16) for _ in range(PANES * rows // SHORT)]
        total: Integers = np.zeros((len(chain.last), CELLS), dtype=np.int64)
        for one in short:
            total += one
        self.begins = quantile_cells(total)
        self.short = np.stack([in_bins(one, self.begins) for one in short])


def default_months(rho: float, rows: int, months: int, seed: int) -> dict[str, float]:
    """False alarms of the shipped default on panes of `rows`, and the share that e-SR takes."""
    events = by_row = 0
    for part in range(0, months, BATCH):
        size = min(BATCH, months - part)
        rng = np.random.default_rng((seed, int(rho * 100), rows, part))
        chain = Chain(rng, FEATURES * size, rho)
        reference = Reference(chain, rows)
        test = Default(reference.short)
        by_row += len(test.by_row)
        for _ in range(PANES_A_MONTH):
            counts = in_bins(chain.histogram(rows), reference.begins)
            events += int(test.panes.step(counts[test.by_pane], STREAMS_A_MONTH).sum())
            if len(test.by_row):
                events += int(test.rows.step(counts[test.by_row], STREAMS_A_MONTH).sum())
    return {**rate(events, months), "by_row": by_row / (FEATURES * months)}


def delay(
    rho: float, rows: int, shift: float, features: int, panes: int, seed: int, clean: int = 0
) -> dict[str, float]:
    """Rows from a shift to t-SR's alarm: median and nine tenths, -1 for never.

    clean  live panes before the shift: it then falls between starts, as it does in life
    """
    rng = np.random.default_rng((seed, int(rho * 100), rows, int(shift * 100), clean))
    chain = Chain(rng, features, rho)
    reference = Reference(chain, rows)
    test = PaneTest(merge(reference.short, rows // SHORT))
    for _ in range(clean):
        test.step(in_bins(chain.histogram(rows), reference.begins), STREAMS_A_MONTH)
    found = np.full(features, np.inf)
    for pane in range(1, panes + 1):
        counts = in_bins(chain.histogram(rows, shift), reference.begins)
        alarms = test.step(counts, STREAMS_A_MONTH)
        found[(alarms > 0) & np.isinf(found)] = pane * rows
    median, most = (float(np.quantile(found, q, method="higher")) for q in (0.5, 0.9))
    return {
        "median_rows": -1.0 if np.isinf(median) else median,
        "p90_rows": -1.0 if np.isinf(most) else most,
    }
