"""Raw and typed archive files: covers, exclusive creation, damage, typed rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamops import codec
from streamops.core.processor import Refusal
from streamops.errors import TransportError
from streamops.events import LabelArrived, PredictionMade
from streamops.views import typed
from streamops.views.archive import (
    ArchiveLog,
    Cover,
    cover_of,
    file_name,
    raw_folder,
    read_cover,
    write_raw,
)
from streamops.views.archiver import Buffer, Roll
from streamops.views.log import RawRecord, to_record
from streamops.views.tables import Row, arrow_rows, epoch_of, tables
from streamops.views.typed import mend_typed, typed_rows, write_typed
from tests.sample_events import sample_of

PLACE = ("predictions", 3)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def made(offset: int) -> RawRecord:
    event = PredictionMade(
        id=f"p{offset}",
        time=NOON,
        model="m",
        version="1",
        prediction=offset % 2 == 0,
        features=msgspec.Raw(b'{"x":1.5}'),
    )
    return RawRecord(*PLACE, offset, 1_700_000_000_000 + offset, b"k", codec.encode(event))


def write(archive, first, end, records=None):
    some = [made(n) for n in range(first, end)] if records is None else records
    return write_raw(archive, some, PLACE, cover_of([r.offset for r in some], first, end))


@pytest.mark.parametrize(
    ("offsets", "first", "end", "gaps"),
    [
        ([0, 1, 2], 0, 3, ()),
        ([1, 2], 0, 3, ((0, 1),)),
        ([0, 3, 4, 7], 0, 10, ((1, 3), (5, 7), (8, 10))),
        ([], 5, 7, ((5, 7),)),
    ],
)
def test_a_cover_lists_every_offset_without_a_record(offsets, first, end, gaps):
    assert cover_of(offsets, first, end) == Cover(first, end, gaps)


def test_a_raw_file_says_what_it_covers(tmp_path):
    path = write(tmp_path, 10, 14, [made(10), made(12)])
    assert path == raw_folder(tmp_path, *PLACE) / "00000000000000000010.parquet"
    assert read_cover(path) == Cover(10, 14, ((11, 12), (13, 14)))
    assert pq.read_metadata(path).row_group(0).column(3).compression == "ZSTD"


def test_a_file_without_records_covers_markers(tmp_path):
    write(tmp_path, 0, 2)
    write(tmp_path, 2, 3, [])
    log = ArchiveLog(tmp_path)
    assert log.held(*PLACE) == (0, 3)
    assert [r.offset for r in log.read(*PLACE)] == [0, 1]
    assert list(log.read(*PLACE, 2, 3)) == []


def test_of_two_archivers_one_loses_and_the_file_stays(tmp_path):
    path = write(tmp_path, 0, 3)
    before = path.read_bytes()
    with pytest.raises(TransportError, match="another archiver works on this archive"):
        write(tmp_path, 0, 2)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [file_name(0)]


def test_a_missing_file_is_named_by_its_offsets(tmp_path):
    for first in (0, 2, 4):
        write(tmp_path, first, first + 2)
    (raw_folder(tmp_path, *PLACE) / file_name(2)).unlink()
    with pytest.raises(TransportError, match="predictions-3: offsets 2 to 3 are missing"):
        list(ArchiveLog(tmp_path).read(*PLACE))


def test_what_was_archived_late_is_missing_before(tmp_path):
    write(tmp_path, 4, 6)
    log = ArchiveLog(tmp_path)
    assert [r.offset for r in log.read(*PLACE, 4)] == [4, 5]
    with pytest.raises(TransportError, match="offsets 0 to 3 are missing"):
        list(log.read(*PLACE))


def test_a_damaged_file_is_named(tmp_path):
    path = write(tmp_path, 0, 3)
    data = path.read_bytes()
    path.write_bytes(data[:20])
    with pytest.raises(TransportError, match=f"{file_name(0)} can't be read"):
        list(ArchiveLog(tmp_path).read(*PLACE))
    path.write_bytes(data[:200] + bytes(40) + data[240:])
    with pytest.raises(TransportError, match="can't be read"):
        list(ArchiveLog(tmp_path).read(*PLACE))


@pytest.mark.parametrize("rows", [1, 4, 100])
def test_columns_are_what_reading_gives(tmp_path, rows):
    write(tmp_path, 0, 7)
    write(tmp_path, 7, 12, [made(n) for n in (7, 9, 11)])
    parts = list(ArchiveLog(tmp_path).columns(*PLACE, rows))
    assert max(len(offsets) for offsets, *_ in parts) <= rows
    read = [row for columns in parts for row in zip(*columns, strict=True)]
    assert read == [raw[2:6] for raw in ArchiveLog(tmp_path).read(*PLACE)]


@pytest.mark.parametrize("harm", [lambda p: p.unlink(), lambda p: p.write_bytes(b"PAR1nonsense")])
def test_columns_of_what_is_lost_or_damaged_are_an_error(tmp_path, harm):
    write(tmp_path, 0, 3)
    harm(write(tmp_path, 3, 6))
    write(tmp_path, 6, 9)
    with pytest.raises(TransportError, match=f"{PLACE[0]}-{PLACE[1]}|{file_name(3)}"):
        list(ArchiveLog(tmp_path).columns(*PLACE, 2))


def test_a_temporary_file_of_a_crash_is_no_part_of_the_log(tmp_path):
    path = write(tmp_path, 0, 3)
    (path.parent / ".3.4711.tmp").write_bytes(b"half")
    assert ArchiveLog(tmp_path).held(*PLACE) == (0, 3)


def test_reading_skips_row_groups_outside_the_range(tmp_path):
    write(tmp_path, 0, 45_000)
    log = ArchiveLog(tmp_path)
    assert [r.offset for r in log.read(*PLACE, 19_999, 20_001)] == [19_999, 20_000]
    assert sum(1 for _ in log.read(*PLACE)) == 45_000


def test_typed_files_have_columns_and_tell_what_was_unreadable(tmp_path):
    label = codec.encode(LabelArrived(id="l", time=NOON, prediction_id="p0", label="up"))
    records = [
        made(0),
        made(1)._replace(value=b"no JSON"),
        made(2)._replace(value=label),
        made(3)._replace(value=made(3).value.replace(b'{"x":1.5}', b'{"x":"\xff"}')),
    ]
    write(tmp_path, 0, 4, records)
    write_typed(tmp_path, records, PLACE, 0)
    assert typed_rows(tmp_path, PLACE, 0) == 4
    with duckdb.connect() as con:
        rows = con.execute(
            f"SELECT id, prediction, features, topic, partition FROM '{tmp_path}/typed/"
            "type=PredictionMade/*/*/*.parquet'"
        ).fetchall()
        bad = con.execute(
            f"SELECT \"offset\", reason FROM '{tmp_path}/typed/type=Unreadable/*/*/*.parquet'"
        ).fetchall()
    assert rows == [("p0", "true", '{"x":1.5}', "predictions", 3)]
    assert [offset for offset, _ in sorted(bad)] == [1, 3]
    assert all(len(reason) > 20 for _, reason in bad)


HOSTILE = st.one_of(
    st.sampled_from([b"", b"garbage", b'{"type":"Tick"}', b"\x81\xa1"]),
    st.sampled_from([codec.encode(sample_of(kind)) for kind in codec.EVENT_TYPES]),
    st.builds(
        lambda prediction, features, segments: codec.encode(
            PredictionMade(
                id="p",
                time=NOON,
                model="m",
                version="1",
                prediction=prediction,
                features=msgspec.Raw(features),
                segments=segments,
            )
        ),
        st.sampled_from([1, 10**30, -1, 1.0, 1e300, True, "", "é", "x" * 1000]),
        st.sampled_from([b"{}", b'{"x":\n1}', b'{"x":"\xff"}', b'{"x":1e999}', b"[", b"null"]),
        st.sampled_from([{}, {"a": "b"}]),
    ),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(HOSTILE, min_size=1, max_size=12), st.integers(1, 5))
def test_typed_files_hold_what_each_record_alone_becomes(values, together):
    raws = [RawRecord(*PLACE, n, 1_700_000_000_000 + n, b"k", v) for n, v in enumerate(values)]
    wanted: dict[str, list[pa.Table]] = {}
    bad: list[int] = []
    for record in map(to_record, raws):
        if isinstance(record.event, Refusal):
            bad.append(record.offset)
            continue
        kind = type(record.event).__name__
        stored, refused = arrow_rows(tables()[kind], [Row(record, epoch_of(record.event))])
        bad += [row.record.offset for row, _ in refused]
        wanted.setdefault(kind, []).append(stored.drop_columns(["topic", "partition"]))
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(typed, "SLICE", together)
        write_typed(Path(folder), raws, PLACE, 0)
        found = {
            path.parts[-4].removeprefix("type="): pq.read_table(path, partitioning=None)
            for path in (Path(folder) / "typed").rglob("*.parquet")
        }
    unreadable = found.pop("Unreadable", pa.table({"offset": []}))
    assert sorted(unreadable["offset"].to_pylist()) == sorted(bad)
    whole = {kind: pa.concat_tables(some) for kind, some in wanted.items()}
    assert found == {kind: table for kind, table in whole.items() if len(table)}


def test_typed_files_come_back_after_a_crash_between(tmp_path):
    write(tmp_path, 0, 5)
    log = ArchiveLog(tmp_path)
    assert typed_rows(tmp_path, PLACE, 0) == 0
    mend_typed(tmp_path, log, PLACE)
    assert typed_rows(tmp_path, PLACE, 0) == 5
    stamp = next((tmp_path / "typed").rglob("*.parquet")).stat().st_mtime_ns
    mend_typed(tmp_path, log, PLACE)
    assert next((tmp_path / "typed").rglob("*.parquet")).stat().st_mtime_ns == stamp


def test_any_engine_reads_the_raw_files(tmp_path):
    write(tmp_path, 0, 3)
    with duckdb.connect() as con:
        row = con.execute(
            f"SELECT topic, partition, count(*), max(timestamp_ms), any_value(value) "
            f"FROM '{tmp_path}/raw/*/*/*.parquet' GROUP BY ALL"
        ).fetchone()
    assert row is not None
    assert row[:4] == ("predictions", 3, 3, 1_700_000_000_002)
    assert json.loads(row[4])["type"] == "PredictionMade"


def test_a_buffer_is_due_by_rows_bytes_idleness_or_age():
    roll = Roll(rows=3, size=10_000, idle_s=10, age_s=60)
    buffer = Buffer(0, 0)
    assert not buffer.due(roll, 1e9)
    buffer.add_all([made(0)], 100.0)
    assert not buffer.due(roll, 109.9)
    assert buffer.due(roll, 110.0)
    buffer.add_all([made(1)], 155.0)
    assert not buffer.due(roll, 159.9)
    assert buffer.due(roll, 160.0)
    assert buffer.due(roll._replace(rows=2), 156.0)
    assert buffer.due(roll._replace(size=100), 156.0)
    assert (buffer.first, buffer.next) == (0, 2)
