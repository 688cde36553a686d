"""starts: which panes stay starts, at each boundary of age."""

from __future__ import annotations

import numpy as np

from streamops.core import bf_sr, starts


def alive(panes: int) -> list[int]:
    held = np.zeros((1, starts.SLOTS), dtype=np.int64)
    for pane in range(1, panes + 1):
        held, opened = starts.advance(held, np.array([pane]))
        assert held[0, opened[0]] == pane
    return sorted(held[held > 0].tolist())


def test_starts_thin_out_with_age():
    assert alive(4) == [1, 2, 3, 4]
    assert alive(5) == [1, 2, 3, 4, 5]
    assert alive(6) == [1, 3, 4, 5, 6]
    assert alive(16) == [1, 5, 9, 11, 13, 14, 15, 16]


def test_the_first_pane_is_a_start_up_to_age_64():
    assert alive(64)[0] == 1
    assert alive(65)[0] == 17


def test_there_are_never_more_than_twelve():
    assert max(len(alive(panes)) for panes in range(1, 200)) == starts.SLOTS


def test_one_stream_has_the_same_rule():
    every = [bf_sr.Start(n, 0, 0, 0.0, 0.0, 0) for n in range(1, 140)]
    for panes in range(1, 140):
        assert [s.bin for s in starts.living(every[:panes], panes)] == alive(panes)


def test_one_row_stands_for_streams_of_one_pane_number():
    held = np.zeros((3, starts.SLOTS), dtype=np.int64)
    apart = held.copy()
    for pane in range(1, 140):
        one = starts.turn(held, np.full(3, pane))
        rows = starts.turn(apart, np.array([pane, pane, 7 * pane]))
        assert (len(one.starts), len(rows.starts)) == (1, 3)
        for row in (0, 1):
            for found, alone in zip(rows, one, strict=True):
                assert found[row].tolist() == alone[0].tolist()
        assert (one.lives > 0).tolist() == (one.starts > 0).tolist()
        assert (one.lives - one.old).sum() == 1
        held = np.broadcast_to(one.starts, (3, starts.SLOTS))
        apart = np.concatenate([rows.starts[:2], np.zeros_like(rows.starts[:1])])
    assert starts.picked(one, one.opened.repeat(3)).tolist() == [1, 1, 1]
    assert starts.picked(rows, rows.opened)[:2].tolist() == [1, 1]


def test_ages_count_both_ends():
    held = np.array([[5, 0, 1]])
    assert starts.ages(held, np.array([5])).tolist() == [[1, 0, 5]]
