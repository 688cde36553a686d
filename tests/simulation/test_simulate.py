"""Simulate, end to end: what it counts, that it repeats itself, and every kind of table."""

from __future__ import annotations

import csv
import io
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from streamops.audit.record_chain import verify_chain
from streamops.audit.retrains import retrains
from streamops.audit.seal_line import read_line
from streamops.audit.verify import verify
from streamops.core.times import SECOND_US
from streamops.events import OutcomeJoined
from streamops.operate.summary import Summary, print_summary
from streamops.operate.table import ORDER_START_US, Columns
from streamops.views.archive import ArchiveLog
from streamops.views.log import to_record
from tests.simulated import ROWS as ROWS_PLAYED
from tests.simulated import essence, play

ROWS = 1000
PSS_MB_MAX = 1536  # of the whole stack
PANE_S = 250  # of rows a second apart
FIRST_S = ORDER_START_US // SECOND_US

pytestmark = pytest.mark.timeout(600)


def hold_together(summary: Summary) -> None:
    assert summary.rows == summary.predictions == summary.labels == summary.outcomes > 0
    assert summary.refused == 0
    assert summary.views_match_topics
    assert summary.verified.ok
    assert summary.verified.alerts == len(summary.alerts)


def test_every_row_is_an_outcome_and_every_alert_is_proven(quiet):
    summary = quiet.summary
    hold_together(summary)
    assert summary.alerts
    assert len({alert.id for alert in summary.alerts}) == len(summary.alerts)
    retrains = summary.retrains
    assert retrains.requested == retrains.run + retrains.failed > 0
    assert retrains.run == retrains.refused + retrains.promoted
    assert summary.score.metric == "accuracy"
    assert summary.peak_pss_mb > 0


def test_the_regret_of_promoted_retrains_is_what_a_hand_counts(quiet):
    """By its file on the log a promoted model gives the answers that were served."""
    log = ArchiveLog(quiet.home / "archive")
    outcomes = [
        e
        for p in log.partitions("outcomes")
        for e in (to_record(raw).event for raw in log.read("outcomes", p))
        if isinstance(e, OutcomeJoined)
    ]
    found = retrains(quiet.home / "archive", quiet.home / "artifacts")
    promoted = [r for r in found.retrains if r.verdict == "promoted" and r.regret]
    assert len([r for r in found.retrains if r.verdict == "promoted"]) == (
        quiet.summary.retrains.promoted
    )
    assert promoted
    for retrain in promoted:
        regret = retrain.regret
        later = [o for o in outcomes if regret.after < o.stamp.epoch <= regret.until]
        right = [o.prediction == o.label for o in later]
        assert {o.version for o in later} == {retrain.version}
        assert regret.rows == len(later)
        assert regret.new == pytest.approx(sum(right) / len(right))
        if retrain.champion == "v1":
            assert regret.regret == pytest.approx(regret.old - regret.new)
        assert retrain.seconds >= 0


def test_the_latest_alerts_are_verified_from_a_seal_as_from_the_beginning(quiet):
    archive = quiet.home / "archive"
    whole = verify(archive)
    assert whole.seals > 0
    latest = datetime.fromisoformat(max(alert.pane_start for alert in quiet.summary.alerts))
    found = verify(archive, since=latest)
    assert found.ok
    # A drift test reads each pane of its version: its alert is verified from before the first.
    after = verify(archive, since=datetime(2100, 1, 1, tzinfo=UTC))
    assert after.ok
    assert after.start_epoch > 0
    assert after.records < whole.records
    verdicts = {verdict.id: verdict for verdict in whole.alerts}
    assert found.alerts
    assert all(verdicts[verdict.id] == verdict for verdict in found.alerts)


def test_the_file_says_what_was_returned(quiet):
    written = (quiet.home / "summary.json").read_bytes()
    assert msgspec.json.decode(written, type=Summary) == quiet.summary


def test_the_archive_is_sealed_to_its_end(quiet):
    """All but the seal's own record; and the page that a person sees has the line."""
    found = verify_chain(quiet.home / "archive", against=read_line(quiet.summary.seal))
    assert found.ok
    assert found.unsealed == 1
    assert found.sealed > quiet.summary.predictions
    console = Console(file=io.StringIO(), width=80)
    print_summary(quiet.summary, console, where="here")
    assert quiet.summary.seal in console.file.getvalue().splitlines()


def test_nothing_is_left_running(quiet):
    assert len(quiet.processes) >= 8
    assert [process for process in quiet.processes if process.is_running()] == []


def test_the_command_concludes_with_one_partition_what_four_do(quiet, root, tmp_path):
    """The same alerts by id, retrains, score, panes and counts, and one object alone on stdout."""
    command = f"simulate replay/data/electricity.parquet --rows {ROWS_PLAYED} --partitions 1 --json"
    ran = subprocess.run(
        [sys.executable, "-m", "streamops", *command.split(), "--home", str(tmp_path / "run")],
        cwd=root,
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    summary = msgspec.json.decode(ran.stdout, type=Summary)
    assert essence(summary) == essence(quiet.summary)
    assert 0 < summary.peak_pss_mb < PSS_MB_MAX


def features(r: random.Random, number: int) -> dict[str, Any]:
    """Numeric, boolean, text and mostly empty columns, with missing values in each."""
    row = {
        "amount": round(r.gauss(10 + number / 100, 3), 3),
        "is_new": r.random() < 0.3,
        "city": r.choice(["Bern", "Basel", "Chur"]),
        "note": f"n{r.randrange(40)}",
    }
    return {name: "" if r.random() < 0.05 else value for name, value in row.items()}


def kind_of(r: random.Random, row: dict[str, Any]) -> str:
    if r.random() < 0.1:
        return r.choice(["low", "mid", "high"])
    return "mid" if row["city"] == "Chur" else "high" if (row["amount"] or 0) > 15 else "low"


def price_of(r: random.Random, row: dict[str, Any]) -> float:
    return round(2.5 * (row["amount"] or 10) + 5 * (row["city"] == "Basel") + r.gauss(0, 1), 3)


def write_table(
    file: Path, target: str, label_of: Callable[[random.Random, dict[str, Any]], Any]
) -> Path:
    r = random.Random(target)
    rows = [features(r, number) for number in range(ROWS)]
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, [*rows[0], target])
        writer.writeheader()
        writer.writerows({**row, target: label_of(r, row)} for row in rows)
    return file


@pytest.mark.parametrize(
    ("target", "label_of", "metric"), [("kind", kind_of, "accuracy"), ("price", price_of, "mae")]
)
def test_any_kind_of_table_runs_to_its_end(target, label_of, metric, root, bootstrap, tmp_path):
    """On a Kafka that is there already."""
    file = write_table(tmp_path / f"{target}.csv", target, label_of)
    columns = Columns(target=target, label_delay_s=60)
    played = play(
        root, tmp_path, file=file, rows=0, columns=columns, pane_s=PANE_S, bootstrap=bootstrap
    )
    summary = played.summary
    hold_together(summary)
    assert summary.rows == ROWS - ROWS // 10
    streamed = range(FIRST_S + ROWS // 10, FIRST_S + ROWS)
    assert summary.panes == len({second // PANE_S for second in streamed})
    assert summary.score.metric == metric
    good, naive = summary.score.first_model, summary.score.previous_label
    assert good < naive if metric == "mae" else good > naive
