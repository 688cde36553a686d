"""Columns of many events at once: each value is what it is alone."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamops import codec
from streamops.core.profile import category_text
from streamops.views.log import RawRecord, to_record, to_records
from streamops.views.tables import (
    INSTANT,
    UNSTORABLE,
    instants_of,
    integers_of,
    jsons_of,
    texts_of,
)
from tests.sample_events import sample_of

values = st.one_of(st.text(), st.booleans(), st.integers(), st.floats(allow_nan=False))
times = st.datetimes(timezones=st.just(UTC))


@given(st.lists(values))
@example([-0.0, 0.0, 0, False, "0", 1.5, 1e300, "x" * 500])
def test_texts_are_those_counted_under(given_values):
    alone = [str(v) if category_text(v) is None else category_text(v) for v in given_values]
    assert pa.array(texts_of(given_values), pa.string()).to_pylist() == alone


@given(st.lists(times))
@example([datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_instants_are_to_the_microsecond(given_times):
    assert instants_of(given_times).equals(pa.array(given_times, INSTANT))


def test_a_missing_instant_is_null():
    found = pa.array(instants_of([None, datetime(2026, 1, 1, tzinfo=UTC)]), INSTANT)
    assert found.null_count == 1


@given(st.lists(st.none() | st.integers(-(2**65), 2**65)))
@example([2**63, None, 2**63 - 1, -(2**63), -(2**63) - 1])
def test_integers_without_room_are_null(given_integers):
    # Looking for None in a range would walk through all of it.
    alone = [v if v is not None and -(2**63) <= v < 2**63 else None for v in given_integers]
    assert integers_of(given_integers) == alone


def test_nested_values_are_json_and_raw_json_stays():
    assert jsons_of([None, {}, {"a": 1}, msgspec.Raw(b'{"b": 2}')]) == [
        None, b"{}", b'{"a":1}', b'{"b": 2}',
    ]  # fmt: skip


@given(st.lists(st.dictionaries(st.text(), st.none() | st.text()), min_size=1))
def test_raw_json_of_many_is_each_alone(given_objects):
    raws = [msgspec.Raw(msgspec.json.encode(one)) for one in given_objects]
    assert jsons_of(raws).equals(pa.array(list(map(bytes, raws)), pa.string()))


def test_raw_json_that_is_no_text_is_refused():
    with pytest.raises(UNSTORABLE):
        jsons_of([msgspec.Raw(b"{}"), msgspec.Raw(b'{"x":"\xff"}')])


@given(
    st.lists(
        st.sampled_from([b"", b"{", b"{}\n", *map(codec.encode, map(sample_of, codec.EVENT_TYPES))])
    )
)
def test_records_together_are_each_alone(given_values):
    raws = [RawRecord("t", 1, n, 5, b"k", value, ()) for n, value in enumerate(given_values)]
    assert to_records(raws) == [to_record(raw) for raw in raws]
