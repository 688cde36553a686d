"""Time travel: the views of a point hold exactly what the log had by then."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest

from streamops.cli import main
from streamops.core.times import micros, moment
from streamops.errors import EXIT_CONFIG, InputError
from streamops.events import (
    AlertRaised,
    AlertResolved,
    LabelArrived,
    PredictionMade,
    StageChanged,
    Tick,
    TopologyActivated,
)
from streamops.hosts.memory import MemoryHost
from streamops.settings import Settings
from streamops.views.asof import AsOf
from streamops.views.log import RawRecord, to_record
from streamops.views.queries import NOW, Question, answer_question, query
from streamops.views.store import open_store, statements, store, view_statements
from streamops.views.tables import epoch_of
from tests.story import PANE_S, at, introduce, make_counting, play, serve
from tests.web_views import raws

RAW = ("predictions", "labels", "lifecycle")
HALF = at(8 * PANE_S)
NOWHERE = datetime(1999, 1, 1, tzinfo=UTC)


def in_append_order(records: Iterable[RawRecord]) -> list[RawRecord]:
    """The records with append times that never fall in a partition, as a broker stamps them."""
    latest: dict[tuple[str, int], int] = {}
    begun = micros(at(0)) // 1000
    found = []
    for raw in records:
        place = raw.topic, raw.partition
        latest[place] = max(latest.get(place, begun), raw.append_ms)
        found.append(raw._replace(append_ms=latest[place]))
    return found


@cache
def host():
    return play()


@cache
def records() -> list[RawRecord]:
    return in_append_order(raws(host()))


def filled(folder: Path, some: Iterable[RawRecord]) -> Path:
    """A file of views with these records alone."""
    con = open_store(folder / "views.duckdb")
    store(con, list(some), {}, None)
    con.execute("CHECKPOINT")
    con.close()
    return folder / "views.duckdb"


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("all"), records())


@cache
def names() -> list[str]:
    with duckdb.connect() as con:
        for statement in statements():
            con.execute(statement)
        found = con.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    return sorted(name for (name,) in found)


def everything(path: Path, at: AsOf = NOW) -> dict[str, list[str]]:
    """Every view's rows, sorted."""
    each = [f"SELECT '{name}' AS name, CAST(to_json(v) AS VARCHAR) AS row FROM {name} v"
            for name in names()]  # fmt: skip
    found: dict[str, list[str]] = {name: [] for name in names()}
    for name, row in rows_at(path, " UNION ALL ".join(each), at):
        found[name].append(row)
    return {name: sorted(rows) for name, rows in found.items()}


def rows_at(path: Path, sql: str, at: AsOf) -> list[list[Any]]:
    return answer_question(path, Question(sql, at)).rows


def rows(path: Path, sql: str, **point: Any) -> list[list[Any]]:
    return rows_at(path, sql, AsOf(**point))


def test_every_view_is_made_anew():
    assert len(names()) == sum(text.count("CREATE OR REPLACE VIEW") for text in view_statements())


@pytest.mark.parametrize("panes", [1, 5, 9.5, 30])
def test_as_of_a_time_every_view_is_what_it_was_when_no_more_was_recorded(views, tmp_path, panes):
    point = at(panes * PANE_S)
    before = [raw for raw in records() if raw.append_ms * 1000 <= micros(point)]
    assert before
    assert everything(views, AsOf(recorded=point)) == everything(filled(tmp_path, before))


@pytest.mark.parametrize("epoch", [0, 6, 12])
def test_as_of_an_epoch_every_view_is_what_it_was_when_that_was_concluded(views, tmp_path, epoch):
    ends = {
        (raw.topic, raw.partition): raw.offset
        for raw in records()
        if isinstance(event := to_record(raw).event, Tick) and event.epoch == epoch + 1
    }
    before = []
    for raw in records():
        if raw.topic in RAW:
            kept = raw.offset <= ends[(raw.topic, raw.partition)]
        else:
            own = epoch_of(to_record(raw).event)
            kept = own is not None and own <= epoch
        before += [raw] if kept else []
    assert everything(views, AsOf(epoch=epoch)) == everything(filled(tmp_path, before))
    assert rows(views, "SELECT epoch FROM concluded", epoch=epoch) == [[epoch]]


