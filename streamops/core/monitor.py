"""MONITOR: summaries of one partition in, metrics of each (pane, cut) out.

Rule 1: all source partitions cut a pane in one epoch, as their ticks agree; so a pane and cut is
        merged within an epoch, exactly, and evaluated once.
Rule 2: two configurations or profiles are never merged: such a pane is `mixed` (EPOCHS 4).
Rule 3: a pane is restated if something came behind its cut in any partition; then all merge.
Rule 4: a mature pane below the minimum coverage is not evaluable, never good or bad (20).
Rule 5: drift tests run where a rule of the pane's configuration asks for one, in the order of the
        panes' starts: of features and score on closed panes, of labels on mature ones that can be
        evaluated. A configuration without such a rule means what it meant under semantics 1, to the
        byte: logs from before are folded as they were. Segments are tested where a rule names them
        (`segment_drift`).
Rule 6: panes of an epoch are tested together, and concluded as if one by one (`drift_waves`).
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import msgspec
from msgspec.structs import replace

from streamops.config import ModelConfig
from streamops.core import budget, drift_waves
from streamops.core.cuts import merge_summaries
from streamops.core.drift import DriftState
from streamops.core.drift_waves import Held, Tests, Wanted
from streamops.core.evaluate import closed_metrics, mature_metrics
from streamops.core.processor import Batch, Closing, Output, Record
from streamops.core.segment_drift import SegmentState
from streamops.core.tested_pane import asked_of
from streamops.core.times import micros
from streamops.events import ConfigActivated, MetricEvaluated, PaneSummarized, VersionActivated
from streamops.values import (
    Metric,
    MetricEvidence,
    ModelVersion,
    RawEvidence,
    Stamp,
    SummaryRef,
)

GroupKey = tuple[str, str, str, int, str]
# What a state that tests nothing is sealed under.
UNTESTED = 2


class MonitorState(msgspec.Struct, frozen=True, array_like=True):
    """Activated versions and drift tests (by model and version), configurations (by hash).

    drift  tests of features and score, by model and version; labels: those of the labels
    segments  tests of segments, by model, version, segment and cut
    """

    versions: dict[str, ModelVersion] = {}
    configs: dict[str, ModelConfig] = {}
    drift: dict[str, DriftState] = {}
    labels: dict[str, DriftState] = {}
    segments: dict[str, SegmentState] = {}


class Monitor:
    """The processor of summaries-q."""

    name = "monitor"
    semantics = 5
    raw: tuple[str, ...] = ()
    derived: ClassVar[dict[str, tuple[str, ...]]] = {"summaries": ("meter",)}
    closing = Closing(("metrics",), "own")

    def initial(self) -> MonitorState:
        """Return the state before the first epoch."""
        return MonitorState()

    def step(self, state: MonitorState, batch: Batch) -> tuple[MonitorState, list[Output]]:
        """Merge and evaluate the panes that were cut in one epoch."""
        versions, configs = dict(state.versions), dict(state.configs)
        groups: dict[GroupKey, list[Record]] = {}
        for record in batch.records:
            event = record.event
            if isinstance(event, VersionActivated):
                versions[f"{event.version.model}\t{event.version.version}"] = event.version
            elif isinstance(event, ConfigActivated):
                configs[event.config_hash] = event.config
            elif isinstance(event, PaneSummarized):
                groups.setdefault(_group(event), []).append(record)
        tests = dict(state.drift), dict(state.labels), dict(state.segments)
        state = MonitorState(versions, configs, *tests)
        cut = [groups[key] for key in sorted(groups)]
        read = [_read(state, records) for records in cut if _has_news(records)]
        wanted = [one.wanted for one in read if one.wanted is not None]
        said = iter(drift_waves.run(Held(*tests), wanted))
        events = [_evaluated(one, None if one.wanted is None else next(said)) for one in read]
        return state, [Output("metrics", event.model, event) for event in events]


def _group(event: PaneSummarized) -> GroupKey:
    start_us = micros(event.pane_start)
    return event.model, event.version, event.segment, start_us, event.cut


def _has_news(records: list[Record]) -> bool:
    events = [r.event for r in records if isinstance(r.event, PaneSummarized)]
    return any(event.cut != "restated" or event.restatement for event in events)


class _Read(NamedTuple):
    """A pane's summaries, what they say, and what is to be tested of it."""

    records: list[Record]
    first: PaneSummarized
    metrics: tuple[Metric, ...]
    status: str
    wanted: Wanted | None
    restatement: int


