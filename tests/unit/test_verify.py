"""The parts of verify: reading damaged archives, pace, the ledger, and what rests on what."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streamops import codec
from streamops.audit.asked import Asked
from streamops.audit.chain import Chains, Faults, failed
from streamops.audit.ledger import ENDED, FOREIGN, WINDOW, Key, Ledger
from streamops.audit.links import LAG, Links, RecordedInbox
from streamops.audit.namespace import NAMESPACE_FILE, Namespace, namespace_of
from streamops.audit.pace import by_epoch
from streamops.audit.records import Hole, PartitionReader
from streamops.audit.verify import recompute
from streamops.core.derived_inbox import close_hash
from streamops.core.output_rows import Addressed
from streamops.core.processor import Record
from streamops.errors import ConfigError, TransportError
from streamops.events import (
    AlertRaised,
    DriftDetected,
    EpochClosed,
    Event,
    LabelArrived,
    MetricEvaluated,
    OutcomeJoined,
    Tick,
    TopologyActivated,
)
from streamops.values import (
    MetricEvidence,
    MetricRef,
    OutcomeEvidence,
    Proof,
    RawEvidence,
    Span,
    Stamp,
    SummaryRef,
)
from streamops.views.archive import cover_of, raw_folder, write_raw
from streamops.views.log import RawRecord
from tests.builders import at, label
from tests.story import archive, make_counting, play

# Reading ------------------------------------------------------------------------------------------


def write(folder: Path, first: int, end: int, *, lost: tuple[int, ...] = ()) -> Path:
    """A file of labels-0 that covers [first, end); the lost offsets are in no gap."""
    offsets = range(first, end)
    records = [
        RawRecord("labels", 0, n, n, b"k", codec.encode(label(f"p{n}", seconds=n)))
        for n in offsets
        if n not in lost
    ]
    return write_raw(folder, records, ("labels", 0), cover_of(offsets, first, end))


def read(folder: Path) -> tuple[list[int], list[str]]:
    reader = PartitionReader(folder, "labels", 0)
    offsets = [record.offset for record in reader]
    return offsets, [str(hole) for hole in reader.holes]


def test_an_intact_partition_has_no_hole(tmp_path):
    write(tmp_path, 0, 3)
    write(tmp_path, 3, 5)
    assert read(tmp_path) == ([0, 1, 2, 3, 4], [])
    assert PartitionReader(tmp_path, "labels", 0).rows() == 5


def test_a_gap_that_a_file_lists_is_no_hole(tmp_path):
    offsets = [0, 1, 4]
    records = [RawRecord("labels", 0, n, n, b"k", b"x") for n in offsets]
    write_raw(tmp_path, records, ("labels", 0), cover_of(offsets, 0, 7))
    assert read(tmp_path) == ([0, 1, 4], [])


@pytest.mark.parametrize(
    ("lost", "hole"),
    [((0,), "0 to 0"), ((1, 2), "1 to 2"), ((4,), "4 to 4")],
    ids=["first", "middle", "last"],
)
def test_a_lost_record_is_a_hole_with_its_offsets(tmp_path, lost, hole):
    write(tmp_path, 0, 5, lost=lost)
    offsets, holes = read(tmp_path)
    assert offsets == [n for n in range(5) if n not in lost]
    assert len(holes) == 1
    assert holes[0].startswith(f"labels-0: offsets {hole}: ")


def test_a_lost_file_is_a_hole_and_the_next_one_is_read(tmp_path):
    for first in (0, 2, 4):
        write(tmp_path, first, first + 2)
    sorted(raw_folder(tmp_path, "labels", 0).iterdir())[1].unlink()
    assert read(tmp_path) == ([0, 1, 4, 5], ["labels-0: offsets 2 to 3: no file holds them"])


def test_a_damaged_file_is_a_hole_and_the_next_one_is_read(tmp_path):
    path = write(tmp_path, 0, 200)
    write(tmp_path, 200, 202)
    data = path.read_bytes()
    path.write_bytes(data[:60] + bytes(400) + data[460:])
    offsets, holes = read(tmp_path)
    assert offsets[-2:] == [200, 201]
    assert "can't be read" in holes[0]


def test_a_record_that_stands_twice_is_told_and_read_once(tmp_path):
    path = write(tmp_path, 0, 3)
    table = pq.read_table(path)
    pq.write_table(table.take([0, 1, 1, 2]), path)
    offsets, holes = read(tmp_path)
    assert offsets == [0, 1, 2]
    assert "offset 1 stands twice" in holes[0]


def test_a_hole_meets_spans_that_share_an_offset():
    hole = Hole("labels", 0, 4, 6, "gone")
    assert hole.meets([Span("labels", 0, 5, 9)])
    assert not hole.meets([Span("labels", 0, 6, 9)])
    assert not hole.meets([Span("labels", 0, 0, 4)])
    assert not hole.meets([Span("labels", 1, 4, 6), Span("predictions", 0, 4, 6)])


# Facts of a namespace -----------------------------------------------------------------------------


def test_a_namespace_is_what_its_facts_say(tmp_path):
    topology = TopologyActivated(id="t", time=at(0), partitions=5, driven=True)
    rows = [RawRecord("predictions", 0, 0, 0, b"", codec.encode(topology))]
    write_raw(tmp_path, rows, ("predictions", 0), cover_of([0], 0, 1))
    assert namespace_of(tmp_path) == Namespace(partitions=5, driven=True)
    assert namespace_of(tmp_path).skew_ms is None
    (tmp_path / NAMESPACE_FILE).write_text('{"partitions": 3, "skew_max_ms": 5}')
    assert namespace_of(tmp_path).skew_ms == 5
    (tmp_path / NAMESPACE_FILE).write_text('{"partitions": "three"}')
    with pytest.raises(TransportError, match="restore or delete it"):
        namespace_of(tmp_path)


def test_without_facts_the_ticked_partitions_count(tmp_path):
    write(tmp_path, 0, 1)
    assert namespace_of(tmp_path) == Namespace(partitions=1)


def test_an_empty_folder_is_no_archive(tmp_path):
    with pytest.raises(ConfigError, match="which has no raw/topic=predictions"):
        namespace_of(tmp_path)


# Pace ---------------------------------------------------------------------------------------------


def record(topic: str, offset: int, event: Event, partition: int = 0) -> Record:
    return Record(topic, partition, offset, 0, b"k", codec.encode(event), event)


def test_records_come_by_epoch_and_inputs_before_what_follows_from_them():
    def tick(epoch: int) -> Event:
        return Tick(id=f"tick/{epoch}", time=at(epoch), epoch=epoch)

    labels = [record("labels", n, e) for n, e in enumerate([tick(0), label("a"), tick(1)])]
    derived = [record("outcomes", n, outcome(epoch)) for n, epoch in enumerate([0, 1])]
    merged = by_epoch([("outcomes", iter(derived)), ("labels", iter(labels))])
    assert [(r.topic, r.offset) for r in merged] == [
        ("labels", 0),
        ("labels", 1),
        ("labels", 2),
        ("outcomes", 0),
        ("outcomes", 1),
    ]


def test_a_tick_from_the_far_future_holds_nothing_back():
    far = Tick(id="far", time=at(0), epoch=10**9)
    labels = [record("labels", n, e) for n, e in enumerate([far, label("a"), label("b")])]
    derived = [record("outcomes", 0, outcome(3))]
    merged = [r.topic for r in by_epoch([("labels", iter(labels)), ("outcomes", iter(derived))])]
    assert merged == ["labels", "labels", "labels", "outcomes"]


# The ledger ---------------------------------------------------------------------------------------


def outcome(epoch: int = 0, ordinal: int = 0, id: str = "outcome/a", **fields: object) -> Event:
    given = {"prediction": 1, "label": 1, "model": "m", "version": "v1", **fields}
    return OutcomeJoined(
        id=id,
        time=at(1),
        prediction_id="a",
        label_time=at(2),
        stamp=Stamp("meter/0", epoch, ordinal),
        evidence=RawEvidence(spans=(Span("labels", 0, 3, 4),), records=2),
        **given,  # type: ignore[arg-type]
    )


def concluded(event: Event, partition: int = 0, topic: str = "outcomes") -> Addressed:
    return Addressed(topic, partition, "m", event)


@pytest.mark.parametrize("first", ["recorded", "concluded"])
def test_equal_records_are_good_whichever_comes_first(first):
    ledger = Ledger()
    steps = [
        lambda: ledger.record(record("outcomes", 0, outcome()), outcome()),
        lambda: ledger.conclude(concluded(outcome())),
    ]
    for step in steps if first == "recorded" else steps[::-1]:
        step()
    assert ledger.is_good(Key("outcomes", "meter/0", 0, "outcome/a"))
    assert not list(ledger.missing())
    assert not list(ledger.unfounded())


@pytest.mark.parametrize(
    ("recorded", "why"),
    [
        (outcome(label=0), "another label"),
        (outcome(label=1.0), "another label"),
        (replace(outcome(), evidence=RawEvidence(records=3)), "raw records"),
    ],
    ids=["value", "type", "evidence"],
)
def test_a_difference_is_named(recorded, why):
    ledger = Ledger()
    ledger.conclude(concluded(outcome()))
    ledger.record(record("outcomes", 7, recorded), recorded)
    assert why in ledger.differing[("outcomes", 0, 7)][1]
    assert not ledger.is_good(Key("outcomes", "meter/0", 0, "outcome/a"))


def test_a_record_on_another_partition_differs():
    ledger = Ledger()
    ledger.conclude(concluded(outcome(), partition=1))
    ledger.record(record("outcomes", 0, outcome()), outcome())
    assert "partition 0, not 1" in ledger.differing[("outcomes", 0, 0)][1]


def test_a_repeat_is_good_only_if_it_says_the_same():
    ledger = Ledger()
    ledger.conclude(concluded(outcome()))
    for offset, event in enumerate([outcome(), outcome(), outcome(label=0)]):
        ledger.record(record("outcomes", offset, event), event)
    assert list(ledger.differing) == [("outcomes", 0, 2)]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=5), st.integers(0, 5))
def test_outcomes_compared_as_bytes_are_judged_as_if_read(copies, concluded_at):
    """Copies that are right or say something else, before and after."""
    found = []
    for as_bytes in (True, False):
        ledger = Ledger()
        for offset in range(len(copies) + 1):
            if offset == min(concluded_at, len(copies)):
                for ordinal, id_ in enumerate("ab"):
                    made = concluded(outcome(ordinal=ordinal, id=f"outcome/{id_}"))
                    if as_bytes:
                        ledger.conclude_bytes(
                            made._replace(made=None, value=codec.encode(made.made))
                        )
                    else:
                        ledger.conclude(made)
            if offset < len(copies):
                id_, is_right = copies[offset]
                event = outcome(ordinal="ab".index(id_), id=f"outcome/{id_}", label=int(is_right))
                ledger.record(record("outcomes", offset, event), event)
        ledger.read_all()
        keys = [Key("outcomes", "meter/0", 0, f"outcome/{id_}") for id_ in "ab"]
        found.append((
            set(ledger.differing), set(ledger.bad), [k for k, _ in ledger.missing()],
            [(k, r.offset) for k, r in ledger.unfounded()], [ledger.is_good(key) for key in keys],
        ))  # fmt: skip
    assert found[0] == found[1]


def test_what_shifts_behind_a_missing_record_is_good():
    ledger = Ledger()
    ledger.conclude(concluded(outcome(ordinal=0, id="outcome/a")))
    ledger.conclude(concluded(outcome(ordinal=1, id="outcome/b")))
    shifted = outcome(ordinal=0, id="outcome/b")
    ledger.record(record("outcomes", 0, shifted), shifted)
    assert not ledger.differing
    assert [key.id for key, _ in ledger.missing()] == ["outcome/a"]


def test_two_conclusions_under_one_id_are_told_apart():
    ledger = Ledger()
    twins = [outcome(ordinal=n, label=n, id="outcome/a/again") for n in (0, 1)]
    for twin in twins:
        ledger.conclude(concluded(twin))
    for offset, twin in enumerate(twins):
        ledger.record(record("outcomes", offset, twin), twin)
    assert not ledger.differing
    assert not list(ledger.missing())


def test_outcomes_are_forgotten_after_a_while_and_late_copies_counted():
    ledger = Ledger()
    for epoch in range(WINDOW + 3):
        event = outcome(epoch, id=f"outcome/{epoch}")
        ledger.conclude(concluded(event))
        ledger.record(record("outcomes", epoch, event), event)
    again = outcome(0, id="outcome/0")
    ledger.record(record("outcomes", 999, again), again)
    assert ledger.late == 1
    assert not list(ledger.unfounded())


def test_another_platform_is_told_as_such():
    def drift(platform: str) -> DriftDetected:
        return DriftDetected(
            id="drift/1",
            time=at(1),
            model="m",
            version="v1",
            detector="adwin",
            level="drift",
            since=at(0),
            outcomes=3,
            error_rate=0.5,
            platform=platform,
            config_hash="",
            stamp=Stamp("detect/0", 0, 0),
        )

    ledger = Ledger()
    ledger.conclude(concluded(drift("here"), topic="metrics"))
    ledger.record(record("metrics", 0, drift("there")), drift("there"))
    assert ledger.differing[("metrics", 0, 0)][1] == f"{FOREIGN}there"
    assert failed("x", f"{FOREIGN}there").foreign == f"{FOREIGN}there"


# Epochs as recorded -------------------------------------------------------------------------------


def closed(epoch: int, *events: Event, source: str = "meter/0") -> EpochClosed:
    said = close_hash(codec.conclusion(event) for event in events)
    name = f"close/{source}/{epoch}/outcomes/0"
    return EpochClosed(
        id=name, time=at(0), source=source, epoch=epoch, count=len(events), hash=said
    )


def test_an_epoch_is_ready_when_its_closes_confirm_it():
    taken: list[int] = []
    inbox = RecordedInbox("outcomes", frozenset({"meter/0"}), lambda _, rs: taken.append(len(rs)))
    event = outcome()
    inbox.feed(record("outcomes", 0, event))
    assert not inbox.ready(0)
    inbox.feed(record("outcomes", 1, closed(0, event)))
    inbox.feed(record("outcomes", 2, event))
    assert inbox.ready(0)
    assert [r.offset for r in inbox.take(0)[0]] == [0]
    assert taken == [1]


def test_an_unconfirmed_epoch_is_waived_after_a_while():
    inbox = RecordedInbox("outcomes", frozenset({"meter/0"}), lambda *_: None)
    inbox.feed(record("outcomes", 0, outcome(label=0)))
    inbox.feed(record("outcomes", 1, closed(0, outcome(label=1))))
    for epoch in range(1, LAG):
        inbox.feed(record("outcomes", 1 + epoch, closed(epoch)))
    assert not inbox.ready(0)
    inbox.feed(record("outcomes", 1 + LAG, closed(LAG)))
    assert inbox.ready(0)
    assert len(inbox.take(0)[0]) == 1


# Chains -------------------------------------------------------------------------------------------


def test_where_commands_end_nothing_is_held_behind_them(tmp_path, monkeypatch):
    """CONTROLLER never gets there: it would hold each metric of the rest of the archive."""
    host, made = play(panes=6, every_s=2), list[Links]()
    for place in [place for place in host.log if place[0] == "lifecycle"]:
        ticks = [n for n, r in enumerate(host.log[place]) if isinstance(r.event, Tick)]
        del host.log[place][ticks[5] + 1 :]

    def remembered(*given: Any, **named: Any) -> Links:
        made.append(Links(*given, **named))
        return made[0]

    monkeypatch.setattr("streamops.audit.verify.Links", remembered)
    found = recompute(archive(host, tmp_path / "archive"), Asked(), make_detector=make_counting)
    inboxes = [i for fold in made[0].folds for i in fold.inboxes.values()]
    assert [i.held for i in inboxes if i.topic == "metrics"] == [0, 0]
    epochs = {e.id: e.stamp.epoch for e in host.events("alerts") if isinstance(e, AlertRaised)}
    good = {alert.id for alert in found.alerts if alert.status == "verified"}
    assert good == {id_ for id_, epoch in epochs.items() if epoch < 5}
    assert 0 < len(good) < len(epochs)


def drifted(outcomes: int, ordinal: int = 0) -> DriftDetected:
    return DriftDetected(
        id=f"drift/{outcomes}",
        time=at(1),
        model="m",
        version="v1",
        detector="adwin",
        level="drift",
        since=at(0),
        outcomes=outcomes,
        error_rate=0.5,
        platform="p",
        config_hash="",
        stamp=Stamp("detect/0", 0, ordinal),
        evidence=OutcomeEvidence(first_epoch=0, last_epoch=0, outcomes=outcomes, chain="c"),
    )


def proof_of(metric: MetricEvaluated | DriftDetected, offset: int = 0) -> Proof:
    assert metric.stamp is not None
    return Proof(metrics=(MetricRef(id=metric.id, stamp=metric.stamp, offset=offset),))


def test_a_detector_rests_on_the_outcomes_before_it_spoke_and_on_no_later_one():
    ledger = Ledger()
    chains = Chains(ledger)
    events = [outcome(ordinal=n, id=f"outcome/{n}") for n in range(3)]
    for n, event in enumerate(events):
        ledger.conclude(concluded(event))
        wrong = replace(event, label=0) if n == 1 else event
        ledger.record(record("outcomes", n, wrong), wrong)
    chains.take("outcomes", [record("outcomes", n, event) for n, event in enumerate(events)])
    drifts = [drifted(n + 1, ordinal=n) for n in range(3)]
    for n, drift in enumerate(drifts):
        ledger.conclude(concluded(drift, topic="metrics"))
        ledger.record(record("metrics", n, drift), drift)
        chains.note(drift)
    chains.conclude({}, {})
    faults = [chains.faults_of(proof_of(drift, n)) for n, drift in enumerate(drifts)]
    assert faults[0] == Faults()
    assert "outcome/1" in faults[1].integrity[0]
    assert faults[2].integrity == faults[1].integrity


def test_a_lost_outcome_counts_only_for_what_was_said_at_it_or_behind_it():
    """DETECT reads an epoch's outcomes by time: one behind the drift had no part in it."""
    drift = drifted(2)
    for minute, is_named in ((-1, True), (0, True), (1, False)):
        gone = replace(outcome(), time=drift.time + timedelta(minutes=minute))
        key = Key("outcomes", "meter/0", 0, gone.id)
        again = Chains(Ledger())
        again.note(drift)
        again.conclude({key: gone}, {})
        said = again.faults_of(proof_of(drift)).completeness
        assert any("outcome/a" in why for why in said) == is_named