def test_for_a_time_the_champion_is_the_one_that_was(views):
    changes = [e for e in host().events("deployments") if isinstance(e, StageChanged)]
    churn = [e for e in changes if e.model == "churn" and e.after == "Production"]
    assert len(churn) >= 2
    for change in churn:
        sql = "SELECT version FROM current_models WHERE model = 'churn' AND stage = 'Production'"
        assert rows(views, sql, event=change.time) == [[change.version]]


def test_for_a_time_alerts_are_those_that_were_open(views):
    raised = [e for e in host().events("alerts") if isinstance(e, AlertRaised) and e.time <= HALF]
    ended = {
        e.alert_id
        for e in host().events("alerts")
        if isinstance(e, AlertResolved) and e.time <= HALF
    }
    expected = sorted({e.id for e in raised} - ended)
    assert expected
    found = rows(views, "SELECT alert_id FROM alerts_open ORDER BY 1", event=HALF)
    assert [id_ for (id_,) in found] == expected


def test_for_a_time_performance_is_told_though_its_labels_came_later(views):
    sql = "SELECT max(pane_end) FROM performance_by_pane WHERE model = 'churn'"
    shown = HALF.isoformat().replace("+00:00", "Z")
    assert rows(views, sql, event=HALF) == [[shown]]
    # What was recorded by then knows less: the pane's labels are due half a pane later.
    assert rows(views, sql, recorded=HALF)[0][0] < shown


def test_both_times_at_once_ask_what_was_known_then_of_what_was_so_before(views):
    before = HALF - timedelta(seconds=3 * PANE_S)
    sql = "SELECT model, version FROM current_models WHERE stage = 'Production' ORDER BY ALL"
    both = rows(views, sql, recorded=HALF, event=before)
    assert both == rows(views, sql, event=before)
    assert rows(views, "SELECT count(*) FROM predictions", recorded=before, event=HALF) == rows(
        views, "SELECT count(*) FROM predictions WHERE time <= append_time", recorded=before
    )


def test_then_and_now_are_compared_in_one_query(views):
    sql = "SELECT (SELECT count(*) FROM predictions), (SELECT count(*) FROM latest.predictions)"
    ((then, now),) = rows(views, sql, recorded=HALF)
    assert 0 < then < now


def with_late_labels() -> tuple[MemoryHost, int]:
    """The story's first panes; two panes later the first pane's missing labels come, all wrong."""
    host = MemoryHost(partitions=2, make_detector=make_counting)
    host.broadcast(TopologyActivated(id="topology", time=at(0), partitions=2, driven=True))
    host.tick(0, at(0))
    introduce(host, "churn", 1, (), ())
    late = 0
    for pane in range(8):
        host.tick(pane + 1, at(pane * PANE_S))
        host.run()
        if pane == 2:
            late = label_the_rest(host)
        for second in range(pane * PANE_S, (pane + 1) * PANE_S):
            serve(host, random.Random(second), second, pane, {}, None)
    host.run()
    return host, late


def label_the_rest(host: MemoryHost) -> int:
    labelled = {e.prediction_id for e in host.events("labels") if isinstance(e, LabelArrived)}
    waiting = {
        e.id: e
        for e in host.events("predictions")
        if isinstance(e, PredictionMade)
        and e.model == "churn"
        and e.time < at(PANE_S)
        and e.id not in labelled
    }
    for made in waiting.values():
        label = LabelArrived(
            id=f"late/{made.id}",
            time=at(2 * PANE_S),
            prediction_id=made.id,
            label=1 - int(made.prediction),
        )
        host.append("labels", made.id, label)
    return len(waiting)


def test_a_restatement_says_what_was_known_when(tmp_path):
    host, late = with_late_labels()
    path = filled(tmp_path, in_append_order(raws(host)))
    sql = (
        "SELECT cut, value, n, change, more, known_from, known_until FROM restatements "
        "WHERE model = 'churn' AND segment = 'all' AND metric = 'accuracy' "
        f"AND pane_end = '{at(PANE_S).replace(tzinfo=None)}'"
    )
    first, again = rows(path, sql)
    assert (first[0], first[3], first[4]) == ("mature", None, None)
    assert (again[0], again[2], again[4]) == ("restated", first[2] + late, late)
    assert late > 0
    assert again[1] == pytest.approx(first[1] * first[2] / again[2])
    assert again[3] == pytest.approx(again[1] - first[1])
    assert again[5] == first[6] > first[5]
    assert again[6] is None
    # As of the moment before, the first was the last word.
    early = datetime.fromisoformat(again[5]) - timedelta(milliseconds=1)
    assert rows(path, sql, recorded=early) == [[*first[:6], None]]


