"""DETECT: outcomes of one partition in, drift of each version's error stream out.

Rule 1: an outcome that missed its cohort, and a correction, are skipped: early labels look like
        drift (EPOCHS 19).
Rule 2: river's detectors sit behind a port, a bank of objects that a fold changes in place and the
        host saves with the checkpoint; what they conclude names their library and platform. Tests
        of our own are part of the state, and their conclusions hold on every machine.
Rule 3: a user's detector is named by its host, with the hash of the source that its configuration
        names: another source is another detector, and begins anew.
Rule 4: a segment has the tests of our own that a rule asks for there, on its own outcomes.
Rule 5: a version has its own detectors: another model's errors are another stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol, TypeGuard

import msgspec

from streamops.codec import conclusions_of
from streamops.config import ModelConfig
from streamops.core import error_tests
from streamops.core.budget import error_tests as error_tests_of
from streamops.core.budget import streams_of
from streamops.core.error_stream import Found, Level, Stream, counted, detected
from streamops.core.error_tests import ErrorTest
from streamops.core.meter_state import default_config, segments_of
from streamops.core.open_stream import OpenStream
from streamops.core.processor import Batch, Closing, Output, Refusal
from streamops.core.rows import events_of
from streamops.core.times import micros
from streamops.events import ConfigActivated, Event, OutcomeJoined, VersionActivated
from streamops.values import ModelVersion

CLASSES_ONLY = ("ddm", *error_tests.NAMES)


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

    @property
    def reason(self) -> str:
        """Why it failed, where the last level says so."""
        ...

    def update(self, error: float) -> Level:
        """Take the next error; a drift resets the detector."""
        ...


class DetectState(msgspec.Struct, array_like=True, frozen=True):
    """Streams by model and version, last levels and own tests by detector, configuration by model.

    A segment's stream and tests are there as well, by `model tab version tab segment`.

    features  how many features a version has: their tests share the model's budget
    """

    streams: dict[str, Stream] = {}
    levels: dict[str, str] = {}
    configs: dict[str, tuple[int, ModelConfig, str]] = {}
    regression: dict[str, bool] = {}
    tests: dict[str, ErrorTest] = {}
    features: dict[str, int] = {}


class Bank:
    """The detectors of a partition, by `model tab version tab name`; a user's: `name@code`."""

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
    semantics = 5
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
        outcomes = [event for event in events_of(batch.records) if _is_taken(event)]
        conclusions = iter(conclusions_of(outcomes))
        for event in events_of(batch.records):
            if _is_taken(event):
                work.outcome(event, next(conclusions))
            elif isinstance(event, ConfigActivated):
                work.configure(event)
            elif isinstance(event, VersionActivated):
                work.know(event.version)
        return work.state(), work.outputs


