"""The retrain ledger, held to what the story's host holds and to counts made by hand."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

from streamops import codec
from streamops.audit.in_clear import InClear
from streamops.audit.retrains import Retrain, retrains
from streamops.cli import main
from streamops.core.times import moment
from streamops.events import (
    ActionTaken,
    CandidateScored,
    GateEvaluated,
    ModelRegistered,
    OutcomeJoined,
    RetrainRequested,
    RunCompleted,
    RunFailed,
    RunStarted,
    StageChanged,
)
from streamops.hosts.memory import MemoryHost
from streamops.keys import KeyStore
from streamops.personal import Opener, Personal, Veil
from streamops.training.artifacts import address
from streamops.training.scoring import About, SklearnModel
from streamops.views.asof import AsOf
from streamops.views.queries import Question, answer_question
from streamops.views.store import open_store, store
from tests.story import archive, play
from tests.web_views import raws

SECONDS = 12.5


class Played(NamedTuple):
    host: MemoryHost
    archive: Path
    artifacts: Path
    views: Path


def constant(artifacts: Path, registered: ModelRegistered, answer: int) -> str:
    """Store a model that always gives one answer."""
    profile = registered.version.profile
    about = About(task="binary", columns=profile.features, classes=(0, 1), positive="1")
    rows = np.zeros((2, len(profile.features)))
    fitted = DummyClassifier(strategy="constant", constant=answer).fit(rows, [0, 1])
    return SklearnModel(about, fitted).save(artifacts)


def with_artifacts(host: MemoryHost, artifacts: Path) -> None:
    """Give each version a real file: the first answers 1 always, its challengers 0."""
    for place, rows in host.log.items():
        for n, record in enumerate(rows):
            event = record.event
            if isinstance(event, ModelRegistered):
                file = constant(artifacts, event, int(event.version.version == "v1"))
                version = msgspec.structs.replace(event.version, artifact=file)
                event = msgspec.structs.replace(event, version=version)
                host.log[place][n] = record._replace(event=event, value=codec.encode(event))


def with_runs(host: MemoryHost) -> None:
    """Say when each run began and ended: 12.5 s later."""
    for request in host.events("retraining"):
        if isinstance(request, RetrainRequested):
            run = {"model": request.model, "run_id": request.id}
            end = request.time + timedelta(seconds=SECONDS)
            host.append(
                "lifecycle",
                request.model,
                RunStarted(id=f"s/{request.id}", time=request.time, **run),
            )
            host.append(
                "lifecycle",
                request.model,
                RunCompleted(id=f"c/{request.id}", time=end, rows=request.labels, **run),
            )


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder, host = tmp_path_factory.mktemp("retrains"), play()
    with_artifacts(host, folder / "artifacts")
    with_runs(host)
    archive(host, folder / "archive")
    con = open_store(folder / "views.duckdb")
    store(con, raws(host), {}, None)
    con.close()
    return Played(host, folder / "archive", folder / "artifacts", folder / "views.duckdb")


def ledger(played: Played, artifacts: Path | None = None) -> dict[str, Retrain]:
    found = retrains(played.archive, artifacts or played.artifacts)
    return {retrain.request: retrain for retrain in found.retrains}


def promotions(host: MemoryHost, model: str) -> list[StageChanged]:
    changes = [e for e in host.events("deployments") if isinstance(e, StageChanged)]
    return [e for e in changes if e.model == model and e.after == "Production"]


def later_labels(host: MemoryHost, model: str, after: int, until: int | None) -> list[object]:
    """The labels of a model's outcomes in epochs (after, until]."""
    return [
        e.label
        for e in host.events("outcomes")
        if isinstance(e, OutcomeJoined)
        and e.model == model
        and e.stamp.epoch > after
        and (until is None or e.stamp.epoch <= until)
    ]


def promoted(found: dict[str, Retrain]) -> list[Retrain]:
    """Those promoted, oldest first; the first replaced v1."""
    return [retrain for retrain in found.values() if retrain.verdict == "promoted"]


def test_the_regret_of_a_promoted_retrain_is_what_a_hand_counts(played):
    changes = promotions(played.host, "churn")
    found = promoted(ledger(played))
    assert [r.version for r in found] == [c.version for c in changes[1:]]
    ends = [*(c.stamp.epoch for c in changes[2:]), None]
    for retrain, change, until in zip(found, changes[1:], ends, strict=True):
        labels = later_labels(played.host, "churn", change.stamp.epoch, until)
        if not labels:
            assert retrain.regret is None
            continue
        # The first version always answers 1, every other one 0.
        new = labels.count(0) / len(labels)
        old = labels.count(int(change.replaced == "v1")) / len(labels)
        regret = retrain.regret
        assert (regret.rows, regret.metric) == (len(labels), "accuracy")
        assert (regret.new, regret.old) == (pytest.approx(new), pytest.approx(old))
        assert regret.gain == pytest.approx(new - old)
        assert regret.regret == pytest.approx(old - new)
    assert (changes[1].replaced, found[0].regret.rows > 50) == ("v1", True)


