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
