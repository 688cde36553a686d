"""pending, matched, due_rows: rows of blocks are what was put into them, as long as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamops.core import pending_index
from streamops.core.blocks import BLOCK_BITS, BLOCK_ROWS
from streamops.core.due_rows import DueRows
from streamops.core.id_table import IdTable, hashes_of
from streamops.core.join import JoinTable
from streamops.core.join_rows import Matched, Pending
from streamops.core.pending import made_of
from tests.shelf import MemoryShelf

VALUES = st.sampled_from([True, 1, 1.5, "yes", "", "nö"])
ENTRIES = st.lists(
    st.builds(
        Pending,
        id=st.uuids().map(str),
        time_us=st.integers(0, 9),
        expires_us=st.integers(10, 30),
        model=st.sampled_from("mn"),
        version=st.just("v1"),
        prediction=VALUES,
        score=st.none() | st.floats(0, 1),
        features=st.sampled_from([b"{}", b'{"x":1}']),
        segments=st.sampled_from([{}, {"s": "a"}]),
        late=st.booleans(),
        offset=st.integers(0, 99),
        pane_us=st.integers(0, 1),
        config_hash=st.just("h"),
    ),
    min_size=1,
    max_size=9,
    unique_by=lambda entry: entry.id,
)


def pending(id_: str, n: int, model: str) -> Pending:
    return Pending(id_, n, 10 + n, model, "v1", 1, None, b"{}", {}, False, n, 0, "h")


def match_of(entry: Pending, n: int) -> Matched:
    return Matched(f"l{n}", entry.prediction, n, n, f"l{n}", entry.prediction, n, False)


def kinds(rows):
    """1, 1.0 and True are equal, and three texts."""
    return {
        id_: [(type(v), v) for v in map(row.__getattribute__, row.__struct_fields__)]
        for id_, row in rows.items()
    }


@settings(max_examples=50)
@given(ENTRIES, st.integers(9, 31), st.booleans(), st.sampled_from([0, 3, 99]))
def test_rows_are_what_was_put_into_them(entries, now_us, at_once, keep):
    table = JoinTable(MemoryShelf(), keep)
    if at_once:
        table.add_all(made_of(entries))
    else:
        for entry in entries:
            table.add_pending(entry)
    labelled = {e.id: match_of(e, n) for n, e in enumerate(entries) if n % 2}
    for entry in entries:
        if entry.id in labelled:
            table.add_matched(entry, labelled[entry.id])
    table.expire_pending(now_us)
    left = {entry.id: entry for entry in entries if entry.expires_us > now_us}
    assert kinds(table.pending) == kinds(left)
    assert list(table.pending) == list(left)
    assert kinds(table.matched) == kinds({i: m for i, m in labelled.items() if i in left})
    assert len(table.matched) == len(dict(table.matched))


def test_a_block_and_what_its_rows_share_go_with_its_last_row():
    entries = [
        Pending(
            f"p{n}", n, 10 + n, f"m{n // BLOCK_ROWS}", "v1", 1, None, b"{}", {}, False, n, 0, "h"
        )
        for n in range(BLOCK_ROWS + 1)
    ]
    table = JoinTable()
    table.add_all(made_of(entries))
    rows = table.pending
    assert set(rows._rows.blocks) == {0, 1}
    table.expire_pending(10 + BLOCK_ROWS - 2)
    assert (len(rows), set(rows._rows.blocks)) == (2, {0, 1})
    table.expire_pending(10 + BLOCK_ROWS - 1)
    assert (list(rows), set(rows._rows.blocks)) == ([f"p{BLOCK_ROWS}"], {1})
    assert rows.key_of(1).model == "m1"
    assert set(rows._keys) == {1}, "what only the first block's rows shared is forgotten"


def test_the_oldest_blocks_leave_memory_and_are_found_again():
    shelf = MemoryShelf()
    table = JoinTable(shelf, keep=BLOCK_ROWS)
    entries = [pending(f"p{n}", n, f"m{n // BLOCK_ROWS}") for n in range(3 * BLOCK_ROWS + 9)]
    table.add_all(made_of(entries))
    rows = table.pending
    assert [n for n, block in rows._rows.blocks.items() if block.columns] == [3]
    assert len(shelf.blocks) == 3
    wanted = [f"p{n}" for n in (0, 3 * BLOCK_ROWS + 1, BLOCK_ROWS, -1, 7)]
    assert rows.index.get_all(wanted).tolist() == [0, 3 * BLOCK_ROWS + 1, BLOCK_ROWS, -1, 7]
    assert (rows.index.has_any({"p-1", "p5"}), rows.index.has_any({"p-1", "q"})) == (True, False)
    table.expire_pending(10 + 2 * BLOCK_ROWS)
    assert (len(shelf.blocks), len(rows)) == (1, BLOCK_ROWS + 8)
    assert rows.index.get_all(["p0", f"p{2 * BLOCK_ROWS}"]).tolist() == [-1, -1]
    again = pending("p0", 9**9, "m0")
    table.add_pending(again)
    assert rows["p0"] == again
    table.expire_pending(9**9)
    assert (shelf.blocks, list(rows)) == ({}, ["p0"])


def test_ids_of_one_hash_are_told_apart(monkeypatch):
    def hash_of(id_: str) -> int:
        return 1 + int(id_[1:]) % 997

    def hashes_of(ids: Sequence[str]) -> Any:
        return np.array([hash_of(id_) for id_ in ids], dtype=np.uint64)

    monkeypatch.setattr(pending_index, "hash_of", hash_of)
    monkeypatch.setattr(pending_index, "hashes_of", hashes_of)
    table = JoinTable(MemoryShelf(), keep=BLOCK_ROWS)
    entries = [pending(f"p{n}", n, "m") for n in range(2 * BLOCK_ROWS)]
    table.add_all(made_of(entries))
    index = table.pending.index
    unknown = 2 * BLOCK_ROWS + 5
    wanted = [3, 3 + 997, BLOCK_ROWS - 1, unknown]
    rows = [3, 3 + 997, BLOCK_ROWS - 1, -1]
    assert index.get_all([f"p{n}" for n in wanted]).tolist() == rows
    assert [index.get(f"p{n}") for n in wanted] == rows
    assert not index.has_any({f"p{unknown}"})
    table.expire_pending(10 + 3)
    assert index.get_all(["p3", f"p{3 + 997}"]).tolist() == [-1, 3 + 997]


BLOCKS = st.lists(st.lists(st.sampled_from([1, 2, 4095, 4096, 8191]), min_size=1), max_size=6)


@settings(max_examples=15)
@given(BLOCKS, st.data())
def test_a_hash_finds_all_rows_that_have_it_until_they_are_removed(blocks, data):
    """Many of one bucket: the first and the last of the least table, and what they run over to."""
    table, known = IdTable(), dict[int, int]()
    for number, hashes in enumerate(blocks, 5):
        places = np.arange(len(hashes)) * 7
        table.add(number, np.array(hashes, dtype=np.uint64), places)
        known |= dict(zip(((number << BLOCK_BITS) + places).tolist(), hashes, strict=True))
        if data.draw(st.booleans()):
            some = data.draw(st.integers(0, len(hashes)))
            table.remove(number, np.array(hashes[:some], dtype=np.uint64), places[:some])
            for place in places[:some].tolist():
                del known[(number << BLOCK_BITS) + place]
            if some == len(hashes):
                table.drop(number)
        if data.draw(st.booleans()):
            table._renew(len(table._slots))
    wanted = np.array([1, 2, 3, 4095, 4096, 8191], dtype=np.uint64)
    each = list(enumerate(wanted.tolist()))
    expected = {(at, row) for at, h in each for row in known if known[row] == h}
    found = table.find(wanted)
    assert sorted(zip(*(some.tolist() for some in found), strict=True)) == sorted(expected)
    one_by_one = {(at, row) for at, h in each for row in table.find_one(h)}
    assert (one_by_one, len(table)) == (expected, len(known))


def test_a_table_grows_and_blocks_that_went_give_their_codes_back():
    table, size = IdTable(), 1024
    places = np.arange(size)

    def hashes(number):
        return hashes_of([f"{number}/{place}" for place in places.tolist()])

    for number in range(90):
        table.add(number, hashes(number), places)
        if number >= 40:
            table.remove(number - 40, hashes(number - 40), places)
            table.drop(number - 40)
    assert (len(table), table._slots.size, len(table._numbers)) == (40 * size, 1 << 17, 64)
    for number in (49, 50, 89):
        assert table.find(hashes(number)[5:6])[1].tolist() == [(number << BLOCK_BITS) + 5] * (
            number >= 50
        )


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=6), max_size=6), st.data())
def test_rows_are_handed_over_once_exactly_when_a_limit_passes_them(blocks, data):
    due = {
        (n << BLOCK_BITS) + at: us for n, each in enumerate(blocks) for at, us in enumerate(each)
    }
    rows = DueRows(lambda number, places: np.array([blocks[number][at] for at in places]))
    for number, each in enumerate(blocks):
        if data.draw(st.booleans()):
            rows.add_all(number, np.arange(len(each)))
        else:
            for at in range(len(each)):
                rows.add((number << BLOCK_BITS) + at)
    before = -1
    for limit in [*sorted(data.draw(st.lists(st.integers(0, 21), max_size=5))), 21]:
        expected = sorted(row for row, us in due.items() if before <= us < limit)
        assert sorted(rows.take(limit).tolist()) == expected
        before = max(before, limit)
