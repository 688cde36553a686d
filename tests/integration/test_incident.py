"""Capsules: cut from an archive, equal to the byte, and proof alone; damaged ones are none."""

from __future__ import annotations

import io
import json
import random
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from streamops.audit.asked import Asked
from streamops.audit.capsule import ALERTS, MANIFEST, Manifest, names_in, opened, sum_of
from streamops.audit.capsule_check import CapsuleCheck, check_capsule
from streamops.audit.incident import save_incident
from streamops.audit.packed import pack, unpack
from streamops.cli import main
from streamops.config import DRIFT_METRICS
from streamops.errors import (
    EXIT_CONFIG,
    EXIT_TRANSPORT,
    ConfigError,
    InputError,
    ServiceError,
    TransportError,
)
from streamops.events import AlertRaised
from streamops.hosts.memory import MemoryHost
from streamops.values import ReferenceProfile
from streamops.versions import profile_hash
from tests.integration.test_verify import editing, removing, rewrite
from tests.story import PANE_S, RULES, archive, at, make_counting, play

EVERY = 2


@pytest.fixture(scope="module")
def host() -> MemoryHost:
    rules = tuple(rule for rule in RULES if rule.metric not in DRIFT_METRICS)
    return play(panes=13, seal_every=EVERY, rules=rules)


