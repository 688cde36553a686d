"""output_rows: columns of outputs are a sequence of outputs, alone and between others."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streamops.core.output_rows import Addressed, AddressedRows, Mixed, OutputRows, parts_of
from streamops.core.processor import Output
from tests.builders import tick

SINGLES = st.integers(1, 3).map(lambda n: [Output("dlq", f"k{i}", tick(i, i)) for i in range(n)])
ROWS = st.integers(1, 3).map(
    lambda n: OutputRows(
        "outcomes", ["m"] * n, [[b"{"] * n, [b"}"] * n], [b'{"n":%d' % i for i in range(n)]
    )
)


@settings(max_examples=50)
@given(st.lists(SINGLES | ROWS, max_size=5), st.integers(0, 9), st.integers(0, 9))
def test_a_mix_is_the_sequence_of_its_parts(parts, first, last):
    mixed, plain = Mixed[Output](), list[Output]()
    for part in parts:
        mixed += part
        plain += part
    twice = Mixed[Output]()
    twice += mixed
    for some in (mixed, twice):
        assert (list(some), len(some), some[first:last]) == (plain, len(plain), plain[first:last])
        rows = [part for part in some.parts if isinstance(part, OutputRows)]
        assert rows == [part for part in parts if isinstance(part, OutputRows)]
    assert mixed == plain
    assert mixed != [*plain, tick(0, 0)]
    assert [o for part in parts_of(iter(plain)) for o in part] == plain


def test_addressed_rows_are_what_they_stand_for():
    rows = AddressedRows("outcomes", [1, 0], ["a", "b"], [b"1", b"2"])
    assert list(rows) == [
        Addressed("outcomes", 1, "a", None, b"1"),
        Addressed("outcomes", 0, "b", None, b"2"),
    ]
    assert (rows[1], rows[:1], len(rows)) == (list(rows)[1], list(rows)[:1], 2)