class _Step:
    def __init__(self, state: DetectState, bank: Bank, epoch: int) -> None:
        self.streams, self.levels = dict(state.streams), dict(state.levels)
        self.configs, self.regression = dict(state.configs), dict(state.regression)
        self.tests, self.features = dict(state.tests), dict(state.features)
        self.bank, self.epoch = bank, epoch
        self.outputs: list[Output] = []
        self._open: dict[tuple[str, str], OpenStream] = {}

    def state(self) -> DetectState:
        self._keep()
        return DetectState(
            self.streams, self.levels, self.configs, self.regression, self.tests, self.features
        )

    def know(self, version: ModelVersion) -> None:
        self._keep()
        key = f"{version.model}\t{version.version}"
        self.regression[key] = version.task == "regression"
        self.features[key] = len(version.profile.features)

    def configure(self, event: ConfigActivated) -> None:
        self._keep()
        known = self.configs.get(event.config.model)
        if known is None or event.revision > known[0]:
            row = (event.revision, event.config, event.config_hash)
            self.configs[event.config.model] = row

    def outcome(self, event: OutcomeJoined, conclusion: bytes) -> None:
        at = self._open.get((event.model, event.version)) or self._opened(event)
        error = at.error(event)
        at.add(event, conclusion, self.epoch, error > 0)
        if not at.config.detectors:
            return
        key, config, hash_ = at.key, at.config, at.hash
        stream = self.streams[key] = at.stream()
        has_tests = False
        for name in config.detectors:
            if name in CLASSES_ONLY and self.regression.get(key, False):
                continue
            if name in error_tests.NAMES:
                has_tests = True
                self._test(key, name, event, error > 0, (config, hash_))
                continue
            detector, before, level = self._update(key, name, config, error)
            if level in ("drift", "failed") or (level == "warning" and before == "none"):
                why = detector.reason if level == "failed" else ""
                said = Found(name, level, detector.since_back, detector.platform, reason=why)
                found = detected(event, stream, said, hash_, self.epoch)
                self.outputs.append(Output("metrics", event.model, found))
        if config.segments and has_tests:
            self._segments(key, event, error > 0, (config, hash_))

    def _opened(self, event: OutcomeJoined) -> OpenStream:
        key, row = f"{event.model}\t{event.version}", self.configs.get(event.model)
        stream = self.streams.setdefault(key, Stream())
        ruled = default_config(event.model) if row is None else (row[1], row[2])
        is_regression = self.regression.get(key, False)
        found = OpenStream(key, stream, ruled, is_regression=is_regression)
        self._open[event.model, event.version] = found
        return found

    def _keep(self) -> None:
        """Put open streams back; what they were opened under may change now."""
        for each in self._open.values():
            self.streams[each.key] = each.stream()
        self._open.clear()

    def _segments(
        self, key: str, event: OutcomeJoined, is_error: bool, ruled: tuple[ModelConfig, str]
    ) -> None:
        """Put an outcome to the tests of its segments."""
        for segment in segments_of(event.segments, ruled[0])[1:]:
            names = error_tests_of(ruled[0], segment)
            if not names:
                continue
            at = f"{key}\t{segment}"
            part = counted(self.streams.get(at, Stream()), event, self.epoch)
            self.streams[at] = msgspec.structs.replace(part, errors=part.errors + is_error)
            for name in names:
                self._test(key, name, event, is_error, ruled, segment)

    def _update(
        self, key: str, name: str, config: ModelConfig, error: float
    ) -> tuple[Detector, str, Level]:
        """Give a detector the next error; return it with its last level and this one."""
        code = config.detector_code.get(name, "")
        full = f"{name}@{code}" if ":" in name else name
        at = f"{key}\t{full}"
        if code and at not in self.levels:
            for stale in [k for k in self.levels if k.startswith(f"{key}\t{name}@")]:
                del self.levels[stale]
                self.bank.detectors.pop(stale, None)
        detector = self.bank.get(at, full)
        before, level = self.levels.get(at, "none"), detector.update(error)
        self.levels[at] = level
        return detector, before, level

    def _test(
        self,
        key: str,
        name: str,
        event: OutcomeJoined,
        is_error: bool,
        ruled: tuple[ModelConfig, str],
        segment: str = "",
    ) -> None:
        config, hash_ = ruled
        at = f"{key}\t{name}\t{segment}" if segment else f"{key}\t{name}"
        self.tests[at], alarm = error_tests.step(
            name,
            self.tests.get(at, ErrorTest()),
            is_error,
            micros(event.time),
            streams=streams_of(config, self.features.get(key, 0)),
            budget=config.false_alarms_per_month,
            score=event.score,
        )
        if alarm is not None:
            found = Found(name, "drift", alarm.age, error_tests.PLATFORM, *alarm[:2])
            part = (segment, self.streams[f"{key}\t{segment}"]) if segment else None
            said = detected(event, self.streams[key], found, hash_, self.epoch, part)
            self.outputs.append(Output("metrics", event.model, said))


def _is_taken(event: Event | Refusal) -> TypeGuard[OutcomeJoined]:
    return type(event) is OutcomeJoined and not event.after_cohort and not event.correction