def test_a_metric_that_is_not_there_makes_a_proof_incomplete():
    chains = Chains(Ledger())
    chains.conclude({}, {})
    faults = chains.faults_of(proof_of(drifted(1)))
    assert faults.completeness == ("metric drift/1: is not in the archive",)
    assert chains.faults_of(None).completeness


def test_a_metric_at_another_offset_than_named_fails():
    ledger = Ledger()
    chains = Chains(ledger)
    drift = drifted(1)
    ledger.conclude(concluded(drift, topic="metrics"))
    ledger.record(record("metrics", 5, drift), drift)
    chains.note(drift)
    chains.conclude({}, {})
    assert chains.faults_of(proof_of(drift, 5)) == Faults()
    assert "offset 4" in chains.faults_of(proof_of(drift, 4)).integrity[0]


def test_tests_of_labels_rest_on_mature_panes_and_those_of_inputs_on_closed_ones():
    chains, said = Chains(Ledger()), {}
    for pane in range(2):
        for cut in ("closed", "mature"):
            source = SummaryRef(
                id=f"{cut}/{pane}", stamp=Stamp("meter/0", pane, 0), offset=0, raw=RawEvidence()
            )
            said[cut] = MetricEvaluated(
                id=f"metric/{cut}/{pane}", time=at(pane), model="m", version="v1", segment="all",
                pane_start=at(pane), cut=cut, config_hash="h",
                stamp=Stamp("monitor/0", pane, cut == "mature"),
                evidence=MetricEvidence(summaries=(source,), panes=pane + 1),
            )  # fmt: skip
            chains.note(said[cut])
    chains.conclude({}, {})
    for cut, other in (("closed", "mature"), ("mature", "closed")):
        faults = " ".join(chains.faults_of(proof_of(said[cut]), of_test=True).completeness)
        assert f"{cut}/0" in faults
        assert f"{cut}/1" in faults
        assert other not in faults


