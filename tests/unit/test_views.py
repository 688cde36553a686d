"""Tables follow their events, and the reference page follows the tables."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import msgspec
import pytest

from streamops import codec
from streamops.core.inbox import RawInbox
from streamops.errors import ConfigError, InputError, TransportError
from streamops.events import EpochConcluded, PredictionMade, Tick, TopologyActivated
from streamops.settings import Settings
from streamops.views import reference
from streamops.views.log import RawRecord, to_record
from streamops.views.positions import Position
from streamops.views.queries import address_file, query, read_answer
from streamops.views.store import known_schema, open_store, store
from streamops.views.tables import table_name, tables

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def test_every_event_type_has_its_table_and_names_are_plain():
    names = {kind: table.name for kind, table in tables().items()}
    assert set(names) == {kind.__name__ for kind in codec.EVENT_TYPES}
    assert len(set(names.values())) == len(names)
    expected = {
        "PredictionMade": "predictions",
        "AlertRaised": "alerts_raised",
        "TopologyActivated": "topologies_activated",
        "AlertSilenceRequested": "alert_silences_requested",
        "RolloutRolledBack": "rollouts_rolled_back",
        "ActionTaken": "actions_taken",
        "Tick": "ticks",
    }
    assert {kind: names[kind] for kind in expected} == expected


FULL_DISK = """
import resource, sys
from pathlib import Path
from streamops.errors import TransportError
from streamops.views.log import RawRecord
from streamops.views.store import open_store, store
con = open_store(Path(sys.argv[1]))
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, most))
raws = [RawRecord("unknown", 0, n, 0, b"", b"x" * 1000) for n in range(2000)]
try:
    store(con, raws, {}, None)
