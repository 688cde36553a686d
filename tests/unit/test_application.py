"""Rounds: every row and every label once, in the pane in which it became known."""

from __future__ import annotations

from streamops.core.times import SECOND_US
from streamops.operate.application import Due, rounds
from streamops.operate.rows import Row

PANE_US = 10 * SECOND_US


def row(number: int, time_s: float, label_s: float | None = None) -> Row:
    label = None if label_s is None else 1
    return Row(number, round(time_s * SECOND_US), {}, label, round((label_s or 0) * SECOND_US))


def shown(dues: list[Due]) -> list[tuple[list[int], list[int], int]]:
    """Numbers of rows and labels, and the tick in seconds."""
    return [
        ([r.number for r in d.rows], [r.number for r in d.labels], d.tick_us // SECOND_US)
        for d in dues
    ]


def test_a_row_at_a_panes_end_belongs_to_the_next():
    rows = [row(0, 0, 0), row(1, 9.999999, 9.999999), row(2, 10, 10)]
    assert shown(list(rounds(rows, PANE_US, []))) == [([0, 1], [0, 1], 10), ([2], [2], 20)]


def test_a_label_comes_with_the_pane_in_which_it_became_known():
    rows = [row(0, 1, 25), row(1, 2, 2), row(2, 12, 19)]
    assert shown(list(rounds(rows, PANE_US, []))) == [
        ([0, 1], [1], 10),
        ([2], [2], 20),
        ([], [0], 30),
    ]


def test_labels_come_in_the_order_in_which_they_became_known():
    rows = [row(0, 1, 8), row(1, 2, 5), row(2, 3, 5)]
    assert shown(list(rounds(rows, PANE_US, [])))[0][1] == [1, 2, 0]


def test_a_row_without_a_label_gets_none():
    assert shown(list(rounds([row(0, 1), row(1, 2, 3)], PANE_US, []))) == [([0, 1], [1], 10)]


def test_panes_without_rows_are_passed_over():
    rows = [row(0, 1, 1), row(1, 57, 57)]
    assert [due.tick_us // SECOND_US for due in rounds(rows, PANE_US, [])] == [10, 60]


def test_panes_lie_on_the_grid_that_starts_in_1970():
    assert [due.tick_us // SECOND_US for due in rounds([row(0, 47, 47)], PANE_US, [])] == [50]


def test_the_tail_ticks_after_the_last_pane():
    dues = shown(list(rounds([row(0, 1, 1)], PANE_US, [5 * SECOND_US, 30 * SECOND_US])))
    assert dues[1:] == [([], [], 15), ([], [], 40)]


def test_nothing_is_lost_and_time_never_falls():
    rows = [row(n, n * 3.7, n * 3.7 + (n * 53) % 97) for n in range(200)]
    dues = list(rounds(rows, PANE_US, [SECOND_US]))
    assert [r for due in dues for r in due.rows] == rows
    assert sorted(r.number for due in dues for r in due.labels) == list(range(200))
    ticks = [due.tick_us for due in dues]
    assert ticks == sorted(set(ticks))
    for before, due in zip([0, *ticks], dues, strict=False):
        assert all(before <= r.time_us < due.tick_us for r in due.rows)
        assert all(before <= r.at_us < due.tick_us for r in due.labels)
