"""The client's parts: predictors, data sets and runs."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import streamops
from streamops.errors import ConfigError, InputError
from streamops.events import Event, RunCompleted, RunFailed, RunStarted
from streamops.sdk.dataset import describe
from streamops.sdk.predictor import answer
from streamops.sdk.run import Run, one_line, read_commit, read_environment

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_a_function_gives_a_prediction_and_may_give_a_score():
    assert answer(lambda row: row["x"] + 1, {"x": 1}) == (2, None)
    assert answer(lambda row: ("yes", 0.5), {"x": 1}) == ("yes", 0.5)


def test_what_cannot_predict_is_named():
    with pytest.raises(ConfigError, match="predictor is a str"):
        answer("model", {})


def test_scikit_learn_models_score_the_second_class_or_the_predicted_one():
    linear = pytest.importorskip("sklearn.linear_model")
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})
    two = linear.LogisticRegression().fit(frame, [False, False, True, True])
    row = {"b": 1.0, "unused": "x", "a": 0.0}  # any order, the model's names decide
    given = answer(two, row)
    shares = two.predict_proba(frame.iloc[:1])[0]
    assert (given.prediction, given.score) == (False, shares[1])
    three = linear.LogisticRegression().fit(frame, ["x", "y", "z", "z"])
    assert answer(three, row).score == max(three.predict_proba(frame.iloc[:1])[0])
    number = linear.LinearRegression().fit(frame.to_numpy(), [0.0, 1.0, 2.0, 3.0])
    assert answer(number, {"a": 1.0, "b": 0.0}).prediction == pytest.approx(1.0)
    with pytest.raises(InputError, match="features lacks 'b'"):
        answer(two, {"a": 1.0})


def test_river_models_are_asked_one_by_one():
    naive_bayes = pytest.importorskip("river.naive_bayes")
    model = naive_bayes.GaussianNB()
    assert answer(model, {"x": 1.0}).score is None  # it has seen nothing
    for x in (0.0, 0.1, 5.0, 5.1):
        model.learn_one({"x": x}, x > 1)
    given = answer(model, {"x": 0.05})
    assert given.prediction is False
    assert given.score == model.predict_proba_one({"x": 0.05})[True]


def test_a_file_is_hashed_as_it_is(tmp_path: Path):
    file = tmp_path / "customers.csv"
    file.write_bytes(b'name,age\n"a\nb",1\nc,2\n')
    content = describe(file)
    assert content.content_hash == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (content.rows, content.columns) == (2, (("name", ""), ("age", "")))
    assert content.uri == file.as_uri()
    assert describe(str(file)) == content
    assert describe(file.read_bytes()).content_hash == content.content_hash
    with pytest.raises(InputError, match="can't be read: No such file"):
        describe(tmp_path / "none.csv")
    with pytest.raises(InputError, match="content is a list"):
        describe([1, 2])


def test_a_parquet_file_tells_its_shape(tmp_path: Path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"age": [1, 2], "name": ["a", "b"]}), tmp_path / "t.parquet")
    content = describe(tmp_path / "t.parquet")
    assert (content.rows, content.columns) == (2, (("age", "int64"), ("name", "string")))


def test_a_frames_hash_is_its_content():
    pandas = pytest.importorskip("pandas")
    columns = {"a": [1, 2], "b": ["x", None], "t": pandas.to_datetime(["2026-05-01", None])}
    frame = pandas.DataFrame(columns)
    content = describe(frame)
    assert describe(frame.copy()) == content
    assert (content.rows, [name for name, _ in content.columns]) == (2, ["a", "b", "t"])
    others = [
        frame.rename(columns={"a": "c"}),
        frame.astype({"a": "float64"}),
        frame.assign(a=[1, 3]),
        frame.assign(b=["x", "y"]),
        frame[["b", "a", "t"]],
        frame.iloc[::-1],
        frame.iloc[:1],
    ]
    assert len({describe(other).content_hash for other in [frame, *others]}) == 8


def test_a_frame_with_a_column_twice_is_refused():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(InputError, match="content has column 'a' twice"):
        describe(frame)


def started() -> RunStarted:
    return RunStarted(id="s", time=NOON, model="m", run_id="r", request_id="q")


def test_a_run_that_ends_well_says_so():
    sent: list[Event] = []
    with Run(sent.append, started()) as run:
        run.log_metric("accuracy", 0.5)
        run.log_metric("accuracy", 1)
        run.log_rows(10, first_epoch=1, last_epoch=4)
        digest = run.log_artifact(b"model")
    first, last = sent
    assert first == started()
    assert isinstance(last, RunCompleted)
    assert (last.model, last.run_id, last.metrics) == ("m", "r", {"accuracy": 1.0})
    assert (last.rows, last.first_epoch, last.last_epoch) == (10, 1, 4)
    assert last.artifact == digest == hashlib.sha256(b"model").hexdigest()
    assert last.time >= first.time


def test_a_run_that_fails_says_why_and_lets_the_error_go_on():
    sent: list[Event] = []

    def train() -> None:
        with Run(sent.append, started()) as run:
            run.log_parameter("depth", 3)
            raise ValueError("no rows\nat all")

    with pytest.raises(ValueError, match="no rows"):
        train()
    failed = sent[1]
    assert isinstance(failed, RunFailed)
    assert (failed.error, failed.request_id) == ("ValueError: no rows at all", "q")
    assert failed.parameters == {"depth": 3}


def test_a_run_takes_plain_finite_values_only():
    run = Run(lambda event: None, started())
    with pytest.raises(InputError, match="metric loss is nan"):
        run.log_metric("loss", float("nan"))
    with pytest.raises(InputError, match="parameter layers is"):
        run.log_parameter("layers", [1, 2])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="metric loss is 'low'"):
        run.log_metric("loss", "low")  # type: ignore[arg-type]


def test_an_error_becomes_one_bounded_line():
    assert one_line(ValueError(" a\n b\t")) == "ValueError: a b"
    assert len(one_line(ValueError("x" * 10_000))) == 500


def test_the_commit_is_recorded_and_a_change_is_marked(tmp_path: Path):
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        command = ["git", *who, *arguments]
        return subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    assert read_commit(tmp_path) == ""
    git("init", "-q")
    (tmp_path / "train.py").write_text("1")
    git("add", "train.py")
    git("commit", "-q", "-m", "first")
    assert read_commit(tmp_path) == git("rev-parse", "HEAD")
    (tmp_path / "train.py").write_text("2")
    assert read_commit(tmp_path) == git("rev-parse", "HEAD") + "-dirty"


def test_the_environment_names_what_is_imported():
    environment = read_environment()
    assert {"python", "platform", "msgspec", "confluent-kafka", "pytest"} <= environment.keys()


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")} - {"settings", "blocks"}


def test_the_asyncio_client_has_every_method():
    assert public(streamops.AsyncClient) == public(streamops.Client)
    for name in public(streamops.Client) - {"run", "alerts"}:
        assert inspect.iscoroutinefunction(getattr(streamops.AsyncClient, name)), name


def test_the_asyncio_client_raises_the_same_errors():
    async def use() -> Any:
        client = streamops.AsyncClient("127.0.0.1:1")
        with pytest.raises(InputError, match="label is nan"):
            await client.log_label("p", float("nan"))
        with pytest.raises(ConfigError, match="encoding"):
            streamops.AsyncClient("127.0.0.1:1", encoding="avro")
        await client.close()

    asyncio.run(use())
