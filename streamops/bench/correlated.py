"""Line 3: rows that depend on each other (AR(1)); the reference is 50 panes of N rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from streamops.bench.figures import (
    FEATURES,
    NEVER,
    PANES_A_MONTH,
    Figures,
    alarm_at,
    delay_figures,
    rate,
)
from streamops.bench.shipped import Shipped
from streamops.bench.streams import Chain, Counts, measured, panes_of
from streamops.core.pane_rows import numeric_bins

REFERENCE_PANES = 50
CLEAN, AFTER = 30, 60
BATCH = 8
# Panes whose rows are made at a time: rows take memory.
AT_ONCE = 24


class Model:
    """Columns of a chain, their reference read, and the tests that it allows."""

    def __init__(self, rho: float, rows: int, columns: int, seed: tuple[int, ...]) -> None:
        self.chain = Chain(np.random.default_rng(seed), columns, rho)
        self.rows = rows
        reference = self.chain.take(REFERENCE_PANES * rows)
        self.profiles = [measured(str(at), values) for at, values in enumerate(reference)]
        self.shipped = Shipped(self.profiles)

    def panes(self, count: int, shift: float = 0.0) -> Iterator[Counts]:
        """Yield the next panes."""
        for part in range(0, count, AT_ONCE):
            rows = self.chain.take(min(AT_ONCE, count - part) * self.rows) + shift
            bins = [numeric_bins(p, v) for p, v in zip(self.profiles, rows, strict=True)]
            yield from panes_of(bins, self.shipped.widths, self.rows)


def months(rho: float, rows: int, count: int, seed: int) -> Figures:
    """False alarms of what is shipped on panes of `rows`, and the share that t-SR takes."""
    events, by_pane, limit = 0, 0, alarm_at()
    for part in range(0, count, BATCH):
        columns = FEATURES * min(BATCH, count - part)
        model = Model(rho, rows, columns, (seed, round(rho * 100), rows, part))
        by_pane += len(model.shipped.plan.by_pane)
        for counts in model.panes(PANES_A_MONTH):
            events += len(model.shipped.step(counts, limit))
    return {**rate(events, count), "by_pane": by_pane / (FEATURES * count)}


def delays(rho: float, rows: int, shift: float, columns: int, seed: int) -> Figures:
    """Rows from a shift, after 30 clean panes, to each column's alarm."""
    model = Model(rho, rows, columns, (seed, 7, round(rho * 100), rows, round(shift * 100)))
    found, limit = np.full(columns, NEVER), alarm_at()
    for counts in model.panes(CLEAN):
        model.shipped.step(counts, limit)
    for pane, counts in enumerate(model.panes(AFTER, shift), 1):
        for alarm in model.shipped.step(counts, limit):
            at = int(alarm.feature)
            found[at] = min(found[at], pane * rows)
    return delay_figures(found, AFTER * rows)
