"""An outcome: a prediction with its label, as DETECT and training sets read it.

Rule 1: its id is made of the prediction's (and, for a correction, the label's), never of offsets.
"""

from __future__ import annotations

import msgspec

from streamops.core.join_rows import Matched, Pending, Waiting
from streamops.core.times import moment
from streamops.events import OutcomeJoined


def outcome(entry: Pending, label: Matched | Waiting, *, after_cohort: bool) -> OutcomeJoined:
    """Return the outcome of a pending prediction and its first label."""
    return OutcomeJoined(
        id=f"outcome/{entry.id}",
        time=moment(entry.time_us),
        prediction_id=entry.id,
        model=entry.model,
        version=entry.version,
        prediction=entry.prediction,
        label=label.label,
        label_time=moment(label.time_us),
        score=entry.score,
        features=msgspec.Raw(entry.features),
        segments=entry.segments,
        after_cohort=after_cohort,
        late=entry.late,
    )


def joined_evidence(entry: Pending, label: Matched, partition: int) -> bytes:
    """Return the canonical JSON of the two records an outcome was made of, a RawEvidence."""
    return b'{"spans":[["labels",%d,%d,%d],["predictions",%d,%d,%d]],"records":2}' % (
        partition, label.offset, label.offset + 1, partition, entry.offset, entry.offset + 1,
    )  # fmt: skip


def correction(entry: Pending, label: Waiting) -> OutcomeJoined:
    """Return a later label of another value: recorded, ignored by DETECT (EPOCHS 17)."""
    event = outcome(entry, label, after_cohort=True)
    return msgspec.structs.replace(event, id=f"{event.id}/{label.label_id}", correction=True)
