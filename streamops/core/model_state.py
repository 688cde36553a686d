"""What CONTROLLER keeps of one model. Every part is frozen; a step replaces what changes.

Rule 1: stages move only along TRANSITIONS.
"""

from __future__ import annotations

import msgspec

from streamops.config import ModelConfig, Rule
from streamops.core.noise_state import NoiseState
from streamops.core.policy import RuleState
from streamops.events import CandidateScored
from streamops.values import ModelVersion, Stage

PANES_MAX = 20_000
COMMANDS_MAX = 1000
EARLIER_MAX = 16
BEGINNING_US = -(1 << 62)

TRANSITIONS: frozenset[tuple[Stage, Stage]] = frozenset(
    {
        ("Development", "Staging"),
        ("Development", "Archived"),
        ("Staging", "Production"),
        ("Staging", "Archived"),
        ("Production", "Archived"),
        ("Archived", "Production"),
    }
)


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A version in the registry; `delivered`: every partition holds its activation."""

    version: ModelVersion
    stage: Stage = "Development"
    delivered: bool = False
    request_id: str = ""


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """A request: its cause (an evaluation's is itself), and what came back so far."""

    id: str
    cause: str
    version: str = ""
    scored: CandidateScored | None = None
    failed: bool = False


class Retraining(msgspec.Struct, frozen=True, array_like=True):
    """Counters of the retrain policy.

    panes      mature panes of champions so far
    asked      pane counts at which requests were made, newest last
    labels     labelled predictions since the last request
    epochs     [pane start in microseconds, epoch it matured in, labelled], oldest first
    causes     open alerts for which challengers were asked
    held_back  cause and reason of the last RetrainSkipped: said once
    """

    panes: int = 0
    asked: tuple[int, ...] = ()
    labels: int = 0
    epochs: tuple[tuple[int, int, int], ...] = ()
    held_back: str = ""
    paused: bool = False
    causes: tuple[str, ...] = ()


class ModelState(msgspec.Struct, frozen=True, array_like=True):
    """One model: configuration, registry, rules, requests.

    revision   of its deployments
    revisions  of fingerprints that no rule has a state for: they go on from there
    commands   ids of people's last commands: one sent twice is obeyed once
    earlier    [hash, rules] of the configurations before this one, oldest first
    """

    config: ModelConfig
    config_hash: str = ""
    config_revision: int = -1
    entries: dict[str, Entry] = {}
    champion: str = ""
    former: str = ""
    revision: int = 0
    rules: dict[str, RuleState] = {}
    silences: dict[str, int] = {}
    asks: dict[str, Ask] = {}
    scores: dict[str, CandidateScored] = {}
    wanted: dict[str, str] = {}
    retraining: Retraining = Retraining()
    revisions: dict[str, int] = {}
    commands: tuple[str, ...] = ()
    earlier: tuple[tuple[str, tuple[Rule, ...]], ...] = ()


class ControllerState(msgspec.Struct, frozen=True, array_like=True):
    """Models by name; `time_us`: the last tick of the lifecycle partition.

    noise  by model, of those alone whose alerts somebody quiets
    """

    models: dict[str, ModelState] = {}
    time_us: int = BEGINNING_US
    noise: dict[str, NoiseState] = {}


def is_answered(model: ModelState, ask: Ask) -> bool:
    """Tell whether a request has its final answer, and the version it brought is delivered."""
    if ask.failed:
        return True
    entry = model.entries.get(ask.version)
    return ask.scored is not None and entry is not None and entry.delivered
