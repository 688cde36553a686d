"""A processor's state as leaves of a seal, one a kind and model, and back.

Rule 1: a leaf names no source and no partition: versions that many partitions know are one file.
Rule 2: of CONTROLLER's references to metrics the offsets are dropped: nothing compares them.
Rule 3: CONTROLLER goes through its requests and versions in the order they came in, so its leaves
        keep it; nobody else's decisions depend on the order of a map.
Rule 4: of DETECT's detectors nothing is kept: they are a library's objects (DESIGN rule 14). Its
        streams say, by count and chain, which outcomes made them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from msgspec.structs import replace

from streamops.config import ModelConfig, segments_tested
from streamops.core.budget import ALL, tested
from streamops.core.detect import DetectState
from streamops.core.drift import DriftState
from streamops.core.meter import Meter
from streamops.core.meter_state import MeterState
from streamops.core.model_state import ControllerState, ModelState
from streamops.core.monitor import UNTESTED, MonitorState
from streamops.core.noise_state import NoiseState, is_needed
from streamops.core.processor import Processor
from streamops.core.seal_leaf import (
    Leaf,
    by_first,
    decoded,
    grouped,
    leaf,
    leaf_in_order,
    merged,
    version_leaves,
)
from streamops.core.seal_meter import Places, load_meter, meter_leaves, meter_places
from streamops.core.segment_drift import SegmentState
from streamops.values import ModelVersion

BEFORE_NOISE, BEFORE_TESTED_LABELS, BEFORE_TESTED_SEGMENTS = 3, 4, 5
BEFORE_SEGMENT_ERRORS = 2
# (processor, semantics) of sealed states that mean the same under its own.
_SAME = frozenset(
    {
        ("monitor", UNTESTED),
        ("detect", 2),
        *(("controller", n) for n in (3, 4, 5)),
    }
)
_DETECT = ("streams", "levels", "configs", "regression", "tests", "features")


def leaves_of(processor: Processor[Any], state: Any) -> list[Leaf]:
    """Return the leaves of a state, in the order of their kinds and models."""
    if isinstance(processor, Meter):
        found = meter_leaves(state, processor.join)
    elif isinstance(state, MonitorState):
        found = _monitor(state)
    elif isinstance(state, DetectState):
        found = _detect(state)
    else:
        assert isinstance(state, ControllerState), "a processor that nobody taught to seal"
        found = _controller(state)
    return sorted(found, key=lambda one: (one.kind, one.model))


def places_of(processor: Processor[Any], state: Any) -> Places:
    """Return where the records behind a state stand; only METER's state says."""
    if isinstance(processor, Meter):
        return meter_places(state, processor.join)
    return Places()


def semantics_of(processor: Processor[Any], state: Any) -> int:
    """Return the semantics that a state needs: earlier ones where it holds nothing newer.

    So seals from before CONTROLLER told which alerts page, or anything was tested for drift, are
    those that are arrived at today.
    """
    if isinstance(state, ControllerState) and not _tests_segments(state):
        if _tests_labels(state):
            return BEFORE_TESTED_SEGMENTS
        return BEFORE_TESTED_LABELS if is_needed(state.noise) else BEFORE_NOISE
    if isinstance(state, DetectState) and not _needs_newest(state):
        return BEFORE_SEGMENT_ERRORS
    if isinstance(state, MonitorState) and not (state.drift or state.labels or state.segments):
        return UNTESTED
    return processor.semantics


def _needs_newest(state: DetectState) -> bool:
    """Tell whether segments have streams of their own, or BF-SR's starts lie as they do now."""
    has_starts = any(test.bayes is not None for test in state.tests.values())
    return has_starts or any(key.count("\t") > 1 for key in state.streams)


def _tests_segments(state: ControllerState) -> bool:
    return any(segments_tested(model.config) for model in state.models.values())


def _tests_labels(state: ControllerState) -> bool:
    return any(tested(model.config, ALL).labels for model in state.models.values())


def can_load(name: str, semantics: int, own: int) -> bool:
    """Tell whether a processor's sealed state of these semantics means the same under its own."""
    return semantics == own or (name, semantics) in _SAME


def load_state(kind: type[Any], leaves: Iterable[Leaf], places: Places) -> Any:
    """Return the state that leaves and places stand for; METER's without its join table."""
    by_kind: dict[str, list[Leaf]] = {}
    for one in leaves:
        by_kind.setdefault(one.kind, []).append(one)
    versions = merged(dict[str, ModelVersion], by_kind.get("versions", ()))
    if kind is MeterState:
        return load_meter(by_kind, versions, places)
    if kind is MonitorState:
        configs = merged(dict[str, ModelConfig], by_kind.get("monitor", ()))
        drift = merged(dict[str, DriftState], by_kind.get("drift", ()))
        labels = merged(dict[str, DriftState], by_kind.get("label_drift", ()))
        segments = merged(dict[str, SegmentState], by_kind.get("segment_drift", ()))
        return MonitorState(versions, configs, drift, labels, segments)
    if kind is DetectState:
        return _load_detect([decoded(one, DetectState) for one in by_kind.get("detect", ())])
    models = {one.model: decoded(one, ModelState) for one in by_kind.get("model", ())}
    noise = {one.model: decoded(one, NoiseState) for one in by_kind.get("noise", ())}
    return ControllerState(models, decoded(by_kind["controller"][0], int), noise)


def _monitor(state: MonitorState) -> Iterator[Leaf]:
    yield from version_leaves(state.versions)
    for model, part in grouped(state.configs, lambda _, config: config.model).items():
        yield leaf("monitor", model, part)
    for model, tests in grouped(state.drift, by_first).items():
        yield leaf("drift", model, tests)
    for model, tests in grouped(state.labels, by_first).items():
        yield leaf("label_drift", model, tests)
    for model, parts in grouped(state.segments, by_first).items():
        yield leaf("segment_drift", model, parts)


def _detect(state: DetectState) -> Iterator[Leaf]:
    tables = [grouped(getattr(state, name), by_first) for name in _DETECT]
    for model in sorted(set(chain.from_iterable(tables))):
        yield leaf("detect", model, DetectState(*(table.get(model, {}) for table in tables)))


def _load_detect(parts: list[DetectState]) -> DetectState:
    tables = [{k: v for p in parts for k, v in getattr(p, name).items()} for name in _DETECT]
    return DetectState(*tables)


def _controller(state: ControllerState) -> Iterator[Leaf]:
    yield leaf("controller", "", state.time_us)
    for name, model in state.models.items():
        rules = {
            key: replace(rule, refs=tuple(replace(ref, offset=0) for ref in rule.refs))
            for key, rule in model.rules.items()
        }
        yield leaf_in_order("model", name, replace(model, rules=rules))
    for name, noise in state.noise.items():
        yield leaf("noise", name, noise)
