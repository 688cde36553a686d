"""The DuckDB file: opened by one process, filled in whole transactions.

Rule 1: rows and positions are one transaction: after a crash the file stands at some position with
        exactly the events before it.
Rule 2: the same event twice is one row. A derived record is known by its stamp, any other by its
        id, both within their partition; the batch's keys prune the scan, so no index is kept.
Rule 3: the file is disposable. One of another schema is deleted and made anew from the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from streamops.core.processor import Record, Refusal
from streamops.errors import TransportError
from streamops.events import Event
from streamops.topics import load_topics
from streamops.views import positions
from streamops.views.asof import AsOf, Base, Travel
from streamops.views.log import Partition, RawRecord, to_records
from streamops.views.positions import Position
from streamops.views.tables import INSTANT, Row, Table, arrow_rows, part, rows_of, tables

MEMORY = "128MB"
THREADS = 2
# A topic's count of each type, from the tables themselves.
COUNT = "SELECT topic, '{kind}' AS type, count(*) AS events FROM \"{name}\" GROUP BY topic"
UNREADABLE = "records_unreadable"
UNREADABLE_TABLE = f"""
CREATE TABLE IF NOT EXISTS {UNREADABLE} (
    topic VARCHAR, partition INTEGER, "offset" BIGINT, append_time TIMESTAMP, reason VARCHAR
)"""
ABOUT = {
    "positions": (
        "One row a partition: the next offset, its open epoch, and how many records were read, "
        "stored as events, dropped as repeats, or unreadable."
    ),
    UNREADABLE: "One row a record that is no event, or is on the wrong topic, and why.",
}
# What the fold did, not what was so: how far it has come isn't asked for an event time.
OF_THE_LOG = frozenset({"EpochClosed", "EpochConcluded", "Sealed", "Tick", "TopologyActivated"})
NO_PAST = "positions says where the materializer stands now; ask latest.positions"
PLAIN = pa.timestamp("us")

Unreadable = tuple[Row, str]


def statements() -> list[str]:
    """Return what makes an empty file: tables, then the views."""
    return [
        *(table.create() for table in tables().values()),
        positions.CREATE,
        UNREADABLE_TABLE,
        *(f"COMMENT ON TABLE {name} IS '{about}'" for name, about in ABOUT.items()),
        *view_statements(),
    ]


def view_statements() -> list[str]:
    """Return what makes the views over the tables."""
    counts = " UNION ALL ".join(COUNT.format(kind=k, name=t.name) for k, t in tables().items())
    return [
        f"CREATE OR REPLACE VIEW topic_counts AS {counts} ORDER BY topic, type",
        files("streamops.views").joinpath("schema.sql").read_text(),
    ]


def travel_to(at: AsOf) -> Travel:
    """Return what makes the views of a point, in a database beside a copy of the file."""
    bases = [Base(table.name, timed=kind not in OF_THE_LOG) for kind, table in tables().items()]
    return Travel(
        at=at,
        schema=schema_hash(),
        bases=(*bases, Base(UNREADABLE, timed=False, epochal=False)),
        statements=tuple(view_statements()),
        gone={"positions": NO_PAST},
    )


def schema_hash() -> str:
    """Return a hash of everything that makes the file, so that a change shows."""
    return hashlib.sha256("\n".join(statements()).encode()).hexdigest()


def open_store(path: Path) -> Any:
    """Open the file for writing, made anew if it has another schema.

    Raises TransportError if another process has it, or if it can't be read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    con = connect(path)
    if known_schema(con) not in (None, schema_hash()):
        con.close()
        for name in (path, Path(f"{path}.wal")):
            name.unlink(missing_ok=True)
        con = connect(path)
    if known_schema(con) is None:
        con.begin()
        for statement in statements():
            con.execute(statement)
        con.execute("CREATE TABLE schema_version AS SELECT ? AS hash", [schema_hash()])
        con.commit()
    return con


