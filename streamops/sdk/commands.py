"""What people command and report: each is a fact with its actor on the log, nothing is called."""

from __future__ import annotations

import getpass
import os
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Any

from streamops.config import AlertKind, ModelConfig, check_config, config_hash
from streamops.errors import ConfigError, InputError
from streamops.events import (
    AlertSilenceRequested,
    ConfigApplied,
    Event,
    MetricReported,
    ModelRegistered,
    PromotionApproved,
    PromotionRequested,
    RetrainingPaused,
    RollbackRequested,
    SealRequested,
)
from streamops.quiet import Hold
from streamops.sdk.holds import SNOOZE, name_of
from streamops.sdk.ids import new_id
from streamops.sdk.plain import plain_number
from streamops.values import ModelVersion
from streamops.versions import check_version


class Commands(ABC):
    """Commands by people and reports from outside. Each returns the event that was sent.

    Common arguments: `actor`, who commands (the user of this process if none); `reason`, in words;
    `id` (a UUIDv7 if none) and `time` (now if none; with a zone). All raise as `send` does.
    """

    @abstractmethod
    def send(self, event: Event) -> None:
        """Check, encode and buffer an event."""

    @abstractmethod
    def flush(self) -> None:
        """Return once the broker has acknowledged every record; TransportError if it has not."""

    def promote(
        self,
        model: str,
        version: str,
        *,
        reason: str = "",
        actor: str | None = None,
        id: str | None = None,
        time: datetime | None = None,
    ) -> PromotionRequested:
        """Ask for a version to go to Production; the gate decides."""
        event = PromotionRequested(
            model=model, version=version, reason=reason, actor=actor or user(), **origin(id, time)
        )
        self.send(event)
        return event

    def approve(
        self,
        model: str,
        version: str,
        *,
        reason: str = "",
        actor: str | None = None,
        id: str | None = None,
        time: datetime | None = None,
    ) -> PromotionApproved:
        """Approve a version that waits in Staging."""
        event = PromotionApproved(
            model=model, version=version, reason=reason, actor=actor or user(), **origin(id, time)
        )
        self.send(event)
        return event

    def rollback(
        self,
        model: str,
        *,
        reason: str = "",
        actor: str | None = None,
        id: str | None = None,
        time: datetime | None = None,
    ) -> RollbackRequested:
        """Bring the former champion back, at once."""
        event = RollbackRequested(
            model=model, reason=reason, actor=actor or user(), **origin(id, time)
        )
        self.send(event)
        return event

    def pause_retraining(
        self,
        model: str,
        *,
        paused: bool = True,
        reason: str = "",
        actor: str | None = None,
        id: str | None = None,
        time: datetime | None = None,
    ) -> RetrainingPaused:
        """Stop automatic retraining of a model, or resume it with `paused=False`."""
        event = RetrainingPaused(
            model=model, paused=paused, reason=reason, actor=actor or user(), **origin(id, time)
        )
        self.send(event)
        return event

    def silence(
        self,
        model: str,
        fingerprint: str = "",
        *,
        until: datetime,
        kind: AlertKind | None = None,
        feature: str = "",
        reason: str = "",
        actor: str | None = None,
        id: str | None = None,
        time: datetime | None = None,
    ) -> AlertSilenceRequested:
        """Silence a fingerprint, or a kind, a feature or the whole model, until an event time."""
        hold = Hold(kind=kind, feature=feature, fingerprint=fingerprint)
        name = name_of(model, hold)
        if fingerprint:
            return self._hush(model, fingerprint, None, until, reason, actor, origin(id, time))
        return self._hush(model, name, hold, until, reason, actor, origin(id, time))

    def snooze(
        self,
        model: str,
        fingerprint: str = "",
        *,
        until: datetime | None = None,
        kind: AlertKind | None = None,
        feature: str = "",
        reason: str = "",
        actor: str | None = None,
        id: str | None = None,
        time: datetime | None = None,
    ) -> AlertSilenceRequested:
        """Silence alerts until the model's next version serves, at the latest in 30 days."""
        hold = Hold(how="snooze", kind=kind, feature=feature, fingerprint=fingerprint)
        common = origin(id, time)
        end = common["time"] + SNOOZE if until is None else until
        return self._hush(model, name_of(model, hold), hold, end, reason, actor, common)

    def maintain(
        self,
        model: str,
        fingerprint: str = "",
        *,
        since: datetime,
        until: datetime,
        kind: AlertKind | None = None,
        feature: str = "",
        reason: str = "",
        actor: str | None = None,
        id: str | None = None,
        time: datetime | None = None,
    ) -> AlertSilenceRequested:
        """Silence the alerts of panes that overlap [since, until), whenever they are raised.

        Raises InputError where `until` isn't after `since`.
        """
        since, until = aware("since", since), aware("until", until)
        if since >= until:
            raise InputError(
                f"until is {until.isoformat()}, not after since, {since.isoformat()}; give a later"
            )
        hold = Hold(
            how="maintenance", kind=kind, feature=feature, fingerprint=fingerprint, since=since
        )
        common = origin(id, time)
        return self._hush(model, name_of(model, hold), hold, until, reason, actor, common)

    def end_silence(
        self,
        model: str,
        name: str,
        *,
        reason: str = "",
        actor: str | None = None,
        id: str | None = None,
        time: datetime | None = None,
    ) -> AlertSilenceRequested:
        """End what silences a fingerprint, or a hold by its name, at once."""
        common = origin(id, time)
        return self._hush(model, name, Hold(ended=True), common["time"], reason, actor, common)

    def _hush(
        self,
        model: str,
        name: str,
        hold: Hold | None,
        until: datetime,
        reason: str,
        actor: str | None,
        common: dict[str, Any],
    ) -> AlertSilenceRequested:
        event = AlertSilenceRequested(
            model=model,
            fingerprint=name,
            until=aware("until", until),
            hold=hold,
            reason=reason,
            actor=actor or user(),
            **common,
        )
        self.send(event)
        return event

    def acknowledge(
        self,
        model: str,
        fingerprint: str,
        *,
        reason: str = "",
        actor: str | None = None,
        id: str | None = None,
        time: datetime | None = None,
    ) -> AlertSilenceRequested:
        """Mark a fingerprint's alert as seen; it is not silenced."""
        common = origin(id, time)
        event = AlertSilenceRequested(
            model=model,
            fingerprint=fingerprint,
            until=common["time"],
            acknowledge=True,
            reason=reason,
            actor=actor or user(),
            **common,
        )
        self.send(event)
        return event

    def apply(
        self,
        config: ModelConfig,
        *,
        first_pane: datetime | None = None,
        actor: str | None = None,
        id: str | None = None,
        time: datetime | None = None,
    ) -> ConfigApplied:
        """Apply a configuration from `first_pane`, or from the first pane after its activation.

        Raises ConfigError for a setting that can't hold, before anything is sent.
        """
        if not isinstance(config, ModelConfig):
            raise ConfigError(f"config is {config!r}; give a streamops.config.ModelConfig")
        event = ConfigApplied(
            config=check_config(config),
            config_hash=config_hash(config),
            actor=actor or user(),
            first_pane=None if first_pane is None else aware("first_pane", first_pane),
            **origin(id, time),
        )
        self.send(event)
        return event

    def register(
        self,
        version: ModelVersion,
        *,
        run_id: str = "",
        request_id: str = "",
        artifact_uri: str = "",
        runner: str = "skops",
        id: str | None = None,
        time: datetime | None = None,
    ) -> ModelRegistered:
        """Register a version with its reference profile.

        Raises InputError naming the field where the version can't be monitored.
        """
        if not isinstance(version, ModelVersion):
            raise InputError(f"version is {version!r}; give a streamops.values.ModelVersion")
        event = ModelRegistered(
            version=check_version(version),
            run_id=run_id,
            request_id=request_id,
            artifact_uri=artifact_uri,
            runner=runner,
            **origin(id, time),
        )
        self.send(event)
        return event

    def request_seal(
        self,
        *,
        reason: str = "",
        actor: str | None = None,
        id: str | None = None,
        time: datetime | None = None,
    ) -> SealRequested:
        """Ask the archiver to seal everything that stands on the topics now."""
        event = SealRequested(reason=reason, actor=actor or user(), **origin(id, time))
        self.send(event)
        return event

    def report_metric(
        self,
        model: str,
        name: str,
        value: float,
        *,
        unit: str = "",
        id: str | None = None,
        time: datetime | None = None,
    ) -> MetricReported:
        """Report a business metric of a model."""
        number = plain_number(f"metric {name}", value)
        event = MetricReported(model=model, name=name, value=number, unit=unit, **origin(id, time))
        self.send(event)
        return event


def origin(id: str | None, time: datetime | None) -> dict[str, Any]:
    """`id` and `time` of a source event, made where not given; InputError without a zone."""
    return {
        "id": new_id() if id is None else id,
        "time": datetime.now(UTC) if time is None else aware("time", time),
    }


def aware(name: str, time: datetime) -> datetime:
    """The time in UTC; InputError for one without a zone, which could be any hour."""
    if not isinstance(time, datetime):
        raise InputError(f"{name} is {time!r}; give a datetime with a zone, as datetime.now(UTC)")
    if time.tzinfo is None or time.utcoffset() is None:
        raise InputError(
            f"{name} is {time.isoformat()} without a zone; give one, as datetime.now(UTC) has"
        )
    try:
        moved = time.astimezone(UTC)
    except OverflowError:
        raise InputError(
            f"{name} is {time.isoformat()}, outside the years 1 to 9999 in UTC; send that"
        ) from None
    # A subclass (a pandas Timestamp) has more than the log keeps: microseconds are its limit.
    return datetime(
        moved.year, moved.month, moved.day, moved.hour, moved.minute, moved.second,
        moved.microsecond, UTC,
    )  # fmt: skip


def user() -> str:
    """The name of this process's user, its number where it has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
