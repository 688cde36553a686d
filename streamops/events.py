"""Events: every fact the log can hold, all of them here, no logic.

`time` is event time, UTC, RFC 3339 on the wire. A number has its unit in its name. A new field goes
last and has a default; a new meaning gets a new event. Do not subclass an event.

A derived event (one that a processor concluded) has `stamp` and may have `evidence`. Everything
else in it is its conclusion: equal bytes in every run, host and partitioning (DESIGN rule 8).
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from streamops.config import AlertKind, Cut, ModelConfig, Strategy
from streamops.quiet import Hold, Noise
from streamops.values import (
    Drift,
    Fault,
    FeatureCounts,
    GateCheck,
    Integer,
    Metric,
    MetricEvidence,
    ModelVersion,
    NotNegative,
    OutcomeEvidence,
    Performance,
    Proof,
    RawEvidence,
    ReferenceProfile,
    SealEvidence,
    SegmentSeal,
    Severity,
    Share,
    Stage,
    Stamp,
    Value,
)


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """What all events have: `id`, unique in its source, and `time`, when it happened."""

    id: str
    time: datetime


# Predictions and labels -------------------------------------------------------------------------


class PredictionMade(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A model answered one request.

    id          the caller's, unique in its source; LabelArrived joins on it
    time        when the answer left the serving host, by that host's clock
    score       probability of the positive class (binary) or of the predicted class, 0..1
    features    object of the model's columns; read once its version is known
    latency_ms  from request to answer, milliseconds, at least 0; segments: declared -> value
    deployment_step  id of the StageChanged under which it was served
    """

    model: str
    version: str
    prediction: Value
    score: Share | None = None
    features: msgspec.Raw = msgspec.Raw(b"{}")
    latency_ms: NotNegative | None = None
    segments: dict[str, str] = {}
    deployment_step: str = ""


class PredictionFailed(Event, frozen=True, kw_only=True, tag=True):
    """A model did not answer; `error` says why in one line."""

    model: str
    version: str
    error: str
    latency_ms: NotNegative | None = None
    segments: dict[str, str] = {}