def test_a_refused_challenger_is_held_to_what_served_in_fact(played):
    ends = [change.stamp.epoch for change in promotions(played.host, "churn")]
    refused = [r for r in ledger(played).values() if r.verdict == "refused" and r.regret]
    assert refused
    for retrain in refused:
        until = min((end for end in ends if end > retrain.decided), default=None)
        labels = later_labels(played.host, "churn", retrain.decided, until)
        answered = [
            e.prediction == e.label
            for e in played.host.events("outcomes")
            if isinstance(e, OutcomeJoined)
            and e.model == "churn"
            and e.stamp.epoch > retrain.decided
            and (until is None or e.stamp.epoch <= until)
        ]
        assert retrain.regret.as_served == pytest.approx(sum(answered) / len(answered))
        better = labels.count(0) / len(labels) - sum(answered) / len(answered)
        assert retrain.regret.regret == pytest.approx(better)


def test_cause_cost_and_verdict_are_those_on_the_log(played):
    found = ledger(played)
    requests = [e for e in played.host.events("retraining") if isinstance(e, RetrainRequested)]
    gates = {
        e.request_id: e for e in played.host.events("deployments") if isinstance(e, GateEvaluated)
    }
    assert set(found) == {request.id for request in requests}
    for request in requests:
        retrain, gate = found[request.id], gates.get(request.id)
        assert (retrain.cause, retrain.seconds, retrain.rows) == (
            request.cause, SECONDS, request.labels,
        )  # fmt: skip
        assert (retrain.first_epoch, retrain.last_epoch) == (
            request.first_epoch, request.last_epoch,
        )  # fmt: skip
        assert retrain.trigger in ("data_drift", "concept_drift", "performance")
        if gate is not None and not gate.passed:
            assert retrain.verdict == "refused"
            assert [c.name for c in retrain.checks] == [c.name for c in gate.checks if not c.passed]


def test_the_view_says_the_same(played):
    sql = "SELECT request_id, trigger, seconds, rows, verdict, decided_epoch FROM retrains"
    rows = answer_question(played.views, Question(sql, AsOf())).rows
    expected = [
        [r.request, r.trigger, r.seconds, r.rows, r.verdict, r.decided]
        for r in ledger(played).values()
    ]
    assert sorted(rows) == sorted(expected)


def test_triggers_are_summed(played):
    found = retrains(played.archive, played.artifacts)
    assert sum(t.requests for t in found.triggers) == len(found.retrains)
    (own,) = (t for t in found.triggers if t.promoted)
    paid = [r for r in found.retrains if r.verdict == "promoted" and r.regret]
    assert {r.trigger for r in paid} == {own.trigger}
    gained = sum(r.regret.gain * r.regret.rows for r in paid)
    assert own.gain == pytest.approx(gained / sum(r.regret.rows for r in paid))
    assert own.seconds == SECONDS * own.requests


def test_a_file_that_is_not_the_one_on_the_log_is_not_loaded(played, tmp_path):
    first = promoted(ledger(played))[0]
    registered = [e for e in played.host.events("lifecycle") if isinstance(e, ModelRegistered)]
    (old,) = {
        e.version.artifact
        for e in registered
        if (e.version.model, e.version.version) == ("churn", "v1")
    }
    (new,) = {e.version.artifact for e in registered if e.version.version == first.version}
    damaged = address(tmp_path, old)
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(address(played.artifacts, old).read_bytes() + b" ")
    kept = address(tmp_path, new)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(address(played.artifacts, new).read_bytes())
    regret = ledger(played, tmp_path)[first.request].regret
    assert (regret.new, regret.old, regret.regret) == (first.regret.new, None, None)
    assert f"the log names {old}" in regret.unscored["v1"]


def test_a_file_under_a_keyed_hash_is_never_opened(played, tmp_path):
    host, folder = play(), tmp_path / "archive"
    with_artifacts(host, tmp_path / "artifacts")
    for place, rows in host.log.items():
        for n, record in enumerate(rows):
            if isinstance(record.event, ModelRegistered):
                event = msgspec.structs.replace(record.event, runner="river")
                host.log[place][n] = record._replace(event=event, value=codec.encode(event))
    archive(host, folder)
    found = {r.request: r for r in retrains(folder, tmp_path / "artifacts").retrains}
    regret = promoted(found)[0].regret
    assert "kept under a keyed hash" in regret.unscored["v1"]
    # What it answered in fact is known without its file.
    assert regret.old is None
    assert regret.as_served is not None


