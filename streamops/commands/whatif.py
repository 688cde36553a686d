"""whatif: history under another configuration."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from streamops.commands.answers import Archive, Workers, archive_of
from streamops.commands.output import print_json, print_table, progress, say
from streamops.commands.place import HERE, Json, Place
from streamops.core.times import aware
from streamops.errors import ConfigError

Incident = Annotated[
    datetime | None,
    Parameter(help="When something began: also say when either would have told of it."),
]
Raw = Annotated[bool, Parameter(name="--raw", negative="", help="Fold raw records in any case.")]
Time = Annotated[datetime | None, Parameter(help="ISO 8601; UTC where it names no zone.")]


def whatif(
    *,
    place: Place = HERE,
    config: Annotated[
        Path | None,
        Parameter(help="TOML file of one or more models, as `streamops apply` takes it."),
    ] = None,
    when_would: Annotated[
        Path | None,
        Parameter(help="As --config; say only when --incident would have been known under it."),
    ] = None,
    archive: Archive = None,
    since: Time = None,
    until: Time = None,
    incident: Incident = None,
    raw: Annotated[
        bool,
        Parameter(name="--raw", negative="", help="Fold raw records where others would do."),
    ] = False,
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Fold history again under another configuration, and print what would have been different.

    The whole history is folded: from its recorded metrics where tests, panes and segments are as
    they were, from its summaries and outcomes where panes and segments are, else from its raw
    records, and it says which; --workers processes fold these, and change nothing that is found.
    `--since` and `--until` choose the panes that are compared. Requests for challengers that nobody
    was asked in fact stay unanswered: what new versions would have done isn't known.

    When would we have known? `--when-would CONFIG --incident TIME` answers that alone: TIME is when
    something began, as people found later.

    Example: streamops whatif --config stricter.toml --archive .streamops/demo/archive
    """
    from streamops.audit.difference import Span
    from streamops.audit.whatif import what_if
    from streamops.operate.init import read_config

    file = config or when_would
    if file is None or (config and when_would):
        raise ConfigError("whatif needs one of: --config FILE, --when-would FILE")
    if when_would and incident is None:
        raise ConfigError("--when-would needs --incident TIME: when what should be known began")
    span = Span(aware(since), aware(until))
    if span.since is not None and span.until is not None and span.since >= span.until:
        raise ConfigError(f"until is {until}, not after since, {since}: give a later one")
    with progress("folding history") as show:
        found = what_if(
            archive_of(place, archive),
            read_config(file),
            span=span,
            incident=aware(incident),
            on_progress=show,
            raw=raw,
            workers=workers,
        )
    say(f"folded {found.folded}; {found.records:,} raw records")
    if json:
        print_json(found)
        return
    if config:
        _print_difference("alerts", found.alerts)
        print(f"pages: {found.alerts.pages[0]} as recorded, {found.alerts.pages[1]} under it")
        _print_difference("requests for challengers", found.retrains)
    if found.unanswered:
        say(f"{found.unanswered} requests stay unanswered: in fact nobody was asked")
    if incident is not None:
        _print_known(found)


def _print_known(found: Any) -> None:
    for name, mark in zip(("as recorded", "under this configuration"), found.known, strict=True):
        told = "never" if mark is None else f"at {mark.known.isoformat()} by {mark.says}"
        print(f"{name}, it would have been known {told}")


def _print_difference(what: str, found: Any) -> None:
    print(
        f"{what}: {found.recorded} as recorded, {found.other} under this configuration; "
        f"{found.same} the same, {len(found.moved)} moved, {len(found.gained)} gained, "
        f"{len(found.lost)} lost, {len(found.regraded)} of another severity"
    )
    rows = [["gained", "", mark.at.isoformat(), mark.severity, mark.says] for mark in found.gained]
    rows += [["lost", mark.at.isoformat(), "", mark.severity, mark.says] for mark in found.lost]
    rows += [
        [word, mark.at.isoformat(), mark.at.isoformat(), mark.severity, mark.says]
        for word, marks in (("paged no more", found.hushed), ("paged now", found.told))
        for mark in marks
    ]
    for word, moves in (("moved", found.moved), ("regraded", found.regraded)):
        rows += [
            [
                word,
                move.recorded.at.isoformat(),
                move.other.at.isoformat(),
                f"{move.recorded.severity} -> {move.other.severity}",
                move.other.says,
            ]
            for move in moves
        ]
    if rows:
        rows.sort(key=lambda row: row[1] or row[2])
        print_table(["change", "as recorded", "would have been", "severity", "what"], rows)
