"""spill: what goes to disk, what comes back, and whose folder it is."""

from __future__ import annotations

import tracemalloc

import pytest

from streamops import codec
from streamops.core.processor import Record, Refusal
from streamops.core.rows import Rows, parts_of
from streamops.errors import TransportError
from streamops.hosts.decoding import to_record
from streamops.hosts.spill import RECORD_BYTES, Spill
from tests.builders import made

GROUP = (3, "meter/0")


def record_of(n: int) -> Record:
    return to_record("outcomes", 1, n, 17, b"k", codec.encode(made(n)))


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_a_number_is_held_once_and_the_first_stays(tmp_path, limit):
    buffer = Spill(tmp_path / "spill", limit).buffer()
    assert buffer.add(GROUP, 5, record_of(1))
    assert buffer.add(GROUP, 300, record_of(0))
    assert not buffer.add(GROUP, 5, record_of(2))
    assert buffer.add((3, "meter/00"), 5, record_of(3)), "another source"
    assert buffer.count(GROUP) == 2
    assert list(buffer.read(GROUP)) == [record_of(1), record_of(0)]
    buffer.drop(GROUP)
    assert (buffer.count(GROUP), list(buffer.read(GROUP))) == (0, [])
    assert list(buffer.read((3, "meter/00"))) == [record_of(3)]


def test_what_came_first_stays_in_memory_and_makes_room_when_it_goes(tmp_path):
    cost = RECORD_BYTES + 2 * len(record_of(1).value)
    spill = Spill(tmp_path / "spill", 2 * cost)
    first, second = spill.buffer(), spill.buffer()
    for n in (3, 1):
        first.add(GROUP, n, record_of(n))
    for n in (2, 4):
        first.add(GROUP, n, record_of(n))
        second.add(GROUP, n, record_of(n))
    assert (spill.held, spill.spilled) == (2 * cost, 4)
    assert [r.offset for r in first.read(GROUP)] == [1, 2, 3, 4]
    first.clear()
    assert spill.held == 0
    second.add(GROUP, 3, record_of(3))
    assert (spill.held, spill.spilled) == (cost, 4)
    assert [r.offset for r in second.read(GROUP)] == [2, 3, 4]


def test_a_refusal_comes_back_as_it_was(tmp_path):
    buffer = Spill(tmp_path / "spill", 0).buffer()
    refused = record_of(1)._replace(event=Refusal("tick's time is ahead", "operator"))
    garbage = to_record("labels", 0, 2, 0, b"", b"garbage")
    buffer.extend(GROUP, [refused, garbage])
    assert list(buffer.read(GROUP)) == [refused, garbage]


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_what_came_together_comes_back_together_between_single_records(tmp_path, limit):
    spill = Spill(tmp_path / "spill", limit)
    buffer = spill.buffer()
    refused = record_of(8)._replace(event=Refusal("tick's time is ahead", "operator"))
    pack = to_record("outcomes", 1, 3, 17, b"k", codec.pack(made(3)))
    buffer.extend(GROUP, [record_of(6), record_of(7), refused])
    buffer.add(GROUP, 5, record_of(5))
    buffer.extend(GROUP, parts_of([record_of(2), pack])[0])
    assert (buffer.count(GROUP), spill.spilled) == (6, 0 if limit else 6)
    read = [record_of(2), pack, record_of(5), record_of(6), record_of(7), refused]
    assert list(buffer.read(GROUP)) == read
    buffer.drop(GROUP)
    buffer.extend(GROUP, parts_of([record_of(1), record_of(2)])[0])
    assert isinstance(buffer.read(GROUP), Rows)
    assert list(buffer.read(GROUP)) == [record_of(1), record_of(2)]


def test_memory_stays_within_the_limit_however_much_is_held(tmp_path):
    """A source that stands still: 20,000 records would take over 20 MB."""
    limit = 1 << 20
    spill = Spill(tmp_path / "spill", limit)
    buffer = spill.buffer()
    tracemalloc.start()
    for n in range(20_000):
        buffer.add((n // 100, "meter/0"), n % 100, record_of(n))
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert spill.held <= limit
    assert used < 2 * limit
    assert sum(buffer.count((epoch, "meter/0")) for epoch in range(200)) == 20_000
    assert [r.offset for r in buffer.read((150, "meter/0"))] == list(range(15_000, 15_100))


def test_a_new_start_finds_nothing_of_the_old(tmp_path):
    """As after kill -9: the folder is full, and its records are read from Kafka again."""
    old = Spill(tmp_path / "spill", 0)
    old.buffer().add(GROUP, 1, record_of(1))
    old._db.close()
    new = Spill(tmp_path / "spill", 0)
    buffer = new.buffer()
    assert buffer.add(GROUP, 2, record_of(2))
    assert list(buffer.read(GROUP)) == [record_of(2)]


def test_a_folder_in_use_is_a_transport_error(tmp_path):
    old = Spill(tmp_path / "spill", 0)
    old.buffer().add(GROUP, 1, record_of(1))
    with pytest.raises(TransportError, match="stop the process that holds it"):
        Spill(tmp_path / "spill", 0).buffer().add(GROUP, 1, record_of(1))
    assert next(iter(old.read(b"")))[1] == record_of(1)


def test_nothing_on_disk_until_it_is_needed(tmp_path):
    spill = Spill(tmp_path / "spill", 1 << 20)
    buffer = spill.buffer()
    buffer.add(GROUP, 1, record_of(1))
    buffer.clear()
    spill.close()
    assert not (tmp_path / "spill").exists()
