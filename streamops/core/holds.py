"""Silences wider than a fingerprint, snoozes and maintenances: asked for, in force, ended.

Rule 1: a hold is its name: asked for again under it, it has another end, or is ended.
Rule 2: silences and snoozes are in force at the tick an alert is raised at; a maintenance is about
        the alert's own panes, whenever their labels come.
Rule 3: each begin and each end before its time is an AlertSilenced.
"""

from __future__ import annotations

from msgspec.structs import replace

from streamops.core.model_state import ModelState
from streamops.core.noise_state import NoiseState, Standing
from streamops.core.times import SECOND_US, micros, moment
from streamops.core.workbook import Workbook
from streamops.events import AlertRaised, AlertSilenced, AlertSilenceRequested
from streamops.quiet import Hold

HOLDS_MAX = 200
NEVER_US = -(1 << 62)


def take(book: Workbook, event: AlertSilenceRequested, hold: Hold) -> str | None:
    """Begin, change or end a hold; return why it can't be, or None."""
    name, model = event.fingerprint, book.get(event.model)
    known = book.noise_of(event.model)
    if hold.ended:
        return _end(book, model, known, event)
    if event.acknowledge:
        return (
            "acknowledge is true; an alert is seen by its fingerprint, a hold only begins and ends"
        )
    if not name.startswith(f"{event.model}/~"):
        return f"fingerprint is {name!r}; a hold's name begins with {event.model}/~"
    if (hold.since is None) == (hold.how == "maintenance"):
        return f"since is {hold.since!r}; a maintenance has one, and nothing else"
    if hold.since is not None and hold.since >= event.until:
        return f"until is {event.until!r}; it must come after since, {hold.since!r}"
    holds = {k: s for k, s in known.holds.items() if not _is_over(model, s, book.us)}
    if name not in holds and len(holds) >= HOLDS_MAX:
        return f"model is {event.model!r}; it has {HOLDS_MAX} holds: end one first"
    holds[name] = Standing(hold, micros(event.until))
    book.keep_noise(event.model, replace(known, holds=holds))
    said(book, model, event.fingerprint, event, f"silenced/{event.id}")
    return None


def said(
    book: Workbook,
    model: ModelState,
    name: str,
    event: AlertSilenceRequested | AlertSilenced,
    id: str,
) -> None:
    """Write what is silent from now on under a name, with the next revision of it."""
    state = model.rules.get(name)
    revision = 1 + (model.revisions.get(name, 0) if state is None else state.revision)
    if state is None:
        model = replace(model, revisions={**model.revisions, name: revision})
    else:
        model = replace(model, rules={**model.rules, name: replace(state, revision=revision)})
    silenced = AlertSilenced(
        id=id,
        time=moment(book.us),
        fingerprint=name,
        revision=revision,
        model=event.model,
        actor=event.actor,
        until=event.until,
        acknowledge=event.acknowledge,
        hold=event.hold,
    )
    book.put(model, [silenced])


def in_force(known: NoiseState, alert: AlertRaised, us: int) -> tuple[str, Hold] | None:
    """Return the first hold, by name, that an alert raised now falls under."""
    for name in sorted(known.holds):
        standing = known.holds[name]
        if _names(standing.hold, alert) and _holds(standing, alert, us):
            return name, standing.hold
    return None


def version_replaced(book: Workbook, name: str) -> None:
    """End the snoozes: another version serves. Its incidents and flaps are its own."""
    known = book.noise_of(name)
    snoozed = [key for key in sorted(known.holds) if known.holds[key].hold.how == "snooze"]
    holds = {key: s for key, s in known.holds.items() if key not in snoozed}
    book.keep_noise(name, NoiseState(holds))
    revision = book.get(name).revision
    for key in snoozed:
        standing = known.holds[key]
        if not _is_over(book.get(name), standing, book.us):
            _ended(book, book.get(name), key, standing.hold, "controller", f"{key}/{revision}")


def _end(
    book: Workbook, model: ModelState, known: NoiseState, event: AlertSilenceRequested
) -> str | None:
    name = event.fingerprint
    standing = known.holds.get(name)
    if standing is None and model.silences.get(name, NEVER_US) <= book.us:
        others = (*known.holds, *(k for k, us in model.silences.items() if us > book.us))
        return f"fingerprint is {name!r}; in force are: {', '.join(sorted(others)) or 'none'}"
    if standing is not None:
        rest = {key: s for key, s in known.holds.items() if key != name}
        book.keep_noise(event.model, replace(known, holds=rest))
    silences = {key: us for key, us in model.silences.items() if key != name}
    hold = Hold() if standing is None else standing.hold
    _ended(book, replace(model, silences=silences), name, hold, event.actor, event.id)
    return None


def _ended(
    book: Workbook, model: ModelState, name: str, hold: Hold, actor: str, cause: str
) -> None:
    now = moment(book.us)
    ended = AlertSilenced(
        id="",
        time=now,
        fingerprint=name,
        revision=0,
        model=model.config.model,
        actor=actor,
        until=now,
        hold=replace(hold, ended=True),
    )
    said(book, model, name, ended, f"silenced/{cause}/ended")


def _names(hold: Hold, alert: AlertRaised) -> bool:
    return (
        hold.kind in (None, alert.kind)
        and hold.feature in ("", alert.feature)
        and hold.fingerprint in ("", alert.fingerprint)
    )


def _holds(standing: Standing, alert: AlertRaised, us: int) -> bool:
    since = standing.hold.since
    if since is None:
        return standing.until_us > us
    return micros(alert.pane_start) < standing.until_us and alert.time > since


def _is_over(model: ModelState, standing: Standing, us: int) -> bool:
    """Whether nothing can fall under it any more; panes of a maintenance are judged for long."""
    if standing.hold.since is None:
        return standing.until_us <= us
    return standing.until_us + 2 * model.config.horizon_s * SECOND_US <= us
