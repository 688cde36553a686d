"""The shipped default over many features at once: which test takes which, and one call a window.

A numeric feature whose reference rows look independent is e-SR's, by windows; any other is t-SR's,
by fiftieths of the reference. Categories and missing values are e-SR's.
"""

from __future__ import annotations

import numpy as np

from benchmarks.detection.streams import Floats, Integers, merge
from streamops.core import alternatives, dependence, esr, scores, t_factors, tsr

PANES = 50
SHORT = 20


class RowTest:
    """e-SR on rows of windows."""

    def __init__(self, reference: Integers, is_ordered: bool, c: Floats | None = None) -> None:
        padded = _outer(reference) if is_ordered else reference
        self.is_ordered = is_ordered
        self.base = alternatives.baseline(
            padded.tolist(), [is_ordered] * len(padded), None if c is None else c.tolist()
        )
        self.state = esr.initial(self.base)

    def step(self, counts: Integers, alarm_at: float) -> Integers:
        """Take a window's counts: which features alarmed."""
        counts = _outer(counts) if self.is_ordered else counts
        self.state, found = esr.step(self.base, self.state, counts, alarm_at)
        return found.is_alarm.astype(np.int64)


class PaneTest:
    """t-SR on panes."""

    def __init__(self, panes: Integers) -> None:
        self.base = t_factors.baseline(scores.scale_of(panes), panes)
        self.state = tsr.initial(self.base)

    def step(self, counts: Integers, alarm_at: float) -> Integers:
        """Take a pane's counts: which features alarmed."""
        self.state, found = tsr.step(self.base, self.state, counts, alarm_at)
        return found.is_alarm.astype(np.int64)


def _outer(counts: Integers) -> Integers:
    """Add the bins below and above the reference's range: no row of ours lies there."""
    return np.pad(counts, ((0, 0), (1, 1)))


def independent(short_panes: Integers) -> tuple[Integers, Floats]:
    """Numbers of the features whose rows look independent, and the c their e-SR divides by.

    A reference long enough to see a c of 1.2 needs no division; a short one divides by its upper c.
    """
    ordered = np.ones(short_panes.shape[1], dtype=np.bool_)
    found = dependence.measure(short_panes, ordered)
    limit = 1.0 + dependence.SURE * (2.0 / (len(short_panes) - 1)) ** 0.5
    c = np.ones(len(found.upper)) if limit <= 1.25 else found.upper
    chosen = np.flatnonzero(found.is_independent)
    return chosen, c[chosen]


class Default:
    """Numeric features, each under the test its reference allows.

    short_panes  the reference as consecutive panes of 20 rows, [pane, feature, bin]
    """

    def __init__(self, short_panes: Integers) -> None:
        features = short_panes.shape[1]
        self.by_row, c = independent(short_panes)
        self.by_pane = np.setdiff1d(np.arange(features), self.by_row)
        self.rows = RowTest(short_panes.sum(axis=0)[self.by_row], True, c)
        panes = merge(short_panes, max(1, len(short_panes) // PANES))
        self.pane_rows = int(panes[0, 0].sum())
        self.panes = PaneTest(panes[:, self.by_pane])