class LabelArrived(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """The truth about one prediction became known at `time`."""

    prediction_id: str
    label: Value


# Broadcasts --------------------------------------------------------------------------------------


class Tick(Event, frozen=True, kw_only=True, tag=True):
    """Cuts a partition: closes the epoch before it, opens `epoch`; `time` is the watermark."""

    epoch: Integer


class ConfigActivated(Event, frozen=True, kw_only=True, tag=True):
    """A model's configuration rules the panes that start at `first_pane` or later."""

    revision: Integer
    first_pane: datetime
    config: ModelConfig
    config_hash: str
    stamp: Stamp | None = None


class VersionActivated(Event, frozen=True, kw_only=True, tag=True):
    """A version's columns, edges and reference are known from here on."""

    revision: Integer
    first_pane: datetime
    version: ModelVersion
    stamp: Stamp | None = None


class TopologyActivated(Event, frozen=True, kw_only=True, tag=True):
    """Sources of derived topics from `first_epoch`: one a processor and partition.

    driven      the namespace's driver is its only ticker, times may be any year's
    interval_s  seconds of event time between live ticks; 0 when driven
    seal_every  the state is sealed at the end of every so many epochs; 0: never
    """

    partitions: Integer
    first_epoch: Integer = 0
    driven: bool = False
    interval_s: float = 0.0
    seal_every: Integer = 0


# Outcomes and summaries --------------------------------------------------------------------------


class OutcomeJoined(Event, frozen=True, kw_only=True, tag=True):
    """A prediction with its label; `time` is the prediction's.

    after_cohort  the label came after the cohort delay: DETECT skips it
    late          the prediction stood behind the tick that closed its pane
    correction    another label had come before: views and training sets take the last one
    """

    prediction_id: str
    model: str
    version: str
    prediction: Value
    label: Value
    label_time: datetime
    score: float | None = None
    features: msgspec.Raw = msgspec.Raw(b"{}")
    segments: dict[str, str] = {}
    after_cohort: bool = False
    late: bool = False
    correction: bool = False
    stamp: Stamp | None = None
    evidence: RawEvidence | None = None


class EpochClosed(Event, frozen=True, kw_only=True, tag=True):
    """Last output of a source's epoch to one partition: the count before it, and their hash."""

    source: str
    epoch: Integer
    count: Integer
    hash: str


class PaneSummarized(Event, frozen=True, kw_only=True, tag=True):
    """One pane of one version and segment as one source partition saw it; `time` is its end.

    cut       closed (features, score, latency), mature (performance), restated
    restatement  number of the restatement, 0 before
    repeats   predictions dropped as repeats; late: events behind their pane's closing tick
    faults    feature values of a wrong kind, counted as missing
    """

    model: str
    version: str
    segment: str
    pane_start: datetime
    cut: Cut
    config_hash: str
    profile_hash: str
    restatement: Integer = 0
    predictions: Integer = 0
    failures: Integer = 0
    repeats: Integer = 0
    late: Integer = 0
    faults: Integer = 0
    features: tuple[FeatureCounts, ...] = ()
    score: FeatureCounts | None = None
    latency_ms: tuple[Integer, ...] = ()
    performance: Performance | None = None
    stamp: Stamp | None = None
    evidence: RawEvidence | None = None


class MetricEvaluated(Event, frozen=True, kw_only=True, tag=True):
    """The statistics of one pane, all source partitions merged; `time` is the pane's end.

    status  evaluated, or why not: mixed (two configurations), coverage (too few labels)
    drift   alarms of drift tests; metrics of their names hold every test's evidence
    semantics  5 where drift tests ran (2 to 4 before rises were tested exactly), else 1
    """

    model: str
    version: str
    segment: str
    pane_start: datetime
    cut: Cut
    config_hash: str
    metrics: tuple[Metric, ...] = ()
    status: Literal["evaluated", "mixed", "coverage"] = "evaluated"
    restatement: Integer = 0
    semantics: Integer = 1
    drift: tuple[Drift, ...] = ()
    stamp: Stamp | None = None
    evidence: MetricEvidence | None = None


class DriftDetected(Event, frozen=True, kw_only=True, tag=True):
    """A sequential detector on the error stream spoke; `time` is the outcome's prediction time.

    since     prediction time at which the detector puts the change
    platform  library, version and machine that computed it; `streamops` holds on every machine
    score, limit  a test's evidence and what an alarm takes; reason: why a user's detector failed
    segment   whose outcomes a test read; `outcomes` and evidence are the version's all the same
    """

    model: str
    version: str
    detector: str
    level: Literal["warning", "drift", "failed"]
    since: datetime
    outcomes: Integer
    error_rate: float
    platform: str
    config_hash: str
    score: float | None = None
    limit: float | None = None
    reason: str = ""
    segment: str = "all"
    stamp: Stamp | None = None
    evidence: OutcomeEvidence | None = None


class MetricReported(Event, frozen=True, kw_only=True, tag=True):
    """A business metric from outside."""

    model: str
    name: str
    value: float
    unit: str = ""


# Lifecycle ---------------------------------------------------------------------------------------


class RunStarted(Event, frozen=True, kw_only=True, tag=True):
    """Training began. `environment` holds Python, platform and library versions."""

    model: str
    run_id: str
    request_id: str = ""
    parameters: dict[str, Value] = {}
    dataset: str = ""
    code_commit: str = ""
    environment: dict[str, str] = {}


class RunCompleted(Event, frozen=True, kw_only=True, tag=True):
    """Training ended well. Rows are those trained on; epochs are those of the outcomes read.

    parameters  those found while it ran; the others stand in RunStarted
    """

    model: str
    run_id: str
    metrics: dict[str, float] = {}
    artifact: str = ""
    rows: Integer = 0
    first_epoch: Integer = 0
    last_epoch: Integer = 0
    parameters: dict[str, Value] = {}


class RunFailed(Event, frozen=True, kw_only=True, tag=True):
    """Training ended badly: the final answer to its request. `parameters` as in RunCompleted."""

    model: str
    run_id: str
    error: str
    request_id: str = ""
    parameters: dict[str, Value] = {}


class ModelRegistered(Event, frozen=True, kw_only=True, tag=True):
    """A version exists, with all that the fold and the gateway need."""

    version: ModelVersion
    run_id: str = ""
    request_id: str = ""
    artifact_uri: str = ""
    runner: str = "skops"


class CandidateScored(Event, frozen=True, kw_only=True, tag=True):
    """How a candidate did on held-out outcomes beside the champion: the final answer to a request.

    rows      held-out rows; candidate, champion: metric -> value on the same rows
    segments  segment -> [candidate, champion, rows] in the gate's metric
    refit     the registered artifact was fitted again with the held-out rows after this scoring
    """

    model: str
    version: str
    request_id: str
    champion_version: str
    rows: Integer
    candidate: dict[str, float] = {}
    champion: dict[str, float] = {}
    segments: dict[str, tuple[float, float, Integer]] = {}
    first_epoch: Integer = 0
    last_epoch: Integer = 0
    refit: bool = False


class PromotionRequested(Event, frozen=True, kw_only=True, tag=True):
    """A person asks for a version to go to Production; the gate decides."""

    model: str
    version: str
    actor: str
    reason: str = ""


class PromotionApproved(Event, frozen=True, kw_only=True, tag=True):
    """A person approves a version that waits in Staging."""

    model: str
    version: str
    actor: str
    reason: str = ""


class RollbackRequested(Event, frozen=True, kw_only=True, tag=True):
    """A person wants the former champion back, at once."""

    model: str
    actor: str
    reason: str = ""


class RetrainingPaused(Event, frozen=True, kw_only=True, tag=True):
    """A person stops (or, with paused false, resumes) automatic retraining of a model."""

    model: str
    actor: str
    paused: bool = True
    reason: str = ""


class AlertSilenceRequested(Event, frozen=True, kw_only=True, tag=True):
    """A person silences a fingerprint, or a `hold`, until a time; `acknowledge`: has seen it."""

    model: str
    fingerprint: str
    actor: str
    until: datetime
    acknowledge: bool = False
    reason: str = ""
    hold: Hold | None = None


class ConfigApplied(Event, frozen=True, kw_only=True, tag=True):
    """A person applied a configuration. `first_pane`: first that it rules; none: the next one."""

    config: ModelConfig
    config_hash: str
    actor: str
    first_pane: datetime | None = None


class ActivationDelivered(Event, frozen=True, kw_only=True, tag=True):
    """Every partition holds the activation with this revision."""

    revision: Integer
    model: str
    version: str = ""
    config_hash: str = ""


class DatasetVersioned(Event, frozen=True, kw_only=True, tag=True):
    """A data set's content at a time, by SHA-256; columns are [name, kind]."""

    dataset: str
    version: str
    content_hash: str
    rows: Integer
    columns: tuple[tuple[str, str], ...] = ()
    parent: str = ""
    uri: str = ""


class ReferenceProfiled(Event, frozen=True, kw_only=True, tag=True):
    """The reference profile of a data set version."""

    dataset: str
    version: str
    profile: ReferenceProfile
    profile_hash: str


# Conclusions of the controller -------------------------------------------------------------------


class AlertRaised(Event, frozen=True, kw_only=True, tag=True):
    """A rule's condition held; `time` is the end of the last pane it rests on.

    fingerprint  model, segment, rule and feature: one open alert a fingerprint
    revision     grows with each record of the fingerprint; act only on a higher one
    value, limit what was measured and what was allowed, in the metric's unit
    since        start of the pane in which a drift test puts the change; none for other rules
    silenced     it pages nobody; noise: why, where it isn't its fingerprint's own silence
    """

    fingerprint: str
    revision: Integer
    kind: AlertKind
    severity: Severity
    model: str
    version: str
    segment: str
    feature: str
    rule: str
    metric: str
    value: float
    limit: float
    pane_start: datetime
    config_hash: str
    reference: float | None = None
    silenced: bool = False
    since: datetime | None = None
    noise: Noise | None = None
    stamp: Stamp | None = None
    evidence: Proof | None = None


class AlertResolved(Event, frozen=True, kw_only=True, tag=True):
    """The condition of an open alert ended, or its version left Production."""

    fingerprint: str
    revision: Integer
    alert_id: str
    model: str
    reason: Literal["recovered", "version replaced", "configuration changed"]
    stamp: Stamp | None = None
    evidence: Proof | None = None


class AlertSilenced(Event, frozen=True, kw_only=True, tag=True):
    """A fingerprint, or a `hold`, is silent until a time; or a person acknowledged an alert."""

    fingerprint: str
    revision: Integer
    model: str
    actor: str
    until: datetime
    acknowledge: bool = False
    hold: Hold | None = None
    stamp: Stamp | None = None
    evidence: Proof | None = None


class RetrainRequested(Event, frozen=True, kw_only=True, tag=True):
    """Asks for one challenger; the run's id is this event's id (EPOCHS 22).

    cause        id of the alert, command or schedule behind it; requests of one cause compete
    first_epoch, last_epoch  outcomes to learn from, both included
    labels       labelled outcomes in the range; since: where the change is put (since_change only)
    used, budget requests in the budget's window, this one included, and how many it allows
    trainer      what fits the challenger; refit: again with the held-out rows, once scored
    """

    model: str
    strategy: Strategy
    cause: str
    reason: str
    champion_version: str
    first_epoch: Integer
    last_epoch: Integer
    labels: Integer
    holdout_rows: Integer
    metric: str
    recent_rows: Integer = 0
    since: datetime | None = None
    used: Integer = 0
    budget: Integer = 0
    config_hash: str = ""
    trainer: str = ""
    refit: bool = False
    stamp: Stamp | None = None
    evidence: Proof | None = None


class RetrainSkipped(Event, frozen=True, kw_only=True, tag=True):
    """A cause would have asked, and why it was held back."""

    model: str
    cause: str
    reason: Literal["cool-down", "budget", "too few labels", "paused", "request open"]
    detail: str = ""
    stamp: Stamp | None = None
    evidence: Proof | None = None


class EvaluationRequested(Event, frozen=True, kw_only=True, tag=True):
    """Asks for a registered version to be scored against the champion on held-out outcomes."""

    model: str
    version: str
    champion_version: str
    first_epoch: Integer
    last_epoch: Integer
    holdout_rows: Integer
    metric: str
    stamp: Stamp | None = None
    evidence: Proof | None = None


class GateEvaluated(Event, frozen=True, kw_only=True, tag=True):
    """The gate's verdict on a candidate, each check beside it."""

    model: str
    version: str
    passed: bool
    checks: tuple[GateCheck, ...]
    champion_version: str = ""
    request_id: str = ""
    config_hash: str = ""
    stamp: Stamp | None = None
    evidence: Proof | None = None


class StageChanged(Event, frozen=True, kw_only=True, tag=True):
    """A version moved. Promotion and the former champion's archiving are this one event.

    replaced  version that left Production for Archived by the same step
    revision  grows with each deployment of the model; act only on a higher one
    actor     a person, or `controller`
    """

    model: str
    version: str
    before: Stage
    after: Stage
    revision: Integer
    cause: str
    replaced: str = ""
    actor: str = "controller"
    stamp: Stamp | None = None
    evidence: Proof | None = None


class RolloutStarted(Event, frozen=True, kw_only=True, tag=True):
    """A version begins its way to full traffic; `plan` is the list of shares, 0..1."""

    model: str
    version: str
    revision: Integer
    plan: tuple[float, ...] = (1.0,)
    stamp: Stamp | None = None
    evidence: Proof | None = None


class RolloutStepped(Event, frozen=True, kw_only=True, tag=True):
    """A rollout moved to another share of traffic."""

    model: str
    version: str
    revision: Integer
    share: float
    stamp: Stamp | None = None
    evidence: Proof | None = None


class RolloutFinished(Event, frozen=True, kw_only=True, tag=True):
    """A rollout ended with the version serving all traffic."""

    model: str
    version: str
    revision: Integer
    stamp: Stamp | None = None
    evidence: Proof | None = None


class RolloutRolledBack(Event, frozen=True, kw_only=True, tag=True):
    """A rollout or a promotion was undone; `restored` serves again."""

    model: str
    version: str
    restored: str
    revision: Integer
    reason: str
    stamp: Stamp | None = None
    evidence: Proof | None = None


class DeploymentServed(Event, frozen=True, kw_only=True, tag=True):
    """A gateway serves this version from now on."""

    model: str
    version: str
    revision: Integer
    gateway: str


# Progress, refusals, audit -----------------------------------------------------------------------


class EpochConcluded(Event, frozen=True, kw_only=True, tag=True):
    """The controller folded an epoch and everything before it is acknowledged.

    open_requests  ids of requests without a final answer, sorted
    """

    partition: Integer
    epoch: Integer
    open_requests: tuple[str, ...] = ()
    deployment_revisions: dict[str, Integer] = {}
    stamp: Stamp | None = None


class Sealed(Event, frozen=True, kw_only=True, tag=True):
    """Merkle root (SHA-256, hex) over a source's per-model states at the end of an epoch.

    leaves, bytes  how many states it is over, and their bytes
    """

    source: str
    epoch: Integer
    root: str
    semantics: Integer = 1
    leaves: Integer = 0
    bytes: Integer = 0
    stamp: Stamp | None = None
    evidence: SealEvidence | None = None


class SealRequested(Event, frozen=True, kw_only=True, tag=True):
    """A person asks the archiver to seal everything that stands on the topics now."""

    actor: str
    reason: str = ""


class CheckpointSealed(Event, frozen=True, kw_only=True, tag=True):
    """The archiver sealed what it archived since the seal before; `time` is its last append time.

    number    from 1, one more each; of two with one number the first counts
    previous  head of the seal before; that of number 1 has none
    segments  by topic, partition and offset; request: id of the SealRequested that it answers
    head      SHA-256 over all this: the whole chain so far
    """

    namespace: str
    number: Integer
    head: str
    segments: tuple[SegmentSeal, ...]
    previous: str = ""
    request: str = ""


class RecordRefused(Event, frozen=True, kw_only=True, tag=True):
    """A record that could not be used, with its raw bytes (base64, capped) and where it stood."""

    topic: str
    partition: Integer
    offset: Integer
    reason: str
    fault: Fault
    raw: bytes = b""
    raw_bytes: Integer = 0
    raw_sha256: str = ""
    key: bytes = b""
    stamp: Stamp | None = None


class ActionTaken(Event, frozen=True, kw_only=True, tag=True):
    """Who did what through an interface, allowed or not, under one correlation id."""

    actor: str
    action: str
    target: str
    allowed: bool = True
    correlation_id: str = ""
    detail: str = ""
