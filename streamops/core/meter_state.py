"""What METER keeps of one partition, and how it finds a record's configuration and pane.

Rule 1: the configuration that rules a time is the last activated one whose first pane is at or
        before it; before any, the default one. The fold looks nothing else up (DESIGN rule 10).
Rule 2: a pane is copied before it is changed: a step leaves the state it got alone.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from streamops.config import OTHER, ModelConfig, config_hash
from streamops.core.panes import Pane, PaneKey
from streamops.core.times import SECOND_US
from streamops.values import ModelVersion

ALL = "all"
BEGINNING_US = -(1 << 62)


class MeterState(msgspec.Struct, array_like=True, kw_only=True):
    """State beside the join table. Times in microseconds.

    after   what came behind a pane's cut, until the pane is restated
    """

    predictions_us: int = BEGINNING_US
    labels_us: int = BEGINNING_US
    revision: int = -1
    versions: dict[str, ModelVersion] = {}
    configs: dict[str, list[tuple[int, ModelConfig, str]]] = {}
    panes: dict[PaneKey, Pane] = {}
    after: dict[PaneKey, Pane] = {}
    closed: set[PaneKey] = set()
    matured: set[PaneKey] = set()


def copy_state(state: MeterState) -> MeterState:
    """Return a copy whose tables can be changed; panes are still shared."""
    return msgspec.structs.replace(
        state,
        versions=dict(state.versions),
        configs=dict(state.configs),
        panes=dict(state.panes),
        after=dict(state.after),
        closed=set(state.closed),
        matured=set(state.matured),
    )


@lru_cache(maxsize=1024)
def default_config(model: str) -> tuple[ModelConfig, str]:
    """Return the configuration of a model that has none, with its hash."""
    config = ModelConfig(model=model)
    return config, config_hash(config)


def config_at(state: MeterState, model: str, time_us: int) -> tuple[ModelConfig, str]:
    """Return the configuration that rules `time_us`, with its hash."""
    for first_us, config, hash_ in reversed(state.configs.get(model, [])):
        if first_us <= time_us:
            return config, hash_
    return default_config(model)


def config_of(state: MeterState, key: PaneKey) -> ModelConfig:
    """Return the configuration a pane was opened under."""
    for _, config, hash_ in reversed(state.configs.get(key.model, [])):
        if hash_ == key.config_hash:
            return config
    return default_config(key.model)[0]


def version_of(state: MeterState, model: str, version: str) -> ModelVersion | None:
    """Return the activated version, or None: such predictions are unprofiled."""
    return state.versions.get(f"{model}\t{version}")


def horizon_max_us(state: MeterState) -> int:
    """Return the longest horizon of any known model; one without configuration has the default."""
    rows = [row for rows in state.configs.values() for row in rows]
    known = {key.model for key in state.panes} | {v.model for v in state.versions.values()}
    horizons = [config.horizon_s for _, config, _ in rows]
    if not rows or not known <= state.configs.keys():
        horizons.append(ModelConfig(model="~").horizon_s)
    return max(horizons) * SECOND_US


def pane_of(time_us: int, config: ModelConfig) -> tuple[int, int]:
    """Return start and end of the tumbling pane that holds `time_us`."""
    length = config.pane_s * SECOND_US
    start = time_us // length * length
    return start, start + length


def segments_of(values: dict[str, str], config: ModelConfig) -> list[str]:
    """Return the segments a prediction counts in: all, and one for each declared name."""
    found = [ALL]
    for name in sorted(config.segments):
        value = values.get(name, "")
        found.append(f"{name}={value if value in config.segments[name] else OTHER}")
    return found
