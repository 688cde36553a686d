"""table_columns: a column as an array says what its values one by one say, to the last count."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamops.core.pane_rows import numeric_bins, other_bins
from streamops.operate.table import values_of
from streamops.operate.table_columns import bins_of, profile_of
from streamops.training.frames import column_profiles, infer_columns, to_floats

floats = st.floats(allow_nan=True, allow_infinity=True, width=64)
COLUMNS = {
    pa.float64(): st.none() | floats | st.sampled_from([0.0, -0.0, 1.5, 2.0**53, -(2.0**60)]),
    pa.float32(): st.none() | st.floats(width=32),
    pa.int64(): st.none() | st.integers(-(2**63), 2**63 - 1)
    | st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 0, 1]),
    pa.uint64(): st.none() | st.integers(0, 2**64 - 1),
    pa.int8(): st.none() | st.integers(-128, 127),
    pa.string(): st.none() | st.sampled_from(["", "a", "b", "ü", "x" * 256, "y" * 257, "true"]),
    pa.large_string(): st.none() | st.text(max_size=3),
    pa.bool_(): st.none() | st.booleans(),
    pa.timestamp("ms"): st.none() | st.integers(-(2**40), 2**40),
    pa.dictionary(pa.int8(), pa.string()): st.none() | st.sampled_from(["a", "b", "c"]),
}  # fmt: skip


def one_by_one(values: list[object], current: list[object]):
    """What rows of values come to: the profile, and the bins of other values in it."""
    rows = [{"x": value} for value in values]
    profile = column_profiles(rows, infer_columns(rows))[0]
    if profile.kind == "numeric":
        return profile, numeric_bins(profile, to_floats(current)).tolist()
    return profile, other_bins(profile, current).tolist()


@pytest.mark.parametrize("kind", COLUMNS, ids=str)
def test_an_array_comes_to_what_its_values_come_to(kind):
    @settings(max_examples=8, deadline=None)
    @given(st.data())
    def law(data):
        lists = st.lists(COLUMNS[kind], min_size=1, max_size=20)
        old, new = (pa.chunked_array([data.draw(lists)], kind) for _ in range(2))
        profile = profile_of("x", old)
        found = profile, bins_of(profile, new).tolist()
        olds, news = (values_of(pa.table({"x": column}), "x") for column in (old, new))
        assert found == one_by_one(olds, news)

    law()


def test_a_column_of_more_texts_than_are_listed_has_others():
    names = [f"c{n}" for n in range(30) for _ in range(n + 1)]
    profile = profile_of("x", pa.chunked_array([names[:100], names[100:]]))
    assert len(profile.categories) == 20
    assert profile.counts[-2] == sum(range(1, 11))
    assert bins_of(profile, pa.chunked_array([["c29", "c0", None]])).tolist()[1:] == [20, 21]
