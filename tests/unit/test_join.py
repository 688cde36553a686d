"""join: what waits, until when, and that the table comes back from what it wrote."""

from __future__ import annotations

from streamops.core.join import JoinTable
from streamops.core.join_rows import Matched, Pending, Waiting


def pending(id, time_us, expires_us, offset=0):
    return Pending(id, time_us, expires_us, "m", "v1", 1, 0.5, b"{}", {}, False, offset, 0, "h")


def match(*values, release_us=0):
    return Matched(*values, release_us, False)


def waiting(of, expires_us, offset=0, later=()):
    return Waiting(of, f"l{offset}", 1, 0, 0, expires_us, offset, 0, b"{}", later)


def test_a_prediction_expires_exactly_at_its_time():
    table = JoinTable()
    a = pending("a", 0, 1_500_000)
    table.add_pending(a)
    table.add_pending(pending("b", 0, 1_500_001))
    table.add_matched(a, match("l", 1, 0, 0, "l", 1))
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


def test_an_outcome_is_handed_over_once_and_before_its_prediction_is_forgotten():
    table = JoinTable()
    a, b = pending("a", 7, 90), pending("b", 3, 20)
    for entry in (a, b):
        table.add_pending(entry)
        table.add_matched(entry, match("l", 1, 0, 0, "l", 1, release_us=50))
    assert table.release(19) == []
    assert [entry.id for entry, _ in table.release(20)] == ["b"]
    assert table.release(50) == []
    assert [entry.id for entry, _ in table.release(51)] == ["a"]
    assert table.release(1000) == []


def test_changes_are_handed_over_once_and_name_every_deletion():
    table = JoinTable()
    a = pending("a", 0, 5)
    table.add_pending(a)
    table.add_matched(a, match("l", 1, 0, 0, "l", 1))
    table.add_waiting(waiting("x", 5))
    changes = table.take_changes(0)
    assert [key[:1] for key in sorted(changes)] == [b"m", b"p", b"w"]
    assert None not in changes.values()
    assert table.take_changes(4) == {}
    table.release(5)
    table.expire_pending(5)
    table.expire_waiting(5)
    assert table.take_changes(5) == dict.fromkeys(changes)


def test_what_expired_before_it_was_written_is_not_written():
    table = JoinTable()
    a = pending("a", 0, 5)
    table.add_pending(a)
    table.add_matched(a, match("l", 1, 0, 0, "l", 1))
    table.release(5)
    table.expire_pending(5)
    assert table.take_changes(5) == {}


def test_a_table_comes_back_from_its_rows():
    table = JoinTable()
    a = pending("a", 0, 50)
    table.add_pending(a)
    table.add_pending(pending("b", 0, 5_000_000))
    table.add_matched(a, match("l", "yes", 0, 0, "l", "yes", release_us=30))
    rows = table.take_changes(1)
    table.correct(a, match("l", "yes", 0, 0, "l2", "no", release_us=30))
    table.add_waiting(waiting("x", 50, later=(waiting("x", 50, offset=1),)))
    rows |= table.take_changes(2)
    back = JoinTable()
    back.restore(list(rows.items()), 2)
    assert (back.pending, back.matched, back.waiting) == (
        table.pending,
        table.matched,
        table.waiting,
    )
    assert back.take_changes(2) == {}
    assert [entry.id for entry, _ in back.release(31)] == ["a"]
    back.expire_pending(50)
    assert set(back.pending) == {"b"}
    assert [w.offset for w in back.expire_waiting(50)] == [0, 1]
    assert set(back.take_changes(5_000_000)) == set(rows)


def test_what_was_released_is_not_released_again_after_a_restart():
    table = JoinTable()
    a = pending("a", 0, 50)
    table.add_pending(a)
    table.add_matched(a, match("l", 1, 0, 0, "l", 1, release_us=30))
    assert len(table.release(31)) == 1
    back = JoinTable()
    back.restore(list(table.take_changes(31).items()), 31)
    assert set(back.matched) == {"a"}
    assert back.release(49) == []


def test_a_match_stays_with_the_prediction_it_was_of():
    """An id that came again after it was forgotten: the store still has the first one's match."""
    table = JoinTable()
    first = pending("a", 0, 50)
    table.add_pending(first)
    table.add_pending(pending("z", 0, 1000))
    table.add_matched(first, match("l", 1, 0, 0, "l", 1))
    rows = table.take_changes(1)
    table.release(60)
    table.expire_pending(60)
    again = pending("a", 70, 500, offset=9)
    table.add_pending(again)
    rows |= table.take_changes(60)
    rows = {key: value for key, value in rows.items() if value is not None}
    back = JoinTable()
    back.restore(list(rows.items()), 60)
    assert (back.pending["a"], back.matched) == (again, {})
