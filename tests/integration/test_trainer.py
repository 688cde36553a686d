"""The trainer on a real broker: requests in, runs, versions and scores out; the same again."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import msgspec
import pytest

from streamops import codec
from streamops.core.derived_inbox import close_hash
from streamops.core.partition import partition_of
from streamops.core.times import EPOCH
from streamops.events import (
    ActivationDelivered,
    CandidateScored,
    DeploymentServed,
    EpochClosed,
    EvaluationRequested,
    ModelRegistered,
    OutcomeJoined,
    RetrainRequested,
    RollbackRequested,
    RunCompleted,
    RunFailed,
    RunStarted,
    StageChanged,
)
from streamops.kafka.admin import create_topics
from streamops.kafka.clients import make_producer
from streamops.kafka.follow import Follower
from streamops.personal import Personal, Veil
from streamops.serving.scorer import Scorer
from streamops.settings import Settings
from streamops.training.batch import train
from streamops.training.worker import TrainerWorker, run_trainer
from streamops.values import ModelVersion, Stamp

PARTITIONS = 2
MODEL = "m"
WAIT_S = 60


def features(at):
    return {"x": (at * 37) % 101 / 10, "kind": "ab"[at % 2]}


def label(at):
    return int((features(at)["x"] > 5) != (at >= 300))  # the concept turns round at row 300


class Log:
    """What METER, the controller and a person would have written."""

    def __init__(self, bootstrap, namespace, folder):
        create_topics({"bootstrap.servers": bootstrap}, namespace, PARTITIONS)
        self.settings = Settings(
            bootstrap=bootstrap,
            namespace=namespace,
            data=folder,
            partitions=PARTITIONS,
            driven=True,
        )
        self.producer = make_producer(self.settings, "test")
        self.veil: Veil | None = None

    def features(self, at):
        """A row as the log has it: of seven persons by turns, where x is about them."""
        raw = msgspec.Raw(msgspec.json.encode(features(at)))
        return self.veil.features(raw, f"p/{at}", f"person {at % 7}") if self.veil else raw

    def write(self, topic, *events, partition=None):
        for event in events:
            where = {} if partition is None else {"partition": partition}
            self.producer.produce(
                self.settings.topic(topic), codec.encode(event), MODEL.encode(), **where
            )
        self.producer.flush()

    def outcomes(self, epoch, rows):
        """One epoch of outcomes-q: both METER partitions write, then close."""
        q = partition_of(MODEL, PARTITIONS)
        for p in range(PARTITIONS):
            mine = [at for at in rows if at % PARTITIONS == p]
            events = [
                OutcomeJoined(
                    id=f"o/{at}",
                    time=EPOCH + timedelta(seconds=at),
                    prediction_id=f"p/{at}",
                    model=MODEL,
                    version="1",
                    prediction=0,
                    label=label(at),
                    label_time=EPOCH + timedelta(seconds=at),
                    features=self.features(at),
                    segments={"kind": features(at)["kind"]},
                    stamp=Stamp(f"meter/{p}", epoch, ordinal),
                )
                for ordinal, at in enumerate(mine)
            ]
            close = EpochClosed(
                id=f"c/{p}/{epoch}",
                time=EPOCH,
                source=f"meter/{p}",
                epoch=epoch,
                count=len(events),
                hash=close_hash(codec.conclusion(event) for event in events),
            )
            # Repeats of a restarted METER, even after its close, change nothing.
            self.write("outcomes", *events[:3], *events, close, *events[:2], partition=q)

    def first_version(self):
        trained = train(
            [features(at) for at in range(100)],
            [label(at) for at in range(100)],
            artifacts=self.settings.artifacts,
            task="binary",
        )
        version = ModelVersion(
            model=MODEL,
            version="1",
            task="binary",
            profile=trained.profile,
            profile_hash=trained.profile_hash,
            positive=trained.positive,
            artifact=trained.artifact,
        )
        self.write("lifecycle", ModelRegistered(id="r/1", time=EPOCH, version=version))
        return version

    def read(self, *topics):
        follower = Follower(self.settings, "test-reader", topics)
        try:
            return [record.event for record in follower.to_end()]
        finally:
            follower.close()


@pytest.fixture
def log(broker, namespace, tmp_path):
    return Log(broker.bootstrap, namespace, tmp_path / "data")


def request(strategy, **changes):
    return RetrainRequested(
        **{
            "id": f"retrain/{MODEL}/9/{strategy}",
            "time": EPOCH + timedelta(hours=1),
            "model": MODEL,
            "strategy": strategy,
            "cause": "alert",
            "reason": "because",
            "champion_version": "1",
            "first_epoch": 0,
            "last_epoch": 3,
            "labels": 800,
            "holdout_rows": 100,
            "metric": "accuracy",
            "recent_rows": 300,
            "since": EPOCH + timedelta(seconds=300),
            "refit": True,
            **changes,
        }
    )


def answer_all(worker):
    deadline = time.monotonic() + WAIT_S
    worker.catch_up()
    while worker._open:
        worker.poll()
        assert time.monotonic() < deadline, f"unanswered: {sorted(worker._open)}"


def run_until_answered(log):
    worker = TrainerWorker(log.settings)
    try:
        answer_all(worker)
    finally:
        worker.close()


def test_every_strategy_is_answered_in_order_and_the_same_again(log, tmp_path):
    log.first_version()
    requests = [request(s) for s in ("recent", "all", "since_change", "online")]
    log.write("retraining", *requests)
    for epoch in range(4):
        log.outcomes(epoch, range(epoch * 200, epoch * 200 + 200))
    run_until_answered(log)

    written = log.read("lifecycle")[1:]
    for asked in requests:
        kinds = [type(e) for e in written if e.id.startswith(f"{asked.id}/")]
        assert kinds == [RunStarted, RunCompleted, ModelRegistered, CandidateScored]
    found = {e.request_id: e for e in written if isinstance(e, CandidateScored)}
    recent = found[requests[0].id]
    assert recent.candidate["accuracy"] > 0.9 > 0.2 > recent.champion["accuracy"]
    assert (recent.rows, recent.refit, recent.champion_version) == (100, True, "1")
    assert set(recent.segments) == {"kind=a", "kind=b"}
    rows = {e.run_id.rpartition("/")[2]: e.rows for e in written if isinstance(e, RunCompleted)}
    assert rows == {"recent": 400, "all": 800, "since_change": 500, "online": 800}
    datasets = {e.dataset for e in log.read("data")}
    assert {e.dataset for e in written if isinstance(e, RunStarted)} == datasets

    # A trainer that starts again finds all answered; one without memory says the same bytes.
    run_until_answered(log)
    assert log.read("lifecycle")[1:] == written
    again = TrainerWorker(msgspec.structs.replace(log.settings, data=tmp_path / "other"))
    again.settings.artifacts.mkdir(parents=True)
    sent = []
    again._send = lambda event, topic="lifecycle": sent.append(event)  # type: ignore[method-assign]
    try:
        again.catch_up()
        first = log.settings.artifacts
        for path in first.rglob("*"):
            if path.is_file():
                place = again.settings.artifacts / path.relative_to(first)
                place.parent.mkdir(exist_ok=True)
                place.write_bytes(path.read_bytes())
        while not again._outcomes.has(MODEL, 3):
            again._outcomes.poll(0.1)
        for asked in requests:
            again._answer(asked)
    finally:
        again.close()
    lifecycle = [codec.encode(e) for e in sent if not type(e).__name__.startswith("Dataset")]
    assert lifecycle == [codec.encode(e) for e in written]


def test_a_run_learns_from_what_keys_open_and_leaves_the_erased_out(log, caplog):
    log.first_version()
    log.veil = Veil(Personal(keys=log.settings.keys, features=("x",)))
    log.outcomes(0, range(300))
    log.veil.keys.destroy(log.veil.keys.begin_erasure("person 3"))
    log.write("retraining", request("all", last_epoch=0, holdout_rows=60, refit=False))
    run_until_answered(log)
    written = log.read("lifecycle")
    (run,) = (e for e in written if isinstance(e, RunCompleted))
    (found,) = (e for e in written if isinstance(e, CandidateScored))
    erased = len(range(3, 300, 7))
    assert (run.rows, run.parameters) == (240 - erased, {"rows_unread": erased})
    # Which side of 5 x is on is all there is to learn: what was opened was read as it was.
    assert found.candidate["accuracy"] > 0.9
    assert f"{erased} of 300 outcomes left out" in caplog.text
    assert not list((log.settings.data / "trainer").rglob("job")), "plain values on the disk"


def test_a_run_that_fails_says_why_and_a_version_can_be_scored(log):
    version = log.first_version()
    worse = msgspec.structs.replace(version, version="2")
    evaluation = EvaluationRequested(
        id="evaluate/m/2",
        time=EPOCH,
        model=MODEL,
        version="2",
        champion_version="1",
        first_epoch=0,
        last_epoch=0,
        holdout_rows=50,
        metric="accuracy",
    )
    failing = request("all", trainer="no_such_module:f", last_epoch=0)
    short = request("recent", last_epoch=0, holdout_rows=500)
    log.write("lifecycle", ModelRegistered(id="r/2", time=EPOCH, version=worse))
    log.write("retraining", failing, evaluation, short)
    log.outcomes(0, range(200))
    run_until_answered(log)
    written = {e.id: e for e in log.read("lifecycle")}
    assert "no_such_module" in written[f"{failing.id}/failed"].error
    assert "none is left" in written[f"{short.id}/failed"].error
    assert isinstance(written[f"{short.id}/failed"], RunFailed)
    scored = written["evaluate/m/2/scored"]
    assert (scored.rows, scored.version, scored.refit) == (50, "2", False)
    assert scored.candidate == scored.champion
    assert scored.candidate["accuracy"] > 0.9


def test_a_request_waits_for_its_last_epoch_and_someone_elses_answer_counts(log):
    log.first_version()
    log.write("retraining", request("recent", last_epoch=1), request("all", last_epoch=1))
    log.outcomes(0, range(200))
    stop = threading.Event()
    thread = threading.Thread(target=run_trainer, args=(log.settings, stop))
    thread.start()
    try:
        theirs = RunFailed(
            id="x", time=EPOCH, model=MODEL, run_id="x", error="no", request_id=request("all").id
        )
        log.write("lifecycle", theirs)
        log.outcomes(1, range(200, 400))
        deadline = time.monotonic() + WAIT_S
        follower = Follower(log.settings, "test-follower", ("lifecycle",))
        seen = []
        while not any(isinstance(event, CandidateScored) for event in seen):
            seen += [record.event for record in follower.poll(0.1)]
            assert time.monotonic() < deadline
        follower.close()
    finally:
        stop.set()
        thread.join(WAIT_S)
    assert not thread.is_alive()
    answers = [e.request_id for e in log.read("lifecycle") if isinstance(e, CandidateScored)]
    assert answers == [request("recent").id]


def promoted(version, revision, replaced="", cause="gate"):
    return StageChanged(
        id=f"stage/{MODEL}/{version}/{revision}",
        time=EPOCH + timedelta(hours=revision),
        model=MODEL,
        version=version,
        before="Staging",
        after="Production",
        revision=revision,
        cause=cause,
        replaced=replaced,
    )


def delivered(version):
    return ActivationDelivered(
        id=f"delivered/{version}", time=EPOCH, revision=1, model=MODEL, version=version
    )


def test_the_scorer_serves_what_is_delivered_and_rolls_back_at_once(log):
    version = log.first_version()
    other = train(
        [features(at) for at in range(300, 500)],
        [label(at) for at in range(300, 500)],
        artifacts=log.settings.artifacts,
        task="binary",
    )
    second = msgspec.structs.replace(version, version="2", artifact=other.artifact)
    log.write("deployments", promoted("1", 1))
    log.write("lifecycle", delivered("1"))
    scorer = Scorer(log.settings)
    question = [features(7), features(8)]
    assert [a.version for a in scorer.predict_many(question)] == ["1", "1"]
    assert [a.prediction for a in scorer.predict_many(question)] == [label(7), label(8)]
    log.write("deployments", promoted("2", 2, replaced="1"))
    log.write("lifecycle", ModelRegistered(id="r/2", time=EPOCH, version=second), delivered("2"))
    scorer.wait_for(MODEL, 2, WAIT_S)
    assert [a.prediction for a in scorer.predict_many(question, MODEL)] == [
        1 - label(7),
        1 - label(8),
    ]
    assert scorer.predict_many(question)[0].step_id == promoted("2", 2).id
    back = RollbackRequested(id="back", time=EPOCH + timedelta(hours=3), model=MODEL, actor="ann")
    log.write("lifecycle", back)
    deadline = time.monotonic() + WAIT_S
    while scorer.predict_many(question)[0].version != "1":
        scorer.poll(0.1)
        assert time.monotonic() < deadline
    scorer.close()
    again = Scorer(log.settings)
    assert again.predict_many(question)[0].version == "1"
    again.close()
    served = [e for e in log.read("deployments") if isinstance(e, DeploymentServed)]
    assert [(e.version, e.revision) for e in served] == [("1", 1), ("2", 2), ("1", 2)]