except TransportError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
con.close()
again = open_store(Path(sys.argv[1]))
print(again.execute("SELECT count(*) FROM records_unreadable").fetchone()[0])
print(sum(p.records for p in store(again, raws, {}, None).values()))
"""


def test_a_disk_that_is_full_is_told_and_nothing_of_the_batch_stays(tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "views.duckdb")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    told, *rest = ended.stdout.splitlines()
    assert "the views can't be written" in told
    assert "File too large" in told
    assert rest == ["0", "2000"]


@pytest.mark.parametrize("kind", codec.EVENT_TYPES, ids=table_name)
def test_every_field_but_the_stamp_is_a_column_once(kind):
    table = tables()[kind.__name__]
    fields = [f for f in kind.__struct_fields__ if f != "stamp"]
    assert [c.field for c in table.columns] == fields
    with duckdb.connect() as con:
        con.execute(table.create())
        described = [row[0] for row in con.execute(f'DESCRIBE "{table.name}"').fetchall()]
    assert len(described) == len({name.lower() for name in described})


def test_the_reference_page_names_every_table_view_and_column():
    assert reference.main(["--check"]) == 0, "run python -m streamops.views.reference"


def test_every_stored_sample_of_an_event_becomes_a_row(tmp_path, root):
    con = open_store(tmp_path / "views.duckdb")
    samples = sorted((root / "topics" / "samples").rglob("*.json"))
    assert samples
    for n, path in enumerate(samples):
        raw = RawRecord("unknown", n, 0, 0, b"", path.read_bytes())
        position = store(con, [raw], {}, None)[("unknown", n)]
        assert (position.events, position.unreadable) == (1, 0), path.name
    con.close()


def test_text_that_json_lets_in_and_duckdb_does_not_stops_nobody(tmp_path):
    con = open_store(tmp_path / "views.duckdb")
    good, odd = prediction("good", b'{"x":1}'), prediction("odd", b'{"x":01}')
    broken = good.value.replace(b'{"x":1}', b'{"x":"\\ud800"}').replace(b"good", b"sad")
    values = [good.value, odd.value, broken]
    raws = [RawRecord("predictions", 0, n, 0, b"", value) for n, value in enumerate(values)]
    position = store(con, raws, {}, None)[("predictions", 0)]
    found = [i for (i,) in con.execute("SELECT id FROM predictions ORDER BY id").fetchall()]
    assert "good" in found
    assert position.records == 3 == position.events + position.unreadable
    assert len(found) == position.events
    con.close()


def prediction(name: str, features: bytes) -> RawRecord:
    event = PredictionMade(
        id=name, time=NOON, model="m", version="1", prediction=1, features=msgspec.Raw(features)
    )
    return RawRecord("predictions", 0, 0, 0, b"", codec.encode(event))


@pytest.mark.parametrize("skew_ms", [None, 1000])
def test_an_epoch_is_cut_as_the_core_cuts_it(skew_ms):
    ticks = [(0, 5), (0, 6), (2, 4), (1, 7), (3, 7), (2, 9), (200_000, 9), (4, 99_999), (5, 8)]
    inbox, position = RawInbox("labels", next_epoch=0, skew_max_ms=skew_ms), Position()
    mine = {}
    for offset, (epoch, second) in enumerate(ticks):
        time = datetime.fromtimestamp(second, UTC)
        tick = Tick(id=f"t{offset}", time=time, epoch=epoch)
        raw = RawRecord("labels", 0, offset, 20_000, b"", codec.encode(tick))
        mine[offset] = position.epoch_of("labels", tick)
        position.take("labels", tick, raw.append_ms, skew_ms)
        inbox.feed(to_record(raw))
    # A tick that closes several epochs stands in each: the first one is where it is read.
    closed: dict[int, int] = {}
    for epoch in filter(inbox.ready, range(position.open_epoch)):
        for record in inbox.take(epoch)[0]:
            closed.setdefault(record.offset, epoch)
    assert closed
    assert {offset: mine[offset] for offset in closed} == closed


def test_a_strangers_topology_hides_no_concluded_epoch(tmp_path):
    """Applications may write on predictions; what they say there of the namespace is not so."""
    true = TopologyActivated(id="topology", time=NOON, partitions=1)
    forged = TopologyActivated(id="forged", time=NOON, partitions=24)
    done = EpochConcluded(id="c", time=NOON, partition=0, epoch=7)
    raws = [
        RawRecord(topic, 0, 0, 0, b"", codec.encode(event))
        for topic, event in (("predictions", forged), ("lifecycle", true), ("progress", done))
    ]
    con = open_store(tmp_path / "views.duckdb")
    store(con, raws, {}, None)
    assert con.execute("SELECT epoch FROM concluded").fetchall() == [(7,)]
    con.close()


def test_a_file_of_another_schema_is_made_anew(tmp_path):
    path = tmp_path / "views.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE schema_version AS SELECT 'older' AS hash")
        con.execute("CREATE TABLE predictions (old INTEGER)")
    con = open_store(path)
    assert known_schema(con) not in (None, "older")
    assert con.execute("SELECT count(id) FROM predictions").fetchall() == [(0,)]
    con.close()


def test_what_is_no_duckdb_file_is_named(tmp_path):
    path = tmp_path / "views.duckdb"
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(TransportError, match=r"views\.duckdb can't be opened"):
        open_store(path)


def test_a_question_without_views_names_the_way_out(tmp_path):
    settings = Settings(bootstrap="", data=tmp_path)
    with pytest.raises(ConfigError, match="start the materializer"):
        query(settings, "SELECT 1")


def test_an_address_nobody_listens_at_falls_back_to_the_file(tmp_path):
    settings = Settings(bootstrap="", data=tmp_path)
    open_store(settings.views).close()
    # Port 9 of this host: nobody discards anything there.
    address_file(settings).write_text("http://127.0.0.1:9\n")
    assert query(settings, "SELECT 42 AS n, NULL, 1.5::DECIMAL(3,1), [1,2]").rows == [
        [42, None, 1.5, [1, 2]]
    ]


def test_an_answer_over_http_is_told_by_its_status():
    answer = read_answer("x", 200, b'{"columns":["n"],"rows":[[1]],"truncated":false}')
    assert (answer.columns, answer.rows) == (("n",), [[1]])
    with pytest.raises(InputError, match="no such table"):
        read_answer("x", 400, b'{"detail":"no such table"}')
    with pytest.raises(TransportError, match="unreadable answer of status 502"):
        read_answer("x", 502, b"<html>")


def test_the_page_is_made_by_a_command(root: Path):
    done = subprocess.run(
        [sys.executable, "-m", "streamops.views.reference", "--check"],
        cwd=root,
        check=False,
    )
    assert done.returncode == 0
