"""Where an application's events go: topic and key, by type. Keys are what `topics/*.toml` say."""

from __future__ import annotations

from streamops import events
from streamops.errors import InputError

OF_A_MODEL = (
    events.RunStarted,
    events.RunCompleted,
    events.RunFailed,
    events.CandidateScored,
    events.PromotionRequested,
    events.PromotionApproved,
    events.RollbackRequested,
    events.RetrainingPaused,
    events.AlertSilenceRequested,
)


def address(event: events.Event) -> tuple[str, str]:
    """Topic (without namespace) and key of an event that applications and people may write.

    Raises InputError for a type that only streamops' own processors write, and for an empty id or
    key: records without one would be spread at random.
    """
    topic, key, field = _address(event)
    if not event.id:
        raise InputError(f"id of {type(event).__name__} is empty; give one, or leave it out")
    if not getattr(event, "model", event):
        raise InputError(f"model of {type(event).__name__} is empty; name it")
    if not key:
        raise InputError(f"{field} of {type(event).__name__} is empty; name it")
    return topic, key


def _address(event: events.Event) -> tuple[str, str, str]:
    match event:
        case events.PredictionMade() | events.PredictionFailed():
            return "predictions", event.id, "id"
        case events.LabelArrived():
            return "labels", event.prediction_id, "prediction_id"
        case events.MetricReported():
            return "metrics", event.model, "model"
        case events.DatasetVersioned() | events.ReferenceProfiled():
            return "data", event.dataset, "dataset"
        case events.ConfigApplied():
            return "lifecycle", event.config.model, "config.model"
        case events.ModelRegistered():
            return "lifecycle", event.version.model, "version.model"
        case events.SealRequested() | events.ActionTaken():
            return "audit", event.actor, "actor"
    if isinstance(event, OF_A_MODEL):
        return "lifecycle", event.model, "model"
    raise InputError(f"type is {type(event).__name__}; applications don't write it")
