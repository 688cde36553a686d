"""Which activation has which revision, however many broadcasters number them (EPOCHS 1, 4).

Rule 1: a number is proposed on one partition. In its order a proposal counts if its revision is
        above those that counted before and its request has none yet; each reader sees the same.
Rule 2: what counted is delivered as it stands, in the order of revisions, never made anew. So no
        revision has two contents, whoever died, paused or woke up in between.
Rule 3: one request is numbered at a time: a later one of its model never gets a lower revision.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from streamops.core.times import EPOCH, SECOND_US, micros, moment
from streamops.events import (
    ActivationDelivered,
    ConfigActivated,
    ConfigApplied,
    ModelRegistered,
    VersionActivated,
)

Request = ConfigApplied | ModelRegistered
Activation = ConfigActivated | VersionActivated


class Activations:
    """What was asked for, what is numbered and what every partition has, as the log tells."""

    def __init__(self, skew_max_ms: int) -> None:
        self._skew = timedelta(milliseconds=skew_max_ms)
        self._requests: dict[str, Request] = {}
        self._numbers: dict[str, int] = {}
        self._numbered: dict[str, Activation] = {}
        self._delivered: set[str] = set()
        self._counted = self._highest = 0
        self._configured: set[str] = set()
        self._first_panes: dict[str, datetime] = {}

    @property
    def is_pending(self) -> bool:
        """Whether anything waits for its number or its delivery."""
        return bool(self._requests or self._numbered)

    def ask(self, request: Request) -> None:
        """Note a request."""
        if request.id not in self._delivered:
            self._requests.setdefault(request.id, request)

    def propose(self, now: datetime) -> Activation | None:
        """Return a number for the first request that has none, to be proposed."""
        for request in self._requests.values():
            if request.id not in self._numbers:
                return self._activation(request, self._highest + 1, now)
        return None

    def count(self, proposed: Activation) -> None:
        """Note the next proposal of the partition that decides."""
        source = _source(proposed)
        self._highest = max(self._highest, proposed.revision)
        if proposed.revision <= self._counted or source in self._numbers:
            return
        self._counted = self._numbers[source] = proposed.revision
        self._begin(source, proposed)
        if source not in self._delivered:
            self._numbered[source] = replace(proposed, id=f"activated/{source}")

    def see(self, activated: Activation) -> None:
        """Note an activation that stands in an input partition: revisions go on above it."""
        self._highest = max(self._highest, activated.revision)
        self._begin(activated.id.removeprefix("activated/"), activated)

    def deliver(self, delivered: ActivationDelivered) -> None:
        """Note that every partition has an activation."""
        source = delivered.id.removeprefix("delivered/")
        self._delivered.add(source)
        self._requests.pop(source, None)
        self._numbered.pop(source, None)

    def due(self) -> list[Activation]:
        """Return what is numbered and not delivered, in the order in which it is to be written."""
        return sorted(self._numbered.values(), key=lambda event: event.revision)

    def _begin(self, source: str, activation: Activation) -> None:
        self._first_panes.setdefault(source, activation.first_pane)
        if isinstance(activation, ConfigActivated):
            self._configured.add(activation.config.model)

    def _activation(self, request: Request, revision: int, now: datetime) -> Activation:
        id_ = f"numbered/{request.id}/{revision}"
        if isinstance(request, ModelRegistered):
            return VersionActivated(
                id=id_,
                time=request.time,
                revision=revision,
                first_pane=EPOCH,
                version=request.version,
            )
        return ConfigActivated(
            id=id_,
            time=request.time,
            revision=revision,
            first_pane=self._first_pane(request, now),
            config=request.config,
            config_hash=request.config_hash,
        )

    def _first_pane(self, request: ConfigApplied, now: datetime) -> datetime:
        """A model's first configuration rules everything; a later one begins beyond the skew. One
        that reached some partitions before a crash begins where it began there."""
        begun = self._first_panes.get(request.id, request.first_pane)
        if begun is not None:
            return begun
        if request.config.model not in self._configured:
            return EPOCH
        length = request.config.pane_s * SECOND_US
        return moment((micros(now + self._skew) // length + 1) * length)


def delivery_of(activated: Activation) -> ActivationDelivered:
    """Return what is written once every partition has the activation."""
    version = config_hash = ""
    if isinstance(activated, ConfigActivated):
        model, config_hash = activated.config.model, activated.config_hash
    else:
        model, version = activated.version.model, activated.version.version
    return ActivationDelivered(
        id=f"delivered/{activated.id.removeprefix('activated/')}",
        time=activated.time,
        revision=activated.revision,
        model=model,
        version=version,
        config_hash=config_hash,
    )


def _source(proposed: Activation) -> str:
    """The id of the request that a proposal numbers."""
    return proposed.id.removeprefix("numbered/").rpartition("/")[0]
