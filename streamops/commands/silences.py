"""silence, snooze, maintenance, and silences: which alerts page nobody, until when, by whom."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from streamops.commands.models import Actor, Model, Reason, command, read_duration
from streamops.commands.output import print_json, print_table
from streamops.commands.place import HERE, Json, Place
from streamops.commands.sql import zoned
from streamops.config import AlertKind
from streamops.errors import ConfigError

if TYPE_CHECKING:
    from streamops.client import Client
    from streamops.events import Event

Fingerprint = Annotated[
    str, Parameter(help="One alert's fingerprint, as `alerts` shows it; empty: see --kind.")
]
Kind = Annotated[AlertKind | None, Parameter(help="Only alerts of this kind.")]
Feature = Annotated[str, Parameter(help="Only alerts about this feature.")]
For = Annotated[
    str, Parameter(name="--for", help="How long from now: 30m, 12h or 7d; a day if left out.")
]
AtMost = Annotated[
    str, Parameter(name="--for", help="How long at most: 30m, 12h or 7d; 30 days if left out.")
]
Until = Annotated[
    str, Parameter(help="Until an event time, as 2026-03-01T12:00Z, in place of --for.")
]


def silence(
    model: Model,
    fingerprint: Fingerprint = "",
    *,
    place: Place = HERE,
    kind: Kind = None,
    feature: Feature = "",
    for_: For = "",
    until: Until = "",
    reason: Reason = "",
    actor: Actor = None,
    json: Json = False,
) -> None:
    """Silence an alert, a kind, a feature or a whole model until a time.

    Alerts go on being raised: `streamops sql "select * from alerts_suppressed"` shows them.

    Example: streamops silence demand --kind data_drift --for 12h --reason "new price list"
    """
    end = _end(for_, until, "1d")
    command(
        place,
        json,
        lambda c: c.silence(
            model, fingerprint, until=end, kind=kind, feature=feature, reason=reason, actor=actor
        ),
    )


def snooze(
    model: Model,
    fingerprint: Fingerprint = "",
    *,
    place: Place = HERE,
    kind: Kind = None,
    feature: Feature = "",
    for_: AtMost = "",
    until: Until = "",
    reason: Reason = "",
    actor: Actor = None,
    json: Json = False,
) -> None:
    """Silence alerts until the model's next version serves, at the latest until a time.

    Example: streamops snooze demand --kind performance --reason "retrain is on its way"
    """
    end = _end(for_, until, "30d")
    command(
        place,
        json,
        lambda c: c.snooze(
            model, fingerprint, until=end, kind=kind, feature=feature, reason=reason, actor=actor
        ),
    )


def maintenance(
    model: Model,
    fingerprint: Fingerprint = "",
    *,
    place: Place = HERE,
    since: Annotated[str, Parameter(help="Begin in event time, as 2026-03-01T12:00Z.")],
    until: Annotated[str, Parameter(help="End in event time, as 2026-03-01T18:00Z.")],
    kind: Kind = None,
    feature: Feature = "",
    reason: Reason = "",
    actor: Actor = None,
    json: Json = False,
) -> None:
    """Silence the alerts of panes in a range of event time, whenever their labels come.

    Example: streamops maintenance demand --since 2026-03-01T12:00Z --until 2026-03-01T18:00Z
    """
    begin, end = zoned("--since", since), zoned("--until", until)
    if begin is None or end is None or begin >= end:
        raise ConfigError(
            f"--since is {since!r} and --until is {until!r}: give two times, the later one last"
        )

    def send(client: Client) -> Event:
        return client.maintain(
            model,
            fingerprint,
            since=begin,
            until=end,
            kind=kind,
            feature=feature,
            reason=reason,
            actor=actor,
        )

    command(place, json, send)


def unsilence(
    model: Model,
    name: Annotated[str, Parameter(help="Its name, as `silences` shows it.")],
    *,
    place: Place = HERE,
    reason: Reason = "",
    actor: Actor = None,
    json: Json = False,
) -> None:
    """End a silence, snooze or maintenance at once.

    Example: streamops unsilence demand "demand/~silence/data_drift/*"
    """
    command(place, json, lambda c: c.end_silence(model, name, reason=reason, actor=actor))


def silences(
    model: Annotated[str, Parameter(help="Only this model's; empty: every model's.")] = "",
    *,
    place: Place = HERE,
    all: Annotated[
        bool, Parameter(name="--all", negative="", help="Those that are over as well.")
    ] = False,
    json: Json = False,
) -> None:
    """List what is silenced: about what, until when, by whom and why.

    Example: streamops silences demand
    """
    from streamops.settings import Settings
    from streamops.views.queries import query as ask

    named = model.replace("'", "''")
    where = [] if all else ["in_force"]
    where += [f"model = '{named}'"] if model else []
    chosen = f" WHERE {' AND '.join(where)}" if where else ""
    answer = ask(Settings(bootstrap="", data=place.data.absolute()), f"{LISTED}{chosen}")
    if json:
        print_json([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
    else:
        print_table(answer.columns, answer.rows)


def _end(for_: str, until: str, usual: str) -> datetime:
    if for_ and until:
        raise ConfigError(f"--for is {for_!r} and --until is {until!r}: give one of them")
    return zoned("--until", until) or datetime.now(UTC) + read_duration(for_ or usual)


LISTED = "SELECT name, how, since, until, actor, reason, in_force FROM silences"
