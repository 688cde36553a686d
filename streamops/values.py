"""Values that events are made of: stamps, evidence, profiles, counts. No logic.

The same rules as in `events`: frozen, a unit in each name, a new field goes last with a default.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

# What MessagePack and the views have room for; JSON knows longer ones.
Integer = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Value = str | Integer | float | bool
Stage = Literal["Development", "Staging", "Production", "Archived"]
Severity = Literal["minor", "moderate", "major"]
Fault = Literal["producer", "operator", "us"]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class Stamp(msgspec.Struct, frozen=True, array_like=True):
    """Where a derived record stands in its source's fold (EPOCHS, Words).

    source   processor/partition, as meter/0
    epoch    epoch of the fold
    ordinal  number of the output in that epoch, from 0
    """

    source: str
    epoch: Integer
    ordinal: Integer


class Span(msgspec.Struct, frozen=True, array_like=True):
    """Offsets [first, next) of one partition."""

    topic: str
    partition: Integer
    first: Integer
    next: Integer


class SegmentSeal(msgspec.Struct, frozen=True, array_like=True):
    """One sealed stretch of a partition: what a read-committed consumer sees of [first, next).

    records  how many they are; the other offsets hold none
    root     Merkle root over them, SHA-256
    head     SHA-256 over all this and the partition's segment before: its chain so far
    """

    topic: str
    partition: Integer
    first: Integer
    next: Integer
    records: Integer
    root: str
    head: str


class RawEvidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a summary or outcome was folded from: spans, records, and a SHA-256 chain over them."""

    spans: tuple[Span, ...] = ()
    records: Integer = 0
    chain: str = ""


class SummaryRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One summary that a metric merged: its id, stamp, offset on `summaries`, and its evidence."""

    id: str
    stamp: Stamp
    offset: Integer
    raw: RawEvidence


class MetricEvidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The summaries behind a metric.

    panes  panes of this version that its drift tests have read, this one included
    chain  SHA-256 chain over those panes' counts
    """

    summaries: tuple[SummaryRef, ...] = ()
    panes: Integer = 0
    chain: str = ""


class OutcomeEvidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcomes behind a detector's conclusion: epochs, number, SHA-256 chain of conclusions."""

    first_epoch: Integer
    last_epoch: Integer
    outcomes: Integer
    chain: str


class MetricRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One metric or detector record that an action rests on."""

    id: str
    stamp: Stamp
    offset: Integer


class Proof(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What lets anyone compute an action again: its metrics and the lifecycle read so far."""

    metrics: tuple[MetricRef, ...] = ()
    lifecycle: tuple[Span, ...] = ()


SeasonName = Literal["hour_weekend", "hour", "weekday", "month"]
# How many phases each has.
PHASES: dict[SeasonName, int] = {"hour_weekend": 48, "hour": 24, "weekday": 7, "month": 12}


