"""Two histories of alerts or requests, and how they differ: same, gained, lost, moved.

Rule 1: ids name a configuration; what is compared is what a person would call the same: one
        fingerprint (or strategy) at one time.
Rule 2: of what is left of one fingerprint, first goes with first: it moved in time. The rest was
        gained or lost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

import msgspec

from streamops.events import AlertRaised, Event, RetrainRequested


class Span(msgspec.Struct, frozen=True):
    """Event times [since, until) of panes; None for no bound."""

    since: datetime | None = None
    until: datetime | None = None

    def has(self, at: datetime) -> bool:
        """Tell whether a time lies in it."""
        after = self.since is None or at >= self.since
        return after and (self.until is None or at < self.until)


EVER = Span()


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """One alert or request in a history.

    what      fingerprint of an alert, model and strategy of a request
    at        start of the alert's pane; time of the request
    known     event time at which it was known: the end of the pane
    says      kind, metric and feature of an alert; reason of a request
    severity  of an alert
    pages     whether somebody is told of the alert
    """

    id: str
    what: str
    at: datetime
    known: datetime
    says: str
    severity: str = ""
    pages: bool = True


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """The same at another time: as recorded, and as it would have been."""

    recorded: Mark
    other: Mark


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How a history differs from the recorded one.

    recorded, other  how many there are in each
    same             at the same time in both
    regraded         of those, with another severity
    hushed, told     of those, that somebody was told of in one and nobody in the other: not told
                     any more, or told now
    pages            how many somebody is told of: as recorded, and in the other
    """

    recorded: int
    other: int
    same: int
    regraded: tuple[Move, ...]
    moved: tuple[Move, ...]
    gained: tuple[Mark, ...]
    lost: tuple[Mark, ...]
    hushed: tuple[Mark, ...] = ()
    told: tuple[Mark, ...] = ()
    pages: tuple[int, int] = (0, 0)

    @property
    def is_none(self) -> bool:
        """Whether both tell the same."""
        same = not (self.regraded or self.moved or self.gained or self.lost)
        return same and not (self.hushed or self.told)


def alert_marks(events: Iterable[Event], models: Collection[str], span: Span) -> list[Mark]:
    """Return the raised alerts of some models within a span, by time."""
    marks = [
        Mark(
            id=event.id,
            what=event.fingerprint,
            at=event.pane_start,
            known=event.time,
            says=" ".join(filter(None, (event.kind, event.metric, event.feature, event.segment))),
            severity=event.severity,
            pages=not event.silenced,
        )
        for event in events
        if isinstance(event, AlertRaised) and event.model in models and span.has(event.pane_start)
    ]
    return sorted(marks, key=_order)


def request_marks(events: Iterable[Event], models: Collection[str], span: Span) -> list[Mark]:
    """Return the requests for challengers of some models within a span, by time."""
    marks = [
        Mark(
            id=event.id,
            what=f"{event.model} {event.strategy}",
            at=event.time,
            known=event.time,
            says=f"{event.strategy} challenger of {event.champion_version}",
        )
        for event in events
        if isinstance(event, RetrainRequested) and event.model in models and span.has(event.time)
    ]
    return sorted(marks, key=_order)


def first_since(marks: Iterable[Mark], incident: datetime) -> Mark | None:
    """Return what was known first after an incident began; None where nothing was."""
    later = [mark for mark in marks if mark.known > incident]
    return min(later, key=lambda mark: mark.known, default=None)


def differ(recorded: list[Mark], other: list[Mark]) -> Difference:
    """Compare two histories, both by time."""
    here = {(mark.what, mark.at): mark for mark in recorded}
    there = {(mark.what, mark.at): mark for mark in other}
    both = [(here[key], there[key]) for key in here if key in there]
    lost = [mark for key, mark in here.items() if key not in there]
    gained = [mark for key, mark in there.items() if key not in here]
    moved = list(_moves(lost, gained))
    gone = {move.recorded.id for move in moved}
    come = {move.other.id for move in moved}
    return Difference(
        recorded=len(recorded),
        other=len(other),
        same=len(both),
        regraded=tuple(Move(recorded=a, other=b) for a, b in both if a.severity != b.severity),
        moved=tuple(moved),
        gained=tuple(mark for mark in gained if mark.id not in come),
        lost=tuple(mark for mark in lost if mark.id not in gone),
        hushed=tuple(b for a, b in both if a.pages and not b.pages),
        told=tuple(b for a, b in both if b.pages and not a.pages),
        pages=(_pages(recorded), _pages(other)),
    )


def _pages(marks: list[Mark]) -> int:
    return len([mark for mark in marks if mark.pages])


def _moves(lost: list[Mark], gained: list[Mark]) -> Iterable[Move]:
    left: dict[str, list[Mark]] = {}
    for mark in reversed(gained):
        left.setdefault(mark.what, []).append(mark)
    for mark in lost:
        if left.get(mark.what):
            yield Move(recorded=mark, other=left[mark.what].pop())


def _order(mark: Mark) -> tuple[datetime, str, str]:
    return mark.at, mark.what, mark.id
