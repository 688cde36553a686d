"""Tables as streams: order, times, labels, kinds of columns, and what is refused."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamops.core.times import SECOND_US
from streamops.errors import ConfigError
from streamops.operate.table import ORDER_START_US, Columns, read_table, spread

S = SECOND_US
NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)
NOON_US = round(NOON.timestamp()) * S


def parquet(folder: Path, columns: dict[str, Any]) -> Path:
    file = folder / "t.parquet"
    pq.write_table(pa.table(columns), file)
    return file


def noon(seconds: float) -> datetime:
    return datetime.fromtimestamp(NOON.timestamp() + seconds, UTC)


def test_a_csv_is_read_with_its_kinds(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("x,flag,city,y\n1.5,true,Bern,0\n,false,Chur,1\n")
    table = read_table(file, Columns(target="y"))
    assert (table.name, table.target) == ("t", "y")
    assert [row.features for row in table.rows] == [
        {"x": 1.5, "flag": True, "city": "Bern"},
        {"x": None, "flag": False, "city": "Chur"},
    ]
    assert [row.label for row in table.rows] == [0, 1]
    assert table.segments == {"city": ("Bern", "Chur")}


def test_without_a_time_rows_are_a_second_apart(tmp_path):
    table = read_table(parquet(tmp_path, {"x": [1, 2], "y": [0, 1]}), Columns(target="y"))
    assert [row.time_us - ORDER_START_US for row in table.rows] == [0, S]
    assert [row.label_us for row in table.rows] == [row.time_us for row in table.rows]


def test_a_time_that_is_no_timestamp_gives_order_only(tmp_path):
    file = parquet(tmp_path, {"t": [3, 1, 2], "x": [30, 10, 20], "y": [0, 1, 0]})
    table = read_table(file, Columns(target="y", time="t"))
    assert [row.features for row in table.rows] == [{"x": 10}, {"x": 20}, {"x": 30}]
    assert [row.label for row in table.rows] == [1, 0, 0]
    assert [row.time_us - ORDER_START_US for row in table.rows] == [0, S, 2 * S]


def test_rows_are_put_in_the_order_of_their_timestamps(tmp_path):
    times = [noon(20), noon(0), noon(10)]
    file = parquet(tmp_path, {"at": times, "x": [3, 1, 2], "y": [3, 1, 2]})
    table = read_table(file, Columns(target="y", time="at"))
    assert [(r.number, r.time_us - NOON_US, r.label) for r in table.rows] == [
        (0, 0, 1), (1, 10 * S, 2), (2, 20 * S, 3),
    ]  # fmt: skip


def test_tied_and_missing_times_are_spread_evenly():
    assert spread([0, 0, None, 9]) == [0, 3, 6, 9]
    assert spread([5, 5, 8]) == [5, 6, 8]
    assert spread([7]) == [7]
    assert spread([0, None]) == [0, S]
    assert spread([None, None, 9, 12]) == [9, 10, 11, 12]
    assert spread([None, None]) == [ORDER_START_US, ORDER_START_US + S]
    assert spread([]) == []


def test_a_label_time_or_a_delay_says_when_the_label_is_known(tmp_path):
    columns = {
        "at": [noon(0), noon(1), noon(2)],
        "known": [noon(30), noon(0), None],
        "x": [1, 2, 3],
        "y": [0, 1, None],
    }
    table = read_table(
        parquet(tmp_path, columns), Columns(target="y", time="at", label_time="known")
    )
    # Never before its row; a row without one is known at its own time, and has no label here.
    assert [row.label_us - NOON_US for row in table.rows] == [30 * S, S, 2 * S]
    assert [row.label for row in table.rows] == [0, 1, None]
    assert table.rows[0].features == {"x": 1}
    delayed = Columns(target="y", time="at", exclude=("known",), label_delay_s=1.5)
    found = read_table(tmp_path / "t.parquet", delayed)
    assert [row.label_us - row.time_us for row in found.rows] == [1_500_000] * 3


def test_a_manifest_says_what_flags_do_not(tmp_path):
    file = parquet(tmp_path, {"at": [noon(0)], "x": [1], "leak": [9], "y": [0], "z": [5]})
    entry = {
        "file": "t.parquet",
        "target": "y",
        "time_column": "at",
        "exclude_from_features": ["leak", "gone"],
    }
    (tmp_path / "manifest.json").write_text(json.dumps({"datasets": [entry]}))
    table = read_table(file, Columns())
    assert (table.target, table.rows[0].features) == ("y", {"x": 1, "z": 5})
    assert table.rows[0].time_us == NOON_US
    other = read_table(file, Columns(target="z", exclude=("x",)))
    assert (other.target, other.rows[0].features) == ("z", {"leak": 9, "y": 0})


@pytest.mark.parametrize("delay_s", [60.0, 0.0])
def test_a_delay_overrides_the_manifests_label_time(tmp_path, delay_s):
    columns = {"at": [noon(0), noon(1)], "known": [noon(3600)] * 2, "x": [1, 2], "y": [0, 1]}
    file = parquet(tmp_path, columns)
    entry = {
        "file": "t.parquet", "target": "y", "time_column": "at", "label_time_column": "known",
    }  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps({"datasets": [entry]}))
    waits = [row.label_us - row.time_us for row in read_table(file, Columns()).rows]
    assert waits == [3600 * S, 3599 * S]
    delayed = read_table(file, Columns(label_delay_s=delay_s))
    assert [row.label_us - row.time_us for row in delayed.rows] == [delay_s * S] * 2
    assert delayed.rows[0].features == {"x": 1}, "when the label came is known too late"


def test_a_delay_beside_a_label_time_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="--label-delay is 0 and --label-time 'known'"):
        read_table(tmp_path / "t.csv", Columns(label_time="known", label_delay_s=0))


def test_values_become_plain(tmp_path):
    columns = {
        "x": [float("nan"), float("inf")],
        "day": [date(1970, 1, 2), None],
        "kind": pa.array(["a", "b"]).dictionary_encode(),
        "y": [1, 0],
    }
    table = read_table(parquet(tmp_path, columns), Columns(target="y"))
    assert [row.features for row in table.rows] == [
        {"x": None, "day": 86400.0, "kind": "a"},
        {"x": None, "day": None, "kind": "b"},
    ]


def test_decimals_are_numbers(tmp_path):
    price = pa.array([Decimal("1.50"), None, Decimal("-2.25")])
    table = read_table(
        parquet(tmp_path, {"price": price, "y": pa.array([Decimal(1), Decimal(2), None])}),
        Columns(target="y"),
    )
    assert [row.features for row in table.rows] == [
        {"price": 1.5},
        {"price": None},
        {"price": -2.25},
    ]
    assert [row.label for row in table.rows] == [1.0, 2.0, None]
    assert all(type(row.label) is float for row in table.rows[:2])
    assert table.segments == {}


def test_nanoseconds_are_taken_to_the_microsecond(tmp_path):
    at = pa.array([NOON_US * 1000 + 1_999, NOON_US * 1000 + 2_001], pa.timestamp("ns", "UTC"))
    file = parquet(tmp_path, {"at": at, "known": at, "y": [0, 1]})
    table = read_table(file, Columns(target="y", time="at"))
    assert [row.time_us - NOON_US for row in table.rows] == [1, 2]
    assert table.rows[0].features == {"known": (NOON_US + 1) / S}


def test_a_missing_time_at_the_beginning_is_not_1970(tmp_path):
    file = parquet(tmp_path, {"at": [None, noon(0), noon(10)], "x": [1, 2, 3], "y": [0, 1, 0]})
    table = read_table(file, Columns(target="y", time="at"))
    assert [(row.time_us - NOON_US, row.features["x"]) for row in table.rows] == [
        (0, 1), (5 * S, 2), (10 * S, 3),
    ]  # fmt: skip


def test_the_text_column_with_the_fewest_values_is_the_segment(tmp_path):
    n = 22
    columns = {
        "same": ["one"] * n,
        "three": ["a", "b", "c", None] * 5 + ["a", "b"],
        "many": [f"v{i}" for i in range(n)],
        "four": list("pqrs") * 5 + ["p", "q"],
        "y": [0] * n,
    }
    table = read_table(parquet(tmp_path, columns), Columns(target="y"))
    assert table.segments == {"three": ("a", "b", "c")}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns(), "--target is not given and t.parquet has no manifest"),
        (Columns(target="nope"), "column 'nope' is not in t.parquet"),
        (Columns(target="y", time="when"), "column 'when' is not in t.parquet"),
    ],
)
def test_a_column_that_is_not_there_is_refused(tmp_path, columns, message):
    with pytest.raises(ConfigError, match=message):
        read_table(parquet(tmp_path, {"x": [1], "y": [0]}), columns)


def test_a_file_that_is_not_there_or_no_table_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"does not exist; give a \.parquet or \.csv"):
        read_table(tmp_path / "none.csv", Columns(target="y"))
    junk = tmp_path / "junk.parquet"
    junk.write_bytes(b"junk")
    with pytest.raises(ConfigError, match=r"junk.parquet can't be read"):
        read_table(junk, Columns(target="y"))


@pytest.mark.parametrize("delay_s", [float("nan"), float("inf"), -5.0, 1e300])
def test_a_label_delay_is_a_time_that_can_pass(tmp_path, delay_s):
    said = re.escape(f"--label-delay is {delay_s:g}; use 0 to 316,224,000 s")
    with pytest.raises(ConfigError, match=said):
        read_table(tmp_path / "t.csv", Columns(target="y", label_delay_s=delay_s))


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (noon(-1e9), "--label-time is 'known', in row 0 more than ten years before"),
        (datetime(9999, 12, 31, tzinfo=UTC), "in row 0 more than ten years after"),
    ],
)
def test_a_label_years_from_its_row_is_the_tables_fault(tmp_path, known, said):
    """A year 9999 for "never" is common."""
    file = parquet(tmp_path, {"at": [noon(0)], "known": [known], "y": [0]})
    with pytest.raises(ConfigError, match=said):
        read_table(file, Columns(target="y", time="at", label_time="known"))


def test_the_index_that_pandas_writes_is_no_feature(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text(",at,known,x,y\n0,2020-01-01 00:00:00,2020-01-01 00:00:00,5,1\n")
    for parts in ({}, {"time": "at", "label_time": "known", "exclude": ("at",)}):
        row = read_table(file, Columns(target="y", **parts)).rows[0]
        assert "" not in row.features
        assert row.features["x"] == 5


def test_integers_beyond_the_logs_64_bits_are_names(tmp_path):
    wide = {"id": pa.array([1, 2**64 - 1], pa.uint64()), "n": pa.array([1, 2], pa.uint64())}
    table = read_table(parquet(tmp_path, wide | {"y": wide["id"]}), Columns(target="y"))
    assert [row.features for row in table.rows] == [
        {"id": "1", "n": 1},
        {"id": "18446744073709551615", "n": 2},
    ]
    assert [row.label for row in table.rows] == ["1", "18446744073709551615"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns(target="y", exclude=("x", "leek")), "--exclude is 'leek', which is no column of"),
        (Columns(target="y", exclude=("y",)), "--exclude is 'y', the target"),
        (Columns(target="y", time="y"), "--time is 'y', the target"),
        (Columns(target="y", label_time="y"), "--label-time is 'y', the target"),
    ],
)
def test_a_column_can_not_play_a_part_it_has_not(tmp_path, columns, message):
    with pytest.raises(ConfigError, match=message):
        read_table(parquet(tmp_path, {"x": [1], "y": [0]}), columns)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"x,y,x\n1,0,2\n", "has column 'x' twice; rename one"),
        ("größe,y\n1,0\n".encode("latin-1"), "column names that are no UTF-8"),
        ("x,y\nMünchen,0\n".encode("latin-1"), "column 'x' of .* is no UTF-8"),
    ],
)
def test_a_csv_that_can_not_be_meant_so_is_refused(tmp_path, text, message):
    file = tmp_path / "t.csv"
    file.write_bytes(text)
    with pytest.raises(ConfigError, match=message):
        read_table(file, Columns(target="y"))


def test_a_file_that_the_system_refuses_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"xxx\.csv can't be read: .*too long"):
        read_table(tmp_path / f"{'x' * 300}.csv", Columns(target="y"))


def test_a_suffix_is_read_in_any_case(tmp_path):
    (tmp_path / "T.CSV").write_text("x,y\n1,0\n")
    assert read_table(tmp_path / "T.CSV", Columns(target="y")).rows[0].features == {"x": 1}


@pytest.mark.parametrize(
    "manifest", ["{", '{"datasets": [{"file": "t.parquet", "target": 5}]}', b"\xff\xfe"]
)
def test_a_manifest_that_can_not_be_read_is_named(tmp_path, manifest):
    text = manifest if isinstance(manifest, bytes) else manifest.encode()
    (tmp_path / "manifest.json").write_bytes(text)
    with pytest.raises(ConfigError, match=r"manifest.json can't be read: .* mend it, or move"):
        read_table(parquet(tmp_path, {"x": [1], "y": [0]}), Columns(target="y"))


@pytest.mark.parametrize("manifest", ["[]", '{"name": "app"}', '{"datasets": {"a": 1}}', "null"])
def test_another_programs_manifest_says_nothing(tmp_path, manifest):
    (tmp_path / "manifest.json").write_text(manifest)
    table = read_table(parquet(tmp_path, {"x": [1], "y": [0]}), Columns(target="y"))
    assert table.rows[0].features == {"x": 1}


FAR = pa.array([10**15], pa.timestamp("s"))
YEAR_1, YEAR_9999 = -62_135_596_800, 253_402_300_799


@pytest.mark.parametrize(
    ("time", "part", "message"),
    [
        (FAR, "time", "column 't' of timestamp.* can't be read as times: .* out of bounds"),
        (FAR, "", "column 't' of timestamp.* can't be read as times"),
        (pa.array([10**12], pa.timestamp("s")), "time", "--time is 't', with a year outside 2 to"),
        (pa.array([YEAR_1], pa.timestamp("s")), "time", "--time is 't', with a year outside 2 to"),
        (pa.array([YEAR_9999], pa.timestamp("s")), "time", "with a year outside 2 to 9970"),
        (pa.array([[1]]), "time", "--time is 't', whose list.* has no order"),
        (pa.array(["soon"]), "label_time", "column 't' of string can't be read as times"),
        (pa.array([True]), "label_time", "column 't' of bool can't be read as times"),
    ],
)
def test_a_time_that_can_not_be_told_names_its_column(tmp_path, time, part, message):
    file = parquet(tmp_path, {"t": time, "x": [1], "y": [0]})
    parts = {part: "t"} if part else {}
    with pytest.raises(ConfigError, match=message):
        read_table(file, Columns(target="y", **parts))
