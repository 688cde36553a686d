"""When a pane is cut and an outcome is released, and what then goes out.

Rule 1: `closed` when predictions' tick passes end + allowed lateness; `mature` when labels' tick
        passes end + maturity and the pane is closed; `restated` once, at end + horizon; then the
        pane is forgotten. One immutable summary each; a restated one says by `restatement` (0 or
        1) whether anything came behind a cut here: it may have in another partition.
Rule 2: an outcome goes out when labels' tick is above prediction time + cohort delay, and before
        its prediction is forgotten (EPOCHS 19).
Rule 3: output order is the order of the keys, never of arrival.
Rule 4: where panes are known by when they are due, only those are looked at; without, all are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import msgspec

from streamops.config import Cut, ModelConfig
from streamops.core.join import JoinTable
from streamops.core.join_rows import Matched, Pending
from streamops.core.meter_state import MeterState, config_of, version_of
from streamops.core.outcome import joined_evidence, outcome
from streamops.core.pane_due import PaneDue
from streamops.core.panes import (
    Pane,
    PaneKey,
    add_counts,
    evidence_of,
    features_of,
    merge_features,
    merge_performance,
    performance_of,
)
from streamops.core.processor import Output
from streamops.core.summary_texts import summaries
from streamops.core.times import SECOND_US, moment
from streamops.events import PaneSummarized
from streamops.values import FeatureCounts, RawEvidence, Span


def close(state: MeterState, partition: int, known: PaneDue | None = None) -> Sequence[Output]:
    """Cut the panes that predictions' tick has passed."""

    def due(key: PaneKey, config: ModelConfig) -> bool:
        return key.end_us + config.allowed_lateness_s * SECOND_US <= state.predictions_us

    some = state.panes if known is None else known.to_close(state.predictions_us)
    keys = _due(state, [k for k in some if k in state.panes and k not in state.closed], due)
    state.closed.update(keys)
    if known is not None:
        known.closed(state, keys)
    return _outputs(state, keys, "closed", partition, at_once=known is not None)


def mature(state: MeterState, partition: int, known: PaneDue | None = None) -> Sequence[Output]:
    """Cut the closed panes whose labels are due."""

    def due(key: PaneKey, config: ModelConfig) -> bool:
        return key.end_us + config.maturity_s * SECOND_US <= state.labels_us

    some = state.closed if known is None else known.to_mature(state.labels_us)
    keys = _due(state, [k for k in some if k in state.closed and k not in state.matured], due)
    state.matured.update(keys)
    if known is not None:
        known.matured(state, keys)
    return _outputs(state, keys, "mature", partition, at_once=known is not None)


def restate(state: MeterState, partition: int, known: PaneDue | None = None) -> Sequence[Output]:
    """Restate panes that reached their horizon, and forget them."""

    def due(key: PaneKey, config: ModelConfig) -> bool:
        return key.end_us + config.horizon_s * SECOND_US <= state.labels_us

    # Sets of all keys hash each of them, which many open panes make dear: only where nothing names
    # those that are due.
    some: Collection[PaneKey] = (
        state.matured | state.after.keys() if known is None else known.to_restate(state.labels_us)
    )
    without = {key for key in state.after if key not in state.panes}
    keys = _due(state, [k for k in some if k in state.matured or k in without], due)
    outputs = _outputs(state, keys, "restated", partition, at_once=known is not None)
    for key in keys:
        state.panes.pop(key, None)
        state.after.pop(key, None)
        state.closed.discard(key)
        state.matured.discard(key)
    return outputs


def release(state: MeterState, join: JoinTable, partition: int) -> list[Output]:
    """Send the outcomes that are due, in order of prediction time and id."""
    return [outcome_output(*pair, partition) for pair in join.release(state.labels_us)]


def _due(
    state: MeterState,
    keys: Sequence[PaneKey],
    due: Callable[[PaneKey, ModelConfig], bool],
) -> list[PaneKey]:
    return sorted(key for key in dict.fromkeys(keys) if due(key, config_of(state, key)))


