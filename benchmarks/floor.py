"""What METER and `verify` can't do without: decoding, a link of the chain for each raw record, and
an outcome's bytes. Nothing is joined, counted, compared or kept: whoever proves is slower.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import repeat

import numpy as np

from streamops import codec
from streamops.core.binning import ROWS_MAX, count_rows
from streamops.core.feature_reader import Reader, reader_of
from streamops.core.outcome_texts import numbers_of, texts_of
from streamops.core.panes import Pane, note_evidences
from streamops.core.processor import Record
from streamops.core.rows import events_of, values_of
from streamops.events import LabelArrived, PredictionMade
from streamops.values import ModelVersion


class MeterFloor:
    """Decodes and links; an outcome is the bytes of the prediction that was read last."""

    def __init__(self) -> None:
        self.pane, self.last = Pane(), b""

    def take(self, values: Sequence[bytes]) -> list[bytes]:
        """Take a chunk of records; return the outcomes to write, one a label."""
        if not values:
            return []
        kinds = list(map(type, codec.decode_all(values)))
        note_evidences(self.pane, "any", (0,), values)
        if PredictionMade in kinds:
            self.last = values[kinds.index(PredictionMade)]
        return [self.last] * kinds.count(LabelArrived)


class JobFloor(MeterFloor):
    """The job besides, as fast as this stack does it: ids joined by dictionaries, all features and
    scores of a chunk binned at once, outcomes laid into a template. A model has one pane for ever:
    there are no ticks, lateness, repeats, checkpoints, spans of evidence, or an order to join in.
    """

    def __init__(self, versions: Iterable[ModelVersion]) -> None:
        super().__init__()
        self.readers = {version.model: reader_of(version) for version in versions}
        self.made: dict[str, PredictionMade] = {}
        self.labels: dict[str, LabelArrived] = {}

    def take(self, values: Sequence[bytes]) -> list[bytes]:
        """Take a chunk of records; return the outcomes of what is joined now."""
        if not values:
            return []
        note_evidences(self.pane, "any", (0,), values)
        return self.join(codec.decode_all(values))

    def join(self, events: Sequence[object]) -> list[bytes]:
        """Take decoded records; return the outcomes of what is joined now."""
        made = {e.id: e for e in events if type(e) is PredictionMade}
        labels = {e.prediction_id: e for e in events if type(e) is LabelArrived}
        for model, reader in self.readers.items() if made else ():
            self._count(reader, [event for event in made.values() if event.model == model])
        self.made.update(made)
        self.labels.update(labels)
        ready = [id_ for id_ in {**made, **labels} if id_ in self.made and id_ in self.labels]
        return self._outcomes(ready) if ready else []

    def _count(self, reader: Reader, made: Sequence[PredictionMade]) -> None:
        rows = reader.decoder.read_all([bytes(event.features) for event in made])
        for first in range(0, len(made), ROWS_MAX):
            some = slice(first, first + ROWS_MAX)
            scores = [event.score for event in made[some]]
            places = np.zeros(len(scores), dtype=np.int64)
            count_rows([self.pane], [reader], places, rows[some], scores)

    def _outcomes(self, ready: Sequence[str]) -> list[bytes]:
        made = [self.made.pop(id_) for id_ in ready]
        labels = [self.labels.pop(id_) for id_ in ready]
        ids = texts_of(ready)
        parts = zip(
            repeat(b'{"type":"OutcomeJoined","id":"outcome/'), ids,
            repeat(b'","time":"'), texts_of([event.time for event in made]),
            repeat(b'","prediction_id":"'), ids, repeat(b'","model":"m","version":"v"'),
            repeat(b',"prediction":'), numbers_of([event.prediction for event in made]),
            repeat(b',"label":'), numbers_of([event.label for event in labels]),
            repeat(b',"label_time":"'), texts_of([event.time for event in labels]),
            repeat(b'","score":'), numbers_of([event.score for event in made]),
            repeat(b',"features":'), [bytes(event.features) for event in made], repeat(b"}"),
            strict=False,
        )  # fmt: skip
        return list(map(b"".join, parts))


class AuditFloor:
    """Links raw records, and hashes outcomes as they stand."""

    def __init__(self) -> None:
        self.pane, self.records = Pane(), 0
        self.closes = hashlib.sha256()

    def take(self, records: Sequence[Record], topic: str) -> None:
        """Take some decoded records of a topic."""
        self.records += len(records)
        if topic in ("predictions", "labels"):
            note_evidences(self.pane, topic, (0,), values_of(records))
        elif topic == "outcomes":
            self.closes.update(b"\n".join(values_of(records)))


class AuditJobFloor(AuditFloor):
    """METER's job besides, as fast as this stack does it; its outcomes are hashed, too."""

    def __init__(self, versions: Iterable[ModelVersion]) -> None:
        super().__init__()
        self.job = JobFloor(versions)

    def take(self, records: Sequence[Record], topic: str) -> None:
        """Take some decoded records of a topic."""
        super().take(records, topic)
        if topic in ("predictions", "labels"):
            self.closes.update(b"\n".join(self.job.join(events_of(records))))
