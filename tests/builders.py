"""Small builders that tests of the core share: events, records, and benches to fold them on.

Times are seconds after 1970 in event time. A bench keeps a processor's state between epochs, as a
fold does, and hands back the events that an epoch put out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from streamops import codec
from streamops.config import DRIFT_METRICS, ModelConfig, Rule, check_config, config_hash
from streamops.core.controller import Controller
from streamops.core.meter import Meter
from streamops.core.monitor import Monitor, MonitorState
from streamops.core.processor import Batch, Output, Record, Refusal
from streamops.core.profile import category_profile, numeric_profile
from streamops.core.times import SECOND_US, moment
from streamops.events import (
    ActivationDelivered,
    CandidateScored,
    ConfigActivated,
    DriftDetected,
    Event,
    LabelArrived,
    MetricEvaluated,
    ModelRegistered,
    PredictionFailed,
    PredictionMade,
    Tick,
    VersionActivated,
)
from streamops.values import (
    Metric,
    MetricRef,
    ModelVersion,
    RawEvidence,
    ReferenceProfile,
    Stamp,
    Value,
)
from streamops.versions import profile_hash

MODEL = "m"
BEFORE = -1000.0


def at(seconds: float) -> datetime:
    """The time so many seconds after 1970."""
    return moment(round(seconds * SECOND_US))


def made(seconds: float, id: str | None = None, **fields: Any) -> PredictionMade:
    """A prediction of class 1 by version v1; its id is its time unless given."""
    features = fields.pop("features", {"x": 0.5, "c": "a"})
    given = {"model": MODEL, "version": "v1", "prediction": 1, "score": 0.75, **fields}
    raw = features if isinstance(features, bytes) else msgspec.json.encode(features)
    name = f"p{seconds:g}" if id is None else id
    return PredictionMade(id=name, time=at(seconds), features=msgspec.Raw(raw), **given)


def failed(seconds: float, **fields: Any) -> PredictionFailed:
    """A prediction that version v1 did not make."""
    given = {"model": MODEL, "version": "v1", "error": "boom", **fields}
    return PredictionFailed(id=f"f{seconds:g}", time=at(seconds), **given)


def label(of: str, value: Value = 1, seconds: float = 0, id: str | None = None) -> LabelArrived:
    """The label of prediction `of`; a label of the same value again has the same id."""
    name = f"l/{of}/{value}" if id is None else id
    return LabelArrived(id=name, time=at(seconds), prediction_id=of, label=value)


def tick(epoch: int, seconds: float) -> Tick:
    """The tick that opens `epoch`."""
    return Tick(id=f"tick/{epoch}", time=at(seconds), epoch=epoch)


def profile(**fields: Any) -> ReferenceProfile:
    """A reference of 100 rows: x even in 0..1, c half a and half b, labels half 0 and half 1."""
    given: dict[str, Any] = {
        "rows": 100,
        "features": (
            numeric_profile("x", [n / 100 for n in range(100)], bins=4),
            category_profile("c", ["a", "b"] * 50),
        ),
        "score": numeric_profile("score", [n / 100 for n in range(100)], bins=4),
        "label": category_profile("label", [0, 1] * 50),
        "performance": {"accuracy": 0.9},
        **fields,
    }
    return ReferenceProfile(**given)


def version(name: str = "v1", **fields: Any) -> ModelVersion:
    """A binary version over `profile`."""
    reference = fields.pop("profile", profile())
    given = {"model": MODEL, "task": "binary", "positive": "1", **fields}
    return ModelVersion(
        version=name, profile=reference, profile_hash=profile_hash(reference), **given
    )


def config(**fields: Any) -> ModelConfig:
    """Panes of 10 s, labels waited for 100 s; checked as `apply` checks it."""
    given = {"model": MODEL, "pane_s": 10, "horizon_s": 100, "detectors": (), **fields}
    return check_config(ModelConfig(**given))


def rule(name: str = "psi", **fields: Any) -> Rule:
    """Data drift on any feature: PSI above 0.2, from one row on."""
    given = {"kind": "data_drift", "metric": "psi", "feature": "*", "minimum": 1, **fields}
    has_limit = given["kind"] != "concept_drift" and given["metric"] not in DRIFT_METRICS
    if "above" not in fields and "below" not in fields and has_limit:
        given["above"] = 0.2
    return Rule(name=name, **given)


def activated(
    what: ModelVersion | ModelConfig, revision: int, first_pane: float = 0
) -> VersionActivated | ConfigActivated:
    """The broadcast of a version or a configuration."""
    start, name = at(first_pane), f"activated/{revision}"
    if isinstance(what, ModelVersion):
        return VersionActivated(
            id=name, time=start, revision=revision, first_pane=start, version=what
        )
    hash_ = config_hash(what)
    return ConfigActivated(
        id=name, time=start, revision=revision, first_pane=start, config=what, config_hash=hash_
    )


def record(topic: str, offset: int, event: Event | Refusal, *, partition: int = 0) -> Record:
    """A record of the log; its append time is its event's."""
    value = b"junk" if isinstance(event, Refusal) else codec.encode(event)
    append_ms = 0 if isinstance(event, Refusal) else round(event.time.timestamp() * 1000)
    return Record(topic, partition, offset, append_ms, b"k", value, event)


def told(output: Output) -> Event:
    """What an output says, with its evidence."""
    if not output.evidence:
        return output.event
    evidence = msgspec.json.decode(output.evidence, type=RawEvidence)
    return replace(output.event, evidence=evidence)


