"""A buffer split anywhere: the two parts together are what it was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamops.views.buffers import Buffer
from streamops.views.log import RawRecord

steps = st.lists(st.tuples(st.integers(1, 3), st.binary(max_size=5)), max_size=12)


@given(steps, st.integers(0, 30), st.integers(0, 40))
def test_the_parts_of_a_split_buffer_are_the_whole(records, first, end):
    buffer, at = Buffer(first, first), first
    for step, value in records:
        at += step
        buffer.add_all([RawRecord("metrics", 0, at, 7, b"k", value, ())], 1.0)
    held, was = list(zip(*buffer.columns, strict=True)), (buffer.next, buffer.size)
    rest = buffer.split(end)
    parts = [*zip(*buffer.columns, strict=True)], [*zip(*rest.columns, strict=True)]
    assert [*parts[0], *parts[1]] == held
    assert (rest.next, buffer.size + rest.size) == was
    assert buffer.first == first
    assert buffer.next == rest.first
    assert all(record[0] < max(end, first) for record in parts[0])
    assert all(record[0] >= end for record in parts[1])
