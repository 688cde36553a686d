"""MONITOR: summaries of one partition in, metrics of each (pane, cut) out.

Rule 1: all source partitions cut a pane in one epoch, as their ticks agree; so a pane and cut is
        merged within an epoch, exactly, and evaluated once.
Rule 2: two configurations or profiles are never merged: such a pane is `mixed` (EPOCHS 4).
Rule 3: a pane is restated if something came behind its cut in any partition; then all merge.
Rule 4: a mature pane below the minimum coverage is not evaluable, never good or bad (20).
Rule 5: drift tests run where a rule of the pane's configuration asks for one, in the order of the
        panes' starts: of features and score on closed panes, of labels on mature ones that can be
        evaluated. A configuration without such a rule means what it meant under semantics 1, one
        without a test of labels what it meant under 2, to the byte: logs from before are folded
        as they were.
Rule 6: tests of a model's last TESTED_MAX versions are kept, by the starts of their last panes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import msgspec
from msgspec.structs import replace

from streamops.config import ModelConfig
from streamops.core import budget, drift
from streamops.core.cuts import merge_summaries
from streamops.core.drift import DriftState
from streamops.core.drift_plan import Plan, plan_of
from streamops.core.evaluate import closed_metrics, mature_metrics
from streamops.core.meter_state import ALL
from streamops.core.processor import Batch, Closing, Output, Record
from streamops.core.times import micros
from streamops.events import ConfigActivated, MetricEvaluated, PaneSummarized, VersionActivated
from streamops.values import Metric, MetricEvidence, ModelVersion, RawEvidence, Stamp, SummaryRef

GroupKey = tuple[str, str, str, int, str]
TESTED_MAX = 2
LABEL_METRIC = "label_drift"
BEFORE_LABELS = 2


class MonitorState(msgspec.Struct, frozen=True, array_like=True):
    """Activated versions and drift tests (by model and version), configurations (by hash).

    drift  tests of features and score, by model and version; labels: those of the labels
    """

    versions: dict[str, ModelVersion] = {}
    configs: dict[str, ModelConfig] = {}
    drift: dict[str, DriftState] = {}
    labels: dict[str, DriftState] = {}


class Monitor:
    """The processor of summaries-q."""

    name = "monitor"
    semantics = 3
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
        state = MonitorState(versions, configs, dict(state.drift), dict(state.labels))
        cut = [groups[key] for key in sorted(groups)]
        events = [_evaluate(state, records) for records in cut if _has_news(records)]
        return state, [Output("metrics", event.model, event) for event in events]


def _group(event: PaneSummarized) -> GroupKey:
    start_us = micros(event.pane_start)
    return event.model, event.version, event.segment, start_us, event.cut


def _has_news(records: list[Record]) -> bool:
    events = [r.event for r in records if isinstance(r.event, PaneSummarized)]
    return any(event.cut != "restated" or event.restatement for event in events)


def _evaluate(state: MonitorState, records: list[Record]) -> MetricEvaluated:
    summaries = [r.event for r in records if isinstance(r.event, PaneSummarized)]
    first = summaries[0]
    restatement = max(summary.restatement for summary in summaries)
    kinds = {(s.config_hash, s.profile_hash, s.time) for s in summaries}
    metrics: tuple[Metric, ...] = ()
    status, tests = "mixed", None
    evidence = MetricEvidence(summaries=tuple(_ref(record) for record in records))
    if len(kinds) == 1:
        merged = first
        for summary in summaries[1:]:
            merged = merge_summaries(merged, summary)
        metrics, status = _metrics(state, merged)
        tests = _test_drift(state, merged) if status == "evaluated" else None
    if tests is not None:
        known = _tests_of(state, first.cut)[_name(first)]
        evidence = replace(evidence, panes=known.panes, chain=known.chain.hex())
    return MetricEvaluated(
        id=f"metric/{first.model}/{first.version}/{first.segment}/{micros(first.pane_start)}"
        f"/{first.config_hash[:12]}/{first.cut}/{restatement}",
        time=first.time,
        model=first.model,
        version=first.version,
        segment=first.segment,
        pane_start=first.pane_start,
        cut=first.cut,
        config_hash=first.config_hash,
        metrics=metrics if tests is None else metrics + tests.metrics,
        status=status,  # type: ignore[arg-type]
        restatement=restatement,
        semantics=1 if tests is None else _meaning(first.cut),
        drift=() if tests is None else tests.alarms,
        evidence=evidence,
    )


def _name(event: PaneSummarized) -> str:
    return f"{event.model}\t{event.version}"


class _Asked(NamedTuple):
    """A pane as its version's tests read it; about: what their state belongs to."""

    plan: Plan
    about: str
    counts: Sequence[tuple[int, ...]]


def _meaning(cut: str) -> int:
    return BEFORE_LABELS if cut == "closed" else Monitor.semantics


def _tests_of(state: MonitorState, cut: str) -> dict[str, DriftState]:
    return state.labels if cut == "mature" else state.drift


def _test_drift(state: MonitorState, merged: PaneSummarized) -> drift.Read | None:
    """Put a pane to its version's drift tests; None where there is none to run.

    Changes the tests in `state`, which are this step's own copy.
    """
    version, config = state.versions.get(_name(merged)), state.configs.get(merged.config_hash)
    if merged.segment != ALL or version is None or config is None:
        return None
    asked = _asked_of(merged, version, config)
    if asked is None:
        return None
    tests = _tests_of(state, merged.cut)
    known = tests.get(_name(merged))
    if known is None or known.about != asked.about:
        known = drift.initial(asked.plan, asked.about)
    streams = budget.streams_of(config, len(version.profile.features))
    limit = budget.alarm_at(streams, budget.panes_a_month(config), config.false_alarms_per_month)
    known, read = drift.step(asked.plan, known, asked.counts, micros(merged.pane_start), limit)
    tests[_name(merged)] = known
    _forget(tests, merged.model)
    return read


def _asked_of(merged: PaneSummarized, version: ModelVersion, config: ModelConfig) -> _Asked | None:
    if merged.cut == "closed":
        return _inputs(merged, version, config)
    return _labels(merged, version, config) if merged.cut == "mature" else None


def _inputs(merged: PaneSummarized, version: ModelVersion, config: ModelConfig) -> _Asked | None:
    tested, profile = budget.tested(config), version.profile
    features = profile.features if tested.features and merged.features else ()
    score = profile.score if tested.score else None
    if not features and score is None:
        return None
    about = f"{merged.profile_hash}/{config.pane_s}/{len(features)}/{score is not None}"
    counts = [feature.counts for feature in merged.features] if features else []
    if score is not None:
        counts.append((0,) * len(score.counts) if merged.score is None else merged.score.counts)
    return _Asked(plan_of(features, score, config.pane_s), about, counts)


def _labels(merged: PaneSummarized, version: ModelVersion, config: ModelConfig) -> _Asked | None:
    label = version.profile.label
    if not budget.tested(config).labels or label is None:
        return None
    labels = () if merged.performance is None else merged.performance.labels
    about = f"{merged.profile_hash}/{config.pane_s}/labels"
    plan = plan_of((), label, config.pane_s, LABEL_METRIC)
    return _Asked(plan, about, (labels or (0,) * len(label.counts),))


def _forget(tests: dict[str, DriftState], model: str) -> None:
    mine = [name for name in tests if name.startswith(f"{model}\t")]
    for name in sorted(mine, key=lambda n: (tests[n].starts[-1], n))[:-TESTED_MAX]:
        del tests[name]


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
