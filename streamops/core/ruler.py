"""The configuration that rules a model's newest predictions, as whole microseconds.

Rule 1: times before `first_us` are left to `config_at`, which is the definition.
"""

from __future__ import annotations

from typing import NamedTuple

from streamops.config import ModelConfig
from streamops.core.meter_state import BEGINNING_US, MeterState, default_config
from streamops.core.pending import NEVER_US
from streamops.core.times import SECOND_US, SPAN_MAX_S


class Ruler(NamedTuple):
    """A model's last configuration, which rules from `first_us` on."""

    first_us: int
    pane_us: int
    lateness_us: int
    horizon_us: int
    config: ModelConfig
    hash: str


def ruler_of(state: MeterState, model: str) -> Ruler:
    """Return a model's ruler; where its spans are too long for 64 bits it rules nothing."""
    first_us, (config, hash_) = BEGINNING_US, default_config(model)
    if rows := state.configs.get(model):
        first_us, config, hash_ = rows[-1]
    spans_s = config.pane_s, config.allowed_lateness_s, config.horizon_s
    if max(spans_s) > SPAN_MAX_S:
        first_us, spans_s = NEVER_US, (1, 1, 1)
    pane_us, lateness_us, horizon_us = (span_s * SECOND_US for span_s in spans_s)
    return Ruler(first_us, pane_us, lateness_us, horizon_us, config, hash_)
