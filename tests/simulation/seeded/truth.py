"""What must be concluded from a raw log, counted from its rows without a fold.

Rule 1: nothing of `streamops.core` is used, no tick is read: epochs and closing times are the
        writer's (`raw_log`), and the rules are those of the protocol's clauses 6 and 17-19.
Rule 2: the simplest form that can be right: one pass, lists and dicts, whole seconds.
"""

from __future__ import annotations

from typing import NamedTuple

from streamops.events import Event, LabelArrived, PredictionMade
from tests.simulation.seeded.counted import Counted
from tests.simulation.seeded.layout import Row
from tests.simulation.seeded.raw_log import RawLog


def truth(log: RawLog) -> Counted:
    """Count a raw log."""
    counted = Counted()
    for partition in range(log.partitions):
        _Partition(log, partition, counted).count()
    return counted


class _Kept(NamedTuple):
    event: PredictionMade
    time_s: int
    late: bool


class _Label(NamedTuple):
    row: Row
    event: LabelArrived
    stood_s: int


class _Partition:
    """One partition's records in the order of its fold.

    now_s      predictions' tick, and labels' tick
    matured_s  predictions' tick when labels' last one was taken: panes ripen then
    """

    def __init__(self, log: RawLog, partition: int, counted: Counted) -> None:
        self.log, self.config, self.at, self.counted = log, log.config, partition, counted
        self.now_s = {"predictions": 0, "labels": 0}
        self.matured_s = 0
        self.kept: dict[str, _Kept] = {}
        self.labels: dict[str, list[_Label]] = {}
        self.waiting: list[_Label] = []

    def count(self) -> None:
        for epoch in range(self.log.epochs):
            for row in self._rows("predictions", epoch):
                self._prediction(row)
            self._tick("predictions", epoch)
            self._refuse_orphans()
            for row in self._rows("labels", epoch):
                self._label(row)
            self._tick("labels", epoch)
            self.matured_s = self.now_s["predictions"]
            horizon_s, now_s = self.config.horizon_s, self.now_s["labels"]
            self.kept = {i: k for i, k in self.kept.items() if k.time_s + horizon_s > now_s}

    def _tick(self, topic: str, epoch: int) -> None:
        self.now_s[topic] = self.log.closes_s[(topic, self.at)][epoch]

    def _rows(self, topic: str, epoch: int) -> list[Row]:
        """The epoch's usable rows; the others are counted as refused."""
        found = [row for row in self.log.rows[(topic, self.at)] if row.epoch == epoch]
        for row in found:
            if row.refused or self._is_ahead(row):
                self._refuse(row)
        return [row for row in found if not row.refused and not self._is_ahead(row)]

    def _is_ahead(self, row: Row) -> bool:
        event, skew_ms = row.record.event, self.log.skew_max_ms
        if skew_ms is None or not isinstance(event, PredictionMade | LabelArrived):
            return False
        return _seconds(event) * 1000 > row.record.append_ms + skew_ms

    def _refuse(self, row: Row) -> None:
        topic, partition, offset = row.record[:3]
        self.counted.refused[f"refused/{topic}/{partition}/{offset}"] += 1

    def _refuse_orphans(self) -> None:
        horizon_s, now_s = self.config.horizon_s, self.now_s["predictions"]
        due = {
            label.event.prediction_id
            for label in self._firsts()
            if _seconds(label.event) + horizon_s <= now_s
        }
        for label in self.waiting:
            if label.event.prediction_id in due:
                self._refuse(label.row)
        self.waiting = [one for one in self.waiting if one.event.prediction_id not in due]

    def _firsts(self) -> list[_Label]:
        """The waiting labels that came first for their prediction: the rest goes with them."""
        firsts: dict[str, _Label] = {}
        for label in self.waiting:
            firsts.setdefault(label.event.prediction_id, label)
        return list(firsts.values())

    def _prediction(self, row: Row) -> None:
        event = row.record.event
        if not isinstance(event, PredictionMade):
            return
        if event.id in self.kept:
            self.counted.sums[(self.at, "repeats")] += 1
            return
        time_s, pane = _seconds(event), self._pane(_seconds(event))
        end_s, horizon_s = pane + self.config.pane_s, self.config.horizon_s
        late = end_s + self.config.allowed_lateness_s <= self.now_s["predictions"]
        self.counted.sums[(self.at, "late")] += late
        if late and end_s + horizon_s <= self.now_s["labels"]:
            return
        self.counted.panes[(self.at, pane, "restated", "predictions")] += 1
        self.counted.panes[(self.at, pane, "closed", "predictions")] += not late
        if time_s + horizon_s <= self.now_s["labels"]:
            return
        self.kept[event.id], self.labels[event.id] = _Kept(event, time_s, late), []
        mine = [one for one in self.waiting if one.event.prediction_id == event.id]
        self.waiting = [one for one in self.waiting if one.event.prediction_id != event.id]
        for label in mine:
            self._match(label)

    def _label(self, row: Row) -> None:
        event = row.record.event
        if not isinstance(event, LabelArrived):
            return
        label = _Label(row, event, self.now_s["labels"])
        if event.prediction_id in self.kept:
            self._match(label)
        else:
            self.waiting.append(label)

    def _match(self, label: _Label) -> None:
        kept = self.kept[label.event.prediction_id]
        known = self.labels[kept.event.id]
        known.append(label)
        if len(known) > 1:
            self._again(kept, label, known[:-1])
            return
        delay_s = self.config.cohort_delay_s
        after = 0 < delay_s < label.stood_s - kept.time_s
        self.counted.outcomes[(kept.event.id, label.event.label, after, kept.late)] += 1
        self._count_labelled(kept, "labelled")

    def _again(self, kept: _Kept, label: _Label, before: list[_Label]) -> None:
        standing = before[0]
        for one in before[1:]:
            if one.event.id != standing.event.id and one.event.label != standing.event.label:
                standing = one
        ids = (before[0].event.id, standing.event.id)
        if label.event.id in ids or label.event.label == standing.event.label:
            self._count_labelled(kept, "duplicates")
            return
        self.counted.corrections[(kept.event.id, label.event.id)] += 1
        self._count_labelled(kept, "corrections")

    def _count_labelled(self, kept: _Kept, what: str) -> None:
        pane = self._pane(kept.time_s)
        self.counted.panes[(self.at, pane, "restated", what)] += 1
        end_s = pane + self.config.pane_s
        ripe = end_s + self.config.maturity_s <= self.now_s["labels"]
        closed = end_s + self.config.allowed_lateness_s <= self.matured_s
        if not kept.late and not (ripe and closed):
            self.counted.panes[(self.at, pane, "mature", what)] += 1

    def _pane(self, time_s: int) -> int:
        return time_s // self.config.pane_s * self.config.pane_s


def _seconds(event: Event) -> int:
    return round(event.time.timestamp())
