"""What METER and `verify` can't do without: decoding, a link of the chain for each raw record, and
an outcome's bytes. Nothing is joined, counted, compared or kept: whoever proves is slower.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from streamops import codec
from streamops.core.panes import Pane, note_evidences
from streamops.core.processor import Record
from streamops.core.rows import values_of
from streamops.events import LabelArrived, PredictionMade


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