class People(NamedTuple):
    """A history with x of nine persons encrypted, one of them forgotten by request 1."""

    host: MemoryHost
    folder: Path
    key: str

    @property
    def archive(self) -> Path:
        return self.folder / "live" / "archive"

    def ledger(self) -> dict[str, Retrain]:
        found = retrains(self.archive, self.folder / "artifacts")
        return {r.request: r for r in found.retrains}

    def whose(self, retrain: Retrain) -> int:
        """How many later outcomes of a decision are of the forgotten person."""
        later = retrain.regret.after, retrain.regret.until
        outcomes = (e for e in self.host.events("outcomes") if isinstance(e, OutcomeJoined))
        return sum(
            e.model == retrain.model
            and later[0] < e.stamp.epoch <= later[1]
            and not e.correction
            and f".{self.key}.".encode() in bytes(e.features)
            for e in outcomes
        )


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    folder = tmp_path_factory.mktemp("people")
    keys = folder / "live.keys"
    host = play(veil=Veil(Personal(keys=keys, features=("x",))), open_=Opener(keys).open)
    with_artifacts(host, folder / "artifacts")
    store = KeyStore(keys)
    erasure = store.begin_erasure("person 4")
    fact = ActionTaken(
        id="forget", time=moment(0), actor="ada", action="forget", target=erasure.name,
        correlation_id="1",
    )  # fmt: skip
    host.append("audit", "ada", fact)
    store.destroy(erasure)
    store.close()
    archive(host, folder / "live" / "archive")
    return People(host, folder, erasure.name)


def test_models_are_asked_with_what_keys_open_and_the_erased_are_left_out(people, played):
    found = [r for r in promoted(people.ledger()) if r.regret]
    plain = [r for r in promoted(ledger(played)) if r.regret]
    regrets = [r.regret for r in found]
    assert [r.erased for r in regrets] == [people.whose(retrain) for retrain in found]
    assert sum(r.erased for r in regrets) > 5
    assert [r.unread for r in regrets] == [0] * len(regrets)
    # The same history in the clear has the same outcomes, and models that answer by no x.
    assert [r.rows + r.erased for r in regrets] == [r.regret.rows for r in plain]
    assert regrets[0].unscored == {}
    assert None not in (regrets[0].new, regrets[0].old, regrets[0].regret)


def test_a_model_is_asked_with_the_plain_values(people, played):
    rows = [e for e in people.host.events("outcomes") if isinstance(e, OutcomeJoined)]
    readable = [e for e in rows if f".{people.key}.".encode() not in bytes(e.features)]
    found = InClear(people.archive).read(rows)
    assert (len(found.outcomes), found.erased + found.unread) == (
        len(readable), len(rows) - len(readable),
    )  # fmt: skip
    plain = {
        e.prediction_id: bytes(e.features)
        for e in played.host.events("outcomes")
        if isinstance(e, OutcomeJoined)
    }
    for outcome in found.outcomes:
        wanted = msgspec.json.decode(plain[outcome.prediction_id])
        assert msgspec.json.decode(outcome.features) == wanted


def test_without_the_key_store_nothing_is_compared_and_the_ledger_says_so(people, tmp_path, capsys):
    shutil.copytree(people.folder / "live", tmp_path / "live")
    artifacts = people.folder / "artifacts"
    first = promoted(
        {r.request: r for r in retrains(tmp_path / "live" / "archive", artifacts).retrains}
    )[0]
    regret = first.regret
    assert (regret.rows, regret.new, regret.old, regret.regret) == (0, None, None, None)
    assert (regret.erased, regret.unread > 50) == (people.whose(first), True)
    assert main(["retrains", "--archive", str(tmp_path / "live" / "archive")]) == 0
    said = capsys.readouterr().err
    assert "whose values about a person were erased by request, " in said
    assert " whose key isn't here" in said


def test_a_run_that_failed_says_why(tmp_path):
    host = play()
    request = next(e for e in host.events("retraining") if isinstance(e, RetrainRequested))
    for place, rows in host.log.items():
        host.log[place] = [r for r in rows if not _answers(r.event, request.id)]
    failed = RunFailed(
        id="f", time=request.time, model=request.model, run_id=request.id, error="no memory",
        request_id=request.id,
    )  # fmt: skip
    host.append("lifecycle", request.model, failed)
    archive(host, tmp_path / "archive")
    (found,) = (
        r for r in retrains(tmp_path / "archive", tmp_path).retrains if r.request == request.id
    )
    assert (found.verdict, found.error, found.regret) == ("failed", "no memory", None)


def _answers(event: object, request: str) -> bool:
    answers = (CandidateScored, GateEvaluated, ModelRegistered)
    return isinstance(event, answers) and event.request_id == request


def test_the_command_prints_the_ledger(played, capsys):
    arguments = ["retrains", "--archive", str(played.archive)]
    assert main([*arguments, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(shown["retrains"]) == len(ledger(played))
    assert main([*arguments, "--model", "churn"]) == 0
    out = capsys.readouterr().out
    assert "promoted" in out
    assert "gain of those promoted" in out


def test_no_archive_is_named(tmp_path, capsys):
    assert main(["retrains", "--archive", str(tmp_path / "gone")]) == 2
    assert "isn't there" in capsys.readouterr().err
    assert main(["retrains", "--archive", str(tmp_path)]) == 2
    assert "has no raw/topic=predictions" in capsys.readouterr().err
