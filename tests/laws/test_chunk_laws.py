"""How a client cuts its chunks, and where they wait, changes no byte of what METER writes.

Predictions of the open epoch are folded ahead of their tick, now and then (064).

The log is hostile: JSON and MessagePack by turns, records that are none between sound ones, several
models and versions, features of every kind (test_batch_laws). The definition gets one record at a
time; the other fold gets chunks, cut anywhere, its topics by turns, held in memory or on disk.
"""

from __future__ import annotations

from contextlib import suppress
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from streamops import codec
from streamops.core.epochs import Fold, Folded
from streamops.core.meter import Meter
from streamops.core.processor import Record
from streamops.core.rows import Parts, Rows, parts_of
from streamops.errors import InputError
from streamops.hosts.decoding import to_record, to_records
from tests.builders import at, tick
from tests.laws.test_batch_laws import (
    EPOCHS,
    OPENING,
    PLAIN_EPOCHS,
    SKEWS,
    no_run_is_too_short,
    plain_epochs,
    written,
)
from tests.laws.test_spill_laws import spill_of

__all__ = ["no_run_is_too_short"]
GARBAGE = (b"", b"garbage", b"{}", b"\x81\xa1", b'{"type":"Tick"}', b"null", b'"\xff"')
KINDS = {"predictions": "PredictionMade", "labels": "LabelArrived"}
LIMITS = st.sampled_from((0, 3_000, 30_000, 1 << 30))
CHANCE = st.randoms(use_true_random=False)


def raw_log(epochs, chance: Random) -> dict[str, list[tuple[int, int, bytes, bytes]]]:
    """Rows by topic, as a client hands them over."""
    rows = {topic: [(tick(0, 0), 0)] for topic in KINDS}
    rows["predictions"] = [*((event, 0) for event in OPENING), *rows["predictions"]]
    seconds = 0
    for number, (step, *both) in enumerate([*epochs, (300, [], [])], 1):
        seconds += step
        for (topic, kind), some in zip(KINDS.items(), both, strict=True):
            for n, fields in enumerate(some):
                append_ms = round(at(fields["seconds"]).timestamp() * 1000) - n % 3
                rows[topic].append((sent(written(fields, kind), chance), append_ms))
            rows[topic].append((tick(number, seconds), 0))
    return {
        topic: [
            (offset, append_ms, b"k", what if isinstance(what, bytes) else codec.encode(what))
            for offset, (what, append_ms) in enumerate(some)
        ]
        for topic, some in rows.items()
    }


def sent(value: bytes, chance: Random) -> bytes:
    """The record, or the same as MessagePack, or another that is none."""
    choice = chance.random()
    if choice < 0.1:
        return chance.choice(GARBAGE)
    if choice < 0.4:
        with suppress(InputError, OverflowError):
            return codec.pack(codec.decode(value))
    return value


def told(folded: list[Folded]):
    return [
        (f.epoch, f.positions, [(*a[:3], a.value or codec.encode(a.event)) for a in f.outputs])
        for f in folded
    ]


def one_by_one(log, skew) -> list[Folded]:
    fold = Fold(Meter(skew_max_ms=skew, at_once=False), partition=0, partitions=3)
    return [
        folded
        for topic, rows in log.items()
        for row in rows
        for folded in fold.feed(to_record(topic, 0, *row))
    ]


def by_chunks(log, skew, chance: Random, limit: int) -> list[Folded]:
    fold, found = Fold(Meter(skew_max_ms=skew), partition=0, partitions=3), []
    left = {topic: list(rows) for topic, rows in log.items()}
    with spill_of(limit) as spill:
        fold.hold_in(spill.buffer)
        while topics := [topic for topic, rows in left.items() if rows]:
            topic = chance.choice(topics)
            size = chance.choice((1, 2, 3, 20, 50))
            some, left[topic] = left[topic][:size], left[topic][size:]
            records = to_records(topic, 0, some)
            if chance.random() < 0.2:  # as the archive gives them
                records = list(records)
            found += fold.feed_all(topic, records)
            if early := fold.hand_over("predictions", chance.choice((1, 5, 99))):
                fold.processor.begin(fold.state, early)
        fold.let_go()
    return found


@settings(max_examples=80, deadline=None)
@given(EPOCHS, SKEWS, CHANCE, LIMITS)
def test_chunks_cut_anywhere_fold_to_the_same_bytes(epochs, skew, chance, limit):
    log = raw_log(epochs, chance)
    assert told(by_chunks(log, skew, chance, limit)) == told(one_by_one(log, skew))


@settings(max_examples=60, deadline=None)
@given(PLAIN_EPOCHS, SKEWS, CHANCE, LIMITS)
def test_plain_chunks_fold_to_the_same_bytes(given_, skew, chance, limit):
    log = raw_log(plain_epochs(given_), chance)
    assert told(by_chunks(log, skew, chance, limit)) == told(one_by_one(log, skew))


RECORDS = st.lists(
    st.tuples(st.sampled_from(("predictions", "labels")), st.integers(0, 1)), max_size=9
)


@given(RECORDS, st.integers(-9, 9), st.integers(0, 9), st.integers(0, 9))
def test_rows_are_a_sequence_of_their_records(places, at_, first, last):
    records = [
        Record(topic, partition, n, n * 10, b"k", b"%d" % n, tick(n, n))
        for n, (topic, partition) in enumerate(places)
    ]
    parts = parts_of(records)
    both = [Parts(parts), *(part for part in parts if len(part) == len(records))]
    for rows in both:
        assert (list(rows), len(rows)) == (records, len(records))
        assert list(rows[first:last]) == records[first:last]
        if -len(records) <= at_ < len(records):
            assert rows[at_] == records[at_]
    assert all(isinstance(part, Rows) and len(part) for part in parts)