class MeterBench:
    """METER of one partition, epoch by epoch."""

    def __init__(
        self, *activations: Event, seconds: float = 0, skew_max_ms: int | None = None
    ) -> None:
        self.meter = Meter(skew_max_ms=skew_max_ms)
        self.state = self.meter.initial()
        self.number = 0
        self.offsets = {"predictions": 0, "labels": 0}
        self.epoch([*activations], seconds=seconds)

    def epoch(
        self,
        predictions: Sequence[Event | Refusal] = (),
        labels: Sequence[Event | Refusal] = (),
        *,
        seconds: float,
    ) -> list[Any]:
        """Fold predictions, then labels; the tick at `seconds` closes both."""
        self.number += 1
        cut = tick(self.number, seconds)
        records = [self._record("predictions", e) for e in (*predictions, cut)]
        records += [self._record("labels", e) for e in (*labels, cut)]
        self.state, outputs = self.meter.step(self.state, Batch(self.number, cut.time, records))
        return [told(output) for output in outputs]

    def step_at(self, append_ms: int, event: Event) -> list[Any]:
        """Fold one prediction that the broker stored at `append_ms`, without a tick."""
        stored = self._record("predictions", event)._replace(append_ms=append_ms)
        self.state, outputs = self.meter.step(self.state, Batch(self.number, None, [stored]))
        return [output.event for output in outputs]

    def _record(self, topic: str, event: Event | Refusal) -> Record:
        offset = self.offsets[topic]
        self.offsets[topic] += 1
        return record(topic, offset, event)


class Desk:
    """CONTROLLER of one partition, epoch by epoch. A mature pane is 10 s of event time."""

    def __init__(self, *activations: Event) -> None:
        self.controller = Controller(0)
        self.state = self.controller.initial()
        self.number = self.offset = 0
        self.epoch(list(activations))

    def epoch(self, lifecycle: Sequence[Event] = (), metrics: Sequence[Event] = ()) -> list[Any]:
        """Fold lifecycle, then metrics; return what was concluded, EpochConcluded last."""
        self.number += 1
        first = self.offset
        self.offset += len(lifecycle)
        records = [record("lifecycle", first + n, event) for n, event in enumerate(lifecycle)]
        records += [
            record("metrics", n, replace(event, stamp=Stamp("monitor/0", self.number, n)))
            for n, event in enumerate(metrics)
        ]
        batch = Batch(self.number, at(self.number * 10), records)
        self.state, outputs = self.controller.step(self.state, batch)
        return [output.event for output in outputs]

    def pane(self, *metrics: Metric, lifecycle: Sequence[Event] = (), **fields: Any) -> list[Any]:
        """Fold an epoch with one mature pane, the one that ends with it."""
        return self.epoch(lifecycle, [mature(self.number, *metrics, **fields)])


def metric(name: str, value: float | None, feature: str = "", **fields: Any) -> Metric:
    """One number over 100 rows."""
    given = {"reference": None, "n": 100, **fields}
    return Metric(name=name, feature=feature, value=value, **given)


def labelled(n: int) -> Metric:
    """What says how many labels a mature pane has."""
    return metric("label_delay_p50_s", 1.0, n=n)


def mature(pane: int, *metrics: Metric, **fields: Any) -> MetricEvaluated:
    """The mature cut of pane number `pane`, of 10 s."""
    given = {"model": MODEL, "version": "v1", "segment": "all", "cut": "mature", **fields}
    hash_ = given.pop("config_hash", "h")
    return MetricEvaluated(
        id=f"metric/{given['version']}/{pane}/{given['cut']}",
        time=at((pane + 1) * 10),
        pane_start=at(pane * 10),
        metrics=metrics,
        config_hash=hash_,
        **given,
    )


def drift(seconds: float, **fields: Any) -> DriftDetected:
    """A drift that ADWIN found in the champion's errors."""
    given = {"model": MODEL, "version": "v1", "detector": "adwin", "level": "drift", **fields}
    return DriftDetected(
        id=f"drift/{seconds:g}",
        time=at(seconds),
        since=at(seconds - 5),
        outcomes=10,
        error_rate=0.5,
        platform="toy",
        config_hash="h",
        **given,
    )


def ref(n: int = 0) -> MetricRef:
    """A reference to a metric's record."""
    return MetricRef(id=f"metric/{n}", stamp=Stamp("monitor/0", n, 0), offset=n)


def registered(name: str, request_id: str = "") -> list[Event]:
    """A version's registration and the delivery of its activation."""
    return [
        ModelRegistered(id=f"reg/{name}", time=at(0), version=version(name), request_id=request_id),
        ActivationDelivered(
            id=f"delivered/{name}", time=at(0), revision=1, model=MODEL, version=name
        ),
    ]


def scored(
    name: str, value: float, request_id: str = "", champion: float | None = 0.8, **fields: Any
) -> CandidateScored:
    """A candidate's accuracy beside the champion's."""
    before = {} if champion is None else {"accuracy": champion}
    given = {"model": MODEL, "champion_version": "v1", "rows": 500, **fields}
    return CandidateScored(
        id=f"scored/{name}/{request_id}",
        time=at(0),
        version=name,
        request_id=request_id,
        candidate={"accuracy": value},
        champion=before,
        **given,
    )


def of_type(events: Sequence[Any], kind: type[Any]) -> list[Any]:
    """The events of one type."""
    return [event for event in events if isinstance(event, kind)]


def evaluated(
    monitor: Monitor, state: MonitorState, *events: Event
) -> tuple[MonitorState, list[Event]]:
    """Fold one epoch of summaries into MONITOR, its state saved and read again before."""
    records = [record("summaries", n, event) for n, event in enumerate(events)]
    read = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=MonitorState)
    after, outputs = monitor.step(read, Batch(1, None, records))
    return after, [output.event for output in outputs]
