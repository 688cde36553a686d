"""CONTROLLER: one state machine a model, composed of policy, retrain, gate and registry.

Rule 1: an epoch's lifecycle is folded in log order first, then its metrics in their total order
        (EPOCHS 6); decisions (which alerts page, gate, retraining) fall once, at the epoch's end.
Rule 2: what a trainer or a person answered is taken as given, never computed here (DESIGN rule 9).
Rule 3: EpochConcluded comes last and names every request without a final answer (EPOCHS 21).
"""

from __future__ import annotations

from typing import ClassVar

from streamops.core import answers, commands, decisions, noise
from streamops.core.model_state import ControllerState
from streamops.core.processor import Batch, Closing, Output, Record, Refusal
from streamops.core.refusal import refusal, why_ahead
from streamops.core.times import micros, moment
from streamops.core.workbook import Workbook
from streamops.events import DriftDetected, EpochConcluded, MetricEvaluated, Tick


class Controller:
    """The processor of lifecycle-q and metrics-q."""

    name = "controller"
    semantics = 6
    raw = ("lifecycle",)
    derived: ClassVar[dict[str, tuple[str, ...]]] = {"metrics": ("monitor", "detect")}
    closing = Closing((), "own")

    def __init__(self, partition: int, skew_max_ms: int | None = None) -> None:
        self.partition, self.skew_max_ms = partition, skew_max_ms

    def initial(self) -> ControllerState:
        """Return the state before the first epoch."""
        return ControllerState()

    def step(self, state: ControllerState, batch: Batch) -> tuple[ControllerState, list[Output]]:
        """Fold one epoch of lifecycle and metrics; decide; conclude."""
        before_us = state.time_us
        us = before_us if batch.time is None else max(before_us, micros(batch.time))
        book = Workbook(state, batch.epoch, us)
        for record in batch.records:
            self._take(book, record)
        noise.settle(book)
        decisions.decide(book)
        models = {name: book.models[name] for name in sorted(book.models)}
        concluded = EpochConcluded(
            id=f"concluded/{self.partition}/{batch.epoch}",
            time=moment(us),
            partition=self.partition,
            epoch=batch.epoch,
            open_requests=tuple(sorted(decisions.open_requests(models))),
            deployment_revisions={n: m.revision for n, m in models.items() if m.revision},
        )
        book.outputs.append(Output("progress", "controller", concluded, self.partition))
        quiet = {name: book.noise[name] for name in sorted(book.noise)}
        return ControllerState(models, us, quiet), book.outputs

    def _take(self, book: Workbook, record: Record) -> None:
        event = record.event
        if isinstance(event, Refusal):
            book.outputs.append(refusal(record, event.reason, event.fault))
        elif record.topic == "metrics":
            if isinstance(event, MetricEvaluated):
                decisions.metric(book, record, event)
            elif isinstance(event, DriftDetected):
                decisions.drift(book, record, event)
        elif not isinstance(event, Tick):
            if isinstance(event, commands.Command):
                ahead = why_ahead(event, record, self.skew_max_ms)
                why = commands.obey(book, event) if ahead is None else ahead
            else:
                why = answers.take(book, event)
            if why is not None:
                book.outputs.append(refusal(record, why, "producer"))
