"""table_columns: a column as an array says what its values one by one say, to the last count."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamops.core.pane_rows import numeric_bins, other_bins
from streamops.errors import ConfigError
from streamops.operate.columns import Columns
from streamops.operate.table import read_frame, values_of
from streamops.operate.table_columns import bins_of, column_of, profile_of
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
        profile = profile_of("x", column_of(old))
        found = profile, bins_of(profile, column_of(new)).tolist()
        olds, news = (values_of(pa.table({"x": column}), "x") for column in (old, new))
        assert found == one_by_one(olds, news)

    law()


def test_a_column_of_more_texts_than_are_listed_has_others():
    names = [f"c{n}" for n in range(30) for _ in range(n + 1)]
    profile = profile_of("x", column_of(pa.chunked_array([names[:100], names[100:]])))
    assert len(profile.categories) == 20
    assert profile.counts[-2] == sum(range(1, 11))
    other = column_of(pa.chunked_array([["c29", "c0", None]]))
    assert bins_of(profile, other).tolist()[1:] == [20, 21]


def test_texts_that_no_row_has_are_not_seen():
    """A dictionary may list more than occurs: each chunk's own, and what a selection left."""
    listed = pa.DictionaryArray.from_arrays(pa.array([0, 0, None], pa.int8()), ["a", "b"])
    more = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), ["c", "a"])
    found = profile_of("x", column_of(pa.chunked_array([listed, more])))
    assert found == profile_of("x", column_of(pa.chunked_array([["a", "a", None, "c", "a"]])))
    empty = column_of(pa.chunked_array([listed.slice(2)]))
    assert profile_of("x", empty).kind == "numeric"


def test_columns_are_read_one_by_one(tmp_path):
    """From row groups with dictionaries of their own, and beside names that begin alike."""
    texts = ["a", "b", None, "c", "a", "d"]
    frame = pa.table({"x": texts, "x.y": [1, 2, 3, None, 5, 6], "z": pa.array(texts, "string")})
    pq.write_table(frame, tmp_path / "t.parquet", row_group_size=2)
    csv.write_csv(frame, tmp_path / "t.csv")
    for file in (tmp_path / "t.parquet", tmp_path / "t.csv"):
        with Columns(file) as columns:
            assert (columns.names, columns.rows) == (["x", "x.y", "z"], 6)
            for name in columns.names:
                whole = column_of(read_frame(file).column(name))
                found = column_of(columns.column(name))
                assert profile_of(name, found) == profile_of(name, whole)


def test_a_file_that_breaks_off_is_refused(tmp_path):
    file = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": list(range(9000))}), file)
    content = file.read_bytes()
    file.write_bytes(bytes(len(content) // 2) + content[len(content) // 2 :])
    with Columns(file) as columns, pytest.raises(ConfigError, match="can't be read"):
        columns.column("x")
