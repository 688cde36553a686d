"""One step's working copy of CONTROLLER: models replaced whole, outputs in order.

Rule 1: every part of a model is frozen; `put` replaces a model, so the state passed in stays.
"""

from __future__ import annotations

from streamops.config import ModelConfig
from streamops.core.meter_state import default_config
from streamops.core.model_state import ControllerState, ModelState
from streamops.core.noise_state import QUIET, NoiseState
from streamops.core.processor import Output
from streamops.events import (
    AlertRaised,
    AlertResolved,
    AlertSilenced,
    EvaluationRequested,
    Event,
    MetricEvaluated,
    RetrainRequested,
    RetrainSkipped,
)
from streamops.values import MetricRef

ALERTS = (AlertRaised, AlertResolved, AlertSilenced)
REQUESTS = (RetrainRequested, RetrainSkipped, EvaluationRequested)


class Workbook:
    """Models, outputs, and what the epoch's end needs to decide."""

    def __init__(self, state: ControllerState, epoch: int, us: int) -> None:
        self.models, self.noise = dict(state.models), dict(state.noise)
        self.epoch, self.us = epoch, us
        self.outputs: list[Output] = []
        self.matured: dict[str, tuple[MetricEvaluated, MetricRef]] = {}
        self.drifted: set[tuple[str, str]] = set()

    def get(self, name: str) -> ModelState:
        """Return the model, a new one under the default configuration at first."""
        if name not in self.models:
            config, hash_ = default_config(name)
            self.models[name] = ModelState(config, hash_)
        return self.models[name]

    def put(self, model: ModelState, events: list[Event] | None = None) -> None:
        """Replace the model and write what it concluded."""
        self.models[model.config.model] = model
        for event in events or ():
            self.write(model.config, event)

    def noise_of(self, name: str) -> NoiseState:
        """Return what is kept to tell which of a model's alerts page."""
        return self.noise.get(name, QUIET)

    def keep_noise(self, name: str, noise: NoiseState) -> None:
        """Replace it; nothing is kept of a model whose alerts nobody quiets."""
        if noise == QUIET:
            self.noise.pop(name, None)
        else:
            self.noise[name] = noise

    def write(self, config: ModelConfig, event: Event) -> None:
        """Write a conclusion to its topic."""
        if isinstance(event, ALERTS):
            self.outputs.append(Output("alerts", event.fingerprint, event))
        elif isinstance(event, REQUESTS):
            self.outputs.append(Output("retraining", config.model, event))
        else:
            self.outputs.append(Output("deployments", config.model, event))