class PaneRows(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a column's reference rows depend on each other, and its panes if they do.

    is_independent  no dispersion was found: rows may be counted one by one
    dispersion, missing_dispersion  c by which a test on counts divides its evidence, of the values
                    and of whether there is one; at least 1
    panes           consecutive panes of equal rows, oldest first; 0: none are kept
    width, counts   bytes a count, and counts pane by pane, laid out as the profile's
    season, phases  the season that the panes were cut by, and each one's phase, a byte; none: panes
                    are equal in rows
    """

    is_independent: bool = False
    dispersion: float = 1.0
    missing_dispersion: float = 1.0
    panes: Integer = 0
    width: Integer = 1
    counts: bytes = b""
    season: SeasonName | None = None
    phases: bytes = b""


class SealEvidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a seal's states lie in, and where its source reads on.

    contents   SHA-256 (hex) of the manifest: its leaves, and where the states' records stand
    positions  input topic -> offset; everything after the sealed epoch stands there or later
    """

    contents: str
    positions: dict[str, Integer] = {}


class FeatureProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column of a reference profile. Layout of `counts` and of every pane's counts:

    numeric   [below low, bins cut by the interior `edges`, above high, missing]
    category  [one a listed category, other, missing]; a boolean is a category of false and true

    quantum   unit of the fixed-point sums of a numeric column
    rows      how its rows depend on each other; None where it was not measured
    """

    name: str
    kind: Literal["numeric", "boolean", "category"]
    counts: tuple[Integer, ...]
    edges: tuple[float, ...] = ()
    low: float = 0.0
    high: float = 0.0
    categories: tuple[str, ...] = ()
    quantum: float = 1.0
    rows: PaneRows | None = None


class ReferenceProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a version was accepted on.

    rows         rows profiled
    features     in the model's column order
    score        the score (classification) or the prediction (regression) on held-out rows
    label        the labels
    performance  metric name -> value on held-out rows
    """

    rows: Integer
    features: tuple[FeatureProfile, ...]
    score: FeatureProfile | None = None
    label: FeatureProfile | None = None
    performance: dict[str, float] = {}


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that the fold needs to know of a version; broadcast, never looked up.

    task      binary, multiclass or regression
    positive  the positive class of a binary task, as text
    artifact  SHA-256 of the canonical artifact; empty for a model that only reports
    """

    model: str
    version: str
    task: Literal["binary", "multiclass", "regression"]
    profile: ReferenceProfile
    profile_hash: str
    positive: str = ""
    artifact: str = ""


class FeatureCounts(msgspec.Struct, frozen=True, array_like=True):
    """Counts (and fixed-point sums, in quanta) a bin of one feature, laid out as its profile."""

    name: str
    counts: tuple[Integer, ...]
    sums: tuple[int, ...] = ()


class Performance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Exact sums over the labelled predictions of a pane.

    confusion       [prediction, label, count], sorted
    log_loss, brier fixed-point sums, quantum 2^-40
    absolute_error, squared_error  fixed-point sums, quantum 2^-20
    delay_s         counts of the label delay over `panes.DELAY_EDGES_S`
    calibration     [predictions, positives] a tenth of the score
    """

    labelled: Integer = 0
    confusion: tuple[tuple[str, str, Integer], ...] = ()
    scored: Integer = 0
    log_loss: int = 0
    brier: int = 0
    measured: Integer = 0
    absolute_error: int = 0
    squared_error: int = 0
    labels: tuple[Integer, ...] = ()
    delay_s: tuple[Integer, ...] = ()
    calibration: tuple[tuple[Integer, Integer], ...] = ()
    corrections: Integer = 0
    duplicates: Integer = 0


class Metric(msgspec.Struct, frozen=True, array_like=True):
    """One number: None is `insufficient data`. `n` is the rows behind it."""

    name: str
    feature: str
    value: float | None
    reference: float | None
    n: Integer


class Drift(msgspec.Struct, frozen=True, array_like=True):
    """A drift test's alarm on one stream, after which the test began anew.

    metric, feature  the metric that carries its evidence: drift of a feature, score_drift,
                label_drift
    stream      values, or missing (whether there is one)
    test        t-SR or e-SR; direction: what t-SR saw change (mean, spread or shape)
    evidence    R, at least `alarm_at`, A
    age         panes since the likeliest start, this one included; since: where that pane begins
    psi, psi_least  this pane's PSI less its mean without drift, nats, and its lower 95% bound
    """

    metric: str
    feature: str
    stream: Literal["values", "missing"]
    test: Literal["t-SR", "e-SR"]
    direction: str
    evidence: float
    alarm_at: float
    age: Integer
    since: datetime
    psi: float
    psi_least: float


class GateCheck(msgspec.Struct, frozen=True, array_like=True):
    """One condition of the gate: the value, what was asked for, and whether it held."""

    name: str
    value: float | None
    limit: float | None
    passed: bool
