"""The live application that a simulation plays: it asks the gateway, logs, and learns labels late.

It uses what any application has: the SDK, and a gateway in its own process. Beside the stream, and
never logged, the first model answers every row too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

import msgspec

from streamops.client import Client
from streamops.core.times import moment
from streamops.operate.rows import Row
from streamops.operate.table import Table
from streamops.operate.tally import Tally
from streamops.serving.scorer import Scorer
from streamops.settings import Settings
from streamops.training.scoring import Model, open_model
from streamops.values import Value

FLUSH_S = 300.0


class Answers(msgspec.Struct, frozen=True, gc=False):
    """What was said about one row: by the first model, and as operated."""

    first: Value
    operated: Value


class Application:
    """Predictions and labels of one table through the SDK and an in-process gateway."""

    def __init__(self, settings: Settings, table: Table, model: str, task: str) -> None:
        self.table, self.model = table, model
        self.client = Client(
            settings.bootstrap,
            namespace=settings.namespace,
            source=f"simulate/{table.name}",
            kafka=settings.kafka,
            on_full="block",
            delivery_timeout_s=FLUSH_S,
        )
        self.scorer = Scorer(settings, "simulate")
        self.settings = settings
        self.tally = Tally(task, None)
        self.predictions = self.labels = 0
        self._first: Model | None = None
        self._answers: dict[int, Answers] = {}

    def use_first(self, artifact: str, previous: Value | None) -> None:
        """Keep version 1 beside the stream; `previous` is the last label before it."""
        self._first = open_model(self.settings.artifacts, artifact)
        self.tally.previous = previous

    def serve(self, rows: list[Row]) -> None:
        """Answer rows with whatever serves, and log each prediction."""
        if not rows:
            return
        features = [row.features for row in rows]
        scored = self.scorer.predict_many(features, self.model)
        assert self._first is not None, "version 1 is trained before the stream"
        first = self._first.answer(features)
        for row, answer, alone in zip(rows, scored, first, strict=True):
            self.client.log_prediction(
                model=self.model,
                version=answer.version,
                prediction=answer.prediction,
                features=row.features,
                score=answer.score,
                id=f"{self.table.name}-{row.number}",
                time=moment(row.time_us),
                segments={name: str(row.features.get(name)) for name in self.table.segments},
                deployment_step=answer.step_id,
            )
            self.predictions += 1
            if row.label is not None:
                self._answers[row.number] = Answers(alone.prediction, answer.prediction)

    def learn(self, labels: list[Known]) -> None:
        """Log the labels of rows, in the order in which they became known."""
        for known in labels:
            self.client.log_label(
                f"{self.table.name}-{known.number}",
                known.label,
                time=moment(known.at_us),
                id=f"{self.table.name}-label-{known.number}",
            )
            self.labels += 1
            said = self._answers.pop(known.number)
            self.tally.count(known.label, said.first, said.operated)

    def flush(self) -> None:
        """Wait until the broker has everything."""
        self.client.flush(FLUSH_S)

    def close(self) -> None:
        """Leave the broker."""
        self.scorer.close()
        self.client.close()


class Known(msgspec.Struct, frozen=True, gc=False):
    """The label of a row, and when it became known, microseconds."""

    at_us: int
    number: int
    label: Value


class Due(msgspec.Struct, frozen=True):
    """One round: rows to answer, labels that became known, and the time of the tick after."""

    rows: list[Row]
    labels: list[Known]
    tick_us: int


def rounds(rows: Sequence[Row], pane_us: int, tail_us: list[int]) -> Iterator[Due]:
    """Yield the stream pane by pane; labels come with the pane in which they became known.

    tail_us  how long after the last pane further ticks come, to mature and to forget it
    """
    labels = [Known(row.label_us, row.number, row.label) for row in rows if row.label is not None]
    labels.sort(key=lambda known: (known.at_us, known.number))
    at, known, end_us = 0, 0, rows[0].time_us // pane_us * pane_us
    while at < len(rows) or known < len(labels):
        next_us = rows[at].time_us if at < len(rows) else labels[known].at_us
        end_us = max(end_us, next_us // pane_us * pane_us) + pane_us
        upto = bisect_left(rows, end_us, at, key=lambda row: row.time_us)
        told = bisect_left(labels, end_us, known, key=lambda known: known.at_us)
        yield Due(list(rows[at:upto]), labels[known:told], end_us)
        at, known = upto, told
    for more_us in tail_us:
        yield Due([], [], end_us + more_us)