def test_what_has_no_past_says_so(views):
    with pytest.raises(InputError, match=r"ask latest\.positions"):
        rows(views, "SELECT * FROM positions", recorded=HALF)
    assert rows(views, "SELECT count(*) > 0 FROM latest.positions", recorded=HALF) == [[True]]


def test_a_point_where_nothing_is_to_be_seen_is_refused(views):
    first = "before the first record \\("
    with pytest.raises(InputError, match=f"^as-of is 1999-01-01T00:00:00Z, {first}20"):
        rows(views, "SELECT 1", recorded=NOWHERE)
    with pytest.raises(InputError, match=f"^for is 1960-01-01T00:00:00Z, {first}"):
        rows(views, "SELECT 1", event=NOWHERE.replace(year=1960))
    with pytest.raises(InputError, match=r"^as-of-epoch is 500, which isn't concluded; the la"):
        rows(views, "SELECT 1", epoch=500)


def test_empty_views_have_no_past(tmp_path):
    with pytest.raises(InputError, match="nothing is recorded yet"):
        rows(filled(tmp_path, []), "SELECT 1", recorded=NOWHERE)


def test_views_of_another_schema_are_not_read_as_ours(views, tmp_path):
    other = tmp_path / "views.duckdb"
    other.write_bytes(views.read_bytes())
    with duckdb.connect(str(other)) as con:
        con.execute("UPDATE schema_version SET hash = 'older'")
    with pytest.raises(InputError, match="made by another version of streamops; start the mater"):
        rows(other, "SELECT 1", recorded=HALF)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--as-of", "2026-03-01T12:00"], "names no time zone: write 2026-03-01T12:00Z"),
        (["--for", "2026-03-01"], "names no time zone"),
        (["--as-of", "noon"], "--as-of is 'noon', which is no time; write it as"),
        (["--as-of", "2026-03-01T12:00Z", "--as-of-epoch", "3"], "both given: give one of them"),
        (["--json", "--csv"], "--json and --csv are both given: give one of them"),
        (["--as-of-epoch", "-1"], "--as-of-epoch is -1: epochs begin at 0"),
    ],
)
def test_a_wrong_point_is_refused_before_anything_is_read(options, said, tmp_path, capsys):
    assert main(["sql", "SELECT 1", "--data", str(tmp_path), *options]) == EXIT_CONFIG
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("", "sql is '', which asks nothing; write a SELECT"),
        ("SELEC 1", "syntax error"),
    ],
)
def test_a_question_that_is_none_is_the_users_mistake(views, capsys, sql, said):
    assert main(["sql", sql, "--data", str(views.parent)]) == EXIT_CONFIG
    assert said in capsys.readouterr().err


def test_the_command_prints_json_of_a_point(views, capsys):
    point = moment(micros(HALF)).isoformat()
    sql = "SELECT count(*) AS n FROM predictions"
    arguments = ["sql", sql, "--data", str(views.parent), "--as-of", point, "--json"]
    assert main(arguments) == 0
    ((expected,),) = rows(views, sql, recorded=HALF)
    assert json.loads(capsys.readouterr().out) == [{"n": expected}]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM latest.ticks",
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "SELECT * FROM read_text('/etc/hostname')",
        "ATTACH '{folder}/other.duckdb'",
        "SET enable_external_access = true",
        "DETACH latest; ATTACH '{folder}/views.duckdb' AS latest",
    ],
)
def test_looking_back_opens_no_door(views, tmp_path, sql):
    before = views.read_bytes()
    with pytest.raises(InputError, match=r"^sql failed: "):
        rows(views, sql.format(folder=tmp_path), recorded=HALF)
    assert views.read_bytes() == before
    assert list(tmp_path.iterdir()) == []


def test_a_question_of_now_is_answered_as_before(views):
    settings = Settings(bootstrap="", data=views.parent)
    assert query(settings, "SELECT 1").rows == [[1]]
