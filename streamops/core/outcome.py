"""An outcome: a prediction with its label, as DETECT and training sets read it.

Rule 1: its id is made of the prediction's (and, for a correction, the label's), never of offsets.
"""

from __future__ import annotations

import msgspec

from streamops.core.join import Matched, Pending, Waiting
from streamops.core.times import moment
from streamops.events import OutcomeJoined
from streamops.values import RawEvidence


def outcome(
    entry: Pending,
    label: Matched | Waiting,
    *,
    after_cohort: bool,
    evidence: RawEvidence | None = None,
) -> OutcomeJoined:
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
        evidence=evidence,
    )


def correction(entry: Pending, label: Waiting) -> OutcomeJoined:
    """Return a later label of another value: recorded, ignored by DETECT (EPOCHS 17)."""
    event = outcome(entry, label, after_cohort=True)
    return msgspec.structs.replace(event, id=f"{event.id}/{label.label_id}", correction=True)
