"""DETECT: outcomes of one partition in, drift of each version's error stream out.

Rule 1: an outcome that missed its cohort, and a correction, are skipped: early labels look like
        drift (EPOCHS 19).
Rule 2: detectors sit behind a port, a bank of objects that a fold changes in place and the host
        saves with the checkpoint; what they conclude names their library and platform.
Rule 3: a version has its own detectors: another model's errors are another stream.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import ClassVar, Literal, Protocol

import msgspec

from streamops import codec
from streamops.config import ModelConfig
from streamops.core.meter_state import default_config
from streamops.core.processor import Batch, Closing, Output
from streamops.core.tally import is_error
from streamops.core.times import micros, moment
from streamops.events import ConfigActivated, DriftDetected, OutcomeJoined, VersionActivated
from streamops.values import OutcomeEvidence

Level = Literal["none", "warning", "drift"]
MARKS_MAX = 2000


class Detector(Protocol):
    """A sequential test on a stream of errors (0 or 1, or absolute errors)."""

    @property
    def platform(self) -> str:
        """Library, version and machine: what its conclusions hold on."""
        ...

    @property
    def since_back(self) -> int:
        """How many outcomes ago the last detection puts the change."""
        ...

    def update(self, error: float) -> Level:
        """Take the next error; a drift resets the detector."""
        ...


class Stream(msgspec.Struct, array_like=True, frozen=True):
    """One version's outcomes so far. `marks`: [outcomes before it, first time, epoch] an epoch."""

    outcomes: int = 0
    errors: int = 0
    first_epoch: int = -1
    chain: bytes = b""
    marks: tuple[tuple[int, int, int], ...] = ()


class DetectState(msgspec.Struct, array_like=True, frozen=True):
    """Streams by model and version, last levels by detector, configuration by model."""

    streams: dict[str, Stream] = {}
    levels: dict[str, str] = {}
    configs: dict[str, tuple[int, ModelConfig, str]] = {}
    regression: dict[str, bool] = {}


class Bank:
    """The detectors of a partition, by `model tab version tab name`."""

    def __init__(self, make: Callable[[str], Detector]) -> None:
        self.make = make
        self.detectors: dict[str, Detector] = {}

    def get(self, key: str, name: str) -> Detector:
        """Return the detector of this key, a new one at first."""
        if key not in self.detectors:
            self.detectors[key] = self.make(name)
        return self.detectors[key]


class Detect:
    """The processor of outcomes-q."""

    name = "detect"
    semantics = 1
    raw: tuple[str, ...] = ()
    derived: ClassVar[dict[str, tuple[str, ...]]] = {"outcomes": ("meter",)}
    closing = Closing(("metrics",), "own")

    def __init__(self, bank: Bank) -> None:
        self.bank = bank

    def initial(self) -> DetectState:
        """Return the state before the first epoch."""
        return DetectState()

    def step(self, state: DetectState, batch: Batch) -> tuple[DetectState, list[Output]]:
        """Feed one epoch's outcomes to their versions' detectors."""
        work = _Step(state, self.bank, batch.epoch)
        for record in batch.records:
            event = record.event
            if isinstance(event, OutcomeJoined):
                if not event.after_cohort and not event.correction:
                    work.outcome(event)
            elif isinstance(event, ConfigActivated):
                work.configure(event)
            elif isinstance(event, VersionActivated):
                version = event.version
                work.regression[f"{version.model}\t{version.version}"] = (
                    version.task == "regression"
                )
        return work.state(), work.outputs


class _Step:
    def __init__(self, state: DetectState, bank: Bank, epoch: int) -> None:
        self.streams, self.levels = dict(state.streams), dict(state.levels)
        self.configs, self.regression = dict(state.configs), dict(state.regression)
        self.bank, self.epoch = bank, epoch
        self.outputs: list[Output] = []

    def state(self) -> DetectState:
        return DetectState(self.streams, self.levels, self.configs, self.regression)

    def configure(self, event: ConfigActivated) -> None:
        known = self.configs.get(event.config.model)
        if known is None or event.revision > known[0]:
            row = (event.revision, event.config, event.config_hash)
            self.configs[event.config.model] = row

    def outcome(self, event: OutcomeJoined) -> None:
        key = f"{event.model}\t{event.version}"
        stream = _longer(self.streams.get(key, Stream()), event, self.epoch)
        error = self._error(key, event)
        stream = msgspec.structs.replace(stream, errors=stream.errors + (error > 0))
        self.streams[key] = stream
        row = self.configs.get(event.model)
        config, hash_ = default_config(event.model) if row is None else (row[1], row[2])
        for name in config.detectors:
            if name == "ddm" and self.regression.get(key, False):
                continue
            detector = self.bank.get(f"{key}\t{name}", name)
            level = detector.update(error)
            before = self.levels.get(f"{key}\t{name}", "none")
            self.levels[f"{key}\t{name}"] = level
            if level == "drift" or (level == "warning" and before == "none"):
                found = _detected(event, stream, detector, name, level, hash_, self.epoch)
                self.outputs.append(Output("metrics", event.model, found))

    def _error(self, key: str, event: OutcomeJoined) -> float:
        prediction, label = event.prediction, event.label
        if not self.regression.get(key, False):
            return float(is_error(prediction, label))
        if isinstance(prediction, str) or isinstance(label, str):
            return 0.0
        return abs(float(prediction) - float(label))


def _longer(stream: Stream, event: OutcomeJoined, epoch: int) -> Stream:
    marks = stream.marks
    if not marks or marks[-1][2] != epoch:
        marks = (*marks[-MARKS_MAX:], (stream.outcomes, micros(event.time), epoch))
    return Stream(
        stream.outcomes + 1,
        stream.errors,
        epoch if stream.first_epoch < 0 else stream.first_epoch,
        hashlib.sha256(stream.chain + codec.conclusion(event)).digest(),
        marks,
    )


def _detected(
    event: OutcomeJoined,
    stream: Stream,
    detector: Detector,
    name: str,
    level: Literal["warning", "drift"],
    hash_: str,
    epoch: int,
) -> DriftDetected:
    at = stream.outcomes - detector.since_back
    since_us = max((m for m in stream.marks if m[0] <= at), default=stream.marks[0])[1]
    return DriftDetected(
        id=f"drift/{event.model}/{event.version}/{name}/{stream.outcomes}",
        time=event.time,
        model=event.model,
        version=event.version,
        detector=name,
        level=level,
        since=moment(since_us),
        outcomes=stream.outcomes,
        error_rate=stream.errors / stream.outcomes,
        platform=detector.platform,
        config_hash=hash_,
        evidence=OutcomeEvidence(
            first_epoch=stream.first_epoch,
            last_epoch=epoch,
            outcomes=stream.outcomes,
            chain=stream.chain.hex(),
        ),
    )