def connect(path: Path, *, read_only: bool = False) -> Any:
    """Open a DuckDB file; raises TransportError where another process writes to it."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY,
        "threads": THREADS,
    }
    try:
        return duckdb.connect(str(path), read_only=read_only, config=settings)
    except duckdb.Error as error:
        raise TransportError(
            f"{path} can't be opened ({error}); stop the other process that has it, or delete it: "
            "it comes back from the log"
        ) from error


def known_schema(con: Any) -> str | None:
    """Return the hash of the file's schema, None for an empty file."""
    names = con.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    if ("schema_version",) not in names:
        return None if not names else ""
    return str(con.execute("SELECT hash FROM schema_version").fetchone()[0])


class Batch:
    """Raw records sorted into tables, and the positions behind them; nothing is stored yet.

    positions  those the batch begins at; not changed
    skew_ms    how far a tick may be ahead of its append time; None where that isn't checked
    """

    def __init__(self, before: dict[Partition, Position], skew_ms: int | None) -> None:
        self._before, self._skew_ms = before, skew_ms
        self.after: dict[Partition, Position] = {}
        self.rows: dict[str, list[Row]] = {}
        self.unreadable: list[Unreadable] = []
        self._seen: set[tuple[object, ...]] = set()

    def add(self, record: Record) -> None:
        """Take a record; those behind the position are ignored."""
        topic, place = record.topic, (record.topic, record.partition)
        position = self.after.get(place)
        if position is None:
            known = self._before.get(place, Position())
            position = self.after[place] = msgspec.structs.replace(known)
        if record.offset < position.next:
            return
        position.next = record.offset + 1
        position.records += 1
        event = record.event
        reason = event.reason if isinstance(event, Refusal) else misplaced(topic, type(event))
        if reason is not None or isinstance(event, Refusal):
            self._refuse(Row(record, None), reason or "")
            return
        row = Row(record, position.epoch_of(topic, event))
        key = key_of(record, event)
        if key in self._seen:
            position.repeats += 1
        else:
            self._seen.add(key)
            position.events += 1
            self.rows.setdefault(type(event).__name__, []).append(row)
        position.take(topic, event, record.append_ms, self._skew_ms)

    def settle(self, con: Any, *, careful: bool) -> None:
        """Store everything, in the caller's transaction.

        careful  look at each row's JSON first, after the quick way was refused
        """
        for kind, rows in self.rows.items():
            table = tables()[kind]
            stored, bad = quick(table, rows) if not careful else slow(table, rows)
            for row, reason in bad:
                self.after[(row.record.topic, row.record.partition)].events -= 1
                self._refuse(row, reason)
            fresh = self._fresh(con, table, stored)
            if len(fresh):
                insert(con, table.name, fresh)
        if self.unreadable:
            insert(con, UNREADABLE, unreadable_rows(self.unreadable))
        positions.save(con, self.after)

    def _refuse(self, row: Row, reason: str) -> None:
        self.after[(row.record.topic, row.record.partition)].unreadable += 1
        self.unreadable.append((row, reason))

    def _fresh(self, con: Any, table: Table, rows: Any) -> Any:
        found = known_rows(con, table, rows)
        if not found:
            return rows
        for n in found:
            place = rows["topic"][n].as_py(), rows["partition"][n].as_py()
            self.after[place].events -= 1
            self.after[place].repeats += 1
        return rows.filter(pa.array([n not in found for n in range(len(rows))]))


def quick(table: Table, rows: Sequence[Row]) -> tuple[Any, list[Unreadable]]:
    """Return rows as Arrow, trusting their JSON to be JSON."""
    return arrow_rows(table, rows)


def slow(table: Table, rows: Sequence[Row]) -> tuple[Any, list[Unreadable]]:
    """Return rows as Arrow, each looked at alone."""
    good, bad = part(table, rows)
    return rows_of(table, good), bad


