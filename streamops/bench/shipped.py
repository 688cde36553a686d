"""What MONITOR runs, over the columns of many models at once.

Which test a column gets, and all that a test does, is the service's: nothing is chosen here. Models
only share a call, which a column's evidence doesn't depend on, and costs less than one each.
"""

from __future__ import annotations

from collections.abc import Iterable

from streamops.bench.streams import Counts
from streamops.core import drift
from streamops.core.drift_plan import plan_of
from streamops.values import Drift, FeatureProfile

HOUR_US = 3_600_000_000


class Shipped:
    """The tests of these columns; their names are distinct."""

    def __init__(self, profiles: Iterable[FeatureProfile], pane_us: int = HOUR_US) -> None:
        # Cached plans would hold every model of a run.
        self.plan = plan_of.__wrapped__(tuple(profiles), None)
        self.state = drift.initial(self.plan, "bench")
        self.widths = [len(column.counts) for column in self.plan.columns]
        self.panes, self.pane_us = 0, pane_us

    def step(self, counts: Counts, alarm_at: float) -> tuple[Drift, ...]:
        """Take the next pane: its alarms."""
        start = self.panes * self.pane_us
        self.state, read = drift.step(self.plan, self.state, counts, start, alarm_at)
        self.panes += 1
        return read.alarms
