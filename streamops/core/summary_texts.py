"""Summaries of many panes, encoded as they lie in memory: none is made an event first.

Rule 1: `cuts.summarize` of each, encoded, is the definition; this gives the same bytes. A pane that
        something came behind the cut of is left to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from streamops.config import Cut
from streamops.core.meter_state import MeterState, version_of
from streamops.core.output_rows import OutputRows
from streamops.core.panes import Pane, PaneKey, confusion_of
from streamops.core.times import moment
from streamops.values import ModelVersion

# Below it they cost more at once than one by one.
RUN_MIN = 3
_ENCODER = msgspec.json.Encoder(order="deterministic")
_NO_PANE = Pane()
# A feature's name, counts and sums, as `FeatureCounts` is encoded.
_Feature = tuple[str, Sequence[int], Sequence[int]]


class _Summary(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    gc=False,
    tag_field="type",
    tag="PaneSummarized",
):
    """The fields of `PaneSummarized` but stamp and evidence, in its order and with its defaults."""

    id: str
    time: datetime
    model: str
    version: str
    segment: str
    pane_start: datetime
    cut: Cut
    config_hash: str
    profile_hash: str
    restatement: int = 0
    predictions: int = 0
    failures: int = 0
    repeats: int = 0
    late: int = 0
    faults: int = 0
    features: Sequence[_Feature] = ()
    score: _Feature | None = None
    latency_ms: list[int] = []
    performance: _Performance | None = None


class _Performance(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The fields of `Performance`, in its order and with its defaults."""

    labelled: int = 0
    confusion: Sequence[tuple[str, str, int]] = ()
    scored: int = 0
    log_loss: int = 0
    brier: int = 0
    measured: int = 0
    absolute_error: int = 0
    squared_error: int = 0
    labels: list[int] = []
    delay_s: list[int] = []
    calibration: list[list[int]] = []
    corrections: int = 0
    duplicates: int = 0


def summaries(
    state: MeterState, keys: Sequence[PaneKey], cut: Cut, partition: int
) -> OutputRows | None:
    """Return the summaries of panes as they are cut; None where one is left to the definition."""
    if len(keys) < RUN_MIN or (cut == "restated" and not state.after.keys().isdisjoint(keys)):
        return None
    panes = [state.panes.get(key, _NO_PANE) for key in keys]
    moments = {us: moment(us) for key in keys for us in (key.start_us, key.end_us)}
    made = (
        _summary(key, pane, version_of(state, key.model, key.version), cut, partition, moments)
        for key, pane in zip(keys, panes, strict=True)
    )
    # No text has a line break in it: what breaks a line is escaped.
    bodies = _ENCODER.encode_lines(made)[:-2].split(b"}\n")
    evidence = [_evidence(pane, partition) for pane in panes]
    return OutputRows("summaries", [key.model for key in keys], [evidence], bodies)


def _summary(
    key: PaneKey,
    pane: Pane,
    version: ModelVersion | None,
    cut: Cut,
    partition: int,
    moments: Mapping[int, datetime],
) -> _Summary:
    is_whole = cut != "mature"
    features: Sequence[_Feature] = ()
    if is_whole and version is not None and pane.counts:
        names = [feature.name for feature in version.profile.features]
        features = list(zip(names, pane.counts, pane.sums, strict=True))
    return _Summary(
        f"pane/{key.model}/{key.version}/{key.segment}/{key.start_us}/{key.config_hash[:12]}"
        f"/{cut}/{partition}",
        moments[key.end_us],
        key.model,
        key.version,
        key.segment,
        moments[key.start_us],
        cut,
        key.config_hash,
        "" if version is None else version.profile_hash,
        0,
        pane.predictions,
        pane.failures,
        pane.repeats,
        pane.late,
        pane.faults,
        features,
        ("score", pane.score, pane.score_sums) if is_whole and pane.score else None,
        pane.latency if is_whole else [],
        None if cut == "closed" else _performance(pane),
    )


def _performance(pane: Pane) -> _Performance:
    return _Performance(
        pane.labelled, confusion_of(pane), pane.scored, pane.log_loss, pane.brier, pane.measured,
        pane.absolute_error, pane.squared_error, pane.labels, pane.delay, pane.calibration,
        pane.corrections, pane.duplicates,
    )  # fmt: skip


def _evidence(pane: Pane, partition: int) -> bytes:
    """Return the canonical JSON of `panes.evidence_of`."""
    if not pane.records:
        return b"{}"
    spans = [
        b'["%b",%d,%d,%d]' % (topic.encode(), partition, first, next_)
        for topic, (first, next_) in sorted(pane.spans.items())
    ]
    chain = pane.chain.hex().encode()
    return b'{"spans":[%b],"records":%d,"chain":"%b"}' % (b",".join(spans), pane.records, chain)
