"""verify from a seal says of each alert what it says from the beginning, whatever was changed.

A story with a seal every second epoch, on a real Parquet archive with the seals' files beside it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamops.audit.verdicts import Verification
from streamops.audit.verify import verify
from streamops.cli import main
from streamops.config import DRIFT_METRICS
from streamops.core.seal import canonical, decode_manifest, root_of
from streamops.errors import EXIT_CONFIG
from streamops.events import AlertRaised, LabelArrived, PredictionMade, Sealed
from streamops.hosts.memory import MemoryHost
from streamops.hosts.seal_files import keep, seal_path
from tests.integration.test_verify import editing, removing, rewrite
from tests.story import RULES, archive, make_counting, play

EVERY = 2


@pytest.fixture(scope="module")
def host() -> MemoryHost:
    # A drift test reads every pane of its version: its proof goes back to the first.
    rules = tuple(rule for rule in RULES if rule.metric not in DRIFT_METRICS)
    return play(panes=13, seal_every=EVERY, rules=rules)


@pytest.fixture(scope="module")
def intact(host: MemoryHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive(host, tmp_path_factory.mktemp("archive"), rows=100)


@pytest.fixture
def copy(intact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(intact, tmp_path / "archive"))


def check(folder: Path, **asked: Any) -> Verification:
    return verify(folder, make_detector=make_counting, **asked)


def raised(host: MemoryHost) -> list[AlertRaised]:
    return [event for event in host.events("alerts") if isinstance(event, AlertRaised)]


def seals(host: MemoryHost, source: str = "") -> list[Sealed]:
    found = [event for event in host.events("progress") if isinstance(event, Sealed)]
    return sorted(
        (event for event in found if event.source.startswith(source)),
        key=lambda event: (event.epoch, event.source),
    )


def said(found: Verification) -> dict[str, tuple[bool, bool, str]]:
    return {alert.id: (alert.integrity, alert.completeness, alert.status) for alert in found.alerts}


def one_by_one(folder: Path, host: MemoryHost) -> dict[str, Verification]:
    return {alert.id: check(folder, alert=alert.id) for alert in raised(host)}


@pytest.fixture(scope="module")
def whole(intact: Path) -> Verification:
    return check(intact)


@pytest.fixture(scope="module")
def alone(host: MemoryHost, intact: Path) -> dict[str, Verification]:
    return one_by_one(intact, host)


def test_each_alert_alone_has_the_verdict_it_has_among_all(host, whole, alone):
    assert whole.ok
    assert whole.seals == len(seals(host))
    assert whole.start_epoch == -1
    assert {id_: found.alerts[0] for id_, found in alone.items()} == {a.id: a for a in whole.alerts}
    assert all(found.ok for found in alone.values())
    begun = {id_: found.start_epoch for id_, found in alone.items() if found.start_epoch >= 0}
    assert len(begun) > len(alone) // 2
    for id_ in begun:
        assert alone[id_].records < whole.records
        assert alone[id_].seals < whole.seals
    assert max(begun.values()) > min(begun.values()) > 0


def test_alerts_since_a_time_have_the_verdicts_they_have_among_all(host, intact, whole):
    since = sorted({alert.time for alert in raised(host)})[-2]
    found = check(intact, since=since)
    wanted = {alert.id for alert in raised(host) if alert.time >= since}
    assert 1 < len(wanted) < len(raised(host))
    assert said(found) == {id_: said(whole)[id_] for id_ in wanted}
    assert found.ok
    assert found.start_epoch > 0


def test_what_was_changed_fails_the_same_alerts_from_seals(host, copy):
    """A feature value, a removed prediction, an altered alert and one that is gone."""
    known = {e.prediction_id for e in host.events("labels") if isinstance(e, LabelArrived)}
    made = [e for e in host.events("predictions") if isinstance(e, PredictionMade)]
    mine = [e for e in made if e.model == "churn" and e.id in known]
    chosen, gone = mine[int(0.34 * len(mine))], mine[int(0.6 * len(mine))]
    rewrite(copy, "predictions", editing(chosen.id, lambda e: e["features"].update(x=0.123)))
    assert rewrite(copy, "predictions", removing(gone.id)) >= 1
    altered, missing = raised(host)[-1], raised(host)[2]
    rewrite(copy, "alerts", editing(altered.id, lambda e: e.update(severity="major", value=9.5)))
    assert rewrite(copy, "alerts", removing(missing.id)) == 1
    whole = said(check(copy))
    assert not whole[altered.id][0]
    assert not whole[missing.id][1]
    assert {status for _, _, status in whole.values()} == {"failed", "verified"}
    alone = one_by_one(copy, host)
    assert {id_: said(found)[id_] for id_, found in alone.items()} == whole
    assert alone[altered.id].start_epoch > 0


def test_an_alert_that_was_removed_shows_since_its_time_though_nothing_names_it(host, copy):
    """No alert is left since then, so no proof says how far to go back."""
    gone = [alert for alert in raised(host) if alert.time >= raised(host)[-1].time]
    for alert in gone:
        rewrite(copy, "alerts", removing(alert.id))
    found = check(copy, since=min(alert.time for alert in gone))
    assert {verdict.id for verdict in found.alerts} == {alert.id for alert in gone}
    assert not any(verdict.completeness for verdict in found.alerts)
    assert found.start_epoch > 0


@pytest.fixture(scope="module")
def last(host: MemoryHost, alone: dict[str, Verification]) -> tuple[AlertRaised, int]:
    """The last alert, and the epoch of the seals that its verification begins at."""
    alert = max(raised(host), key=lambda event: event.time)
    return alert, alone[alert.id].start_epoch


def damage(path: Path, how: str) -> None:
    if how == "missing":
        path.unlink()
    else:
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize(
    ("source", "kind", "how"),
    [
        ("meter/1", "", "changed"),
        ("meter/0", "panes", "missing"),
        ("detect/0", "", "missing"),
        ("controller/0", "controller", "changed"),
    ],
)
def test_a_file_that_is_not_as_it_was_is_named_and_an_older_seal_taken(
    host, copy, last, how, source, kind
):
    alert, epoch = last
    (event,) = (e for e in seals(host, source) if e.epoch == epoch)
    name = event.evidence.contents
    if kind:
        manifest = decode_manifest(host.files[name])
        name = next(ref.sha256 for ref in manifest.leaves if ref.kind == kind)
    damage(seal_path(copy, name), how)
    found = check(copy, alert=alert.id)
    assert found.alerts[0].status == "verified"
    assert found.start_epoch == epoch - EVERY
    assert not found.ok
    named = f"seal of {source} at epoch {epoch}: seals/{name[:2]}/{name}"
    assert any(named in line for line in found.findings)


def test_all_names_every_file_that_is_not_as_it_was_and_verifies_the_alerts(host, copy):
    names = [event.evidence.contents for event in seals(host)[5:8]]
    for name, how in zip(names, ("missing", "changed", "missing"), strict=True):
        damage(seal_path(copy, name), how)
    found = check(copy)
    assert all(verdict.status == "verified" for verdict in found.alerts)
    assert not found.ok
    assert len(found.findings) == len(names)
    assert all(any(name in line for line in found.findings) for name in names)


def test_without_any_file_all_is_folded_from_the_beginning(host, copy):
    shutil.rmtree(copy / "seals")
    alert = raised(host)[-1]
    found = check(copy, alert=alert.id)
    assert found.start_epoch == -1
    assert found.alerts[0].status == "verified"
    assert not found.ok


def forge(folder: Path, event: Sealed, kind: str) -> Sealed:
    """Give a seal another leaf, with files and a root that agree: only a fold can tell."""
    manifest = decode_manifest(seal_path(folder, event.evidence.contents).read_bytes())
    files: dict[str, bytes] = {}

    def named(data: bytes) -> str:
        name = hashlib.sha256(data).hexdigest()
        files[name] = data
        return name

    leaves = []
    for ref in manifest.leaves:
        if ref.kind == kind:
            other = next(r for r in manifest.leaves if r.kind == kind and r.model != ref.model)
            data = seal_path(folder, other.sha256).read_bytes()
            swapped = data.replace(other.model.encode(), ref.model.encode())
            ref = msgspec.structs.replace(ref, sha256=named(swapped), bytes=len(swapped))
        leaves.append(ref)
    false = msgspec.structs.replace(manifest, leaves=tuple(leaves))
    evidence = msgspec.structs.replace(event.evidence, contents=named(canonical(false)))
    keep(folder, files)
    return msgspec.structs.replace(event, root=root_of(leaves), evidence=evidence)


def test_a_forged_seal_with_files_that_agree_is_found_by_the_fold(host, copy):
    event = seals(host, "monitor/")[3]
    false = forge(copy, event, "monitor")
    fields = json.loads(msgspec.json.encode(false))
    rewrite(copy, "progress", editing(event.id, lambda e: e.update(fields)))
    found = check(copy)
    assert not found.ok
    (finding,) = found.findings
    assert finding.startswith("progress-")
    assert "the recomputation gives another root" in finding


def test_a_seal_that_is_written_twice_with_two_roots_is_not_gone_on_from(host, copy, last):
    alert, epoch = last
    event = next(e for e in seals(host, "monitor/") if e.epoch == epoch)
    for path in (copy / "raw" / "topic=progress").rglob("*.parquet"):
        table = pq.read_table(path)
        rows = table.to_pylist()
        mine = [row for row in rows if f'"id":"{event.id}"'.encode() in row["value"]]
        for row in mine:
            again = {**row, "offset": rows[-1]["offset"] + 1}
            again["value"] = row["value"].replace(event.root.encode(), b"0" * 64)
            pq.write_table(pa.Table.from_pylist([*rows, again], schema=table.schema), path)
    found = check(copy, alert=alert.id)
    assert found.start_epoch == epoch - EVERY
    assert found.alerts[0].status == "verified"
    assert not found.ok


def test_the_command_takes_an_alert_or_a_time(host, intact, capsys):
    drifts = [alert for alert in raised(host) if alert.kind == "data_drift"]
    last = drifts[-1]
    folder = ["--archive", str(intact)]
    assert main(["verify", last.id, *folder, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [alert["id"] for alert in found["alerts"]] == [last.id]
    assert found["start_epoch"] > 0
    assert main(["verify", "--since", last.time.isoformat(), *folder]) == 0
    assert f"from the seal of epoch {found['start_epoch']}" in capsys.readouterr().err
    assert main(["verify", "alert/none", *folder]) == EXIT_CONFIG
    assert "doesn't hold" in capsys.readouterr().err
    assert main(["verify", "--since", "yesterday", *folder]) == EXIT_CONFIG
    assert "2026-03-01T12:00Z" in capsys.readouterr().err
    assert main(["verify", last.id, "--all", *folder]) == EXIT_CONFIG
