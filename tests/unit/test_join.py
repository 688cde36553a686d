"""join: what waits, until when, and that the table comes back from what it wrote."""

from __future__ import annotations

from streamops.core.join import JoinTable, Matched, Pending, Waiting


def pending(id, time_us, expires_us):
    return Pending(id, time_us, expires_us, "m", "v1", 1, 0.5, b"{}", {}, False, 0, 0, "h")


def waiting(of, expires_us, offset=0, later=()):
    return Waiting(of, f"l{offset}", 1, 0, 0, expires_us, offset, 0, b"{}", later)


def test_a_prediction_expires_exactly_at_its_time():
    table = JoinTable()
    table.add_pending(pending("a", 0, 1_500_000))
    table.add_pending(pending("b", 0, 1_500_001))
    table.add_matched("a", Matched("l", 1, 0, 0, "l", 1))
    table.expire_pending(1_499_999)
    assert set(table.pending) == {"a", "b"}
    table.expire_pending(1_500_000)
    assert set(table.pending) == {"b"}
    assert table.matched == {}
    table.expire_pending(1_500_001)
    assert table.pending == {}


def test_waiting_labels_leave_in_log_order():
    table = JoinTable()
    table.add_waiting(waiting("x", 10, offset=7))
    table.add_waiting(waiting("y", 9, offset=3, later=(waiting("y", 9, offset=8),)))
    assert table.expire_waiting(8) == []
    assert [w.offset for w in table.expire_waiting(10)] == [3, 7, 8]
    assert table.waiting == {}


def test_an_id_that_came_back_expires_with_its_last_prediction():
    table = JoinTable()
    table.add_pending(pending("a", 0, 5_000_000))
    table.expire_pending(5_000_000)
    table.add_pending(pending("a", 6, 9_000_000))
    table.expire_pending(8_000_000)
    assert set(table.pending) == {"a"}


def test_changes_are_handed_over_once_and_name_every_deletion():
    table = JoinTable()
    table.add_pending(pending("a", 0, 5))
    table.add_matched("a", Matched("l", 1, 0, 0, "l", 1))
    table.add_waiting(waiting("x", 5))
    assert set(table.take_changes()) == {b"pa", b"ma", b"wx"}
    assert table.take_changes() == {}
    table.expire_pending(5)
    table.expire_waiting(5)
    assert table.take_changes() == {b"pa": None, b"ma": None, b"wx": None}


def test_a_table_comes_back_from_its_rows():
    table = JoinTable()
    table.add_pending(pending("a", 0, 5))
    table.add_pending(pending("b", 0, 5_000_000))
    table.add_matched("a", Matched("l", "yes", 0, 0, "l2", "no"))
    table.add_waiting(waiting("x", 5, later=(waiting("x", 5, offset=1),)))
    rows = {key: value for key, value in table.take_changes().items() if value is not None}
    back = JoinTable()
    back.restore(list(rows.items()))
    assert (back.pending, back.matched, back.waiting) == (
        table.pending,
        table.matched,
        table.waiting,
    )
    assert back.take_changes() == {}
    back.expire_pending(5)
    assert set(back.pending) == {"b"}
    assert [w.offset for w in back.expire_waiting(5)] == [0, 1]
