"""verify names exactly the alerts whose proof was touched, on a real Parquet archive.

Each test changes one thing in a copy of the archive and works out, from the events alone, which
alerts rest on it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamops import codec
from streamops.audit.asked import Asked
from streamops.audit.capsule_check import check_capsule
from streamops.audit.incident import save_incident
from streamops.audit.namespace import NAMESPACE_FILE, Namespace
from streamops.audit.replay import run_replay
from streamops.audit.verdicts import AlertVerdict, ChainVerdict, Verification
from streamops.audit.verify import verify
from streamops.cli import main
from streamops.events import (
    AlertRaised,
    DriftDetected,
    Event,
    MetricEvaluated,
    OutcomeJoined,
    PredictionMade,
)
from streamops.hosts.memory import MemoryHost
from streamops.views.archive import ArchiveLog
from streamops.views.archiver import archive_until_end
from streamops.views.seal import Sealer
from tests.hosting import SERVICES, halves, new_settings, running, until_concluded, write
from tests.recorded import make_detector, recording
from tests.story import Counting, archive, make_counting, play

Edit = Callable[[dict[str, Any]], dict[str, Any] | None]


@pytest.fixture(scope="module")
def host() -> MemoryHost:
    return play()


@pytest.fixture(scope="module")
def intact(host: MemoryHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive(host, tmp_path_factory.mktemp("archive"))


@pytest.fixture
def copy(intact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(intact, tmp_path / "archive"))


def check(folder: Path, make: Callable[[str], Any] = make_counting) -> Verification:
    return verify(folder, make_detector=make)


def failed(found: Verification) -> set[str]:
    return {alert.id for alert in found.alerts if alert.status != "verified"}


def verdict(found: Verification, id: str) -> AlertVerdict:
    return next(alert for alert in found.alerts if alert.id == id)


def raised(host: MemoryHost) -> list[AlertRaised]:
    return [event for event in host.events("alerts") if isinstance(event, AlertRaised)]


def rewrite(folder: Path, topic: str, edit: Edit) -> int:
    """Put every record of a topic through `edit` (None removes it); returns how many changed."""
    changed = 0
    for path in sorted((folder / "raw" / f"topic={topic}").rglob("*.parquet")):
        table = pq.read_table(path)
        rows = table.to_pylist()
        after = [edit(dict(row)) for row in rows]
        changed += sum(a != b for a, b in zip(after, rows, strict=True))
        if after != rows:
            kept = [row for row in after if row is not None]
            pq.write_table(pa.Table.from_pylist(kept, schema=table.schema), path)
    return changed


def editing(id: str, change: Callable[[dict[str, Any]], None]) -> Edit:
    """Change the JSON of the record with this event id."""

    def edit(row: dict[str, Any]) -> dict[str, Any]:
        if f'"{id}"'.encode() in row["value"]:
            event = json.loads(row["value"])
            if event["id"] == id:
                change(event)
                row["value"] = json.dumps(event, separators=(",", ":")).encode()
        return row

    return edit


def removing(id: str) -> Edit:
    def edit(row: dict[str, Any]) -> dict[str, Any] | None:
        event = json.loads(row["value"]) if row["value"].startswith(b"{") else {}
        return None if event.get("id") == id else row

    return edit


def resting_on(host: MemoryHost, made: PredictionMade) -> set[str]:
    """Alerts on a pane that holds a prediction, or on a test or detector that read it before."""
    metrics = {event.id: event for event in host.events("metrics")}
    return {
        alert.id
        for alert in raised(host)
        for ref in alert.evidence.metrics
        for metric in (metrics[ref.id], *earlier(host, metrics[ref.id], alert))
        if rests_on(host, metric, made)
    }


def earlier(host: MemoryHost, metric: Event, alert: AlertRaised) -> list[MetricEvaluated]:
    """Metrics of the panes that a drift test had read before the one it alarmed in."""
    if alert.metric != "drift":
        return []
    return [
        event
        for event in host.events("metrics")
        if isinstance(event, MetricEvaluated)
        and (event.model, event.version) == (metric.model, metric.version)
        and event.evidence.panes
        and event.pane_start < metric.pane_start
    ]


def rests_on(host: MemoryHost, metric: Event, made: PredictionMade) -> bool:
    if isinstance(metric, MetricEvaluated):
        country = "de" if made.segments["country"] == "de" else "~other"
        return (
            (metric.model, metric.version) == (made.model, made.version)
            and metric.segment in ("all", f"country={country}")
            and metric.pane_start <= made.time < metric.time
        )
    assert isinstance(metric, DriftDetected)
    outcomes = [
        event
        for event in host.events("outcomes")
        if isinstance(event, OutcomeJoined)
        and (event.model, event.version) == (metric.model, metric.version)
        and not event.after_cohort
        and not event.correction
    ]
    outcomes.sort(key=lambda e: (e.stamp.epoch, e.time, e.id))
    read = [event.prediction_id for event in outcomes[: metric.outcomes]]
    return made.id in read


def labelled_predictions(host: MemoryHost) -> list[PredictionMade]:
    known = {e.prediction_id for e in host.events("outcomes") if isinstance(e, OutcomeJoined)}
    found = {e.id: e for e in host.events("predictions") if isinstance(e, PredictionMade)}
    return [event for id, event in found.items() if id in known]


def test_an_intact_archive_is_verified(host, intact):
    seen: list[tuple[int, int]] = []
    found = verify(intact, make_detector=make_counting, on_progress=lambda *done: seen.append(done))
    assert found.findings == ()
    assert found.ok
    assert {alert.id for alert in found.alerts} == {alert.id for alert in raised(host)}
    assert all(alert.integrity and alert.completeness for alert in found.alerts)
    assert seen[-1] == (found.records, found.records)
    assert found.records == sum(len(records) for records in host.log.values())


def test_the_story_has_alerts_of_each_link(host):
    kinds = {alert.kind for alert in raised(host)}
    assert kinds == {"data_drift", "performance", "concept_drift"}
    assert {"psi", "drift"} <= {alert.metric for alert in raised(host)}
    assert len({alert.pane_start for alert in raised(host)}) > 3


@pytest.mark.parametrize("which", [0.01, 0.2, 0.26, 0.34, 0.46, 0.72])
def test_one_changed_feature_value_names_exactly_the_alerts_that_rest_on_it(host, copy, which):
    mine = [made for made in labelled_predictions(host) if made.model == "churn"]
    made = mine[int(which * len(mine))]

    def change(event: dict[str, Any]) -> None:
        event["features"]["x"] += 0.001

    assert rewrite(copy, "predictions", editing(made.id, change)) >= 1
    found = check(copy)
    expected = resting_on(host, made)
    assert failed(found) == expected
    assert not found.ok
    for id in expected:
        assert not verdict(found, id).integrity
        assert verdict(found, id).completeness
        assert verdict(found, id).reasons


def test_the_command_exits_non_zero_and_names_the_alerts(host, copy, monkeypatch, capsys):
    """The same archive before and after; a story's detector is not the one that commands use."""
    monkeypatch.setattr(
        "streamops.audit.verify.verify", partial(verify, make_detector=make_counting)
    )
    command = ["verify", "--all", "--archive", str(copy)]
    assert main([*command, "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    assert before["ok"] is True
    assert {alert["id"] for alert in before["alerts"]} == {alert.id for alert in raised(host)}

    mine = [made for made in labelled_predictions(host) if made.model == "churn"]
    made = mine[int(0.34 * len(mine))]
    rewrite(copy, "predictions", editing(made.id, lambda e: e["features"].update(x=0.4321)))
    expected = resting_on(host, made)
    assert expected
    assert main([*command, "--json"]) == 1
    after = json.loads(capsys.readouterr().out)
    assert after["ok"] is False
    assert {alert["id"] for alert in after["alerts"] if not alert["integrity"]} == expected
    assert all(alert["completeness"] for alert in after["alerts"])
    assert main(command) == 1
    said = capsys.readouterr().out
    assert {alert.id for alert in raised(host) if alert.id in said} == expected


def test_the_changed_values_touch_different_sets_of_alerts(host):
    mine = [made for made in labelled_predictions(host) if made.model == "churn"]
    sets = {frozenset(resting_on(host, made)) for made in mine[:: len(mine) // 40]}
    assert frozenset() in sets
    assert len(sets) > 4


def test_a_value_of_another_model_touches_no_alert_but_is_found(host, copy):
    made = next(made for made in labelled_predictions(host) if made.model == "calm")
    rewrite(copy, "predictions", editing(made.id, lambda e: e["features"].update(x=0.4321)))
    found = check(copy)
    assert failed(found) == set()
    assert not found.ok
    assert any("outcomes-" in line for line in found.findings)


def test_a_changed_label_names_the_alerts_of_its_prediction(host, copy):
    made = next(
        made
        for made in labelled_predictions(host)
        if len(resting_on(host, made)) > 1 and made.model == "churn"
    )

    def change(event: dict[str, Any]) -> None:
        event["label"] = 1 - event["label"]

    assert rewrite(copy, "labels", editing(f"label/{made.id}", change)) == 1
    metrics = {event.id: event for event in host.events("metrics")}
    expected = {
        alert.id
        for alert in raised(host)
        if alert.id in resting_on(host, made)
        and any(
            isinstance(metrics[ref.id], DriftDetected) or metrics[ref.id].cut == "mature"
            for ref in alert.evidence.metrics
        )
    }
    found = failed(check(copy))
    # A label that came before its pane closed stands in the closed summary's chain, too.
    assert expected <= found <= resting_on(host, made)


def test_a_removed_record_is_missing_from_its_proofs(host, copy):
    made = next(made for made in labelled_predictions(host) if len(resting_on(host, made)) > 1)
    gone = [e for e in host.events("predictions") if e.id == made.id]
    assert rewrite(copy, "predictions", removing(made.id)) == len(gone)
    found = check(copy)
    assert failed(found) == resting_on(host, made)
    for id in failed(found):
        assert not verdict(found, id).integrity
        assert not verdict(found, id).completeness
    assert any("lacks them" in line or "lack them" in line for line in found.findings)


@pytest.mark.parametrize("topic", ["predictions", "labels"])
@pytest.mark.parametrize("which", [1, -1])
def test_a_removed_raw_file_is_named_with_all_that_rests_on_it(host, copy, topic, which):
    paths = sorted((copy / "raw" / f"topic={topic}" / "partition=0").glob("*.parquet"))
    paths[which].unlink()
    found = check(copy)
    assert not found.ok
    if which == 1:
        assert any(f"{topic}-0: offsets 300 to 599" in line for line in found.findings)
    lost = [alert for alert in found.alerts if alert.status != "verified"]
    assert lost
    assert any(not alert.completeness for alert in lost)
    assert {alert.id for alert in found.alerts} == {alert.id for alert in raised(host)}


@pytest.mark.parametrize("topic", ["summaries", "metrics", "outcomes", "lifecycle", "alerts"])
def test_a_removed_file_of_any_topic_fails(copy, topic):
    folder = copy / "raw" / f"topic={topic}"
    path = max(folder.rglob("*.parquet"), key=lambda p: pq.read_metadata(p).num_rows)
    path.unlink()
    found = check(copy)
    assert not found.ok
    assert failed(found)


def test_an_altered_alert_is_named_alone(host, copy):
    alert = raised(host)[2]
    rewrite(copy, "alerts", editing(alert.id, lambda e: e.update(severity="major", value=9.5)))
    found = check(copy)
    assert failed(found) == {alert.id}
    assert not verdict(found, alert.id).integrity
    assert "severity, value" in verdict(found, alert.id).reasons[0]


def test_an_alert_that_names_other_records_is_named(host, copy):
    first, second = [alert for alert in raised(host) if alert.kind == "data_drift"][:2]

    def change(event: dict[str, Any]) -> None:
        event["evidence"] = json.loads(msgspec.json.encode(second.evidence))

    rewrite(copy, "alerts", editing(first.id, change))
    assert failed(check(copy)) == {first.id}


def test_a_deleted_alert_is_reported_as_missing(host, copy):
    alert = raised(host)[1]
    assert rewrite(copy, "alerts", removing(alert.id)) == 1
    found = check(copy)
    assert failed(found) == {alert.id}
    assert not verdict(found, alert.id).completeness
    assert "isn't in the archive" in verdict(found, alert.id).reasons[0]


@pytest.mark.parametrize("stamped", [True, False])
def test_a_forged_alert_is_named(host, copy, stamped):
    alert = raised(host)[0]

    def forge(row: dict[str, Any]) -> None:
        event = json.loads(row["value"])
        event["id"] = "alert/forged"
        if not stamped:
            del event["stamp"]
        row["value"] = json.dumps(event).encode()

    for path in sorted((copy / "raw" / "topic=alerts").rglob("*.parquet")):
        table = pq.read_table(path)
        rows = table.to_pylist()
        mine = [row for row in rows if alert.id.encode() in row["value"]]
        if mine and json.loads(mine[0]["value"])["type"] == "AlertRaised":
            false = {**mine[0], "offset": rows[-1]["offset"] + 1}
            forge(false)
            pq.write_table(pa.Table.from_pylist([*rows, false], schema=table.schema), path)
    found = check(copy)
    assert failed(found) == {"alert/forged"}
    assert not verdict(found, "alert/forged").integrity


def test_an_altered_metric_fails_the_alerts_that_name_it(host, copy):
    alert = next(alert for alert in raised(host) if alert.kind == "data_drift")
    ref = alert.evidence.metrics[0]

    def change(event: dict[str, Any]) -> None:
        for metric in event["metrics"]:
            if metric[0] == "js":
                metric[2] = 0.5

    assert rewrite(copy, "metrics", editing(ref.id, change)) == 1
    naming = {each.id for each in raised(host) if ref.id in {r.id for r in each.evidence.metrics}}
    assert failed(check(copy)) == naming


def test_an_altered_summary_fails_the_alerts_above_it(host, copy):
    alert = next(alert for alert in raised(host) if alert.kind == "data_drift")
    metric = next(e for e in host.events("metrics") if e.id == alert.evidence.metrics[0].id)
    summary = metric.evidence.summaries[0]
    rewrite(copy, "summaries", editing(summary.id, lambda e: e.update(predictions=1)))
    assert alert.id in failed(check(copy))


@pytest.mark.parametrize("count", [-5, 1 << 60])
def test_counts_that_no_fold_concludes_end_no_verification(host, copy, count):
    alert = next(alert for alert in raised(host) if alert.kind == "data_drift")
    metric = next(e for e in host.events("metrics") if e.id == alert.evidence.metrics[0].id)

    def change(event: dict[str, Any]) -> None:
        event["features"][0][1][0] = count

    rewrite(copy, "summaries", editing(metric.evidence.summaries[0].id, change))
    found = check(copy)
    assert alert.id in failed(found)
    assert not found.ok


def test_a_command_of_a_person_that_was_removed_shows(host, copy):
    assert rewrite(copy, "lifecycle", removing("go/churn")) == 1
    found = check(copy)
    assert not found.ok
    assert any("deployments" in line for line in found.findings)


def test_another_platform_is_its_own_status(host, copy):
    found = check(copy, lambda name: Counting("counting 2"))
    drifts = {alert.id for alert in raised(host) if alert.kind == "concept_drift"}
    assert failed(found) == drifts
    for id in drifts:
        assert verdict(found, id).status == "not recomputable here: platform counting 1"
        assert not verdict(found, id).integrity
    assert found.findings == ()


def test_a_file_written_again_by_another_engine_is_read_and_reported(host, copy):
    path = next((copy / "raw" / "topic=predictions").rglob("*.parquet"))
    rows = pq.read_table(path).replace_schema_metadata(None)
    pq.write_table(rows.select(["value", "key", "offset", "timestamp_ms"]), path)
    found = check(copy)
    assert failed(found) == set()
    assert any("doesn't say what it covers" in line for line in found.findings)


def test_a_damaged_file_is_named_and_the_rest_is_verified(host, copy):
    path = sorted((copy / "raw" / "topic=labels" / "partition=1").glob("*.parquet"))[1]
    path.write_bytes(path.read_bytes()[:500])
    found = check(copy)
    assert any(f"{path.name} can't be read" in line for line in found.findings)
    assert 0 < len(failed(found)) < len(raised(host))


def test_what_a_real_broker_kept_is_verified_repeats_and_all(bootstrap, namespace, tmp_path):
    """Hosts dropped in the middle refold and send again; every kind of bad record is there."""
    recorded = recording(2)
    settings = new_settings(bootstrap, namespace, tmp_path, 2)
    settings = msgspec.structs.replace(settings, control="kafka")
    first, second = halves(recorded)
    services = [*SERVICES.values()]
    with running(settings, services, drop=True):
        write(settings, first)
        until_concluded(settings, recorded.last_epoch // 4)
    with running(settings, services):
        write(settings, second)
        until_concluded(settings, recorded.last_epoch - 1)
    archive_until_end(settings)
    facts = Namespace(partitions=2, driven=True, seal_every=settings.seal_every)
    (settings.archive / NAMESPACE_FILE).write_bytes(msgspec.json.encode(facts))
    found = check(settings.archive, make_detector)
    assert found.findings == ()
    assert found.ok
    names = {json.loads(said)["id"] for said in recorded.concluded["alerts"].values()}
    assert {alert.id for alert in found.alerts} == {n for n in names if n.startswith("alert/")}
    assert found.alerts
    assert found.seals >= 4 * 2 * (recorded.last_epoch // settings.seal_every)
    begun = [verify(settings.archive, alert=alert.id, make_detector=make_detector)
             for alert in found.alerts]  # fmt: skip
    assert [one.alerts[0] for one in begun] == list(found.alerts)
    assert max(one.start_epoch for one in begun) > 0
    for number, id_ in enumerate((found.alerts[0].id, found.alerts[-1].id)):
        path = tmp_path / f"{number}.tar.zst"
        asked = Asked(frozenset({id_}))
        save_incident(settings.archive, "real", asked, path, make_detector=make_detector)
        alone = check_capsule(path, make_detector=make_detector)
        assert (alone.ok, [verdict.id for verdict in alone.alerts]) == (True, [id_])
    again = run_replay(settings.archive, topics=("alerts",), make_detector=make_detector)
    assert {event.id for event in again} == names


def test_repeats_of_a_restarted_worker_change_nothing(host, tmp_path):
    """A worker that refolded sent its epochs again, in part and out of turn."""
    again = MemoryHost(partitions=host.partitions, make_detector=make_counting)
    for (topic, partition), records in host.log.items():
        rows = again.log.setdefault((topic, partition), [])
        for number, record in enumerate(records):
            rows.append(record._replace(offset=len(rows)))
            derived = topic not in ("predictions", "labels", "lifecycle")
            if derived and number % 7 == 3:
                rows += [
                    r._replace(offset=len(rows) + n)
                    for n, r in enumerate(records[number - 3 : number + 1])
                ]
    renamed = with_offsets(again)
    found = check(archive(renamed, tmp_path))
    assert found.findings == ()
    assert found.ok


def with_offsets(host: MemoryHost) -> MemoryHost:
    """Let metrics and alerts name the offsets that their records stand at after repeats."""
    first = {
        (topic, record.event.stamp): record.offset
        for (topic, _), records in host.log.items()
        for record in reversed(records)
        if getattr(record.event, "stamp", None) is not None
    }
    for records in host.log.values():
        for n, record in enumerate(records):
            event = record.event
            if isinstance(event, MetricEvaluated):
                refs = tuple(
                    msgspec.structs.replace(r, offset=first[("summaries", r.stamp)])
                    for r in event.evidence.summaries
                )
                changed = msgspec.structs.replace(event.evidence, summaries=refs)
            elif hasattr(getattr(event, "evidence", None), "metrics"):
                refs = tuple(
                    msgspec.structs.replace(r, offset=first[("metrics", r.stamp)])
                    for r in event.evidence.metrics
                )
                changed = msgspec.structs.replace(event.evidence, metrics=refs)
            else:
                continue
            new = msgspec.structs.replace(event, evidence=changed)
            records[n] = record._replace(event=new, value=codec.encode(new))
    return host


# Sealed -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sealed(intact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The story's archive with every record under one seal."""
    folder = Path(shutil.copytree(intact, tmp_path_factory.mktemp("sealed") / "archive"))
    log, sealer = ArchiveLog(folder), Sealer(folder, "story")
    for topic in log.topics():
        for partition in log.partitions(topic):
            for path, cover in log.files(topic, partition):
                records = list(log.read(topic, partition, cover.first, cover.next))
                sealer.take((topic, partition), records, cover, path)
    sealer.seal(0.0)
    return folder


def test_a_sealed_archive_is_verified_and_so_is_its_chain(sealed, host):
    found = check(sealed)
    assert found.ok
    assert found.chain == ChainVerdict(ok=True)
    assert {alert.id for alert in found.alerts} == {alert.id for alert in raised(host)}


def test_verify_names_the_record_and_the_alerts_that_rest_on_it(sealed, host, tmp_path):
    copy = Path(shutil.copytree(sealed, tmp_path / "archive"))
    made = next(m for m in labelled_predictions(host) if len(resting_on(host, m)) > 1)
    at = [(p, r.offset) for (t, p), rs in host.log.items() if t == "predictions"
          for r in rs if getattr(r.event, "id", "") == made.id]  # fmt: skip
    rewrite(copy, "predictions", editing(made.id, lambda e: e["features"].update(x=0.123)))
    found = check(copy)
    assert failed(found) == resting_on(host, made)
    places = msgspec.to_builtins(found)["chain"]
    assert places["ok"] is False
    assert [sorted(place) for place in places["broken"]] == [
        ["offset", "partition", "topic"]
    ] * len(at)
    assert [(b.topic, b.partition, b.offset) for b in found.chain.broken] == [
        ("predictions", *place) for place in sorted(at)
    ]
    assert any(f"chain: predictions-{p} offset {n}: was changed" in found.findings for p, n in at)


def test_a_changed_append_time_breaks_the_chain_alone(sealed, tmp_path):
    """Nothing that is computed reads an append time: only the chain shows that it was changed."""
    copy = Path(shutil.copytree(sealed, tmp_path / "archive"))

    def later(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "timestamp_ms": row["timestamp_ms"] + 1} if row["offset"] == 5 else row

    rewrite(copy, "summaries", later)
    found = check(copy)
    assert failed(found) == set()
    assert not found.ok
    assert {(b.topic, b.offset) for b in found.chain.broken} == {("summaries", 5)}
