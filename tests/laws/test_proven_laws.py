"""Outcomes compared by runs are compared as one by one: the ledger knows the same of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streamops import codec
from streamops.audit.ledger import Ledger
from streamops.audit.proven import outcome_runs
from streamops.core.output_rows import AddressedRows
from streamops.core.rows import Rows
from streamops.events import OutcomeJoined
from streamops.hosts.decoding import to_rows
from streamops.values import Stamp
from tests.builders import at

SOURCES = ("meter/0", "meter/1")
EPOCHS = 3
SIZE = 5

# What becomes of a record on its way: dropped, repeated at once or at the end, altered, moved.
FATES = st.sampled_from(["", "", "", "", "drop", "twice", "again", "alter", "rename", "first"])


def outcome(source: str, epoch: int, ordinal: int, **said: Any) -> OutcomeJoined:
    id_ = f"{source}-{epoch}-{said.pop('name', ordinal)}"
    made = OutcomeJoined(
        id=f"outcome/{id_}", time=at(ordinal), prediction_id=id_, model="m", version="v",
        prediction=1, label=1, label_time=at(ordinal), stamp=Stamp(source, epoch, ordinal),
    )  # fmt: skip
    return replace(made, **said)


def concluded(source: str, epoch: int, twins: bool) -> AddressedRows:
    events = [outcome(source, epoch, n, name=0 if twins else n) for n in range(SIZE)]
    values = [codec.encode(event) for event in events]
    return AddressedRows("outcomes", [0] * SIZE, ["m"] * SIZE, values)


def recorded(rows: Sequence[AddressedRows], fates: list[str]) -> list[bytes]:
    found, again, first = list[bytes](), list[bytes](), list[bytes]()
    for value, fate in zip((value for some in rows for value in some.values), fates, strict=True):
        event = codec.as_type(value, OutcomeJoined)
        if fate == "first":
            first.append(value)
        elif fate == "alter":
            found.append(codec.encode(replace(event, label=0)))
        elif fate == "rename":
            found.append(codec.encode(replace(event, id="outcome/forged")))
        elif fate != "drop":
            found += [value] * (2 if fate == "twice" else 1)
        if fate == "again":
            again.append(value)
    return [*first, *found, *again]


def known(
    conclusions: list[AddressedRows], chunks: list[Rows], early: int, *, by_runs: bool
) -> tuple[tuple[object, ...], int]:
    """What a ledger knows, and how many it settled by runs.

    early  chunks that come before what is concluded
    """
    ledger, proven = Ledger(lambda *place: again(chunks, *place)), 0
    for number, chunk in enumerate([*chunks, None]):
        if number == min(early, len(chunks)):
            for rows in conclusions:
                event = codec.as_type(rows.values[0], OutcomeJoined)
                assert event.stamp is not None
                ledger.conclude_rows(rows, event.stamp.source, event.stamp.epoch)
        for run, rows in outcome_runs(chunk) if chunk is not None else ():
            if by_runs and run is not None and ledger.record_rows(run, rows):
                proven += len(rows)
                continue
            for record in rows:
                ledger.record(record, record.event)
    ledger.read_all()
    told = (
        sorted(key for key, _ in ledger.missing()),
        sorted((key, record.offset) for key, record in ledger.unfounded()),
        sorted(ledger.differing.items()),
        sorted(ledger.bad.items()),
    )
    return told, proven


def again(chunks: list[Rows], topic: str, partition: int, first: int, end: int) -> Iterator[Rows]:
    assert (topic, partition) == ("outcomes", 0)
    for chunk in chunks:
        low, high = (sum(n < edge for n in chunk.columns.offsets) for edge in (first, end))
        if low < high:
            yield chunk[low:high]


@settings(max_examples=60)
@given(
    st.lists(FATES, min_size=len(SOURCES) * EPOCHS * SIZE, max_size=len(SOURCES) * EPOCHS * SIZE),
    st.integers(1, 12),
    st.integers(0, 8),
    st.booleans(),
)
def test_by_runs_is_one_by_one(fates, size, early, twins):
    conclusions = [concluded(s, e, twins) for e in range(EPOCHS) for s in SOURCES]
    values = recorded(conclusions, fates)
    chunks = [cut(values, first, size) for first in range(0, len(values), size)]
    by_runs, _ = known(conclusions, chunks, early, by_runs=True)
    one_by_one, none = known(conclusions, chunks, early, by_runs=False)
    assert by_runs == one_by_one
    assert none == 0


def test_what_stands_as_concluded_is_proven_by_runs():
    conclusions = [concluded(s, e, twins=False) for e in range(EPOCHS) for s in SOURCES]
    values = recorded(conclusions, [""] * len(SOURCES) * EPOCHS * SIZE)
    chunks = [cut(values, first, 7) for first in range(0, len(values), 7)]
    told, proven = known(conclusions, chunks, 0, by_runs=True)
    assert told == ([], [], [], [])
    assert proven == len(values)


def cut(values: list[bytes], first: int, size: int) -> Rows:
    some = values[first : first + size]
    offsets = list(range(first, first + len(some)))
    return to_rows("outcomes", 0, offsets, offsets, [b"m"] * len(some), some)