def test_many_alerts_of_a_test_look_at_each_pane_once_and_name_the_same_faults(monkeypatch):
    """An alert rests on every pane before it: looked at for each anew, 18 million predictions took
    longer to judge than to fold."""
    panes, chains = [], Chains(Ledger())
    for pane in range(60):
        source = SummaryRef(
            id=f"summary/{pane}", stamp=Stamp("meter/0", pane, 0), offset=0, raw=RawEvidence()
        )
        metric = MetricEvaluated(
            id=f"metric/{pane}", time=at(pane), model="m", version="v1", segment="all",
            pane_start=at(pane), cut="closed", config_hash="h",
            stamp=Stamp("monitor/0", pane, 0),
            evidence=MetricEvidence(summaries=(source,), panes=pane + 1),
        )  # fmt: skip
        panes.append(metric)
        chains.note(panes[-1])
    chains.conclude({}, {})
    looked = list[str]()
    monkeypatch.setattr(
        Chains,
        "_summary",
        lambda _, ref: looked.append(ref.id) or Faults(completeness=(f"{ref.id} lacks",)),
    )
    # Alerts come in the order of the log; a pane may have two, and any may be asked for alone.
    for number in (0, 7, 7, 30, 59, 12):
        found = chains.faults_of(proof_of(panes[number]), of_test=True).completeness
        there = [why for why in found if why.startswith("summary/")]
        assert there == [f"summary/{pane} lacks" for pane in range(number, -1, -1)]
    # Its own pane is looked at for each alert besides.
    assert len(looked) <= len(panes) + 6 + 12


def test_inputs_that_end_make_a_proof_incomplete_and_nothing_differ():
    faults = failed("summary s", f"{ENDED}7 (meter/0 reaches 3)")
    assert not faults.integrity
    assert faults.completeness


def test_labels_have_no_stamp_and_so_no_key():
    event = LabelArrived(id="l", time=at(0), prediction_id="p", label=1)
    assert Ledger().record(record("labels", 0, event), event) is None