def key_of(record: Record, event: Event) -> tuple[object, ...]:
    """Return what makes two records the same event."""
    stamp = getattr(event, "stamp", None)
    own = (event.id,) if stamp is None else (stamp.source, stamp.epoch, stamp.ordinal)
    return (record.topic, record.partition, type(event).__name__, *own)


@cache
def misplaced(topic: str, event_type: type[Event]) -> str | None:
    """Return why an event type has no place on a topic, None if it has."""
    kind, spec = event_type.__name__, load_topics().get(topic)
    if spec is None or kind in spec.events:
        return None
    return f"type is {kind}; topic {topic} holds {', '.join(spec.events)}"


def known_rows(con: Any, table: Table, rows: Any) -> set[int]:
    """Return the numbers of the rows whose event is stored already."""
    same = "t.topic = b.topic AND t.partition = b.partition AND "
    stamp = "t.source = b.source AND t.epoch = b.epoch AND t.ordinal = b.ordinal"
    plain = "t.id = b.id" + (" AND b.source IS NULL AND t.source IS NULL" if table.stamped else "")
    numbered = rows.append_column("n", pa.array(range(len(rows)), pa.int64()))
    con.register("batch", numbered)
    try:
        found = set[int]()
        for same_event in (stamp, plain) if table.stamped else (plain,):
            query = f'SELECT b.n FROM batch b JOIN "{table.name}" t ON {same}{same_event}'
            found.update(n for (n,) in con.execute(query).fetchall())
        return found
    finally:
        con.unregister("batch")


def insert(con: Any, name: str, rows: Any) -> None:
    """Append an Arrow table's rows; times become plain UTC, which DuckDB reckons with unaided."""
    # Zoned times would need its ICU extension, which is not built in.
    plain = [field.with_type(PLAIN) if field.type == INSTANT else field for field in rows.schema]
    con.register("batch", rows.cast(pa.schema(plain)))
    try:
        con.execute(f'INSERT INTO "{name}" BY NAME SELECT * FROM batch')
    finally:
        con.unregister("batch")


def unreadable_rows(unreadable: Sequence[Unreadable]) -> Any:
    """Return refused records as rows of records_unreadable."""
    records = [row.record for row, _ in unreadable]
    appended = pa.array([r.append_ms * 1000 for r in records], pa.int64())
    return pa.table(
        {
            "topic": [r.topic for r in records],
            "partition": pa.array([r.partition for r in records], pa.int32()),
            "offset": [r.offset for r in records],
            "append_time": appended.cast(pa.timestamp("us")),
            "reason": [reason.encode("utf-8", "replace").decode() for _, reason in unreadable],
        }
    )


def store(
    con: Any, raws: Sequence[RawRecord], before: dict[Partition, Position], skew_ms: int | None
) -> dict[Partition, Position]:
    """Store records in one transaction; returns the positions behind them.

    Raises TransportError if the disk refuses; then nothing of it is stored.
    """
    try:
        return _store(con, raws, before, skew_ms, careful=False)
    except (duckdb.ConversionException, duckdb.InvalidInputException):
        return _store(con, raws, before, skew_ms, careful=True)
    except duckdb.IOException as error:
        raise _unwritten(error) from error


def _store(
    con: Any,
    raws: Sequence[RawRecord],
    before: dict[Partition, Position],
    skew_ms: int | None,
    *,
    careful: bool,
) -> dict[Partition, Position]:
    batch = Batch(before, skew_ms)
    for record in to_records(raws):
        batch.add(record)
    con.begin()
    try:
        batch.settle(con, careful=careful)
    except BaseException:
        con.rollback()
        raise
    try:
        con.commit()
    except duckdb.Error as error:
        # It has rolled back by itself.
        raise _unwritten(error) from error
    return batch.after


def _unwritten(error: duckdb.Error) -> TransportError:
    return TransportError(
        f"the views can't be written ({error}); make room or mend the disk: they go on from there"
    )
