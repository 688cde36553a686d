"""two_tables: what a comparison of files says, in the order of rows, and what it refuses."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq
import pytest

from streamops.cli import main
from streamops.errors import ConfigError
from streamops.operate.two_tables import compare
from streamops.web.report.drift_page import document
from tests.unit.test_pane_rows import ar1

ROWS = 4000


def table(seed: int, *, rows: int = ROWS, moved: float = 0.0, since: int = 0) -> pa.Table:
    """Correlated `level`, independent `size`, `city`, mostly empty `note`; level moves at a row."""
    rng = np.random.default_rng(seed)
    step = np.where(np.arange(rows) >= since, moved, 0.0)
    return pa.table(
        {
            "level": ar1(rows, 0.9, seed) + step,
            "size": rng.normal(0, 1, rows),
            "city": rng.choice(["Bern", "Basel", "Chur"], rows),
            "note": [None if x < 0.9 else "x" for x in rng.random(rows)],
        }
    )


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    pq.write_table(table(1), tmp_path / "old.parquet")
    return tmp_path / "old.parquet"


def written(folder: Path, what: pa.Table, name: str = "new.parquet") -> Path:
    if name.endswith(".csv"):
        pc_csv.write_csv(what, folder / name)
    else:
        pq.write_table(what, folder / name)
    return folder / name


def test_nothing_drifted_where_nothing_changed(reference, tmp_path):
    found = compare(reference, written(tmp_path, table(2)))
    assert [c.name for c in found.columns if c.drifted] == []
    assert {c.name: c.test for c in found.columns} == {
        "level": "t-SR", "size": "e-SR", "city": "e-SR", "note": "e-SR"
    }  # fmt: skip
    # Values and missing values of four columns, 20 panes of 200 rows, a chance of .05.
    assert found.alarm_at == pytest.approx(8 * 20 / 0.05)


def test_a_change_is_named_sized_and_put_at_its_row(reference, tmp_path):
    changed = table(3, moved=4.0, since=2400)
    # A CSV has no missing text, only an empty one.
    found = compare(reference, written(tmp_path, changed, "new.csv"), exclude=("note",))
    first, *rest = found.columns
    assert (first.name, first.drifted, first.stream) == ("level", True, "values")
    assert first.first_row in (2200, 2400)
    assert first.evidence >= found.alarm_at
    assert first.severity == "major"
    assert not any(c.drifted for c in rest)


def test_columns_that_only_one_has_are_named_and_others_can_be_left_out(reference, tmp_path):
    other = table(2).drop_columns(["city"]).append_column("extra", pa.array([1] * ROWS))
    found = compare(reference, written(tmp_path, other), exclude=("note",))
    assert (found.gone, found.new) == (("city",), ("extra",))
    assert {c.name for c in found.columns} == {"level", "size"}


def test_one_row_on_either_side_has_an_answer(tmp_path):
    one, many = written(tmp_path, table(1, rows=1), "one.parquet"), written(tmp_path, table(2))
    assert compare(one, many).panes == 20
    found = compare(many, one)
    assert found.panes == 1
    assert not any(c.drifted for c in found.columns)


def test_what_can_not_be_compared_is_refused(reference, tmp_path):
    empty = written(tmp_path, table(1).slice(0, 0), "empty.parquet")
    alien = written(tmp_path, pa.table({"other": [1]}), "alien.parquet")
    for file, said in ((empty, "has no rows"), (alien, "no column in common")):
        with pytest.raises(ConfigError, match=said):
            compare(reference, file)
    with pytest.raises(ConfigError, match="does not exist"):
        compare(reference, tmp_path / "gone.parquet")
    for chance in (0.0, 1.5):
        with pytest.raises(ConfigError, match="--false-alarms is"):
            compare(reference, alien, false_alarms=chance)
    with pytest.raises(ConfigError, match="--exclude is 'nope', which is no column of"):
        compare(reference, reference, exclude=("nope",))


def test_the_report_ranks_columns_by_evidence_and_shows_their_bins(reference, tmp_path, capsys):
    new = written(tmp_path, table(3, moved=4.0, since=2400))
    html = tmp_path / "drift.html"
    assert main(["drift", str(reference), str(new), "--html", str(html), "--json"]) == 0
    page = html.read_text()
    found = json.loads(capsys.readouterr().out)
    level = next(c for c in found["columns"] if c["name"] == "level")
    assert [sum(b[n] for b in level["bins"]) for n in (1, 2)] == [ROWS, ROWS]
    assert len(level["pane_evidence"]) == found["panes"] == 20
    assert max(level["pane_evidence"]) == level["evidence"]
    strongest = sorted(
        found["columns"], key=lambda c: (not c["drifted"], -c["evidence"], c["name"])
    )
    places = [page.index(f">{c['name']}</a>") for c in strongest]
    assert places == sorted(places)
    assert "new.parquet against old.parquet" in page
    assert f"1 of {len(strongest)} columns drifted" in page
    for label, before, now in level["bins"]:
        if before or now:
            words = f"{label}: {before / ROWS:.2%} before, {now / ROWS:.2%} now"
            assert f"<title>{escape(words)}</title>" in page
    # It loads nothing: no script, and no address but anchors of its own.
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    assert "http" not in re.sub(r"http://www.w3.org\S*", "", page)


def test_a_report_of_constant_and_empty_columns_can_be_drawn(tmp_path):
    bare = pa.table({"one": [1.0] * 500, "none": pa.array([None] * 500, pa.float64())})
    other = pa.table({"one": [2.0] * 500, "none": [1.0] * 500})
    found = compare(written(tmp_path, bare, "old.parquet"), written(tmp_path, other))
    page = document(found, Path("old.parquet"), Path("new.parquet")).decode()
    assert "2 of 2 columns drifted" in page
    assert "&gt; 1: 0.00% before, 100.00% now" in page


def test_the_command_prints_rows_or_one_object(reference, tmp_path, capsys):
    new = written(tmp_path, table(3, moved=4.0))
    assert main(["drift", str(reference), str(new)]) == 0
    shown = capsys.readouterr()
    assert "level" in shown.out.splitlines()[1]
    assert "1 of 4 columns drifted" in shown.err
    assert main(["drift", str(reference), str(new), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["columns"][0]["name"] == "level"
    assert main(["drift", str(reference), str(tmp_path / "gone.csv")]) == 2
    assert main(["drift", str(reference), str(new), "--html", "x.pdf"]) == 2


DAY_S = 86_400


def timed(what: pa.Table, *, since: str = "2026-03-01", step_s: int = 3600) -> pa.Table:
    """The table with a time a row, an hour apart."""
    first = np.datetime64(since, "us")
    times = first + np.arange(what.num_rows) * np.timedelta64(step_s, "s")
    return what.append_column("at", pa.array(times))


def test_panes_by_time_name_the_pane_and_when_the_change_began(tmp_path, capsys):
    old = written(tmp_path, timed(table(1, rows=9600), since="2025-01-01"), "old.parquet")
    # 100 days from 1 March, level up from day 60, in no order of rows.
    changed = timed(table(3, rows=2400, moved=5.0, since=60 * 24))
    order = np.random.default_rng(0).permutation(2400)
    new = written(tmp_path, changed.take(pa.array(order)))
    found = compare(old, new, time="at", pane_s=DAY_S)
    assert (found.panes, found.pane_s, len(found.pane_starts)) == (100, DAY_S, 100)
    assert found.alarm_at == pytest.approx(8 * 100 / 0.05)
    assert "at" not in {c.name for c in found.columns}
    level, *rest = found.columns
    first = level.alarms[0]
    assert (level.name, level.drifted, first.test) == ("level", True, "t-SR")
    assert 60 <= first.pane <= 66
    assert first.start == found.pane_starts[first.pane - 1]
    assert level.since == first.since
    assert abs((first.since - found.pane_starts[60]).days) <= 2
    assert first.since_row == level.first_row == 24 * (first.since - found.pane_starts[0]).days
    assert len(level.alarms) == 1, "the change lasts: one alert"
    assert first.alarms > 3
    assert first.until > 90
    assert not any(c.drifted for c in rest)
    html = tmp_path / "drift.html"
    given = ["drift", str(old), str(new), "--time", "at", "--pane", str(DAY_S)]
    assert main([*given, "--html", str(html)]) == 0
    shown = capsys.readouterr()
    told = [line.split() for line in shown.out.split("\n\n")[1].splitlines()[1:]]
    assert told[0][0] == str(first.pane)
    assert told[0][1] == f"{first.start:%Y-%m-%d}"
    assert f"{found.panes} panes of {DAY_S} s with rows" in shown.err
    page = html.read_text()
    assert f"panes of {DAY_S:,} s by at" in page
    assert f"<td>{first.since:%Y-%m-%d %H:%M:%S}</td>" in page
    assert f">{found.pane_starts[-1]:%Y-%m-%d %H:%M:%S}</text>" in page


def test_rows_equal_in_number_say_the_same_by_time_as_by_row(reference, tmp_path):
    """An hour a row and panes of 200 hours: the panes that rows make."""
    plain = table(3, moved=4.0, since=2400)
    by_row = compare(reference, written(tmp_path, plain))
    # 1970 is where panes begin: 200 hours go into its 3,000th.
    first = str(np.datetime64("1970-01-01", "s") + np.timedelta64(600_000 * 3600, "s"))
    new = written(tmp_path, timed(plain, since=first), "timed.parquet")
    by_time = compare(reference, new, time="at", pane_s=200 * 3600)
    assert by_time.panes == by_row.panes
    for before, now in zip(by_row.columns, by_time.columns, strict=True):
        assert (now.name, now.pane_evidence) == (before.name, before.pane_evidence)
        assert now.first_row == before.first_row
        assert [(a.pane, a.since_row) for a in now.alarms] == [
            (a.pane, a.since_row) for a in before.alarms
        ]


def test_a_column_that_follows_the_clock_is_silent_with_its_reference_in_time(tmp_path):
    def daily(rows, seed, since):
        rng = np.random.default_rng(seed)
        hours = np.arange(rows) // 40 % 24
        one = pa.table({"load": np.sin(hours / 24 * 2 * np.pi) * 3 + rng.normal(0, 1, rows)})
        return timed(one, since=since, step_s=90)

    old = written(tmp_path, daily(24 * 40 * 8, 1, "2026-01-05"), "old.parquet")
    new = written(tmp_path, daily(24 * 40 * 3, 2, "2026-02-02"))
    found = compare(old, new, time="at", pane_s=3600)
    assert found.columns[0].sight.season == "hour"
    assert not found.columns[0].drifted


def test_rows_without_a_time_are_told_of_and_a_length_is_chosen(reference, tmp_path, capsys):
    holes = timed(table(2))
    stands = enumerate(holes.column("at").to_pylist())
    new = holes.set_column(4, "at", pa.array([t if n % 4 else None for n, t in stands]))
    given = ["drift", str(reference), str(written(tmp_path, new)), "--time", "at"]
    assert main([*given, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["current_rows"], found["untimed_rows"]) == (3000, 1000)
    # 167 days: days would be more than 64 panes.
    assert found["pane_s"] == 7 * DAY_S
    assert main(given) == 0
    assert "1000 rows of the current table have no at: left out" in capsys.readouterr().err


def test_a_time_that_cuts_no_panes_is_refused(reference, tmp_path):
    new = written(tmp_path, timed(table(2)))
    empty = pa.table({"size": [1.0], "at": pa.array([None], pa.timestamp("us"))})
    none = written(tmp_path, empty, "none.parquet")
    for file, given, said in (
        (new, {"time": "when"}, "--time is 'when', no column of"),
        (new, {"time": "size"}, "which is double in .*; name a column of timestamps or dates"),
        (none, {"time": "at"}, "which is empty in"),
        (new, {"pane_s": 60}, "--pane is 60, without --time"),
        (new, {"time": "at", "pane_s": -1}, "--pane is -1"),
    ):
        with pytest.raises(ConfigError, match=said):
            compare(reference, file, **given)
    many = written(tmp_path, timed(table(1, rows=11_000)), "many.parquet")
    with pytest.raises(ConfigError, match=r"makes 11,000 panes; use 3,961 or more"):
        compare(reference, many, time="at", pane_s=60)
