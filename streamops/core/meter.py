"""METER: predictions and labels in, outcomes and pane summaries out.

Rule 1: of an epoch, predictions are folded in log order, then labels in log order (EPOCHS 6).
Rule 2: a prediction is late exactly when predictions' tick stands at or past its pane's end plus
        allowed lateness; it is joined and counted as late, and enters restatements only (18).
Rule 3: every record ends somewhere: counted, waiting, or RecordRefused. None is dropped silently.
Rule 4: an epoch's first records may be folded before the others are there; nothing else changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from streamops.config import ModelConfig
from streamops.core import cuts
from streamops.core.budget import tested
from streamops.core.edges import prepare
from streamops.core.fitness import another_profile, unfit
from streamops.core.join import JoinTable
from streamops.core.join_rows import Pending
from streamops.core.labels import match, orphan, take_label
from streamops.core.meter_batch import take_all
from streamops.core.meter_state import (
    ALL,
    MeterState,
    config_at,
    pane_of,
    segments_of,
    version_of,
)
from streamops.core.outcome_batch import release_all
from streamops.core.pane_due import LastDue, PaneDue
from streamops.core.panes import PaneKey, note_evidence
from streamops.core.personal import Open, unopened
from streamops.core.processor import Batch, Closing, Output, Record, Refusal
from streamops.core.refusal import refusal, why_ahead
from streamops.core.tally import count_features, count_prediction
from streamops.core.times import SECOND_US, micros
from streamops.core.workspace import Workspace
from streamops.errors import InputError
from streamops.events import (
    ConfigActivated,
    LabelArrived,
    PredictionFailed,
    PredictionMade,
    Tick,
    TopologyActivated,
    VersionActivated,
)


class Meter:
    """The processor of predictions-p and labels-p."""

    name = "meter"
    semantics = 1
    raw = ("predictions", "labels")
    derived: ClassVar[dict[str, tuple[str, ...]]] = {}
    closing = Closing(("outcomes", "summaries"), "all")

    def __init__(
        self,
        *,
        join: JoinTable | None = None,
        skew_max_ms: int | None = None,
        at_once: bool = True,
        open_: Open = unopened,
    ) -> None:
        """How it folds.

        skew_max_ms  how far an event may be ahead of its append time; None: no check
        at_once      fold runs of records at once; record by record, which defines what comes out,
                     gives the same
        open_        gives features of persons to be counted, as far as there are keys
        """
        self.join = JoinTable() if join is None else join
        self.skew_max_ms = skew_max_ms
        self._at_once, self._open = at_once, open_
        self._last = LastDue()
        self._begun: tuple[MeterState, _Step] | None = None

    def initial(self) -> MeterState:
        """Return the state before the first record."""
        return MeterState()

    def begin(self, state: MeterState, records: Sequence[Record]) -> None:
        """Fold the first records of the next epoch ahead of its tick; `step` folds the rest."""
        work = self._work(state)
        self._fold(work, records)
        self._begun = state, work

    def step(self, state: MeterState, batch: Batch) -> tuple[MeterState, Sequence[Output]]:
        """Fold one epoch of predictions and labels."""
        work = self._work(state)
        self._fold(work, batch.records)
        self._last.keep(work.state, work.due)
        return work.state, work.outputs

    def _work(self, state: MeterState) -> _Step:
        begun, self._begun = self._begun, None
        if begun is not None:
            assert begun[0] is state, "another epoch was begun"
            return begun[1]
        due = self._last.take(state) if self._at_once else None
        work = _Step(state, self.join, self.skew_max_ms, due)
        work.opened = self._open
        return work

    def _fold(self, work: _Step, records: Sequence[Record]) -> None:
        if self._at_once:
            take_all(work, records)
        for record in () if self._at_once else records:
            work.take(record)


class _Step(Workspace):
    """How one record changes the working copy."""

    def __init__(
        self, state: MeterState, join: JoinTable, skew_max_ms: int | None, due: PaneDue | None
    ) -> None:
        super().__init__(state, join, due)
        self.skew_max_ms = skew_max_ms
        self._release = cuts.release if due is None else release_all

    def take(self, record: Record) -> None:
        """Fold one record; what can't be used is refused with the reason."""
        event = record.event
        if isinstance(event, Refusal):
            self.outputs.append(refusal(record, event.reason, event.fault))
        elif isinstance(event, Tick):
            self._tick(record, event)
        elif isinstance(event, VersionActivated | ConfigActivated):
            self._activate(record, event)
        elif (why := why_ahead(event, record, self.skew_max_ms)) is not None:
            self.outputs.append(refusal(record, why, "producer"))
        elif isinstance(event, PredictionMade) and record.topic == "predictions":
            self._prediction(record, event)
        elif isinstance(event, PredictionFailed) and record.topic == "predictions":
            self._failure(record, event)
        elif isinstance(event, LabelArrived) and record.topic == "labels":
            take_label(self, record, event)
        elif not isinstance(event, TopologyActivated):
            why = f"type is {type(event).__name__}; it doesn't belong on {record.topic}"
            self.outputs.append(refusal(record, why, "producer"))

    def _activate(self, record: Record, event: VersionActivated | ConfigActivated) -> None:
        if record.topic != "predictions" or event.revision <= self.state.revision:
            return
        if why := unfit(event):
            self.outputs.append(refusal(record, why, "operator"))
            return
        if isinstance(event, VersionActivated):
            model = event.version.model
            known = version_of(self.state, model, event.version.version)
            if known is not None and known.profile_hash != event.version.profile_hash:
                self.outputs.append(refusal(record, another_profile(event.version), "operator"))
                return
            self.state.versions[f"{model}\t{event.version.version}"] = event.version
            prepare(event.version)
        else:
            model = event.config.model
            row = (micros(event.first_pane), event.config, event.config_hash)
            self.state.configs[model] = [*self.state.configs.get(model, ()), row]
        self.state.revision = event.revision
        self.outputs += [Output(topic, model, event) for topic in ("outcomes", "summaries")]

    def _tick(self, record: Record, tick: Tick) -> None:
        state, time_us, p = self.state, micros(tick.time), record.partition
        self.due = self.due and self.due.as_configured(state)
        if record.topic == "predictions":
            state.predictions_us = max(state.predictions_us, time_us)
            self.outputs += [orphan(w, p) for w in self.join.expire_waiting(time_us)]
            self.outputs += cuts.close(state, p, self.due)
            return
        state.labels_us = max(state.labels_us, time_us)
        self.outputs += self._release(state, self.join, p)
        self.outputs += cuts.mature(state, p, self.due)
        self.outputs += cuts.restate(state, p, self.due)
        self.join.expire_pending(time_us)

    def _prediction(self, record: Record, event: PredictionMade) -> None:
        time_us = micros(event.time)
        config, hash_ = config_at(self.state, event.model, time_us)
        if event.id in self.join.pending:
            self.current(event).repeats += 1
            return
        version = version_of(self.state, event.model, event.version)
        try:
            features = {} if version is None else self.features(event)
        except InputError as error:
            self.outputs.append(refusal(record, str(error), "producer"))
            return
        start_us, end_us = pane_of(time_us, config)
        late = self._is_late(event, config, end_us)
        horizon_us = config.horizon_s * SECOND_US
        if late and end_us + horizon_us <= self.state.labels_us:
            return  # counted as late; its pane was restated for the last time
        for segment in segments_of(event.segments, config):
            key = PaneKey(event.model, event.version, segment, start_us, end_us, hash_)
            pane = self.pane(key, after=late)
            count_prediction(pane, event, version)
            if version is not None and (segment == ALL or tested(config, segment).features):
                count_features(pane, features, version)
            note_evidence(pane, "predictions", record.offset, record.value)
        if time_us + horizon_us > self.state.labels_us:
            self._keep(record, event, (start_us, time_us + horizon_us), hash_, late=late)

    def _is_late(
        self, event: PredictionMade | PredictionFailed, config: ModelConfig, end_us: int
    ) -> bool:
        late = end_us + config.allowed_lateness_s * SECOND_US <= self.state.predictions_us
        if late:
            self.current(event).late += 1
        return late

    def _keep(
        self,
        record: Record,
        event: PredictionMade,
        bounds_us: tuple[int, int],
        hash_: str,
        *,
        late: bool,
    ) -> None:
        start_us, expires_us = bounds_us
        entry = Pending(
            event.id, micros(event.time), expires_us, event.model, event.version, event.prediction,
            event.score, bytes(event.features), event.segments, late, record.offset, start_us,
            hash_,
        )  # fmt: skip
        self.join.add_pending(entry)
        waiting = self.join.waiting.get(event.id)
        if waiting is not None:
            self.join.drop_waiting(event.id)
            if waiting.stood_us < expires_us:
                match(self, entry, waiting)

    def _failure(self, record: Record, event: PredictionFailed) -> None:
        time_us = micros(event.time)
        config, hash_ = config_at(self.state, event.model, time_us)
        start_us, end_us = pane_of(time_us, config)
        if self._is_late(event, config, end_us):
            return
        for segment in segments_of(event.segments, config):
            key = PaneKey(event.model, event.version, segment, start_us, end_us, hash_)
            pane = self.pane(key, after=False)
            pane.failures += 1
            note_evidence(pane, "predictions", record.offset, record.value)
