"""sql: anyone's question to the views, as they are or as they were."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from cyclopts import Parameter

from streamops.commands.output import print_csv, print_json, print_table, say
from streamops.commands.place import HERE, Json, Place
from streamops.errors import ConfigError, InputError


def sql(
    query: Annotated[str, Parameter(help="A SELECT over the views (docs/reference/views.md).")],
    *,
    place: Place = HERE,
    as_of: Annotated[
        str,
        Parameter(help="What was recorded by a time, as 2026-03-01T12:00Z: what did we know then?"),
    ] = "",
    as_of_epoch: Annotated[
        int | None, Parameter(help="What was concluded up to an epoch, this one included.")
    ] = None,
    for_: Annotated[
        str,
        Parameter(name="--for", help="Facts up to an event time: what was so then, we know now?"),
    ] = "",
    json: Json = False,
    csv: Annotated[bool, Parameter(name="--csv", negative="", help="Print CSV.")] = False,
) -> None:
    """Ask the views a question in SQL, while the stack runs or when it is down.

    With --as-of, --as-of-epoch or --for every view is that of a point in the past, and those of
    now are there as latest.NAME. --for goes with either of the others.

    Example: streamops sql "select * from current_models" --as-of 2026-03-01T12:00Z
    """
    from streamops.settings import Settings
    from streamops.views.asof import AsOf
    from streamops.views.queries import query as ask

    if as_of and as_of_epoch is not None:
        raise ConfigError("--as-of and --as-of-epoch are both given: give one of them")
    if json and csv:
        raise ConfigError("--json and --csv are both given: give one of them")
    if as_of_epoch is not None and as_of_epoch < 0:
        raise ConfigError(f"--as-of-epoch is {as_of_epoch}: epochs begin at 0")
    at = AsOf(recorded=zoned("--as-of", as_of), epoch=as_of_epoch, event=zoned("--for", for_))
    try:
        answer = ask(Settings(bootstrap="", data=place.data.absolute()), query, at=at)
    except InputError as error:
        raise ConfigError(str(error)) from None  # the query and the point are the user's own
    if json:
        print_json([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
    elif csv:
        print_csv(answer.columns, answer.rows)
    else:
        print_table(answer.columns, answer.rows)
    if answer.truncated:
        say(f"only the first {len(answer.rows)} rows are shown: add a limit or an aggregate")


def zoned(option: str, text: str) -> datetime | None:
    """Return an option's time, None for empty; ConfigError for one without a time zone."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{option} is {text!r}, which is no time; write it as 2026-03-01T12:00Z"
        ) from None
    if found.tzinfo is None:
        raise ConfigError(
            f"{option} is {text!r}, which names no time zone: write {text}Z for UTC, or +01:00"
        )
    return found