@pytest.fixture(scope="module")
def intact(host: MemoryHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive(host, tmp_path_factory.mktemp("archive"), rows=100)


def raised(host: MemoryHost) -> list[AlertRaised]:
    return [event for event in host.events("alerts") if isinstance(event, AlertRaised)]


def last(host: MemoryHost) -> AlertRaised:
    return max(raised(host), key=lambda alert: (alert.time, alert.id))


def only(alert: AlertRaised) -> Asked:
    return Asked(frozenset({alert.id}))


def save(folder: Path, asked: Asked, out: Path) -> CapsuleCheck:
    return save_incident(folder, "one", asked, out, make_detector=make_counting).check


def check(path: Path) -> CapsuleCheck:
    return check_capsule(path, make_detector=make_counting)


@pytest.fixture(scope="module")
def saved(host: MemoryHost, intact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last alert as a folder; it begins at a seal."""
    path = tmp_path_factory.mktemp("capsules") / "last"
    assert save(intact, only(last(host)), path).start_epoch > 0
    return path


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "capsule"))


def list_again(folder: Path) -> None:
    """Make the manifest agree with the files, as a forger would."""
    path = folder / MANIFEST
    known = msgspec.json.decode(path.read_bytes(), type=Manifest)
    files = tuple(sum_of(folder, name) for name in names_in(folder))
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(known, files=files)))


def change_manifest(folder: Path, **fields: Any) -> None:
    path = folder / MANIFEST
    path.write_bytes(json.dumps({**json.loads(path.read_bytes()), **fields}).encode())


# Saved --------------------------------------------------------------------------------------------


def test_each_alert_alone_is_proven_by_its_capsule(host, intact, tmp_path):
    starts = set()
    for n, alert in enumerate(raised(host)):
        found = save(intact, only(alert), tmp_path / f"{n}.tar.zst")
        assert found.ok
        assert [verdict.id for verdict in found.alerts] == [alert.id]
        assert check(tmp_path / f"{n}.tar.zst") == found
        starts.add(found.start_epoch)
    assert -1 in starts
    assert len(starts) > 3


def test_a_span_of_time_and_a_model_choose_alerts(host, intact, tmp_path):
    asked = Asked(since=at(4 * PANE_S), until=at(10 * PANE_S), model="churn")
    wanted = {a.id for a in raised(host) if at(4 * PANE_S) <= a.time < at(10 * PANE_S)}
    found = save(intact, asked, tmp_path / "some")
    assert {alert.id for alert in found.alerts} == wanted
    assert 1 < len(wanted) < len(raised(host))


def test_the_same_incident_gives_equal_bytes_however_the_archive_is_cut(
    host, intact, saved, tmp_path
):
    again = archive(host, tmp_path / "archive", rows=37)
    for folder, name in ((intact, "a"), (again, "b")):
        save(folder, only(last(host)), tmp_path / f"{name}.tar.zst")
        save(folder, only(last(host)), tmp_path / name)
    assert (tmp_path / "a.tar.zst").read_bytes() == (tmp_path / "b.tar.zst").read_bytes()
    names = [MANIFEST, *names_in(saved)]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (saved / name).read_bytes(), name
        assert (tmp_path / "b" / name).read_bytes() == (saved / name).read_bytes(), name
    unpack(tmp_path / "a.tar.zst", tmp_path / "unpacked")
    assert [MANIFEST, *names_in(tmp_path / "unpacked")] == names


def test_it_holds_configuration_profile_and_what_is_expected(host, saved):
    alert = last(host)
    (line,) = (saved / ALERTS).read_bytes().splitlines()
    assert json.loads(line)["id"] == alert.id
    names = names_in(saved)
    assert f"configurations/{alert.config_hash}.json" in names
    assert f"versions/churn/{alert.version}.json" in names


def test_what_follows_the_last_alert_is_left_out(host, intact, tmp_path):
    first = min(raised(host), key=lambda alert: alert.time)
    save(intact, only(first), tmp_path / "first")
    with opened(tmp_path / "first") as capsule:
        assert capsule.manifest.cut.until == first.stamp.epoch
        (held,) = (s for s in capsule.manifest.cut.spans if (s.topic, s.partition) == ("labels", 0))
    assert held.next < len(host.log[("labels", 0)]) // 2


def test_an_alert_that_fails_is_not_saved(host, intact, tmp_path):
    folder = Path(shutil.copytree(intact, tmp_path / "archive"))
    rewrite(folder, "alerts", editing(last(host).id, lambda e: e.update(value=9.5)))
    with pytest.raises(ConfigError, match=r"isn't verified in .*another value"):
        save(folder, only(last(host)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_record_that_is_gone_is_not_saved_as_if_it_had_never_been(host, intact, tmp_path):
    """A gap that a cut would say is a marker's."""
    folder = Path(shutil.copytree(intact, tmp_path / "archive"))
    gone = [e for e in host.events("predictions") if getattr(e, "model", "") == "calm"][-200]
    assert rewrite(folder, "predictions", removing(gone.id))
    with pytest.raises(TransportError, match="lacks what the alerts rest on: predictions-"):
        save(folder, only(last(host)), tmp_path / "out")


def test_what_can_not_be_saved_is_told(host, intact, saved, tmp_path):
    with pytest.raises(ConfigError, match="is there already"):
        save(intact, only(last(host)), saved)
    with pytest.raises(ConfigError, match="no alert in"):
        save(intact, Asked(model="nobody"), tmp_path / "out")


# Damaged and forged -------------------------------------------------------------------------------


def tried(path: Path) -> CapsuleCheck | str:
    """What a check found, or the error that it ended with."""
    try:
        return check(path)
    except ServiceError as error:
        return str(error)


def test_files_that_are_missing_or_changed_are_named_and_nothing_verified(saved, tmp_path):
    """One in three of them, and all beside the archive."""
    chance = random.Random(5)
    names = names_in(saved)
    mine = [name for n, name in enumerate(names) if n % 3 == 0 or not name.startswith("archive/")]
    for number, name in enumerate(mine):
        folder = Path(shutil.copytree(saved, tmp_path / "damaged"))
        path = folder / name
        if number % 2:
            path.unlink()
        else:
            data = bytearray(path.read_bytes())
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            path.write_bytes(bytes(data))
        found = tried(folder)
        if isinstance(found, str):
            assert str(folder) in found
        else:
            assert not found.ok
            assert any(line.startswith(name) for line in found.findings), name
            assert not any(verdict.completeness for verdict in found.alerts)
            assert {verdict.status for verdict in found.alerts} == {"failed"}
        shutil.rmtree(folder)


def test_a_file_that_nobody_listed_is_named(copy):
    (copy / "archive" / "more").write_text("x")
    found = check(copy)
    assert not found.ok
    assert "archive/more: the manifest doesn't list it; take it out" in found.findings


def test_a_forged_record_under_a_manifest_that_agrees_fails_the_fold(host, copy):
    """Who makes the manifest agree can still not make the raw records give another alert."""
    alert = last(host)
    metrics = {event.id: event for event in host.events("metrics")}
    summary = metrics[alert.evidence.metrics[0].id].evidence.summaries[0]
    span = next(s for s in summary.raw.spans if s.topic == "predictions")
    rewrite(copy / "archive", "predictions", lambda row: {**row, "value": row["value"].replace(
        b'"latency_ms":', b'"latency_ms":9')} if row["offset"] == span.first else row)  # fmt: skip
    list_again(copy)
    found = check(copy)
    assert [(v.integrity, v.status) for v in found.alerts] == [(False, "failed")]


@pytest.mark.parametrize("file", ["configurations", "versions"])
def test_a_wrong_configuration_or_profile_is_named(copy, file):
    path = next((copy / file).rglob("*.json"))
    fields = json.loads(path.read_bytes())
    if file == "versions":
        fields["profile"]["rows"] += 1
    else:
        fields["pane_s"] *= 2
    path.write_bytes(json.dumps(fields).encode())
    list_again(copy)
    found = check(copy)
    kind = "profile" if file == "versions" else "configuration"
    assert not found.ok
    assert f"{path.relative_to(copy)}: wrong {kind}, its hash is" in found.findings[0]
    assert [(v.integrity, v.completeness) for v in found.alerts] == [(False, True)]


def test_a_profile_that_agrees_with_itself_but_not_with_the_panes_is_wrong(copy):
    path = next((copy / "versions").rglob("*.json"))
    fields = json.loads(path.read_bytes())
    fields["profile"]["rows"] += 1
    profile = msgspec.convert(fields["profile"], ReferenceProfile)
    fields["profile_hash"] = profile_hash(profile)
    path.write_bytes(json.dumps(fields).encode())
    list_again(copy)
    assert "wrong profile" in check(copy).findings[0]


def test_an_expected_alert_that_is_not_there_and_one_that_was_not_expected(copy):
    line = json.loads((copy / ALERTS).read_bytes())
    line["value"] = 9.5
    (copy / ALERTS).write_bytes(json.dumps(line, separators=(",", ":")).encode() + b"\n")
    list_again(copy)
    found = check(copy)
    assert not found.ok
    assert [finding.partition(" ")[0] for finding in found.findings] == [f"{ALERTS}:"] * 2


def test_a_manifest_that_names_no_alert_proves_none(copy):
    change_manifest(copy, alerts=["alert/none"])
    found = check(copy)
    assert not found.ok
    assert [(v.id, v.status) for v in found.alerts] == [("alert/none", "failed")]


def test_a_packed_capsule_cut_short_or_altered_is_never_verified(host, intact, tmp_path):
    whole = tmp_path / "whole.tar.zst"
    save(intact, only(last(host)), whole)
    data, chance = whole.read_bytes(), random.Random(9)
    bad = tmp_path / "bad.tar.zst"
    for number in range(40):
        if number % 2:
            changed = bytearray(data)
            changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            bad.write_bytes(bytes(changed))
        else:
            bad.write_bytes(data[: chance.randrange(len(data) - 200)])
        found = tried(bad)
        if isinstance(found, str):
            assert str(bad) in found
        else:
            assert not found.ok, number
            assert {verdict.status for verdict in found.alerts} <= {"failed"}


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside"])
def test_nothing_is_unpacked_outside_its_folder(name, tmp_path):
    path = tmp_path / "evil.tar.zst"
    with (
        pa.CompressedOutputStream(str(path), "zstd") as stream,
        tarfile.open(fileobj=stream, mode="w|") as tar,
    ):
        about = tarfile.TarInfo(name)
        about.size = 1
        tar.addfile(about, io.BytesIO(b"x"))
    with pytest.raises(InputError, match="belongs in no capsule"):
        unpack(path, tmp_path / "in" / "side")
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path / "in" / "outside").exists()


def test_a_bomb_stops_at_the_limit(tmp_path):
    (tmp_path / "zeros").write_bytes(bytes(1_000_000))
    pack(tmp_path, ["zeros"], tmp_path / "bomb.tar.zst")
    with pytest.raises(InputError, match="unpacks to more than 1,000 bytes"):
        unpack(tmp_path / "bomb.tar.zst", tmp_path / "out", limit=1000)


# Versions -----------------------------------------------------------------------------------------


def test_a_capsule_of_a_newer_format_is_refused_by_name(copy):
    change_manifest(copy, format=2, streamops="9.9", files="of another kind")
    with pytest.raises(ConfigError, match=r"capsule.json says format 2.*streamops.*9\.9"):
        check(copy)


def test_a_seal_of_other_semantics_needs_the_version_that_saved_it(copy):
    change_manifest(copy, semantics={"meter": 9}, streamops="9.9")
    with pytest.raises(ConfigError, match=r"semantics meter 9.*verify it with streamops 9\.9"):
        check(copy)


def test_from_the_beginning_other_semantics_are_said_with_what_came_out(host, intact, tmp_path):
    first = next(alert for alert in raised(host) if alert.kind == "concept_drift")
    path = tmp_path / "first"
    assert save(intact, only(first), path).start_epoch == -1
    change_manifest(path, semantics={"meter": 9})
    assert (check(path).ok, check(path).semantics) == (True, "other semantics, same result")
    rewrite(path / "archive", "alerts", editing(first.id, lambda e: e.update(value=9.5)))
    list_again(path)
    assert check(path).semantics == "other semantics, different result"


# The command --------------------------------------------------------------------------------------

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def shipped(root: Path) -> Path:
    return root / "replay" / "capsules" / "story-accuracy.tar.zst"


def test_the_commands_save_and_verify(host, intact, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = [a for a in raised(host) if a.kind == "data_drift"]
    where = ["--archive", str(intact)]
    assert main(["incident", "save", "may", "--alert", mine[-1].id, *where, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["path"] == "may.tar.zst"
    assert said["check"]["ok"]
    assert main(["verify", "may.tar.zst", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(a["id"], a["integrity"], a["completeness"]) for a in found["alerts"]] == [
        (mine[-1].id, True, True)
    ]
    assert main(["incident", "save", "may", "--model", "churn", *where]) == EXIT_CONFIG
    assert "is there already" in capsys.readouterr().err
    assert main(["incident", "save", "may", *where]) == EXIT_CONFIG
    assert "which" in capsys.readouterr().err
    assert main(["incident", "save", "a/b", "--model", "churn", *where]) == EXIT_CONFIG
    assert "letters, digits" in capsys.readouterr().err


def edit_nothing(path: Path) -> None:
    pass


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])


def no_zstd(path: Path) -> None:
    path.write_bytes(b"hello")


@pytest.mark.parametrize(
    ("spoil", "status", "says"),
    [
        (edit_nothing, 0, "every one matches"),
        (cut_short, EXIT_TRANSPORT, "copy it again"),
        (no_zstd, EXIT_TRANSPORT, "copy it again"),
        (Path.unlink, EXIT_CONFIG, "isn't there"),
    ],
)
def test_the_command_says_what_is_wrong_and_where(shipped, tmp_path, capsys, spoil, status, says):
    path = tmp_path / "one.tar.zst"
    shutil.copy(shipped, path)
    spoil(path)
    assert main(["verify", str(path)]) == status
    said = capsys.readouterr()
    assert says in said.err
    assert str(path) in said.err
    assert ("verified" in said.out) == (status == 0)


def needed(extra: str, root: Path) -> set[str]:
    """Distributions that `pip install streamops[extra]` brings."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    waiting = [*project["dependencies"], *project["optional-dependencies"][extra]]
    found: set[str] = set()
    while waiting:
        line = waiting.pop()
        name = re.split(r"[^A-Za-z0-9._-]", line)[0].lower().replace("_", "-")
        if name in found or "extra ==" in line:
            continue
        try:
            waiting += metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another platform or Python
        found.add(name)
    return found


ALONE = """
import socket, sys
from importlib.machinery import PathFinder
class Installed(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        known = name.partition(".")[0] not in {refused!r}
        return super().find_spec(name, path, target) if known else None
sys.meta_path[sys.meta_path.index(PathFinder)] = Installed
def offline(*_):
    raise AssertionError("it went to the network")
socket.socket.connect = offline
from streamops.cli import main
sys.exit(main({arguments!r}))
"""


def alone(extra: str | None, root: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command where only what an extra installs can be imported, without a network."""
    have = needed(extra, root) if extra else {"confluent-kafka", "msgspec"}
    modules = metadata.packages_distributions().items()
    refused = {
        module
        for module, names in modules
        if module != "streamops" and not {n.lower().replace("_", "-") for n in names} & have
    }
    assert {"duckdb", "faust", "litestar", "rocksdict"} <= refused
    code = ALONE.format(refused=refused, arguments=arguments)
    return subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )


def test_a_capsule_needs_the_audit_extra_and_nothing_else(root, shipped):
    """As `pip install 'streamops[audit]'` leaves an empty environment; no broker, no network."""
    done = alone("audit", root, ["verify", str(shipped), "--json"])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"]


def test_the_base_install_says_which_extra_is_needed(root, shipped):
    done = alone(None, root, ["verify", str(shipped)])
    assert done.returncode == EXIT_CONFIG
    assert "pip install 'streamops[audit]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_whole_capsule_needs_no_seal_and_says_what_other_semantics_give(host, intact, tmp_path):
    path = tmp_path / "whole"
    asked = only(last(host))
    found = save_incident(intact, "one", asked, path, whole=True, make_detector=make_counting).check
    assert (found.ok, found.start_epoch) == (True, -1)
    assert not (path / "archive" / "seals").exists()
    change_manifest(path, semantics={"controller": 1})
    assert (check(path).ok, check(path).semantics) == (True, "other semantics, same result")