def _outputs(
    state: MeterState, keys: Sequence[PaneKey], cut: Cut, partition: int, *, at_once: bool
) -> Sequence[Output]:
    rows = summaries(state, keys, cut, partition) if at_once else None
    return [_output(state, key, cut, partition) for key in keys] if rows is None else rows


def _output(state: MeterState, key: PaneKey, cut: Cut, partition: int) -> Output:
    summary = summarize(state, key, state.panes.get(key, Pane()), cut, partition)
    if cut == "restated" and key in state.after:
        late = summarize(state, key, state.after[key], cut, partition)
        summary = msgspec.structs.replace(_merged(summary, late), restatement=1)
    return Output("summaries", key.model, summary)


def summarize(
    state: MeterState, key: PaneKey, pane: Pane, cut: Cut, partition: int
) -> PaneSummarized:
    """Return a pane's summary: features and score unless mature, performance unless closed."""
    version = version_of(state, key.model, key.version)
    score = None
    if pane.score and cut != "mature":
        score = FeatureCounts("score", tuple(pane.score), tuple(pane.score_sums))
    return PaneSummarized(
        id=f"pane/{key.model}/{key.version}/{key.segment}/{key.start_us}/{key.config_hash[:12]}"
        f"/{cut}/{partition}",
        time=moment(key.end_us),
        model=key.model,
        version=key.version,
        segment=key.segment,
        pane_start=moment(key.start_us),
        cut=cut,
        config_hash=key.config_hash,
        profile_hash="" if version is None else version.profile_hash,
        predictions=pane.predictions,
        failures=pane.failures,
        repeats=pane.repeats,
        late=pane.late,
        faults=pane.faults,
        features=() if cut == "mature" else features_of(pane, version),
        score=score,
        latency_ms=() if cut == "mature" else tuple(pane.latency),
        performance=None if cut == "closed" else performance_of(pane),
        evidence=evidence_of(pane, partition),
    )


def _merged(a: PaneSummarized, b: PaneSummarized) -> PaneSummarized:
    spans = [*(a.evidence.spans if a.evidence else ()), *(b.evidence.spans if b.evidence else ())]
    return msgspec.structs.replace(
        merge_summaries(a, b), evidence=RawEvidence(spans=tuple(_joined(spans)))
    )


def _joined(spans: list[Span]) -> list[Span]:
    found: dict[str, Span] = {}
    for span in sorted(spans, key=lambda s: (s.topic, s.first)):
        seen = found.get(span.topic)
        first = span.first if seen is None else seen.first
        last = span.next if seen is None else max(seen.next, span.next)
        found[span.topic] = Span(span.topic, span.partition, first, last)
    return list(found.values())


def merge_summaries(a: PaneSummarized, b: PaneSummarized) -> PaneSummarized:
    """Return the exact merge of two summaries of one pane and cut, without evidence."""
    score = a.score or b.score
    if a.score and b.score:
        score = merge_features((a.score,), (b.score,))[0]
    performance = a.performance or b.performance
    if a.performance and b.performance:
        performance = merge_performance(a.performance, b.performance)
    return msgspec.structs.replace(
        a,
        predictions=a.predictions + b.predictions,
        failures=a.failures + b.failures,
        repeats=a.repeats + b.repeats,
        late=a.late + b.late,
        faults=a.faults + b.faults,
        features=merge_features(a.features, b.features),
        score=score,
        latency_ms=add_counts(a.latency_ms, b.latency_ms),
        performance=performance,
        evidence=None,
        stamp=None,
    )


def outcome_output(entry: Pending, label: Matched, partition: int) -> Output:
    """Return the outcome of a prediction and its first label, with its evidence."""
    event = outcome(entry, label, after_cohort=label.after_cohort)
    return Output("outcomes", entry.model, event, None, joined_evidence(entry, label, partition))
