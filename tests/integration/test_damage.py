"""Archives that are damaged, incomplete or wrong: each command names the file and what to do.

Never a traceback, never "verified". Commands run in this process: an error that isn't ours would
end the test.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from streamops.audit.biography import biography
from streamops.audit.explain import explain
from streamops.audit.records import PartitionReader
from streamops.audit.seal_line import line_of
from streamops.cli import main
from streamops.config import DRIFT_METRICS
from streamops.errors import EXIT_CONFIG, EXIT_TRANSPORT, TransportError
from streamops.events import AlertRaised, PredictionMade
from streamops.hosts.memory import MemoryHost
from streamops.views.archive import ArchiveLog, raw_folder
from streamops.views.seal import Sealer
from tests.integration.test_verify import rewrite
from tests.story import RULES, archive, play

FAILED = 1
FLIPS = 300

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def host() -> MemoryHost:
    rules = tuple(r for r in RULES if r.metric not in DRIFT_METRICS and r.kind != "concept_drift")
    return play(panes=5, rules=rules, detectors=())


@pytest.fixture(scope="module")
def line() -> list[str]:
    """The line of the seal, once there is one."""
    return []


@pytest.fixture(scope="module")
def intact(host: MemoryHost, line: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = archive(host, tmp_path_factory.mktemp("archive"), rows=150)
    log, sealer = ArchiveLog(folder), Sealer(folder, "story")
    for topic in log.topics():
        for partition in log.partitions(topic):
            for path, cover in log.files(topic, partition):
                records = list(log.read(topic, partition, cover.first, cover.next))
                sealer.take((topic, partition), records, cover, path)
    line.append(str(line_of(sealer.seal(0.0))))
    return folder


@pytest.fixture
def copy(intact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(intact, tmp_path / "archive"))


def alert_of(host: MemoryHost) -> AlertRaised:
    return next(event for event in host.events("alerts") if isinstance(event, AlertRaised))


def asked_of(host: MemoryHost) -> PredictionMade:
    """A prediction that stands in the second file of its partition."""
    return next(
        record.event
        for record in host.log[("predictions", 0)][200:]
        if isinstance(record.event, PredictionMade)
    )


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:600])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def no_parquet(path: Path) -> None:
    path.write_bytes(b"hello world\n" * 50)


def torn(path: Path) -> None:
    """The footer is whole, the pages aren't: what a bad disk gives."""
    data = path.read_bytes()
    path.write_bytes(data[:20] + bytes(len(data) // 2) + data[20 + len(data) // 2 :])


def arguments(command: str, host: MemoryHost, folder: Path) -> list[str]:
    given = {
        "verify --all": ["verify", "--all"],
        "verify ALERT": ["verify", alert_of(host).id],
        "verify-chain": ["verify-chain"],
        "whatif": ["whatif", "--config", str(configured(folder.parent))],
        "replay": ["replay"],
        "explain PREDICTION": ["explain", asked_of(host).id],
        "incident save": [
            "incident", "save", "x", "--model", "churn", "--out", str(folder.parent / "out")
        ],
    }  # fmt: skip
    return [*given[command], "--archive", str(folder)]


def configured(folder: Path) -> Path:
    file = folder / "models.toml"
    file.write_text('[[models]]\nmodel = "churn"\npane_s = 50\nhorizon_s = 200\nmaturity_s = 25\n')
    return file


COMMANDS = {
    "verify --all": FAILED,
    "verify ALERT": FAILED,
    "verify-chain": FAILED,
    "whatif": EXIT_TRANSPORT,
    "replay": EXIT_TRANSPORT,
    "explain PREDICTION": EXIT_TRANSPORT,
    "incident save": EXIT_TRANSPORT,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_intact_archive_is_no_trouble(command, host, intact, tmp_path):
    here = Path(shutil.copytree(intact, tmp_path / "archive"))
    assert main(arguments(command, host, here)) == 0


@pytest.mark.parametrize("spoil", [cut_short, emptied, no_parquet, torn])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_damaged_file_is_named_with_what_to_do(command, spoil, host, copy, capsys):
    path = sorted(raw_folder(copy, "predictions", 0).iterdir())[1]
    spoil(path)
    assert main(arguments(command, host, copy)) in (COMMANDS[command], EXIT_CONFIG)
    said = capsys.readouterr()
    text = said.out + said.err
    assert path.name in text
    assert "every one matches" not in text
    assert "the chain holds" not in text
    if command != "verify --all" and command != "verify ALERT":
        assert "restore it" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_file_is_named_by_its_offsets(command, host, copy, capsys):
    paths = sorted(raw_folder(copy, "predictions", 0).iterdir())
    first, end = (int(path.stem) for path in paths[1:3])
    paths[1].unlink()
    assert main(arguments(command, host, copy)) in (COMMANDS[command], EXIT_CONFIG)
    said = capsys.readouterr()
    text = said.out + said.err
    assert f"predictions-0: offsets {first} to {end - 1}" in text or (
        command == "verify-chain" and f"predictions-0 offsets {first} to {end - 1}" in text
    )
    assert "every one matches" not in text


def test_a_wrong_profile_is_no_alerts_profile(host, copy, capsys):
    """Somebody put another reference profile under the same hash."""

    def narrower(row: dict[str, Any]) -> dict[str, Any]:
        if b'"VersionActivated"' in row["value"]:
            event = json.loads(row["value"])
            for feature in event["version"]["profile"]["features"]:
                if feature.get("edges"):
                    feature["edges"] = [edge * 0.9 for edge in feature["edges"]]
            row["value"] = json.dumps(event).encode()
        return row

    assert rewrite(copy, "predictions", narrower)
    alert = alert_of(host)
    assert main(["verify", alert.id, "--archive", str(copy)]) == FAILED
    said = capsys.readouterr()
    assert f"{alert.id}: failed" in said.out
    assert "summary pane/churn" in said.out


def test_facts_that_are_no_facts_are_named(copy, capsys):
    (copy / "namespace.json").write_text("{")
    for command in (["verify", "--all"], ["replay"]):
        assert main([*command, "--archive", str(copy)]) == EXIT_TRANSPORT
        assert "namespace.json can't be read" in capsys.readouterr().err


def test_a_typo_in_a_line_is_told_as_one_and_not_as_tampering(intact, line, capsys):
    (whole,) = line
    typo = whole.replace("/story/", "/storv/")
    assert main(["verify-chain", "--archive", str(intact), "--against", whole]) == 0
    capsys.readouterr()
    for wrong, says in ((typo, "has a typo"), (whole[:-3], "must be one that"), ("x", "whole:")):
        assert main(["verify-chain", "--archive", str(intact), "--against", wrong]) == EXIT_CONFIG
        said = capsys.readouterr()
        assert says in said.err
        assert "the chain holds" not in said.out + said.err


@pytest.mark.parametrize("command", ["verify --all", "replay", "whatif", "verify-chain"])
def test_a_folder_that_is_no_archive_is_told(command, host, tmp_path, capsys):
    empty = tmp_path / "archive"
    empty.mkdir()
    assert main(arguments(command, host, empty)) == EXIT_CONFIG
    assert str(empty) in capsys.readouterr().err


def test_no_flipped_bytes_give_another_error_than_ours(host, tmp_path):
    """Each reader of raw files, on one file, its footer as often as its pages; seeded."""
    folder = archive(host, tmp_path / "archive", rows=5000)
    chance, told, named = random.Random(20261127), 0, set[bool]()
    made, alert = asked_of(host).id, alert_of(host).id
    readers: list[tuple[str, Callable[[], object]]] = [
        ("labels", lambda: list(PartitionReader(folder, "labels", 0))),
        ("labels", lambda: list(ArchiveLog(folder).read("labels", 0))),
        ("predictions", lambda: biography(folder, made)),
        ("outcomes", lambda: biography(folder, made)),
        ("metrics", lambda: explain(folder, alert)),
    ]
    for _ in range(FLIPS):
        topic, read = chance.choice(readers)
        paths = sorted((folder / "raw" / f"topic={topic}").rglob("*.parquet"))
        path = chance.choice(paths)
        original = path.read_bytes()
        data, back = bytearray(original), min(len(original), 1500)
        for _ in range(chance.choice([1, 3])):
            at = chance.randrange(len(data) if chance.random() < 0.5 else back)
            data[-1 - at] ^= 1 << chance.randrange(8)
        path.write_bytes(bytes(data))
        try:
            read()
        except TransportError as error:
            told += 1
            named.add(path.name in str(error) or "missing" in str(error))
        path.write_bytes(original)
    assert named == {True}
    assert told > FLIPS // 10
    assert pq.read_metadata(path).num_rows
