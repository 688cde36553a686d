"""Labels: which prediction they belong to, and what they add.

Rule 1: a label matches exactly if labels' tick where it stands is below prediction time + horizon
        (EPOCHS 17); one that came first waits for its prediction.
Rule 2: the first label counts. The same event id or an equal value again is a duplicate, another
        value a correction: recorded, ignored by DETECT, the last one wins in training sets.
Rule 3: a label whose prediction never came is refused, with the reason.
"""

from __future__ import annotations

import msgspec

from streamops.core.join import Matched, Pending, Waiting
from streamops.core.meter_state import (
    ALL,
    Held,
    config_of,
    horizon_max_us,
    segments_of,
    version_of,
)
from streamops.core.panes import Pane, PaneKey, note_evidence
from streamops.core.processor import Output, Record, Refusal
from streamops.core.refusal import refusal
from streamops.core.tally import count_label
from streamops.core.times import SECOND_US, micros, moment
from streamops.core.workspace import Workspace
from streamops.events import LabelArrived, OutcomeJoined


def take_label(work: Workspace, record: Record, event: LabelArrived) -> None:
    """Match a label, let it wait, or count it as a duplicate or correction."""
    label = Waiting(
        event.prediction_id,
        event.id,
        event.label,
        micros(event.time),
        work.state.labels_us,
        micros(event.time) + horizon_max_us(work.state),
        record.offset,
        record.append_ms,
        record.value,
    )
    entry = work.join.pending.get(event.prediction_id)
    if entry is not None and work.state.labels_us < entry.expires_us:
        match(work, entry, label)
        return
    first = work.join.waiting.get(event.prediction_id)
    if first is None:
        work.join.add_waiting(label)
    else:
        same = (first.label_id, first.label)
        again = label.label_id == same[0] or label.label == same[1]
        work.join.add_waiting(
            msgspec.structs.replace(
                first,
                duplicates=first.duplicates + again,
                corrections=first.corrections + (not again),
            )
        )


def match(work: Workspace, entry: Pending, label: Waiting) -> None:
    """Give a pending prediction a label; only the first one counts."""
    config = config_of(work.state, _key_of(entry, ALL, 0))
    end_us = entry.pane_us + config.pane_s * SECOND_US
    keys = [_key_of(entry, s, end_us) for s in segments_of(entry.segments, config)]
    panes = [work.pane(k, after=entry.late or k in work.state.matured) for k in keys]
    first = work.join.matched.get(entry.id)
    if first is not None:
        _again(work, entry, first, label, panes)
        return
    version = version_of(work.state, entry.model, entry.version)
    for pane in panes:
        count_label(pane, entry, label.label, label.time_us, version)
        pane.duplicates += label.duplicates
        pane.corrections += label.corrections
        note_evidence(pane, "labels", label.offset, label.value)
    matched = Matched(label.label_id, label.label, label.time_us, label.offset)
    work.join.add_matched(entry.id, matched)
    delay_us = config.cohort_delay_s * SECOND_US
    after_cohort = delay_us > 0 and label.stood_us > entry.time_us + delay_us
    work.state.held[entry.id] = Held(entry.time_us + delay_us, after_cohort)


def _again(
    work: Workspace, entry: Pending, first: Matched, label: Waiting, panes: list[Pane]
) -> None:
    same = label.label_id == first.label_id or label.label == first.label
    for pane in panes:
        pane.duplicates += same
        pane.corrections += not same
        note_evidence(pane, "labels", label.offset, label.value)
    if not same:
        work.outputs.append(_correction(entry, label))


def _key_of(entry: Pending, segment: str, end_us: int) -> PaneKey:
    return PaneKey(entry.model, entry.version, segment, entry.pane_us, end_us, entry.config_hash)


def orphan(label: Waiting, partition: int) -> Output:
    """Refuse a label whose prediction never came."""
    record = Record(
        "labels",
        partition,
        label.offset,
        label.append_ms,
        label.prediction_id.encode(),
        label.value,
        Refusal(""),
    )
    why = (
        f"prediction_id is {label.prediction_id!r}; no prediction with this id came within the "
        "horizon: send the id the prediction was logged with (or the record sits on a wrong "
        "partition: key it by prediction_id, partitioner murmur2_random)"
    )
    return refusal(record, why, "producer")


def _correction(entry: Pending, label: Waiting) -> Output:
    event = OutcomeJoined(
        id=f"outcome/{entry.id}/{label.label_id}",
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
        after_cohort=True,
        late=entry.late,
        correction=True,
    )
    return Output("outcomes", entry.model, event)
