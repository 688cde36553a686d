"""Raw records as columns are the records that they are made of."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from streamops import codec
from streamops.codec import EVENT_TYPES
from streamops.events import PredictionMade
from streamops.views.buffers import Buffer
from streamops.views.log import RawRecord
from streamops.views.raw_columns import in_columns
from streamops.views.tables import tables
from streamops.views.typed import repeating
from tests.sample_events import sample_of

PLACE = ("labels", 2)
RECORDS = [
    RawRecord(*PLACE, 2 * n, 1000 + n, b"k%d" % n, b"v" * n, (("h", b"x"),) if n == 3 else ())
    for n in range(6)
]


def test_columns_are_a_sequence_of_their_records():
    columns = in_columns(RECORDS)
    assert in_columns(columns) is columns
    assert list(columns) == RECORDS
    assert list(columns[1:4]) == RECORDS[1:4]
    assert columns[-1] == RECORDS[-1]
    assert list(in_columns([])) == []


@pytest.mark.parametrize("offset", range(-1, 13))
def test_what_stands_behind_an_offset_is_a_part(offset):
    wanted = [record for record in RECORDS if record.offset >= offset]
    assert list(in_columns(RECORDS).behind(offset)) == wanted


def test_a_buffer_gives_back_what_it_took():
    buffer = Buffer(0, 0)
    assert list(buffer.records(PLACE)) == []
    buffer.add_all(RECORDS[:2], 1.0)
    buffer.add_all(in_columns(RECORDS[2:]), 2.0)
    assert list(buffer.records(PLACE)) == RECORDS
    assert (len(buffer), buffer.next, buffer.born, buffer.touched) == (6, 11, 1.0, 2.0)


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_a_column_of_one_value_is_that_value_each_time(kind):
    event = sample_of(kind)
    for column in tables()[kind.__name__].columns:
        alone = column.values([event])
        assert column.values([event, event]).equals(pa.concat_arrays([alone, alone]))


def test_numbers_that_are_equal_stay_what_they_are():
    (column,) = (c for c in tables()["PredictionMade"].columns if c.name == "prediction")
    texts = [b"1", b"true", b"1.0"]
    given = [
        codec.decode(
            b'{"type":"PredictionMade","id":"p","time":"2026-01-01T00:00:00Z","model":"m",'
            b'"version":"1","prediction":%b}' % text
        )
        for text in texts
    ]
    wanted = [column.values([event])[0].as_py() for event in given]
    assert pa.array(column.values(given)).to_pylist() == wanted
    assert isinstance(given[0], PredictionMade)


def test_only_what_repeats_gets_a_dictionary():
    rows = pa.table(
        {
            "id": [f"p{n}" for n in range(600)],
            "model": ["a", "b"] * 300,
            "score": [n / 7 for n in range(600)],
            "at": [datetime(2026, 1, 1, tzinfo=UTC)] * 600,
            "none": pa.nulls(600, pa.string()),
        }
    )
    assert repeating(rows) == ["model", "at", "none"]
