"""Labels: which prediction they belong to, and what they add.

Rule 1: a label matches exactly if labels' tick where it stands is below prediction time + horizon
        (EPOCHS 17); one that came first waits for its prediction.
Rule 2: the first label counts. Its event id again, or the value that stands, is a duplicate;
        another value a correction: recorded, ignored by DETECT, the last one wins in training sets.
Rule 3: a label whose prediction never came is refused, with the reason.
"""

from __future__ import annotations

import msgspec

from streamops.core.join_rows import LATER_MAX, Matched, Pending, Waiting
from streamops.core.meter_state import (
    ALL,
    config_of,
    horizon_max_us,
    segments_of,
    version_of,
)
from streamops.core.outcome import correction
from streamops.core.panes import Pane, PaneKey, note_evidence
from streamops.core.processor import Output, Record, Refusal
from streamops.core.refusal import refusal
from streamops.core.tally import count_label
from streamops.core.times import SECOND_US, micros
from streamops.core.workspace import Workspace
from streamops.events import LabelArrived


def take_label(work: Workspace, record: Record, event: LabelArrived) -> None:
    """Match a label, let it wait, or count it as a duplicate or correction."""
    label = Waiting(
        event.prediction_id,
        event.id,
        event.label,
        micros(event.time),
        work.state.labels_us,
        0,
        record.offset,
        record.append_ms,
        record.value,
    )
    entry = work.join.pending.get(event.prediction_id)
    if entry is not None and work.state.labels_us < entry.expires_us:
        match(work, entry, label)
    elif (why := _wait(work, label)) is not None:
        work.outputs.append(refusal(record, why, "producer"))


def _wait(work: Workspace, label: Waiting) -> str | None:
    expires_us = label.time_us + horizon_max_us(work.state)
    label = msgspec.structs.replace(label, expires_us=expires_us)
    first = work.join.waiting.get(label.prediction_id)
    if first is None:
        work.join.add_waiting(label)
    elif len(first.later) < LATER_MAX:
        work.join.add_waiting(msgspec.structs.replace(first, later=(*first.later, label)))
    else:
        return (
            f"prediction_id is {label.prediction_id!r}; {LATER_MAX + 1} labels wait for it: "
            "send a label once, and again only to correct it"
        )
    return None


def match(work: Workspace, entry: Pending, label: Waiting) -> None:
    """Give a pending prediction a label and those that came after it; only the first counts."""
    config = config_of(work.state, key_of(entry, ALL, 0))
    end_us = entry.pane_us + config.pane_s * SECOND_US
    keys = [key_of(entry, s, end_us) for s in segments_of(entry.segments, config)]
    panes = [work.pane(k, after=entry.late or k in work.state.matured) for k in keys]
    for pane in panes:
        note_evidence(pane, "labels", label.offset, label.value)
    if entry.id in work.join.matched:
        _again(work, entry, label, panes)
    else:
        version = version_of(work.state, entry.model, entry.version)
        for pane in panes:
            count_label(pane, entry, label.label, label.time_us, version)
        _first(work, entry, label, config.cohort_delay_s * SECOND_US)
    for later in label.later:
        match(work, entry, later)


def _first(work: Workspace, entry: Pending, label: Waiting, delay_us: int) -> None:
    release_us = entry.time_us + delay_us
    matched = Matched(
        label.label_id, label.label, label.time_us, label.offset, label.label_id, label.label,
        release_us, delay_us > 0 and label.stood_us > release_us,
    )  # fmt: skip
    work.join.add_matched(entry, matched)


def _again(work: Workspace, entry: Pending, label: Waiting, panes: list[Pane]) -> None:
    known = work.join.matched[entry.id]
    same = label.label_id in (known.label_id, known.latest_id) or label.label == known.latest
    for pane in panes:
        pane.duplicates += same
        pane.corrections += not same
    if not same:
        corrected = msgspec.structs.replace(known, latest_id=label.label_id, latest=label.label)
        work.join.correct(entry, corrected)
        work.outputs.append(Output("outcomes", entry.model, correction(entry, label)))


def key_of(entry: Pending, segment: str, end_us: int) -> PaneKey:
    """Return the pane a prediction was counted in."""
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