def _read(state: MonitorState, records: list[Record]) -> _Read:
    summaries = [r.event for r in records if isinstance(r.event, PaneSummarized)]
    first, restatement = summaries[0], max(summary.restatement for summary in summaries)
    if len({(s.config_hash, s.profile_hash, s.time) for s in summaries}) > 1:
        return _Read(records, first, (), "mixed", None, restatement)
    merged = first
    for summary in summaries[1:]:
        merged = merge_summaries(merged, summary)
    metrics, status = _metrics(state, merged)
    wanted = _wanted(state, merged) if status == "evaluated" else None
    return _Read(records, first, metrics, status, wanted, restatement)


def _evaluated(read: _Read, tests: Tests | None) -> MetricEvaluated:
    first = read.first
    evidence = MetricEvidence(summaries=tuple(_ref(record) for record in read.records))
    if tests is not None:
        evidence = replace(evidence, panes=tests.panes, chain=tests.chain.hex())
    return MetricEvaluated(
        id=f"metric/{first.model}/{first.version}/{first.segment}/{micros(first.pane_start)}"
        f"/{first.config_hash[:12]}/{first.cut}/{read.restatement}",
        time=first.time,
        model=first.model,
        version=first.version,
        segment=first.segment,
        pane_start=first.pane_start,
        cut=first.cut,
        config_hash=first.config_hash,
        metrics=read.metrics if tests is None else read.metrics + tests.read.metrics,
        status=read.status,  # type: ignore[arg-type]
        restatement=read.restatement,
        semantics=1 if tests is None else Monitor.semantics,
        drift=() if tests is None else tests.read.alarms,
        evidence=evidence,
    )


def _name(event: PaneSummarized) -> str:
    return f"{event.model}\t{event.version}"


def _wanted(state: MonitorState, merged: PaneSummarized) -> Wanted | None:
    """Return what is to be tested of a pane; None where there is nothing."""
    version, config = state.versions.get(_name(merged)), state.configs.get(merged.config_hash)
    if version is None or config is None:
        return None
    asked = asked_of(merged, version, config)
    if asked is None:
        return None
    streams = budget.streams_of(config, len(version.profile.features))
    limit = budget.alarm_at(streams, budget.panes_a_month(config), config.false_alarms_per_month)
    start_us = micros(merged.pane_start)
    return Wanted(
        merged.model,
        merged.version,
        merged.segment,
        merged.cut,
        start_us,
        asked,
        config.pane_s,
        limit,
    )


def _metrics(state: MonitorState, merged: PaneSummarized) -> tuple[tuple[Metric, ...], str]:
    version = state.versions.get(f"{merged.model}\t{merged.version}")
    config = state.configs.get(merged.config_hash, ModelConfig(model=merged.model))
    metrics: tuple[Metric, ...] = ()
    if merged.cut != "mature":
        metrics += closed_metrics(merged, version)
    if merged.cut != "closed":
        metrics += mature_metrics(merged, version)
        labelled = 0 if merged.performance is None else merged.performance.labelled
        # Divided, not multiplied: 7 of 100 is 0.07, but 0.07 * 100 is above 7.
        if not labelled or labelled / max(merged.predictions, 1) < config.min_coverage:
            return metrics, "coverage"
    return metrics, "evaluated"


def _ref(record: Record) -> SummaryRef:
    event = record.event
    assert isinstance(event, PaneSummarized), "only summaries are grouped"
    assert isinstance(event.stamp, Stamp), "a derived record has a stamp"
    raw = event.evidence or RawEvidence()
    return SummaryRef(id=event.id, stamp=event.stamp, offset=record.offset, raw=raw)
