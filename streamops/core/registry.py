"""Registry and rollout: stages, promotion, rollback.

Rule 1: one StageChanged promotes a version and archives the former champion: no reader ever sees
        none or two in Production.
Rule 2: a version goes to Production only after its activation stands in every partition.
Rule 3: the rollout plan is a switch: all traffic at once.
"""

from __future__ import annotations

import msgspec

from streamops.core.model_state import TRANSITIONS, ModelState
from streamops.core.times import moment
from streamops.events import Event, RolloutFinished, RolloutRolledBack, RolloutStarted, StageChanged
from streamops.values import Stage

Changed = tuple[ModelState, list[Event]]


def stage(
    model: ModelState, version: str, after: Stage, cause: str, us: int, actor: str = "controller"
) -> Changed:
    """Move a version; going to Production archives the former champion by the same event."""
    entry = model.entries[version]
    assert (entry.stage, after) in TRANSITIONS, f"{entry.stage} can't become {after}"
    serving = after == "Production"
    replaced = model.champion if serving else ""
    revision = model.revision + serving
    event = StageChanged(
        id=f"stage/{model.config.model}/{version}/{after}/{revision}",
        time=moment(us),
        model=model.config.model,
        version=version,
        before=entry.stage,
        after=after,
        revision=revision,
        cause=cause,
        replaced=replaced,
        actor=actor,
    )
    entries = {**model.entries, version: msgspec.structs.replace(entry, stage=after)}
    if replaced:
        entries[replaced] = msgspec.structs.replace(entries[replaced], stage="Archived")
    model = msgspec.structs.replace(model, entries=entries, revision=revision)
    if serving:
        model = msgspec.structs.replace(model, champion=version, former=replaced)
    return model, [event]


def promote(model: ModelState, version: str, cause: str, us: int, actor: str) -> Changed:
    """Take a version that passed the gate through Staging to all traffic."""
    outputs: list[Event] = []
    if model.entries[version].stage == "Development":
        model, outputs = stage(model, version, "Staging", cause, us, actor)
    if model.config.gate.approval and actor == "controller":
        return model, outputs
    name = model.config.model
    revision = model.revision + 1
    outputs.append(
        RolloutStarted(
            id=f"rollout/{name}/{revision}/started",
            time=moment(us),
            model=name,
            version=version,
            revision=revision,
        )
    )
    model, changed = stage(model, version, "Production", cause, us, actor)
    finished = RolloutFinished(
        id=f"rollout/{name}/{revision}/finished",
        time=moment(us),
        model=name,
        version=version,
        revision=revision,
    )
    return model, [*outputs, *changed, finished]


def roll_back(model: ModelState, cause: str, us: int, actor: str, reason: str) -> Changed:
    """Bring the former champion back; nothing happens where there is none."""
    if not model.former:
        return model, []
    undone = model.champion
    model, outputs = stage(model, model.former, "Production", cause, us, actor)
    event = RolloutRolledBack(
        id=f"rollout/{model.config.model}/{model.revision}/rolled-back",
        time=moment(us),
        model=model.config.model,
        version=undone,
        restored=model.champion,
        revision=model.revision,
        reason=reason or "asked for by a person",
    )
    return model, [*outputs, event]
