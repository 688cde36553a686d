"""Time travel: the same views over what the log had by then, or over what was so by then.

Rule 1: a query sees a database in memory. Each base table is a view of the copy's own, cut at the
        point asked for, and every other view is made over those by the text that made it there.
Rule 2: the copy itself stays reachable as `latest`, so one query can compare then with now.
Rule 3: this module runs in the sandbox's child: it imports nothing heavy.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from streamops.errors import InputError

LATEST = "latest"
EARLY = "{name} is {value}, before the first record ({first}); give a later time"

Zoned = Annotated[datetime, msgspec.Meta(tz=True)]


class AsOf(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """The point a question is asked at; with none set, the views as they stand.

    recorded  what the log had by then: records whose append time is at most this (JSON `as_of`)
    epoch     what was concluded by then: records of epochs up to this one (JSON `as_of_epoch`)
    event     what was so then, by all that is known: facts whose own time is at most this (`for`)
    """

    recorded: Zoned | None = msgspec.field(default=None, name="as_of")
    epoch: Annotated[int, msgspec.Meta(ge=0)] | None = msgspec.field(
        default=None, name="as_of_epoch"
    )
    event: Zoned | None = msgspec.field(default=None, name="for")

    def __post_init__(self) -> None:
        # msgspec turns a ValueError here into its own ValidationError.
        if self.recorded is not None and self.epoch is not None:
            raise ValueError("as_of and as_of_epoch are both given; give one")


class Base(msgspec.Struct, frozen=True):
    """A base table.

    timed    its rows have the event's own time, and it tells of the world: `event` cuts it
    epochal  its rows have an epoch
    """

    name: str
    timed: bool = True
    epochal: bool = True


class Travel(msgspec.Struct, frozen=True):
    """All that makes the views of a point: the base tables, and the statements over them.

    schema  hash of the schema that the copy must have
    gone    tables without a past -> why
    """

    at: AsOf
    schema: str
    bases: tuple[Base, ...]
    statements: tuple[str, ...]
    gone: dict[str, str] = {}


def prepare(con: Any, copy: str, travel: Travel) -> None:
    """Attach a copy of the views to an empty database and make the views of the point in it.

    Raises InputError for a point before the first record or beyond what is concluded, and for a
    copy of another schema.
    """
    path = copy.replace("'", "''")
    con.execute(f"ATTACH '{path}' AS {LATEST} (READ_ONLY)")
    check_schema(con, travel.schema)
    check_point(con, travel)
    ended = ended_at(con, travel.at.epoch)
    for base in travel.bases:
        where = " AND ".join(conditions(travel.at, base, ended)) or "true"
        con.execute(
            f'CREATE VIEW "{base.name}" AS SELECT * FROM {LATEST}."{base.name}" WHERE {where}'
        )
    for name, why in travel.gone.items():
        text = why.replace("'", "''")
        con.execute(f"CREATE VIEW \"{name}\" AS SELECT error('{text}') AS why")
    for statement in travel.statements:
        con.execute(statement)


def conditions(at: AsOf, base: Base, ended: datetime | None) -> list[str]:
    """Return what a base table's rows must hold to be seen from a point.

    ended  when the epoch asked for was concluded: it cuts what belongs to no epoch
    """
    found = []
    if at.recorded is not None:
        found.append(f"append_time <= {literal(at.recorded)}")
    if at.epoch is not None and ended is not None:
        without = f"append_time <= {literal(ended)}"
        both = f"(epoch <= {at.epoch} OR (epoch IS NULL AND {without}))"
        found.append(both if base.epochal else without)
    if at.event is not None and base.timed:
        found.append(f"time <= {literal(at.event)}")
    return found


def check_schema(con: Any, expected: str) -> None:
    """Raise InputError where the copy was made by another version of the schema."""
    known = con.execute(f"SELECT hash FROM {LATEST}.schema_version").fetchone()[0]
    if known != expected:
        raise InputError(
            "the views were made by another version of streamops; start the materializer "
            "(`streamops up`), which makes them anew from the log"
        )


def check_point(con: Any, travel: Travel) -> None:
    """Raise InputError for a point at which there is nothing to be seen."""
    at = travel.at
    if at.recorded is not None:
        check_early(con, "as-of", at.recorded, "append_time", travel.bases)
    if at.event is not None:
        timed = tuple(base for base in travel.bases if base.timed)
        check_early(con, "for", at.event, "time", timed)
    if at.epoch is not None:
        last = con.execute(f"SELECT epoch FROM {LATEST}.concluded").fetchone()[0]
        if at.epoch > last:
            raise InputError(
                f"as-of-epoch is {at.epoch}, which isn't concluded; the last is {last}"
            )


def check_early(con: Any, name: str, value: datetime, column: str, bases: tuple[Base, ...]) -> None:
    """Raise InputError where a time is below a column's least value in all tables."""
    least = ", ".join(f'(SELECT min({column}) FROM {LATEST}."{base.name}")' for base in bases)
    first = con.execute(f"SELECT least({least})").fetchone()[0]
    if first is None:
        raise InputError(f"{name} is {shown(value)}, but nothing is recorded yet")
    if value < first.replace(tzinfo=UTC):
        raise InputError(
            EARLY.format(name=name, value=shown(value), first=shown(first.replace(tzinfo=UTC)))
        )


def ended_at(con: Any, epoch: int | None) -> datetime | None:
    """Return when every partition of the controller had concluded an epoch."""
    if epoch is None:
        return None
    first = (
        f"SELECT min(append_time) AS time FROM {LATEST}.epochs_concluded "
        "WHERE concluded_epoch >= ? GROUP BY concluded_partition"
    )
    found = con.execute(f"SELECT max(time) FROM ({first})", [epoch]).fetchone()[0]
    return None if found is None else found.replace(tzinfo=UTC)


def literal(value: datetime) -> str:
    """Return a time as the views hold it: UTC without a zone."""
    plain = value.astimezone(UTC).replace(tzinfo=None)
    return f"TIMESTAMP '{plain.isoformat(sep=' ')}'"


def shown(value: datetime) -> str:
    """Return a time as people write it."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
