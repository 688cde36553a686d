"""Rows made when they are asked for: the same rows however they are cut."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamops.operate import rows as module
from streamops.operate.rows import Row, Rows

N = 2 * module.AT_ONCE + 7
NUMBERS = range(N)


def made() -> Rows:
    frame = pa.table({"x": [float(n) for n in NUMBERS], "city": [str(n % 3) for n in NUMBERS]})
    return Rows(frame, [n * 10 for n in NUMBERS], [n % 2 for n in NUMBERS], list(NUMBERS))


def row(n: int) -> Row:
    return Row(n, n * 10, {"x": float(n), "city": str(n % 3)}, n % 2, n)


ROWS = made()
WHOLE = [row(n) for n in NUMBERS]


def test_they_are_the_rows_in_their_order():
    assert list(ROWS) == WHOLE


@given(st.integers(0, N), st.integers(0, N), st.integers(0, N))
@settings(max_examples=20)
def test_a_slice_of_a_slice_is_that_of_a_list(a, b, c):
    assert list(ROWS[a:b][c:]) == WHOLE[a:b][c:]
    assert len(ROWS[a:b]) == len(WHOLE[a:b])


@pytest.mark.parametrize("at", [0, N - 1, -1, -N])
def test_one_alone_is_that_of_a_list(at):
    assert ROWS[at] == WHOLE[at]


def test_there_is_none_behind_the_last():
    with pytest.raises(IndexError):
        ROWS[N]
    with pytest.raises(ValueError, match="step is 2"):
        ROWS[::2]
